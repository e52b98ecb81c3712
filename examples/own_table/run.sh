#!/bin/sh
# Alice withdraws her images: train a model on a table of images, forget hers, and audit the result.
# Needs forgetkit installed, takes about a minute, and writes only to one folder: sh run.sh [FOLDER]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "${1:-own-table}"
cd "${1:-own-table}"

python "$here/make_table.py" .
forgetkit train --dataset table:digits.csv -o model.st
forgetkit forget-ids model.st --where user=alice -o alice.txt
forgetkit relabel model.st --ids alice.txt --rate 0.02 -o forgot.st

# exit code 0: forgotten, 1: not forgotten, 3: too few data to decide
code=0
forgetkit audit forgot.st --original model.st || code=$?
exit $code
