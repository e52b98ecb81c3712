#!/bin/sh
# Forget all samples of one person. A table names the owners; the audit needs models that never saw the samples.
set -eu
awk 'BEGIN { print "id,user"; for (row = 0; row < 1297; row++) print row "," (row % 20 ? "bob" : "alice") }' >users.csv
forgetkit train --dataset digits -o model.st
forgetkit forget-ids model.st --where user=alice --attributes users.csv --with-duplicates add -o ids.txt
forgetkit forget model.st --ids ids.txt -o forgot.st
forgetkit train --like model.st --exclude ids.txt --seed 101 --replicas 19 -o refs/{n}.st
# 0 forgotten, 1 not forgotten, 3 inconclusive: a model of digits memorises so little that the verdict is left to chance
forgetkit audit forgot.st --original model.st --reference refs --html report.html || test $? -eq 1 -o $? -eq 3
