#!/bin/sh
# From a clone to audited forgetting, on scikit-learn's digits: no download, a minute or two after the set-up.
# Run it again and again, from any folder. The files stay in quickstart/ beside README.md.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/setup.sh"
rm -rf "$root/quickstart"
mkdir "$root/quickstart"
cd "$root/quickstart"

say() { printf '\n# %s\n' "$*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}
judge() { # audit's exit code is its verdict: 0 forgotten, 1 not, 3 inconclusive; anything else is a failure
    printf '$ forgetkit audit %s\n' "$*"
    code=0
    forgetkit audit --quiet "$@" || code=$?
    case $code in
    0) echo "exit 0: forgotten" ;;
    1) echo "exit 1: a negative verdict; a CI job would stop here" ;;
    3) echo "exit 3: inconclusive; the lines after 'because' say why" ;;
    *) exit $code ;;
    esac
}

say "1. The original: a small network on 1,297 handwritten digits."
run forgetkit train --dataset digits --out model.st

say "2. A deletion request: 65 samples, by id. The draw is the same every time."
run forgetkit forget-ids model.st --count 65 --seed 7 --out ids.txt

say "3. The costly way, to compare with: train again without them."
run forgetkit train --like model.st --exclude ids.txt --out reference.st

say "4. Kim & Woo 2022, two stages: drive the samples to chance, then retrain on the rest with the original as teacher."
run forgetkit neutralize model.st --ids ids.txt --stop chance
run forgetkit distill model.neutralize.st --teacher model.st

say "5. Li & Ghosh 2023: one step towards all wrong labels for each sample. The rate decides; by default it is searched for."
run forgetkit relabel model.st --ids ids.txt --optimizer adadelta
say "   A setting of the paper, for comparison."
run forgetkit relabel model.st --ids ids.txt --optimizer adam --rate 0.001 --out model.adam.st

say "6. Was it forgotten? First the original itself, on which nothing was done: the audit must not pass it."
judge model.st --ids ids.txt --original model.st

say "   The relabeled model, with a report to open in a browser."
judge model.relabel.st --original model.st --html report.html

say "   The relabeled model: adam at 0.001, a setting of the paper. Forgetting was bought with accuracy."
judge model.adam.st --original model.st

say "   The two-stage model. Look at 'right on: forget': what stage 1 took away, stage 2 brought back."
judge model.neutralize.distill.st --original model.st

say "   The reference, which truly never saw the samples. 65 ids, a model that memorised little, 248 unseen samples"
say "   to judge on: no honest test can tell it from the original. Inconclusive is all that digits can give a draw."
judge reference.st --original model.st

say "   A whole class is another matter: a model that never saw a three is right on none. At a rate too low, and searched:"
run forgetkit forget-ids model.st --class 3 --out threes.txt
run forgetkit relabel model.st --ids threes.txt --rate 0.001 --allow-unforgotten --out model.low.st
judge model.low.st --original model.st
run forgetkit relabel model.st --ids threes.txt --out model.threes.st
judge model.threes.st --original model.st

say "7. What a checkpoint says about itself."
run forgetkit inspect model.neutralize.distill.st
echo
echo "The files are in $root/quickstart; open report.html. Next: docs/quickstart.md explains each line."
