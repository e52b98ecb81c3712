#!/bin/sh
# A gate for CI: rules fixed in advance, reports for the CI system, and the audit's exit code as the job's exit code.
set -eu
cat >rules.toml <<RULES
utility_margin = 0.03
inconclusive = "pass"
RULES
forgetkit train --dataset digits -o model.st
forgetkit forget-ids model.st --class 3 -o ids.txt
forgetkit relabel model.st --ids ids.txt -o forgot.st
exec forgetkit audit forgot.st --original model.st --policy rules.toml --junit audit.xml --summary audit.md --html audit.html
