"""Options that say where the work runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from daskals.config.section import Bytes, Section


class ClusterConfig(Section):
    """Where the work runs. Nothing here shapes the numbers."""

    workers: int = Field(1, ge=1, description="Worker processes; 1 keeps everything in this process.")
    threads_per_worker: int | None = Field(
        None, ge=1, description="Threads of each worker; default: the machine's cores shared out."
    )
    numba_threads: int = Field(
        1,
        ge=1,
        description="Threads inside a block, by the solver's Numba-parallel form; a worker then has one Dask "
        "thread. The same bits.",
    )
    cpu: Literal["avx512", "avx2", "x86-64", "generic"] | None = Field(
        None,
        description="CPU that kernels are compiled for, pinned for mixed machines; default: the best here.",
    )
    scheduler: str | None = Field(
        None,
        description="Address of a running Dask scheduler, tcp:// or tls://HOST:PORT, to use instead.",
    )
    tls_ca: Path | None = Field(None, description="Certificate authority's PEM file, for tls:// schedulers.")
    tls_cert: Path | None = Field(None, description="This client's certificate, a PEM file.")
    tls_key: Path | None = Field(None, description="This client's key, a PEM file.")
    ratings_memory: Bytes | None = Field(
        None,
        gt=0,
        description="Memory of each worker process for ratings, as 50MB or 2GiB; what does not fit is laid "
        "aside on its disk. Default: half of the machine's memory, shared out.",
    )
    dashboard_address: str | None = Field(
        "127.0.0.1:8787", description="Address of the Dask dashboard; 'none' for no dashboard."
    )

    @model_validator(mode="after")
    def _one_kind_of_threads(self) -> Self:
        if self.numba_threads > 1 and (self.threads_per_worker or 1) > 1:
            raise ValueError(
                f"numba_threads: found {self.numba_threads} with {self.threads_per_worker} Dask threads a "
                "worker; expected --threads-per-worker=1"
            )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        files = {"tls_ca": self.tls_ca, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
        missing = [name for name, file in files.items() if file is None]
        secure = (self.scheduler or "").startswith("tls://")
        if (secure and missing) or (not secure and len(missing) < len(files)):
            raise ValueError(
                f"scheduler: found {self.scheduler!r} with {3 - len(missing)} of --tls-ca, --tls-cert and "
                "--tls-key; expected all three with a tls:// address, and none without"
            )
        for name, file in files.items():
            if file is not None and not file.is_file():
                raise ValueError(f"{name}: found {str(file)!r}, which is no file; expected a PEM file")
        return self
