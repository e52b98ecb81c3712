#!/bin/sh
# From a clone to audited forgetting on scikit-learn's digits, without a download: a minute or two after installation.
# Run it from any folder, as often as you like. The files stay in quickstart/ beside README.md.
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
judge() { # audit's exit code is its verdict: 0 forgotten, 1 not forgotten, 3 inconclusive; any other code is an error
    printf '$ forgetkit audit %s\n' "$*"
    code=0
    forgetkit audit --quiet "$@" || code=$?
    case $code in
    0) echo "exit 0: forgotten" ;;
    1) echo "exit 1: a negative verdict; a CI job would stop here" ;;
    3) echo "exit 3: inconclusive; the lines that begin with 'because' say why" ;;
    *) exit $code ;;
    esac
}

say "1. The original: a small network on 1,297 handwritten digits."
run forgetkit train --dataset digits --out model.st

say "2. A deletion request: 65 samples, by id. The draw is the same every time."
run forgetkit forget-ids model.st --count 65 --seed 7 --out ids.txt

say "3. The expensive way, as a reference: retrain without them."
run forgetkit train --like model.st --exclude ids.txt --out reference.st

say "4. Kim & Woo 2022, two stages: unlearn the samples down to chance, then distil from the original on the rest."
run forgetkit neutralize model.st --ids ids.txt --stop chance
run forgetkit distill model.neutralize.st --teacher model.st

say "5. Li & Ghosh 2023: one step per sample, towards all its wrong labels. By default the rate is searched for."
run forgetkit relabel model.st --ids ids.txt --optimizer adadelta
say "   For comparison, a setting of the paper."
run forgetkit relabel model.st --ids ids.txt --optimizer adam --rate 0.001 --allow-unforgotten --out model.adam.st

say "6. Was it forgotten? First the original itself, which has forgotten nothing: the audit must not pass it."
judge model.st --ids ids.txt --original model.st

say "   The relabeled model, with a report to open in a browser."
judge model.relabel.st --original model.st --html report.html

say "   The model relabeled with adam at 0.001, a setting of the paper. It forgot at the cost of accuracy."
judge model.adam.st --original model.st

say "   The two-stage model. See its accuracy on the forget set: stage 2 restored what stage 1 removed."
judge model.neutralize.distill.st --original model.st

say "   The reference, which never saw the samples. With 65 ids, a model that memorised little, and 248 unseen samples,"
say "   no honest test can tell it from the original. Inconclusive is the best verdict for a random draw from digits."
judge reference.st --original model.st

say "   A whole class is different: a model that never saw a three knows none. First at a rate too low, then searched:"
run forgetkit forget-ids model.st --class 3 --out threes.txt
run forgetkit relabel model.st --ids threes.txt --rate 0.001 --allow-unforgotten --out model.low.st
judge model.low.st --original model.st
run forgetkit relabel model.st --ids threes.txt --out model.threes.st
judge model.threes.st --original model.st

say "7. Shadow models, trained once, answer a request at a tenth of a retraining, and judge the step without references."
run forgetkit train --like model.st --shadows 8 --out "model.shadows/{n}.st"
run forgetkit forget model.st --ids ids.txt
judge model.forget.st --original model.st --shadows model.shadows

say "8. What a checkpoint says about itself."
run forgetkit inspect model.neutralize.distill.st
echo
echo "The files are in $root/quickstart; open report.html. docs/quickstart.md explains each line."
