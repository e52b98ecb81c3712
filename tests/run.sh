#!/bin/sh
# Set up, then lint, types and tests. Run it again and again, from any folder.
#   sh tests/run.sh              what CI runs
#   sh tests/run.sh --slow       the tests that take minutes, too
#   sh tests/run.sh -k relabel   other arguments go to pytest
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
cd "$root"
ruff check .
ruff format --check .
mypy
if [ "${1:-}" = --slow ]; then
    shift
    exec python -m pytest -n auto -m "slow or not slow" "$@"
fi
exec python -m pytest -n auto "$@"
