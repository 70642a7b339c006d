"""Commands in processes that are forked with all their libraries loaded: cheap to interrupt many times.

Importing this loads what they need and compiles what they run, for a fork server.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from daskals.cluster.interruption import INTERRUPTED, handling_signals

COMMANDS = ("train", "tune", "retrain", "recommend", "serve")

if multiprocessing.current_process().name == "MainProcess" and "pytest" not in sys.modules:
    # in the fork server
    from daskals.kernels.warm_up import timed_warm_up

    for name in COMMANDS:
        importlib.import_module(f"jobs.{name}")
    importlib.import_module("daskals.fitting.fit")
    importlib.import_module("daskals.experiments.tuning")
    importlib.import_module("daskals.retrain.run")
    importlib.import_module("daskals.serving.web.service")
    timed_warm_up(2, 10, features=False, weighted=False)


def start(command: str, arguments: list[str], log: Path) -> BaseProcess:
    """Run a command, its output to a file beside which `.ready` appears when signals are noted."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(command, arguments, str(log)))
    process.start()
    return process


def _run(command: str, arguments: list[str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        with handling_signals():
            Path(f"{log}.ready").touch()
            importlib.import_module(f"jobs.{command}").main(arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
