"""The configuration: frozen, validated, one name for a thing everywhere.

A field's name is the command-line flag (with dashes), the key in a configuration file and the key in
`report.json`; its description is the flag's help. `lambda` is a Python keyword, so that field is called
`lambda_` in code only.
"""

from __future__ import annotations

from daskals.config.cluster import ClusterConfig
from daskals.config.job import JobConfig, read_config_file
from daskals.config.reading import ReadAsConfig, ReadConfig, SplitConfig
from daskals.config.section import Bytes, Columns, Names, Section
from daskals.config.training import (
    MAX_RANK,
    MAX_RANK_WITH_FEATURES,
    ModelConfig,
    TrainConfig,
)

__all__ = [
    "MAX_RANK",
    "MAX_RANK_WITH_FEATURES",
    "Bytes",
    "ClusterConfig",
    "Columns",
    "JobConfig",
    "ModelConfig",
    "Names",
    "ReadAsConfig",
    "ReadConfig",
    "Section",
    "SplitConfig",
    "TrainConfig",
    "read_config_file",
]
