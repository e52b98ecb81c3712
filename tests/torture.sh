#!/bin/sh
# Try what must never go wrong, many times over, and print a table: target, trials, failures, seconds, date.
#   sh tests/torture.sh                the full numbers of trials: about half an hour on two quiet cores. What was done stands
#                                      in docs/torture.jsonl: the same command again goes on, --fresh starts over
#   sh tests/torture.sh --only R1,R5   some targets; the table has all that stand in the file
#   sh tests/torture.sh --table        no trials: draw the table in docs/reliability.md from the file
#   sh tests/torture.sh --quick        a few trials of each: below a minute, nothing recorded
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
cd "$root"
exec python -m tests.torture "$@"
