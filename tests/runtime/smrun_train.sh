#!/bin/sh
# Training as a user does it: every option that decides numbers, the log, samples against PyTorch, any
# number of threads.
#
#     smrun_train.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"
text=$source/corpus/stories.txt

tiny_gpt tiny.smp

# The log has a line for every step, with what it promises; validation where it was asked for.
"$smrun" train tiny.smp --data "$text" --out run --steps 20 --eval-every 10 --eval-iters 2 2>progress
[ "$(wc -l <run/log.jsonl)" -eq 20 ] || fail "20 lines in the log"
for key in step loss lr grad_norm tokens_per_s seconds; do
    [ "$(grep -c "\"$key\": " run/log.jsonl)" -eq 20 ] || fail "$key in every line"
done
[ "$(grep '"val_loss": ' run/log.jsonl | number step | tr '\n' ' ')" = "10 20 " ] || fail "val_loss"
expect "$(cat progress)" "ETA"
for file in model.safetensors optimizer.safetensors tokenizer.json trainer.json; do
    [ -s "run/$file" ] || fail "no $file"
done

# It learns: a word in which every letter tells the next, over and over.
yes 'wordbuchalefint ' | head -c 3000 | tr -d '\n' >word.txt
vocab=$(fold -w1 word.txt | LC_ALL=C sort -u | wc -l)
tiny_gpt word.smp -D vocab="$vocab" -D drop=0.0
"$smrun" train word.smp --data word.txt --out word --steps 300 --lr 5e-3 --quiet >/dev/null
loss=$(tail -1 word/log.jsonl | number loss)
[ "$(awk "BEGIN { print ($loss < 0.1) }")" = 1 ] || fail "loss $loss after 300 steps on one word"
said=$("$smrun" generate word.smp --weights word --prompt 'word' -n 20 --temperature 0 2>/dev/null)
[ "$said" = "wordbuchalefint wordbuch" ] || fail "it says \"$said\""

# The same bytes with any number of threads, dropout included.
for threads in 1 2 3; do
    "$smrun" train tiny.smp --data "$text" --out "t$threads" --steps 5 --threads $threads --quiet >/dev/null
    cmp "t1/model.safetensors" "t$threads/model.safetensors" || fail "$threads threads"
    cmp "t1/optimizer.safetensors" "t$threads/optimizer.safetensors" || fail "$threads threads"
done

# A batch of 4 and two of 2 give nearly the same step: the sum of gradients is their mean.
tiny_gpt whole.smp -D drop=0.0
"$smrun" train whole.smp --data "$text" --out whole --steps 3 --order sequential --quiet >/dev/null
"$smrun" train whole.smp --data "$text" --out parts --steps 3 --order sequential --batch 2 \
    --accumulate 2 --quiet >/dev/null
for key in loss grad_norm; do
    a=$(tail -1 whole/log.jsonl | number $key) b=$(tail -1 parts/log.jsonl | number $key)
    awk "BEGIN { d = ($a - $b) / $a; exit !(d < 1e-4 && d > -1e-4) }" || fail "accumulated $key: $a, $b"
done

# Ten steps on ready-made samples are PyTorch's ten steps.
ref=$source/tests/reference
"$smc" compile "$source/models/gpt2.smg" -D vocab=64 -D context=32 -D width=32 -D depth=2 -D heads=4 \
    --batch 4 -o ref.smp
"$smrun" train ref.smp --data "$ref/tiny_gpt2_batches.safetensors" --init "$ref/tiny_gpt2.safetensors" \
    --order sequential --schedule constant --out ref --steps 10 --quiet >/dev/null
number loss <ref/log.jsonl >ours
sed -n 's/^"losses": \[\(.*\)\],$/\1/p' "$ref/tiny_gpt2.json" | tr ',' '\n' >theirs
paste ours theirs | awk '{ d = $1 - $2; if (d > 1e-5 || d < -1e-5) exit 1; n++ } END { exit n != 10 }' ||
    fail "losses are not those of PyTorch: $(paste ours theirs)"

# Their scores: a tensor of outputs, and the loss.
"$smrun" score ref.smp --weights ref --data "$ref/tiny_gpt2_batches.safetensors" -o out.safetensors >loss
expect "$(cat loss)" "over 40 samples"
expect "$(head -c 300 out.safetensors | tr -d '\0')" '"logits":{"dtype":"F32","shape":[40,16,64]'
echo ok
