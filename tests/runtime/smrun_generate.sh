#!/bin/sh
# Generation: with the cache and without, in chunks, by several threads the same ids; what streams,
# what ends it.
#
#     smrun_generate.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"

tiny_gpt tiny.smp
"$smrun" train tiny.smp --data "$source/corpus/stories.txt" --out run --steps 30 --quiet >/dev/null
generate() {
    "$smrun" generate tiny.smp --weights run "$@" 2>stderr
}

prompt="Once upon a"
for options in "--temperature 0" "--temperature 1 --top-k 30 --top-p 0.95 --seed 9"; do
    generate --prompt "$prompt" -n 21 --print-tokens --no-cache $options >expected
    [ "$(wc -w <expected)" -eq 21 ] || fail "21 ids"
    for other in "" "--chunk 1" "--chunk 7" "--threads 1" "--threads 3" "--map"; do
        generate --prompt "$prompt" -n 21 --print-tokens $options $other >got
        cmp expected got || fail "other ids with $options $other"
    done
done
expect "$(cat stderr)" "prefill 11 tokens at"
expect "$(cat stderr)" "decode 20 tokens at"
generate --prompt "$prompt" -n 9 --threads 1 >got
expect "$(cat stderr)" "/s, 0 barriers a token"
generate --prompt "$prompt" -n 9 --threads 2 --json >json
grep -q '"barriers_per_token": [1-9]' json || fail "no count of barriers: $(cat json)"
generate --prompt "$prompt" -n 21 --print-tokens --temperature 1 --seed 10 >got
cmp -s expected got && fail "seeds 9 and 10 give the same ids"

# Weights are copied where that fits, or else stay in their file.
generate --prompt "$prompt" -n 21 --json >json
grep -q '"mapped_bytes": 0' json || fail "mapped: $(cat json)"
generate --prompt "$prompt" -n 21 --json --map >json
grep -q '"mapped_bytes": [1-9]' json || fail "not mapped: $(cat json)"
"$smc" compile "$source/models/gpt2.smg" -D vocab=50 -D context=512 -D width=64 -D depth=2 -D heads=2 \
    --batch 4 -o long.smp              # its session to generate takes 1.6 MB
"$smrun" train long.smp --data "$source/corpus/stories.txt" --out long --steps 1 --quiet >/dev/null
for memory in 1 2; do
    "$smrun" generate long.smp --weights long --prompt "$prompt" -n 9 --memory $memory --print-tokens \
        >"got$memory" 2>"stderr$memory"
done
cmp got1 got2 || fail "other ids with weights in their file"
expect "$(cat stderr1)" "a copy of them does not fit in 1.0 MiB of memory"
grep -q "does not fit" stderr2 && fail "what fits is not copied"

# Text begins with the prompt; ids can be given instead, and give the same.
generate --prompt "$prompt" -n 15 >text
expect "$(cat text)" "$prompt"
generate --prompt "$prompt" -n 15 --json >json
ids=$(tr -d ' \n' <json | sed 's/.*"prompt_tokens":\[\([0-9,]*\)\].*/\1/')
generate --prompt-tokens "$ids" -n 15 --json >json2
for key in tokens text end; do
    [ "$(tr -d '\n' <json | grep -o "\"$key\": [^]]*")" ] || fail "no $key in the JSON"
done
grep -v per_ json >a
grep -v per_ json2 >b
cmp a b || fail "prompt and prompt-tokens differ"

# A stop text ends it and is not shown; the text before is the same.
all=$(generate --prompt "$prompt" -n 20 --temperature 0)
rest=${all#"$prompt"}
stop=$(printf %s "$rest" | cut -c5-6)
cut=${rest%%"$stop"*}
[ "$(generate --prompt "$prompt" -n 20 --temperature 0 --stop "$stop"; echo .)" = "$prompt$cut
." ] || fail "stop \"$stop\" in \"$rest\""

# The end of the context says so, and is no error.
generate --prompt "$prompt" -n 100 >/dev/null
expect "$(cat stderr)" "context of 32 positions is full"

refuses 1 "--prompt: the character U+00E9 \"é\" has no token" \
    "$smrun" generate tiny.smp --weights run --prompt "Onché"
refuses 1 "the prompt has 40 tokens; tiny.smp computes at most 32" \
    "$smrun" generate tiny.smp --weights run --prompt "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
refuses 1 "no id of the model, 0 to 49" "$smrun" generate tiny.smp --weights run --prompt-tokens 5,50
refuses 1 "--chunk 33" "$smrun" generate tiny.smp --weights run --chunk 33
refuses 1 "there is no tokenizer.json" \
    sh -c "mkdir bare && cp run/model.safetensors bare && '$smrun' generate tiny.smp --weights bare"
"$smrun" generate tiny.smp --weights bare/model.safetensors --prompt-tokens 1,2 --print-tokens -n 3 \
    >/dev/null 2>&1 || fail "ids without a tokenizer"

# Bytes: what a model of bytes writes is valid UTF-8 whatever it is.
tiny_gpt bytes.smp -D vocab=256
printf 'h\303\251llo w\303\266rld \360\237\230\200 %0200d\377\376' 7 >bytes.txt
"$smrun" train bytes.smp --data bytes.txt --tokenizer byte --out bytes --steps 3 --quiet >/dev/null
"$smrun" generate bytes.smp --weights bytes --prompt "é" -n 30 --temperature 2 2>/dev/null |
    iconv -f UTF-8 -t UTF-8 >/dev/null || fail "no UTF-8 comes out"
echo ok
