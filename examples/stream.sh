#!/bin/sh
# Answer a stream of requests: book each one, forget its ids from the last model, retrain when a limit is reached, audit.
set -eu
forgetkit train --dataset digits -o model.st
model=model.st
for case in 1 2 3; do
    forgetkit forget-ids "$model" --count 5 --seed "$case" -o "case-$case.txt"
    forgetkit requests add "case-$case" --ids "case-$case.txt" --book requests.db
    model=$(forgetkit relabel "$model" --ids "case-$case.txt" --sequence-limit 12 --on-limit retrain \
        --request "case-$case" --book requests.db)
done
for case in 1 2 3; do # five ids are too few for a verdict: in earnest, agree on a policy beforehand
    forgetkit audit "$model" --original model.st --request "case-$case" --book requests.db \
        --accept "only an example" || test $? -eq 3
done
test -z "$(forgetkit requests pending --book requests.db)"
forgetkit requests log --book requests.db
forgetkit inspect "$model"
