#!/bin/sh
# A run that is stopped and resumed gives the bytes of one that never was, however it was stopped; and
# it is not resumed as something else.
#
#     smrun_resume.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"
text=$source/corpus/stories.txt

tiny_gpt tiny.smp
train() {
    "$smrun" train tiny.smp --data "$text" --eval-every 50 --eval-iters 2 --quiet "$@" >/dev/null
}

# The two runs' files, and their logs without times.
same() {
    for file in model.safetensors optimizer.safetensors tokenizer.json trainer.json; do
        cmp "$1/$file" "$2/$file" || fail "$1/$file is not $2/$file"
    done
    for run in "$1" "$2"; do
        sed 's/, "tokens_per_s": [^,]*, "seconds": [0-9.]*//' "$run/log.jsonl" >"$run.steps"
    done
    cmp "$1.steps" "$2.steps" || fail "the logs of $1 and $2"
}

# 200 = 100 + 100, random windows and dropout, a rate that falls.
train --out straight --steps 200
train --out resumed --steps 100 --decay-steps 200
[ "$(wc -l <resumed/log.jsonl)" -eq 100 ] || fail "100 steps"
train --out resumed --steps 200 --resume
same straight resumed

# In order, in parts, with batches accumulated.
train --out straight2 --steps 40 --order sequential --accumulate 2 --eval-every 0
train --out resumed2 --steps 13 --decay-steps 40 --order sequential --accumulate 2 --eval-every 0
train --out resumed2 --steps 40 --resume --eval-every 0
same straight2 resumed2

# Ctrl-C: the step is finished, a checkpoint written, the exit is 130.
"$smrun" train tiny.smp --data "$text" --out stopped --steps 100000 --decay-steps 200 --eval-every 50 \
    --eval-iters 2 --quiet >/dev/null 2>&1 &
pid=$!
tries=0
until [ -s stopped/log.jsonl ]; do
    kill -0 $pid || fail "it ended by itself"
done
kill -INT $pid
set +e
wait $pid
code=$?
set -e
[ $code -eq 130 ] || fail "exit $code after SIGINT"
done=$(number step <stopped/trainer.json)
[ "$done" -eq "$(wc -l <stopped/log.jsonl)" ] || fail "checkpoint of step $done"
if [ "$done" -lt 200 ]; then
    train --out stopped --steps 200 --resume
    same straight stopped
fi

# Killed without warning: the last checkpoint stands, and the log is taken back to it.
"$smrun" train tiny.smp --data "$text" --out killed --steps 100000 --decay-steps 200 --eval-every 50 \
    --eval-iters 2 --checkpoint-every 7 --quiet >/dev/null 2>&1 &
pid=$!
until [ -s killed/trainer.json ]; do
    kill -0 $pid || fail "it ended by itself"
done
kill -KILL $pid
set +e
wait $pid 2>/dev/null
set -e
"$smrun" generate tiny.smp --weights killed -n 5 >/dev/null 2>&1 || fail "a killed run does not generate"
file=killed/trainer.json
[ -s killed/checkpoint.ready/trainer.json ] && file=killed/checkpoint.ready/trainer.json
if [ "$(number step <$file)" -lt 200 ]; then
    train --out killed --steps 200 --resume
    same straight killed
fi

# Resumed as something else.
refuses 1 "already holds a run" train --out straight --steps 300
refuses 1 "at step 200 already" train --out straight --steps 200 --resume
refuses 1 "--lr is 0.5, but the run was begun with" train --out straight --steps 300 --resume --lr 0.5
refuses 1 "holds no checkpoint" train --out nowhere --steps 300 --resume
[ ! -e nowhere ] || fail "a refused run left a directory"
head -c 100000 "$text" >less.txt
refuses 1 "the data is not what the run was begun with" \
    "$smrun" train tiny.smp --data less.txt --out straight --steps 300 --resume
tiny_gpt wider.smp -D width=48
refuses 1 "parameters" "$smrun" train wider.smp --data "$text" --out straight --steps 300 --resume
same straight resumed
echo ok
