#!/bin/sh
# smc as it is called wrongly: what it says, and the exit code: 1 for a model or a file, 2 for the command line.
#
#     smc_usage.sh SMC SOURCE-DIR
set -eu
smc=$1 source=$2
. "$source/tests/runtime/shell.sh"
model=$source/models/mlp.smg

refuses 2 'usage: smc COMMAND' "$smc"
refuses 2 'no command "compil"; did you mean compile?' "$smc" compil
refuses 2 'no command "xyzzy"; smc --help lists them' "$smc" xyzzy
refuses 2 'usage: smc compile' "$smc" compile
refuses 2 'unknown option --bach; did you mean --batch?' "$smc" compile "$model" --bach 4
refuses 2 'it must lie from 1 to 1000000' "$smc" compile "$model" --batch 0
refuses 2 'one argument too many: "b.smg"' "$smc" compile "$model" b.smg
refuses 2 'q9 is no type of weights; they are f32, bf16' "$smc" compile "$model" --weights q9
refuses 2 'did you mean elementwise?' "$smc" compile "$model" --fusion=-elmentwise
refuses 2 'they are score, eval, train' "$smc" compile "$model" --emit=graph --program=trian
refuses 2 'did you mean fuse?' "$smc" compile "$model" --emit=graph --program=train --after=fus
refuses 2 '--dump=fusoin; did you mean fusion?' "$smc" compile "$model" --dump=fusoin
refuses 2 'one argument too many' "$smc" passes all
refuses 1 'E0303' "$smc" compile "$model" -D hiden=8
refuses 1 'nosuch.smg: cannot open' "$smc" compile nosuch.smg
refuses 1 'cannot create a temporary file' "$smc" compile "$model" -o nosuch/mlp.smp
refuses 1 'codes look like E0210' "$smc" explain E9999

# What cannot be written is no success.
if [ -w /dev/full ]; then
    for words in passes 'explain E0210' --version --help; do
        if "$smc" $words >/dev/full 2>stderr; then
            fail "smc $words to a full disk"
        fi
    done
fi

# The whole model is the graph before any program is made of it.
[ "$("$smc" compile "$model" --emit=graph)" = "$("$smc" compile "$model" --emit=graph --program=model)" ] ||
    fail "--program=model is another graph"

# The help of every command says how it is used.
for command in $("$smc" --help | sed -n 's/^  smc \([a-z]*\) .*/\1/p'); do
    expect "$("$smc" "$command" --help)" "usage: smc $command"
done
