#!/bin/sh
# Forget a whole class, here the threes. The audit fails a model that still knows them; else it exits 3 (inconclusive).
set -eu
forgetkit train --dataset digits -o model.st
forgetkit forget-ids model.st --class 3 -o ids.txt
forgetkit relabel model.st --ids ids.txt -o forgot.st
forgetkit audit forgot.st --original model.st || test $? -eq 3
