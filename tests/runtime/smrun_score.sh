#!/bin/sh
# Scoring a text: against itself, against other weights, and in fewer bits.  A model of one layer that
# trained for seconds shows the mechanism; scripts/show-quantization shows it on a real one.
#
#     smrun_score.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"

# compile TYPE: rows of 256, so that every type of blocks fits.
compile() {
    "$smc" compile "$source/models/chargpt.smg" -D context=32 -D width=256 -D depth=1 -D heads=4 \
        --batch 8 --weights "$1" -o "$1.smp"
}
"$smc" compile "$source/models/chargpt.smg" -D context=32 -D width=256 -D depth=1 -D heads=4 --batch 8 \
    -o f32.smp
for steps in 1 30; do
    "$smrun" train f32.smp --data "$source/corpus/stories.txt" --out run$steps --steps $steps \
        --lr 3e-3 --warmup 5 --clip 1 --quiet >/dev/null
done
head -c 1000 "$source/corpus/stories.txt" >text.txt

# score PLAN RUN OPTIONS: as JSON, into `json`.
score() {
    plan=$1 run=$2
    shift 2
    "$smrun" score "$plan" --weights "$run" --text text.txt --json "$@" >json
}
at_most() {
    awk "BEGIN { exit !($(number "$1" <json) <= $2) }" || fail "$1 above $2: $(cat json)"
}

# Against itself: nothing differs at all.
score f32.smp run30 --against run30
expect "$(cat json)" '"kl_divergence": 0.0'
expect "$(cat json)" '"perplexity_ratio": 1.0'
expect "$(cat json)" '"top1_agreement": 1.0'
expect "$(cat json)" '"scored": 999'
at_most perplexity 20

# Against weights that learnt less: the ratio is that of the two perplexities.
score f32.smp run30 --against run1
at_most perplexity_ratio 0.6
awk "BEGIN { r = $(number perplexity <json) / $(number perplexity_against <json) / $(number perplexity_ratio <json)
             exit !(r > 0.999999 && r < 1.000001 && $(number kl_divergence <json) > 0.1) }" ||
    fail "ratio or divergence: $(cat json)"

# Fewer bits: what is promised of a trained model holds of this one.
for row in bf16:1.001 q8_0:1.002 q4_k:1.03; do
    type=${row%:*}
    compile "$type"
    score "$type.smp" run30 --against run30 --against-plan f32.smp
    at_most perplexity_ratio "${row#*:}"
    [ "$(number kl_divergence <json)" != 0.0 ] || fail "$type: nothing was rounded"
done
awk "BEGIN { exit !($(number top1_agreement <json) > 0.8) }" || fail "q4_k: $(cat json)"

# A cache in fewer bits, as generation uses it: in f32 the same predictions but for the order of sums.
score f32.smp run30 --cache f32 --against run30
awk "BEGIN { r = $(number perplexity_ratio <json); exit !(r > 0.99999 && r < 1.00001) }" || fail "cached: $(cat json)"
for type in bf16 q8_0; do
    "$smc" compile "$source/models/chargpt.smg" -D context=32 -D width=256 -D depth=1 -D heads=4 --batch 8 \
        --cache $type -o cached.smp
    score cached.smp run30 --cache $type --against run30 --against-plan f32.smp
    at_most perplexity_ratio 1.005
    awk "BEGIN { exit !($(number kl_divergence <json) > 1e-9) }" || fail "$type: nothing was rounded: $(cat json)"
done
refuses 1 "--cache bf16: this plan keeps keys and values in q8_0" "$smrun" score cached.smp --weights run30 \
    --text text.txt --cache bf16

# Windows and strides, in words.
"$smrun" score f32.smp --weights run30 --text text.txt --window 16 --stride 8 >words
expect "$(cat words)" "over 999 tokens in 124 windows of 16"
refuses 1 "--window 33: the model computes at most 32" "$smrun" score f32.smp --weights run30 \
    --text text.txt --window 33
refuses 2 "one of them" "$smrun" score f32.smp --weights run30 --text text.txt --data text.txt
refuses 2 "--against-plan is for the weights of --against" \
    "$smrun" score f32.smp --weights run30 --text text.txt --against-plan f32.smp
refuses 1 "--against: " "$smrun" score f32.smp --weights run30 --text text.txt --against nowhere
"$smc" compile "$source/models/chargpt.smg" -D vocab=60 -D width=256 -D depth=1 --batch 8 -o other.smp
printf 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567' >wide.txt
"$smrun" train other.smp --data wide.txt wide.txt wide.txt wide.txt wide.txt wide.txt --out other \
    --steps 1 --seq 8 --quiet >/dev/null
refuses 1 "they must be of one vocabulary" "$smrun" score f32.smp --weights run30 --text text.txt \
    --against other --against-plan other.smp
echo ok
