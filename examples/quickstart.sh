#!/bin/sh
# From a clone to audited forgetting on scikit-learn's digits, without a download: about a minute after installation.
# Run it from any folder, as often as you like. The files stay in quickstart/ beside README.md.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
rm -rf "$root/quickstart"
mkdir "$root/quickstart"
cd "$root/quickstart"

say() { printf '\n# %s\n' "$*"; }
run() { # a command; where it writes many files, the last one is shown
    printf '$ forgetkit %s\n' "$*"
    forgetkit "$@" --quiet >written.log
    tail -1 written.log
}
judge() { # audit's exit code is its verdict: 0 forgotten, 1 not forgotten, 3 inconclusive; any other code is an error
    printf '$ forgetkit audit %s\n' "$*"
    code=0
    forgetkit audit "$@" 2>audit.log || code=$?
    case $code in 0 | 1 | 3) ;; *) cat audit.log && exit $code ;; esac
}

say "The original: a small network, trained on 1,297 handwritten digits; and shadow models of half the samples each."
run train --dataset digits --shadows 8 --out model.st

say "A request: every 3 must be forgotten."
run forget-ids model.st --class 3 --out ids.txt

say "What forgotten looks like: 19 models that never saw a 3. In use they are trained to judge, not to forget."
run train --like model.st --exclude ids.txt --seed 101 --replicas 19 --out "refs/{n}.st"

say "Would the audit notice? The original itself, which knows every 3:"
judge model.st --ids ids.txt --original model.st --reference refs -q

say "Li & Ghosh 2023: a step per sample, towards all its wrong labels. It then calls no 3 a 3. Forgotten?"
run relabel model.st --ids ids.txt --optimizer adadelta
judge model.relabel.st --original model.st --reference refs -q

say "Kim & Woo 2022, two stages: neutralize the samples, then distil the rest from the original."
run neutralize model.st --ids ids.txt --stop chance
run distill model.neutralize.st --teacher model.st
judge model.neutralize.distill.st --original model.st --reference refs -q

say "The operator's command: it tries the shadow models, checks the result, and retrains where that is not enough."
run forget model.st --ids ids.txt
judge model.forget.st --original model.st --reference refs --html report.html

say "What a checkpoint says about itself."
forgetkit inspect model.neutralize.distill.st
echo
echo "The files are in $root/quickstart; open report.html. docs/quickstart.md explains each line."
