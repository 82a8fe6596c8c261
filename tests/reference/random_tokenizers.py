"""Tokenizers put together at random, in `smrun` and in Hugging Face's `tokenizers`: do they agree?

    python tests/reference/random_tokenizers.py SMRUN [FROM TO]         (needs tokenizers)

Each seed takes one of the models in tests/reference/tokenizers/ and gives it normalizers, a pre-tokenizer, a
decoder, a post-processor and added tokens out of all there are, with any options; some of the recorded
strings are then encoded and decoded by both.  What `tokenizers` itself cannot do (it panics where an empty
match is replaced) counts for nothing.  Prints each tokenizer that differs, with a string.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors

FOLDER = pathlib.Path(__file__).parent / "tokenizers"
MODELS = "gpt2 llama3 llama2 mistral t5 unigram_bytes bert words clip prefixed added dropped".split()
STRINGS = [bytes.fromhex(line).decode("utf-8", "replace") for line in (FOLDER / "strings.hex").read_text().split("\n")]
N_STRINGS = 20

BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
PATTERNS = [" ", "a", "-", "é", "  "] + [Regex(p) for p in (
    r"\s+", r"\w+", r"[aeiou]", r"\d", r"[^\s\w]+", r".", r"\b", r"(?i:a|b)+", r"^.|$", r"\p{Lu}", r"[A-Za-z]{1,3}")]
SCHEMES = ["always", "first", "never"]


def some(r, make, most):
    return [make(r) for _ in range(r.randrange(most))]


def yes(r):
    return r.random() < 0.5


def normalizer(r):
    return r.choice([
        normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD, normalizers.Lowercase,
        normalizers.StripAccents, normalizers.ByteLevel, normalizers.Nmt,
        lambda: normalizers.Prepend(r.choice(["▁", "a", " ", "xy"])),
        lambda: normalizers.Replace(r.choice(PATTERNS), r.choice(["", " ", "▁", "ab"])),
        lambda: normalizers.Strip(yes(r), yes(r)),
        lambda: normalizers.BertNormalizer(yes(r), yes(r), r.choice([None, True, False]), yes(r)),
        lambda: normalizers.Sequence(some(r, normalizer, 3))])()


def pre_tokenizer(r):
    return r.choice([
        pre.Whitespace, pre.WhitespaceSplit, pre.BertPreTokenizer, pre.UnicodeScripts,
        lambda: pre.ByteLevel(yes(r), use_regex=yes(r)),
        lambda: pre.Metaspace(r.choice("▁_"), r.choice(SCHEMES), yes(r)),
        lambda: pre.Split(r.choice(PATTERNS), r.choice(BEHAVIORS), yes(r)),
        lambda: pre.Digits(yes(r)),
        lambda: pre.Punctuation(r.choice(BEHAVIORS)),
        lambda: pre.CharDelimiterSplit(r.choice("a-é ")),
        lambda: pre.FixedLength(r.randint(1, 7)),
        lambda: pre.Sequence(some(r, pre_tokenizer, 4))])()


def decoder(r):
    return r.choice([
        decoders.ByteLevel, decoders.ByteFallback, decoders.Fuse,
        lambda: decoders.Metaspace(r.choice("▁_"), r.choice(SCHEMES)),
        lambda: decoders.WordPiece(r.choice(["##", "▁"]), yes(r)),
        lambda: decoders.BPEDecoder(r.choice(["</w>", "a"])),
        lambda: decoders.Strip(r.choice(" a▁"), r.randrange(3), r.randrange(3)),
        lambda: decoders.Replace(r.choice([" ", "▁", "a", Regex(r"\s+")]), r.choice(["", " ", "x"])),
        lambda: decoders.CTC(r.choice(["<pad>", "a"]), r.choice(["|", "▁"]), yes(r)),
        lambda: decoders.Sequence(some(r, decoder, 4))])()


def processor(r):
    ends = ("a", 5), ("b", 6)
    template = processors.TemplateProcessing("x $A y z", special_tokens=[("x", 1), ("y", 2), ("z", 3)])
    return r.choice([processors.BertProcessing(*ends), processors.RobertaProcessing(*ends), processors.ByteLevel(),
                     processors.Sequence([processors.BertProcessing(*ends), template])])


def added_token(r):
    return AddedToken(r.choice(["word", "<added>", "é", "Hello", "a b", " x", "▁a"]), lstrip=yes(r), rstrip=yes(r),
                      single_word=yes(r), normalized=yes(r), special=yes(r))


def assemble(r):
    file = json.loads((FOLDER / f"{r.choice(MODELS)}.json").read_text())
    model = file["model"]
    for key in ["fuse_unk", "byte_fallback", "ignore_merges"] if model["type"] == "BPE" else []:
        model[key] = bool(model.get(key)) != (r.random() < 0.2)
    if model["type"] == "WordPiece":
        model["max_input_chars_per_word"] = r.choice([1, 3, 10, 100])
    tok = Tokenizer.from_str(json.dumps(file))
    for part, make in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("decoder", decoder),
                       ("post_processor", processor)):
        if r.random() < 0.6:
            setattr(tok, part, make(r))
    if r.random() < 0.4:
        tok.add_tokens([added_token(r) for _ in range(3)])
    return tok


def ask(command, path, *rest, text=None):
    done = subprocess.run([command[0], command[1], path, *rest], input=text, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def differs(smrun, path, text):
    tok = Tokenizer.from_file(path)
    try:
        ids = tok.encode(text).ids
        back = tok.decode(ids, skip_special_tokens=False).encode()
    except BaseException as why:
        if isinstance(why, KeyboardInterrupt):
            raise
        return None
    answer = ask((smrun, "tokenize"), path, "-", "--special", text=text.encode())
    ours = None if answer is None else [int(i) for i in answer.split()]
    if ours != ids:
        return f"{text!r}: ids {ours}, not {ids}"
    ours = ask((smrun, "detokenize"), path, text=" ".join(map(str, ids)).encode())
    return None if ours == back else f"{text!r}: text {ours}, not {back}"


def main():
    smrun = sys.argv[1]
    first, end = (int(a) for a in sys.argv[2:4]) if len(sys.argv) > 3 else (0, 100)
    n_wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/tokenizer.json"
        for seed in range(first, end):
            r = random.Random(seed)
            assemble(r).save(path)
            wrong = [w for w in (differs(smrun, path, s) for s in r.sample(STRINGS, N_STRINGS)) if w]
            n_wrong += bool(wrong)
            if wrong:
                file = json.loads(pathlib.Path(path).read_text())
                parts = {k: v for k, v in file.items() if k not in ("model", "added_tokens", "version")}
                print(f"seed {seed}: {len(wrong)} strings: {wrong[0]}\n  {json.dumps(parts, ensure_ascii=False)}")
    print(f"{n_wrong} of {end - first} tokenizers differ")


main()
