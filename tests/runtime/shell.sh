# What the tests of smrun share: a scratch directory, a tiny model, and words for what is expected.
# Wants $smc and $source; leaves the current directory in the scratch one.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# Does text $1 hold $2?
expect() {
    case $1 in
    *"$2"*) ;;
    *) fail "expected \"$2\" in: $1" ;;
    esac
}

# The values of key $1 in lines of JSON.
number() {
    sed -n "s/.*\"$1\": \([-+.e0-9]*\).*/\1/p"
}

# A GPT-2 of 50 characters that trains in no time, to $1; more options follow.
tiny_gpt() {
    out=$1
    shift
    "$smc" compile "$source/models/gpt2.smg" -D vocab=50 -D context=32 -D width=32 -D depth=2 \
        -D heads=2 -D drop=0.1 "$@" --batch 4 -o "$out"
}

# Runs the command after $1 and $2, which must exit with $1 and say $2 on standard error.
refuses() {
    code=$1 why=$2
    shift 2
    set +e
    "$@" >stdout 2>stderr
    got=$?
    set -e
    [ $got -eq "$code" ] || fail "exit $got, expected $code: $* : $(cat stderr)"
    expect "$(cat stderr)" "$why"
}
