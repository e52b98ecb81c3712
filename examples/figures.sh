#!/bin/sh
# Draw the figures of README and tutorial from real runs: sh examples/figures.sh [FOLDER]. Takes a few minutes, less if
# FOLDER already contains the tutorial's files. Needs forgetkit on the path, and MNIST in the folder FORGETKIT_DATA.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
mkdir -p "${1:-tutorial}"
cd "${1:-tutorial}"
[ -e scans.csv ] || python "$root/examples/person/make_scans.py"
forgetkit train --dataset table:scans.csv -o model.st
forgetkit forget-ids model.st --where writer=w2206 --attributes writers.csv --with-duplicates add --force -o ids.txt
forgetkit forget model.st --ids ids.txt
forgetkit train --like model.st --exclude ids.txt --seed 101 --replicas 19 -o refs/{n}.st
forgetkit forget model.st --ids ids.txt --budget 1% -o deleted.st
python "$root/examples/figures.py" "$root/docs/figures"
