#!/bin/sh
# Makes the mistakes of mutations.txt in the compiler, one at a time, and lets smc bisect find them.
#
#     mutations.sh CC SOURCE-DIR RESPONSE-FILE [FIRST [LAST]]
#
# Only the file with the mistake is compiled again; it is linked before the libraries, which hold the
# right one.  At least 95 of 100 must be found, in the pass where they were made.
set -eu
cc=$1 source=$2 libraries=$3 first=${4:-1} last=${5:-1000}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Cuts mutation $1 out of the list into file, pass, model, from and to; 1 when there is none.
cut_out() {
    awk -v want="$1" -v out="$scratch" '
    BEGIN { RS = ""; FS = "\n" }
    $1 ~ /^#/ { next }
    ++n == want {
        split($1, head, " ")
        print head[1] >(out "/file"); print head[2] >(out "/pass")
        print (head[3] ? head[3] : "zoo") >(out "/model")
        for (i = 2; i <= NF; i++)
            if ($i ~ /^-/) from = from (from ? "\n" : "") substr($i, 2)
            else           to = to (to ? "\n" : "") substr($i, 2)
        printf "%s", from >(out "/from"); printf "%s", to >(out "/to")
        found = 1
    }
    END { exit !found }' "$source/tests/bisect/mutations.txt"
}

# The file with the first `from` replaced by `to`; 1 when it is not there.
mutate() {
    awk -v from="$scratch/from" -v to="$scratch/to" '
    function slurp(path,    text, line) {
        while ((getline line <path) > 0) text = text (text == "" ? "" : "\n") line
        return text
    }
    BEGIN {
        whole = slurp(ARGV[1]); old = slurp(from); new = slurp(to)
        at = index(whole, old)
        if (!at) exit 1
        printf "%s%s%s\n", substr(whole, 1, at - 1), new, substr(whole, at + length(old))
        exit 0
    }' "$1"
}

bisect() {
    tiny='-D depth=1 -D width=8 -D heads=2 -D vocab=300 -D context=16 -D drop=0.2'
    case $1 in
    gpt2) path=$source/models/gpt2.smg ;;
    mlp) path=$source/models/mlp.smg tiny='-D hidden=5' ;;
    big_head) path=$source/tests/bisect/$1.smg tiny='--program eval --seq 512' ;;
    *) path=$source/tests/bisect/$1.smg tiny= ;;
    esac
    "$scratch/smc" bisect "$path" $tiny -o "$scratch/wrong.smir" 2>&1
}

n=0 found=0 blamed=0
while [ "$first" -le "$last" ] && cut_out "$first"; do
    read -r file <"$scratch/file"
    read -r pass <"$scratch/pass"
    read -r model <"$scratch/model"
    what="$first $file: $(head -n 1 "$scratch/to" | sed 's/^ *//')"
    mutate "$source/$file" >"$scratch/mutated.c" || {
        echo "mutation $what: the text to replace is not there"
        exit 1
    }
    "$cc" -std=gnu11 -O1 -w -D_GNU_SOURCE -I"$source" -ffp-contract=off \
        -c "$scratch/mutated.c" -o "$scratch/mutated.o"
    "$cc" -Wl,-S "$scratch/mutated.o" @"$libraries" -o "$scratch/smc"
    n=$((n + 1)) first=$((first + 1))
    status=0
    said=$(bisect "$model") || status=$?
    [ $status -eq 0 ] || found=$((found + 1))
    right="pass $pass "
    [ "$pass" != plan ] || right="the plan, after passes that are all right"
    case $status:$said in
    0:*) echo "not found: $what" ;;
    *"$right"*) blamed=$((blamed + 1)) ;;
    *) echo "blamed another: $what:" && echo "$said" | tail -n 6 | sed 's/^/    /' ;;
    esac
done

echo "$found of $n mistakes found, $blamed in the pass where they were made"
[ $((100 * blamed)) -ge $((95 * n)) ] && [ $((100 * found)) -ge $((95 * n)) ]
