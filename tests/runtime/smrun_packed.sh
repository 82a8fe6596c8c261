#!/bin/sh
# Weights in blocks kept packed for the next start: the second start uses them, an altered file is made
# again, and the ids are always the same.
#
#     smrun_packed.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"
SMC=$smc XDG_CACHE_HOME=$scratch/cache
export SMC XDG_CACHE_HOME

tiny_gpt gpt.smp -D vocab=256 -D hidden=64
"$smrun" train gpt.smp --data "$source/corpus/stories.txt" --tokenizer byte --out run --steps 5 --quiet >/dev/null
"$smrun" export run -o model.gguf >/dev/null
"$smrun" quantize model.gguf --type q8_0 -o q8.gguf >/dev/null 2>&1
"$smrun" import q8.gguf -o q8 >/dev/null
generate() {
    "$smrun" generate q8 --prompt-tokens 84,104 -n 20 --temperature 0 --ignore-eos --print-tokens "$@" >got 2>stderr
    [ -e expected ] || cp got expected
    cmp expected got || fail "other ids with $*"
}
generate
[ ! -e q8/packed.bin ] || fail "kept without being asked"
generate --keep-packed
expect "$(cat stderr)" "packed weights: kept for the next start"
cp q8/packed.bin first
generate --keep-packed
expect "$(cat stderr)" "packed weights: those kept before"
generate --keep-packed --map
expect "$(cat stderr)" "packed weights: those kept before"
cmp first q8/packed.bin || fail "a start that used the file changed it"

# One byte of the panels changed: said, made again, and the same.
size=$(wc -c <first)
printf '\377\000\377' | dd of=q8/packed.bin bs=1 seek=$((size - 200)) conv=notrunc 2>/dev/null
generate --keep-packed
expect "$(cat stderr)" "it was altered"
cmp first q8/packed.bin || fail "the file was not made again"
head -c 1000 first >q8/packed.bin
generate --keep-packed --map
expect "$(cat stderr)" "it has 1000 bytes"
cmp first q8/packed.bin || fail "the file was not made again"

# A newer source: what was kept is of another.
touch -d '2 hours ago' q8.gguf
generate --keep-packed
expect "$(cat stderr)" "it is of another source"

# No room for it is no fault of the generation.
rm q8/packed.bin
mkdir q8/packed.bin
generate --keep-packed
expect "$(cat stderr)" "packed weights: not kept: "
echo ok
