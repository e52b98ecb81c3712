#!/bin/sh
# All benchmarks of the table in docs/performance.md, one after another: sh tests/benchmarks/run.sh [RUNS].
# Nothing else may run. About a quarter of an hour; P3, P4 and P7 need MNIST where FORGETKIT_DATA leads.
set -eu
cd "$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)"
python tests/benchmarks/bench_steps.py "$@"
python tests/benchmarks/bench_train.py "$@"
python tests/benchmarks/bench_audit.py "$@"
python tests/benchmarks/bench_process.py "$@"
python tests/benchmarks/bench_gpu.py
