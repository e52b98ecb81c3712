#!/bin/sh
# Forget a whole class, here the threes: the audit fails a model that still knows one, and keeps 3 (not shown) for the rest.
set -eu
forgetkit train --dataset digits -o model.st
forgetkit forget-ids model.st --class 3 -o ids.txt
forgetkit relabel model.st --ids ids.txt -o forgot.st
forgetkit audit forgot.st --original model.st || test $? -eq 3
