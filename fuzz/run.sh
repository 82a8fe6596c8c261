#!/bin/sh
# Lets one fuzzer make up bytes for FUZZ_SECONDS (60); quiet, unless it finds something.
#
#     run.sh BUILD-DIR TARGET             BUILD-DIR: where fuzz_TARGET is, and what is found goes
set -eu
build=$1 target=$2
seconds=${FUZZ_SECONDS:-60}
found=$build/found
log=$found/$target.log
cd "$(dirname "$0")/.."

# Options and seeds of the target.
case $target in
frontend)    set -- -max_len=4096 -dict=fuzz/smg.dict models tests/frontend/wrong ;;
plan)                                   # a seed that only the compiler can make
    mkdir -p "$build/plans"
    "$build/codegen/smc" compile models/gpt2.smg -D vocab=11 -D context=6 -D width=8 -D depth=1 \
        -D heads=2 --batch 2 --chunk 3 -o "$build/plans/gpt2.smp"
    set -- -max_len=200000 "$build/plans"
    ;;
bin)         set -- -max_len=16384 fuzz/corpus/bin ;;
gguf)        set -- -max_len=4096 fuzz/corpus/gguf ;;
tokenizer)   set -- -max_len=8192 -dict=fuzz/json.dict fuzz/corpus/tokenizer ;;
*)           set -- -max_len=4096 -dict=fuzz/json.dict "fuzz/corpus/$target" ;;
esac

mkdir -p "$build/corpus/$target" "$found"
OMP_NUM_THREADS=1 "$build/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=4096 \
    -print_final_stats=1 -verbosity=1 "-artifact_prefix=$found/$target-" "$build/corpus/$target" "$@" \
    >"$log" 2>&1 ||
    { tail -60 "$log"; echo "fuzz: $target: $found/ holds the input"; exit 1; }

inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
echo "fuzz: $target: ${inputs:-0} inputs in $seconds s"
[ "${inputs:-0}" -gt 0 ]
