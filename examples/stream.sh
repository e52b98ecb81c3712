#!/bin/sh
# Answer a stream of requests: book each one, forget its ids from the last model, retrain when a limit is reached.
set -eu
forgetkit train --dataset digits -o model.st
model=model.st
for case in 1 2 3; do
    forgetkit forget-ids "$model" --count 5 --seed "$case" -o "case-$case.txt"
    forgetkit requests add "case-$case" --ids "case-$case.txt" --book requests.db
    model=$(forgetkit relabel "$model" --ids "case-$case.txt" --sequence-limit 12 --on-limit retrain \
        --request "case-$case" --book requests.db)
done
test -z "$(forgetkit requests pending --book requests.db)"
forgetkit requests log --book requests.db
forgetkit inspect "$model"
forgetkit audit "$model" --original model.st || test $? -eq 3
