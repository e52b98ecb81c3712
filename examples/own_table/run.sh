#!/bin/sh
# Alice takes her images back: a table of images, a model, her ids, a model that forgot them, and the proof.
# Needs forgetkit installed; takes about a minute and writes only into a folder of its own: sh run.sh [FOLDER]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "${1:-own-table}"
cd "${1:-own-table}"

python "$here/make_table.py" .
forgetkit train --dataset table:digits.csv -o model.st
forgetkit forget-ids model.st --where user=alice -o alice.txt
forgetkit relabel model.st --ids alice.txt --rate 0.02 -o forgot.st

# exit code 0: forgotten, 1: not, 3: too little data to tell
code=0
forgetkit audit forgot.st --original model.st || code=$?
exit $code
