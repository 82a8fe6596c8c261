#!/bin/sh
# smc report in a real browser: the page draws itself without a fault, folds the layers, leads from
# ops to lines, and fits a phone.
set -eu
smc=$1 smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    fail "no Chromium; scripts/install-deps --test installs it"

# The document of page $1 after its script ran, in a window as wide as $2.
drawn() {
    "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$scratch/browser" \
        --window-size="$2",900 --virtual-time-budget=4000 --dump-dom "file://$1" 2>browser.log
}

count() {
    printf '%s' "$1" | grep -o "$2" | wc -l
}

"$smc" report "$source/models/gpt2.smg" --batch 4 --seq 1024 -o gpt2.html
[ "$(wc -c <gpt2.html)" -le 2097152 ] || fail "the page of GPT-2 is larger than 2 MB"
page=$(drawn "$scratch/gpt2.html" 1500)
expect "$page" 'data-ready="yes"'
expect "$page" '11 × the following'
expect "$page" 'h.*.attn.c_attn'
expect "$page" 'lower bound'
[ "$(count "$page" 'class="card')" -gt 50 ] || fail "the graph has no cards"
[ "$(count "$page" 'id="l0\.')" -eq "$(wc -l <"$source/models/gpt2.smg")" ] ||
    fail "the source is not whole"
# Every line that an op leads to is there.
printf '%s' "$page" | grep -o 'gpt2.smg:[0-9]*' | sort -u | cut -d: -f2 | while read -r line; do
    expect "$page" "id=\"l0.$line\""
done

"$smc" compile "$source/models/chargpt.smg" --batch 2 --seq 32 -o chargpt.smp
"$smrun" profile chargpt.smp --steps 3 --json >profile.json 2>/dev/null
"$smc" report "$source/models/chargpt.smg" --batch 2 --seq 32 --profile profile.json -o chargpt.html
page=$(drawn "$scratch/chargpt.html" 390)
expect "$page" 'data-ready="yes"'
expect "$page" 'Measured:'
expect "$page" 'of the roof'

# A screenshot of an empty page would be a few kilobytes.
"$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$scratch/browser" \
    --window-size=390,1600 --screenshot="$scratch/phone.png" "file://$scratch/chargpt.html" \
    >/dev/null 2>&1
[ "$(wc -c <phone.png)" -gt 50000 ] || fail "the page is empty on a phone"

refuses 1 'a profile of model chargpt' \
    "$smc" report "$source/models/mlp.smg" --profile profile.json -o other.html
[ ! -e other.html ] || fail "a page was left behind"
