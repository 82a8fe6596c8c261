#!/bin/sh
# What README.md and docs/ say of the repository is so: files that are linked exist, the passes stand in their
# order, errors that are named can be explained, and tests that are named are run.
#
#     tests/docs.sh SMC CTEST SOURCE-DIR BINARY-DIR
set -eu
smc=$1 ctest=$2 source=$3 binary=$4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

wrong() {
    echo "$*"
    failed=1
}

cd "$source"
for page in README.md docs/*.md; do
    grep -o '](\([^)#: ]*\)[)#]' "$page" | sed "s|^](\(.*\).\$|$page \1|" >>"$scratch/links" || true
done
[ -s "$scratch/links" ] || wrong "no links are found"
while read -r page link; do
    [ -e "$(dirname "$page")/$link" ] || wrong "$page links $link, which is not there"
done <"$scratch/links"

# The first column of the table may name several passes in a row.
awk -F'|' '/^\| pass \|/ { in_table = 1; next } in_table && !/^\|/ { exit } in_table { print $2 }' docs/passes.md |
    grep -o '`[a-z_]*`' | tr -d '`' >"$scratch/written"
"$smc" passes | awk '/^$/ { exit } { print $1 }' >"$scratch/run"
diff "$scratch/written" "$scratch/run" || wrong "docs/passes.md has the passes in another order (<) than smc (>)"

for code in $(cat README.md docs/*.md | grep -o 'E0[0-9][0-9][0-9]' | sort -u); do
    "$smc" explain "$code" >/dev/null 2>&1 || wrong "$code is named, and smc does not explain it"
done

"$ctest" --test-dir "$binary" -N | sed -n 's/.*Test *#[0-9]*: //p' >"$scratch/tests"
for name in $(cat README.md docs/*.md | grep -Eo '`(passes|e2e|bisect|runtime|smrun|codegen|test)_[a-z_]+`' |
        tr -d '`' | sort -u); do
    grep -qx "$name" "$scratch/tests" || wrong "$name is named, and is no test"
done
exit $failed
