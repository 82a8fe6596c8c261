#!/bin/sh
# smrun tokenize and detokenize: what they print, from a file, a folder and standard input.
#
#     smrun_tokenize.sh SMC SMRUN SOURCE-DIR
set -eu
smrun=$2 source=$3
. "$source/tests/runtime/shell.sh"

tokenizers=$source/tests/reference/tokenizers
tokenize() {
    "$smrun" tokenize "$@"
}

printf 'hello world' >text
mkdir folder
cp "$tokenizers/bert.json" folder/tokenizer.json
[ "$(tokenize folder text)" = "1 301 408 2" ] || fail "ids: $(tokenize folder text)"
[ "$(tokenize folder <text)" = "1 301 408 2" ] || fail "from standard input"
[ "$(tokenize folder - --no-added <text)" = "301 408" ] || fail "without what is added"
[ "$(tokenize folder text --count)" = 4 ] || fail "count"
tokenize folder text --no-added --pieces >pieces
[ "$(sed -n 2p pieces | tr -s ' ')" = ' 408 5 11 "world"' ] || fail "pieces: $(cat pieces)"
[ "$(tokenize folder text --json | tr -d ' \n')" = '{"bytes":11,"count":4,"ids":[1,301,408,2]}' ] ||
    fail "json"
[ "$("$smrun" detokenize folder 1 301 408 2 --skip-special)" = "hello world" ] || fail "ids to text"
echo '[301, 408]' | "$smrun" detokenize folder >back
cmp text back || fail "ids of JSON to text"

# A special token is text, unless asked for.
printf '[MASK]' >text
[ "$(tokenize folder text --no-added --special --count)" = 1 ] || fail "--special"
[ "$(tokenize folder text --no-added --count)" -gt 1 ] || fail "without --special"

refuses 2 "which tokenizer?" "$smrun" tokenize
refuses 1 "nothing.json: cannot open" "$smrun" tokenize nothing.json text
refuses 1 "\"999999\" is no id of the tokenizer" "$smrun" detokenize folder 999999
refuses 1 "\"1x\" is no id of the tokenizer" "$smrun" detokenize folder 1x
echo ok
