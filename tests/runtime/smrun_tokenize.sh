#!/bin/sh
# smrun tokenize, detokenize and tokenizer: what they print, from a file, a folder and standard input;
# a tokenizer that is learned, and a model with it.
#
#     smrun_tokenize.sh SMC SMRUN SOURCE-DIR
set -eu
smc=$1 smrun=$2 source=$3
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
yes 301 | head -200 >ids
[ "$("$smrun" detokenize folder $(cat ids))" = "$("$smrun" detokenize folder <ids)" ] || fail "many ids"
echo '[301, 408]' | "$smrun" detokenize folder >back
cmp text back || fail "ids of JSON to text"

# A special token is text, unless asked for.
printf '[MASK]' >text
[ "$(tokenize folder text --no-added --special --count)" = 1 ] || fail "--special"
[ "$(tokenize folder text --no-added --count)" -gt 1 ] || fail "without --special"

# A tokenizer that is learned here trains a model, special token and all.
"$smrun" tokenizer train "$source/corpus/stories.txt" --vocab 300 --special '<|end|>' -o bpe.json >said
expect "$(cat said)" "bpe.json: 300 ids"
printf 'Once upon a time<|end|>' >text
[ "$(tokenize bpe.json text --special | grep -o ' 0$')" = " 0" ] || fail "the special token"
tokenize bpe.json text | "$smrun" detokenize bpe.json >back
cmp text back || fail "text of a learned tokenizer"
tiny_gpt learned.smp -D vocab=300
"$smrun" train learned.smp --data "$source/corpus/stories.txt" --tokenizer bpe.json --out learned \
    --steps 3 --quiet >/dev/null
"$smrun" generate learned.smp --weights learned --prompt "Once" -n 3 >/dev/null 2>&1 ||
    fail "generating with a learned tokenizer"
printf '{"eos_token_id": [%s]}' "$("$smrun" generate learned.smp --weights learned --prompt Once \
    --temperature 0 -n 1 --print-tokens 2>/dev/null)" >learned/generation_config.json
[ "$("$smrun" generate learned.smp --weights learned --prompt Once --temperature 0 -n 9 --json 2>/dev/null |
    grep -c '"end": "eos"')" = 1 ] || fail "no end at an eos id"

refuses 2 "train is what is done" "$smrun" tokenizer
refuses 2 "--vocab, --data and -o" "$smrun" tokenizer train text
refuses 1 "nothing.txt: cannot open" "$smrun" tokenizer train nothing.txt --vocab 300 -o x.json
refuses 2 "which tokenizer?" "$smrun" tokenize
refuses 1 "nothing.json: cannot open" "$smrun" tokenize nothing.json text
refuses 1 "\"999999\" is no id of the tokenizer" "$smrun" detokenize folder 999999
refuses 1 "\"1x\" is no id of the tokenizer" "$smrun" detokenize folder 1x
echo ok
