#!/bin/sh
# The verdicts of bench_fusions, on figures that a run before has kept: below 1 by more than the figure's own
# control and by more than any other control of the model and program is slower, and nothing else is.
#
#     bench_fusions.sh BENCH_FUSIONS
set -eu
bench=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "FAILED: $*: $(cat "$scratch/out" "$scratch/err")" >&2
    exit 1
}

# verdict CODE WORD RATIO CONTROL NOISE: what is said of `optimizer` where `apply` has this figure.
verdict() {
    cat >"$scratch/kept" <<FIGURES
optimizer mlp train 1.05 1.001 0.002 0.1 9
optimizer mlp accumulate 1.00 1.001 0.002 0.1 9
optimizer mlp apply $3 $4 $5 0.1 9
FIGURES
    set +e
    "$bench" --table --only mlp --fusion optimizer --keep "$scratch/kept" >"$scratch/out" 2>"$scratch/err"
    code=$?
    set -e
    [ $code -eq "$1" ] || fail "exit $code, expected $1, at $3 $4 $5"
    grep -q "| $2 |\$" "$scratch/out" || fail "not \"$2\" at $3 $4 $5"
}
verdict 1 slower 0.98 1.004 0.01
verdict 0 pays 0.98 1.004 0.03
verdict 0 pays 0.98 0.97 0.01
[ "$(wc -l <"$scratch/kept")" -eq 3 ] || fail "what was kept is measured again"

# Names that are none are refused with those that there are.
! "$bench" --only mpl >"$scratch/out" 2>"$scratch/err" || fail "no such model"
grep -q "no model 'mpl'; there are chargpt" "$scratch/err" || fail "models are not named"
