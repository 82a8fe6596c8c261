#!/bin/sh
# A trained run as GGUF, by what its own record says: the file gives the ids that the run gives.
#
#     smrun_export.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"
SMC=$smc XDG_CACHE_HOME=$scratch/cache
export SMC XDG_CACHE_HOME

# Trains $1.smp on bytes, exports the run, and generates from both.
check() {
    "$smrun" train $1.smp --data "$source/corpus/stories.txt" --tokenizer byte --out $1 --steps 20 --quiet >/dev/null
    [ ! -e $1/config.json ] || fail "training wrote a config.json"
    "$smrun" export $1 -o $1.gguf >said || fail "export of $1"
    expect "$(cat said)" "with its tokenizer"
    for model in "$1.smp --weights $1" $1.gguf $1; do
        "$smrun" generate $model --prompt-tokens 84,104,101 -n 25 --temperature 0 --ignore-eos --print-tokens \
            >ids 2>stderr || fail "generate $model: $(cat stderr)"
        [ -e wanted ] || mv ids wanted
        [ ! -e ids ] || cmp wanted ids || fail "$model gives other ids"
    done
    rm wanted
    "$smrun" export $1 -o again.gguf >/dev/null || fail "a second export of $1"
    cmp $1.gguf again.gguf || fail "two exports of $1 differ"
}

tiny_gpt gpt.smp -D vocab=256 -D hidden=80 -D eps=1e-6
check gpt
"$smc" compile "$source/models/llama.smg" -D vocab=256 -D context=32 -D width=32 -D depth=2 -D heads=4 \
    -D kv_heads=2 -D hidden=48 -D rope_base=5000 -D qkv_bias=true -D tied=true --batch 4 -o llama.smp
check llama
"$smc" compile "$source/models/llama.smg" -D vocab=256 -D context=32 -D width=32 -D depth=1 -D heads=2 \
    -D kv_heads=1 -D head=24 -D hidden=48 -D qk_norm=true --batch 4 -o qwen.smp
check qwen

# What is wrong with the source is told of the source, not of where it was imported to.
mkdir silent foreign
cp llama/config.json llama/model.safetensors silent
cp llama/config.json llama/model.safetensors foreign
cp "$source/tests/reference/tokenizers/gpt2.json" foreign/tokenizer.json
echo words >words
refuses 1 "smrun: silent: there is no tokenizer.json" "$smrun" generate silent --prompt a
refuses 1 "smrun: silent: there is no tokenizer.json" "$smrun" score silent --text words
"$smrun" export silent -o silent.gguf >/dev/null || fail "an export without a tokenizer"
refuses 1 "smrun: silent.gguf: the file holds no tokenizer" "$smrun" generate silent.gguf --prompt a
refuses 1 "smrun: silent.gguf: the file holds no tokenizer" "$smrun" score silent.gguf --text words
refuses 1 "smrun: foreign: its tokenizer has 600 ids, but the model only 256" "$smrun" generate foreign --prompt a
refuses 1 "smrun: foreign: its tokenizer has 600 ids, but the model only 256" "$smrun" score foreign --text words

# No file that is read is written over, and no model's folder is imported into.
cp llama.gguf mine.gguf
ln -s mine.gguf alias.gguf
refuses 1 "alias.gguf: it is the model that is read" "$smrun" quantize mine.gguf --type q8_0 -o alias.gguf
refuses 1 "it is a file of the model that is read" "$smrun" quantize silent --type q8_0 -o silent/model.safetensors
cmp llama.gguf mine.gguf && cmp llama/model.safetensors silent/model.safetensors || fail "a source was written over"
refuses 1 "foreign: another model is there" "$smrun" import llama.gguf -o foreign

# What a clone without Git LFS holds.
mkdir pointer
cp llama/config.json pointer
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' | tee pointer.gguf >pointer/model.safetensors
refuses 1 "model.safetensors: a pointer of Git LFS" "$smrun" generate pointer --prompt a
refuses 1 "pointer.gguf: a pointer of Git LFS" "$smrun" generate pointer.gguf --prompt a

# A published model is scored with the cache that is asked for; one that was imported has its own.
"$smrun" score llama --text words --cache bf16 --json >json 2>/dev/null || fail "score with a cache in bf16"
"$smrun" import llama -o imported --cache bf16 >/dev/null
"$smrun" score imported --text words --cache bf16 --json >again || fail "score of an import with its cache"
[ "$(number perplexity <json)" = "$(number perplexity <again)" ] || fail "two caches of bf16: $(cat json again)"
refuses 1 "keeps keys and values in bf16" "$smrun" score imported --text words --cache f32

# A config.json that says something else is told apart.
sed -i 's/"num_attention_heads": 4/"num_attention_heads": 2/; s/"head_dim": 8/"head_dim": 16/' llama/config.json
refuses 1 "was compiled with heads=4" "$smrun" export llama -o other.gguf

# What no config.json says here, and what no other program reads.
"$smc" compile "$source/models/llama.smg" -D vocab=256 -D context=32 -D width=32 -D depth=1 -D heads=2 \
    -D kv_heads=1 -D hidden=48 -D window=8 --batch 4 -o local.smp
"$smrun" train local.smp --data "$source/corpus/stories.txt" --tokenizer byte --out local --steps 1 --quiet >/dev/null
refuses 1 "it was compiled with window=8" "$smrun" export local -o local.gguf
"$smc" compile "$source/models/chargpt.smg" -D vocab=256 -D context=32 -D width=32 -D depth=1 -D heads=2 \
    --batch 4 -o chars.smp
"$smrun" train chars.smp --data "$source/corpus/stories.txt" --tokenizer byte --out chars --steps 1 --quiet >/dev/null
refuses 1 "no published model" "$smrun" export chars -o chars.gguf
echo ok
