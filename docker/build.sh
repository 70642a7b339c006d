#!/usr/bin/env bash
# Builds what the image holds: daskals with locked dependencies in a virtual environment, its jobs beside it,
# its kernels compiled. The Dockerfile runs it; so can anyone, in an empty folder:
#   docker/build.sh SOURCE TARGET
# The environment decides which CPU the kernels are compiled for, and where they go (see the Dockerfile).
set -euo pipefail

source=$(realpath "$1")
target=$(realpath -m "$2")
python=$target/.venv/bin/python

mkdir -p "$target"
python3 -m venv "$target/.venv"
"$python" -m pip install --no-cache-dir --require-hashes --requirement "$source/docker/requirements.lock"
"$python" -m pip install --no-cache-dir --no-deps --no-build-isolation "$source"
cp -R "$source/jobs" "$target/jobs"

# one short run of each kind that is started by itself leaves its kernels compiled
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DASKALS_CACHE=$work/cache
cd "$target"
for model in hierarchical als; do
  "$python" -m jobs.train --dataset synthetic-100k --model "$model" --epochs 1 --quiet \
    --dashboard-address none --out "$work/$model"
done
"$python" -m jobs.recommend "$work/hierarchical" --out "$work/lists"
