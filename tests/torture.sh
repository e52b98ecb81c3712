#!/bin/sh
# Try what must never go wrong, many times over, and print a table: target, trials, failures, seconds.
#   sh tests/torture.sh           the full numbers of trials: hours
#   sh tests/torture.sh --quick   a few of each: about a minute
#   sh tests/torture.sh --only R1,R5 --share 0.1
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
cd "$root"
exec python -m tests.torture "$@"
