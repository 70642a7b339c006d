#!/usr/bin/env bash
# distributed 2026.8.0 with pytest 9.2.0: one silent LocalCluster takes caplog's warnings from all tests after it.
#
# One would guess: LocalCluster(silence_logs=...) turns down what Dask itself logs, so a session-wide cluster
#   fixture does not touch what pytest's caplog catches from other loggers.
# What happens: pytest also puts its capturing handlers on loggers that do not propagate when the session begins,
#   which Dask's are where a conftest imports it (without that import nothing of this happens); the cluster sets
#   the level of every stream handler on its loggers for as long as it lives, pytest's among them. They are the
#   very handlers that hang on the root logger, so a warning of any library is caught no more.
# Seen: distributed 2026.8.0, pytest 9.2.0, Linux x86-64, Python 3.11: handler level 0 and the warning caught
#   before the cluster, level 50 and nothing caught while it lives. Setting the handlers of the root logger back
#   to NOTSET after the cluster began is the way round.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install -q --target "$folder" pytest==9.2.0 distributed==2026.8.0 dask==2026.8.0
echo "import distributed  # as the conftest of any project on Dask" > "$folder/conftest.py"
cat > "$folder/test_two.py" <<'PY'
import logging

import pytest
from distributed import LocalCluster


@pytest.fixture(scope="session")
def cluster():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as made:
        yield made


def warned(caplog):
    logging.getLogger("somebody.else").warning("heard?")
    return caplog.handler.level, len(caplog.records)


def test_before(caplog):
    assert warned(caplog) == (0, 1)


def test_while_it_lives(cluster, caplog):
    assert warned(caplog) == (logging.CRITICAL, 0)


def test_after_setting_them_back(cluster, caplog):
    for handler in logging.root.handlers:
        handler.setLevel(logging.NOTSET)
    assert warned(caplog) == (0, 1)
PY
cd "$folder"
PYTHONPATH="$folder" python3 -m pytest -q -p no:cacheprovider test_two.py
