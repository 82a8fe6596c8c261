#!/bin/sh
# smrun profile as a user calls it: tables, JSON, a trace; and the machine's limits without a plan.
#
#     smrun_profile.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"

tiny_gpt tiny.smp
profile="$smrun profile tiny.smp --threads 2 --steps 3"

$profile --trace trace.json >table.txt 2>progress.txt || fail "profile: $(cat progress.txt)"
grep -q '^gpt2, program train: .*; 2 threads, ' table.txt || fail "summary: $(head -1 table.txt)"
grep -q ' attention_grad$' table.txt || fail "no row for a kernel"
grep -q ' gpt2.smg:[0-9]' table.txt || fail "no row for a line"
grep -q '"traceEvents":.*"tid":1' trace.json || fail "no track for the second thread"

for program in score eval train accumulate apply generate; do
    $profile --program $program --json --clock cpu --overhead 2>progress.txt >profile.json
    expect "$(cat profile.json)" "\"program\": \"$program\""
    [ "$(number runs <profile.json)" = 3 ] || fail "$program: not 3 runs"
    [ -n "$(number overhead <profile.json)" ] || fail "$program: no overhead"
    [ "$(grep -c '"share_of_roof": 0.0,' profile.json)" -lt "$(grep -c share_of_roof profile.json)" ] ||
        fail "$program: no instruction comes near its roof"
done

"$smrun" bench --limits --threads 2 >limits.txt
expect "$(cat limits.txt)" "float FMA, scalar"
expect "$(cat limits.txt)" "copy   memory"
expect "$("$smrun" bench --limits --json --threads 2)" '"fma_flops_per_second"'

refuses 2 "which plan?" "$smrun" profile
refuses 2 "which plan?" "$smrun" bench
refuses 2 "--program takes" "$smrun" profile tiny.smp --program trian
refuses 1 "this plan's train takes 1 to 4; smc compile --batch 9 makes room" "$smrun" profile tiny.smp --batch 9
refuses 1 "do not fit the context" "$smrun" profile tiny.smp --program generate --past 99
refuses 1 "nowhere/trace.json" "$smrun" profile tiny.smp --steps 1 --trace nowhere/trace.json
