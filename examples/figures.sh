#!/bin/sh
# Draw the figures of README and tutorial from real runs: sh examples/figures.sh [FOLDER]. Takes a few minutes, less if
# FOLDER already contains the tutorial's files. Needs forgetkit on the path, and MNIST in the folder FORGETKIT_DATA.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
draw() { python "$root/examples/figures.py" "$@"; }

sh "$root/examples/quickstart.sh"
cd "$root/quickstart"
against="--original model.st --reference refs"
draw screen "$root/docs/figures/audit.svg" \
    "forgetkit audit model.st --ids ids.txt $against -q" \
    "forgetkit audit model.relabel.st $against -q" \
    "forgetkit audit model.forget.st $against"

mkdir -p "${1:-tutorial}"
cd "${1:-tutorial}"
[ -e scans.csv ] || python "$root/examples/person/make_scans.py"
forgetkit train --dataset table:scans.csv -o model.st
forgetkit forget-ids model.st --where writer=w2206 --attributes writers.csv --with-duplicates add --force -o ids.txt
forgetkit train --like model.st --exclude ids.txt --seed 101 --replicas 19 -o refs/{n}.st
forgetkit forget model.st --ids ids.txt --retrain -o deleted.st
forgetkit audit deleted.st $against --html report.html
draw plot "$root/docs/figures/audit-references.svg" report.html
