#!/bin/sh
# The world's faults: each gives a message that says what and where, the right exit code, and leaves
# what was there as it was.
#
#     smrun_faults.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"
text=$source/corpus/stories.txt

tiny_gpt tiny.smp
"$smrun" train tiny.smp --data "$text" --out run --steps 4 --quiet >/dev/null
cp -r run before
intact() {
    diff -r before run || fail "the run was changed by: $*"
}
resume() {
    "$smrun" train tiny.smp --data "$text" --out run --resume --steps 6 --quiet
}

# Command lines.
refuses 2 "did you mean train?" "$smrun" trian
refuses 2 "did you mean --steps?" "$smrun" train tiny.smp --stpes 3
refuses 2 "--lr takes a number" "$smrun" train tiny.smp --lr fast
refuses 2 "--data, --out and --steps" "$smrun" train tiny.smp
refuses 2 "which plan?" "$smrun" info
refuses 2 "usage" "$smrun"
for command in info train generate score bench; do
    "$smrun" $command --help | grep -q '^usage: smrun' || fail "$command --help"
done

# A set of instructions that is not here is told before anything else is.
for command in "info tiny.smp" "bench tiny.smp" "train tiny.smp --data $text --out new --steps 3" \
    "generate tiny.smp --weights run"; do
    refuses 1 'unknown instruction set "sse9"; this processor runs scalar' env SMG_CPU=sse9 "$smrun" $command
    [ "$(wc -l <stderr)" -eq 1 ] || fail "more than the fault: $(cat stderr)"
done

# Plans: cut off anywhere, changed anywhere, or something else.
for cut in 0 7 100 5000; do
    head -c $cut tiny.smp >bad.smp
    refuses 1 "bad.smp" "$smrun" info bad.smp
done
refuses 1 "not a plan" "$smrun" info "$text"
refuses 1 "nothere.smp: cannot open" "$smrun" info nothere.smp
refuses 1 "there is no config.json" "$smrun" info .

# Data.
train="$smrun train tiny.smp --out new --steps 3 --quiet"
refuses 1 "nothere.txt: cannot open" $train --data nothere.txt
refuses 1 "cannot read" $train --data .
: >empty.txt
refuses 1 "empty.txt: the file is empty" $train --data empty.txt
printf 'abc\377def' >latin.txt
refuses 1 "latin.txt: byte 3 of the text, 0xff, is not UTF-8" $train --data "$text" latin.txt
head -c 30 "$text" | tr -c 'a' 'a' >short.txt
refuses 1 "mend it with: smc compile $source/models/gpt2.smg -D context=32 -D width=32 -D depth=2 \
-D heads=2 -D drop=0.1 --batch 4 -D vocab=1 -o tiny.smp" $train --data short.txt
tiny_gpt one.smp -D vocab=1
refuses 1 "the training part of the data has 27 tokens; at least 33" \
    "$smrun" train one.smp --out new --steps 3 --quiet --data short.txt
refuses 1 "no safetensors file" $train --data "$(cp "$text" t.safetensors; echo t.safetensors)"
refuses 1 "there is no tensor tokens" $train --data run/model.safetensors
[ ! -e new ] || fail "a refused run left a directory"

# The command in the message does mend it.
refuses 1 "mend it with" $train --data "$source/models/gpt2.smg"
mend=$(sed 's/.*mend it with: smc //' stderr)
"$smc" $mend
"$smrun" train tiny.smp --out mended --steps 2 --quiet --data "$source/models/gpt2.smg" >/dev/null ||
    fail "$mend does not mend it"
tiny_gpt tiny.smp

# Every file of a checkpoint, cut off and altered.
for file in model.safetensors optimizer.safetensors tokenizer.json trainer.json; do
    size=$(wc -c <run/$file)
    for cut in 0 5 $((size / 2)) $((size - 3)); do
        head -c $cut before/$file >run/$file
        refuses 1 "run/$file" resume
        cp before/$file run/$file
    done
    [ $file = tokenizer.json ] && continue
    { head -c $((size - 30)) before/$file; printf '\007'; tail -c 29 before/$file; } >run/$file
    refuses 1 "run/$file" resume
    cp before/$file run/$file
    rm run/$file
    refuses 1 "run" resume
    cp before/$file run/$file
done
sed 's/"a"/"\&"/' before/tokenizer.json >run/tokenizer.json
refuses 1 "" resume
cp before/tokenizer.json run/tokenizer.json
intact "altered files"
printf 'x' | dd of=run/model.safetensors bs=1 seek=9000 conv=notrunc 2>/dev/null
refuses 1 "run/model.safetensors: the checksum" "$smrun" generate tiny.smp --weights run -n 3
cp before/model.safetensors run/model.safetensors

# A full disk, played by a limit on the size of files (SIGXFSZ does not end us).
refuses 1 "run/checkpoint.next/" sh -c "ulimit -f 40; '$smrun' train tiny.smp --data '$text' --out run \
--resume --steps 6 --quiet"
cmp -s run/log.jsonl before/log.jsonl && fail "the steps before the fault are in the log"
cp before/log.jsonl run/log.jsonl
intact "a full disk"
if [ -w /dev/full ]; then
    for command in "info tiny.smp" "generate tiny.smp --weights run -n 3" "bench tiny.smp --seconds 0"; do
        set +e
        "$smrun" $command >/dev/full 2>stderr
        code=$?
        set -e
        [ $code -eq 1 ] || fail "exit $code: $command >/dev/full"
        expect "$(cat stderr)" "No space left"
    done
fi

# A reader that goes away.
refuses 1 "Broken pipe" sh -c "{ sleep 0; '$smrun' info tiny.smp --plan; echo \$? >code; } | true; \
    test \$(cat code) = 1 && echo 'Broken pipe' >&2; exit \$(cat code)"

# A directory that cannot be made, a run where there is a file.
: >occupied
refuses 1 "occupied" "$smrun" train tiny.smp --data "$text" --out occupied --steps 2 --quiet
refuses 1 "occupied" "$smrun" train tiny.smp --data "$text" --out occupied/run --steps 2 --quiet

# A loss that is no number stops the run; the last good checkpoint stays.
"$smrun" train tiny.smp --data "$text" --out wild --steps 2 --lr 1e6 --schedule constant --clip 0 \
    --checkpoint-every 1 --quiet >/dev/null
refuses 1 "training cannot go on; the checkpoint of step" \
    "$smrun" train tiny.smp --data "$text" --out wild --steps 500 --resume --checkpoint-every 0 --quiet
[ "$(number step <wild/trainer.json)" -ge 2 ] || fail "the checkpoint of the wild run"
echo ok
