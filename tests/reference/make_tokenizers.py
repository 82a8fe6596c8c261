"""Records what Hugging Face's `tokenizers` makes of 1,000 strings, for each kind of tokenizer.

    python tests/reference/make_tokenizers.py [KIND...]      (needs tokenizers, gguf and sentencepiece)

Writes into tests/reference/tokenizers/: KIND.json, a small trained tokenizer; strings.hex, the strings
as bytes, a line each; KIND.txt, for each string the number of ids, and the FNV-1a hashes of the ids
(as 32-bit little-endian numbers) and of the decoded text; and python.gguf, a file by Python's `gguf`.
Bytes that are not UTF-8 go in as U+FFFD, as errors="replace" decodes them.
"""

import pathlib
import random
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors, trainers

OUT = pathlib.Path(__file__).parent / "tokenizers"
ROOT = pathlib.Path(__file__).parents[2]
N_STRINGS = 1000

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m"
         r"|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re"
         r"|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

WORDS = """the of and to in Hello HELLO world don't I'll we've it's 'tis 3.14 2026 1,000,000 x = y + z; foo_bar()
naïve café Straße İstanbul ΣΊΣΥΦΟΣ Ωμέγα нещо Български Привет 中文分词 日本語のテキスト 한국어 조합 हिन्दी ไทย עברית العربية
e-mail a@b.c http://x.y/?q=1 #tag $5 50% ½ ² Ⅷ ① Ⓐ ﬁ ﬂ Å Å ǅ ß ſ ＡＢＣ １２３ … — “quoted” ‘single’ «x» ▁ ▁▁a""".split()
EMOJI = ["🦙", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "🫠", "🤦🏼‍♂️"]
MARKS = ["\u0301", "\u0323", "\u0308", "\u0327", "\u0e34", "\u093f", "\u05b8", "\u20dd", "\u0345", "\u1dce"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2003", "\u0085", "\u2028", "\v",
          "\f", " \t ", "\u200b", "\u200d", "\ufeff"]
SPECIAL = ["<|endoftext|>", "<s>", "</s>", "[CLS]", "[SEP]", "[MASK]", "<added>", "Café!", "word", "<0x41>",
           "<unk>", "[UNK]", " <added> ", "swords", "##a"]
BROKEN = [b"\xff", b"\xe2\x82", b"\xe2\x82A", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80\x80",
          b"\xf0\x9f\xa6", b"\xf0\x9fa", b"\xe0\x80\x80", b"\xc3", b"\xf8\x88\x80\x80\x80"]


def random_char(r):
    plane = r.choice([(0x20, 0x7e), (0, 0xff), (0x100, 0x24f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x6ff),
                      (0x900, 0x97f), (0x1e00, 0x1eff), (0x2000, 0x22ff), (0x3040, 0x30ff), (0x4e00, 0x4fff),
                      (0xac00, 0xacff), (0xf900, 0xf9ff), (0xfb00, 0xfb4f), (0xff00, 0xff5e),
                      (0x1d400, 0x1d4ff), (0x1f300, 0x1f5ff), (0x10400, 0x1044f)])
    return chr(r.randint(*plane))


def random_part(r):
    kind = r.randrange(12)
    if kind < 4:
        return " ".join(r.choice(WORDS) for _ in range(r.randint(1, 4))).encode()
    if kind == 4:
        return r.choice(EMOJI).encode() * r.randint(1, 2)
    if kind == 5:
        return (r.choice("aeouñกकאx") + "".join(r.choice(MARKS) for _ in range(r.randint(1, 5)))).encode()
    if kind == 6:
        return "".join(r.choice(SPACES) for _ in range(r.randint(1, 3))).encode()
    if kind == 7:
        return "".join(random_char(r) for _ in range(r.randint(1, 8))).encode()
    if kind == 8:
        return r.choice(SPECIAL).encode()
    if kind == 9:
        return r.choice(BROKEN)
    if kind == 10:
        return str(r.randrange(10 ** r.randint(1, 9))).encode()
    return "".join(chr(r.randint(0x20, 0x7e)) for _ in range(r.randint(1, 10))).encode()


def make_strings():
    r = random.Random(5)
    out = [b"", b" ", b"  ", b"a", b"\n", "é".encode(), b"\xff", b"a" * 300, b" " * 300, b"us" * 150,
           "🦙".encode() * 60, ("a" + "\u0301\u0323" * 60).encode(), "中".encode() * 100, b"1" * 200,
           b"\n" * 100, b"ab" * 70 + b" " + b"x" * 120, b"." * 200]
    while len(out) < N_STRINGS:
        sep = b" " if r.random() < 0.5 else b""
        out.append(sep.join(random_part(r) for _ in range(r.randint(1, 4))))
    return out


def corpus():
    text = [(ROOT / "LICENSE").read_text(), (ROOT / "docs" / "dependencies.md").read_text()]
    return text + [" ".join(WORDS)] * 8 + EMOJI * 2 + ["us us us the then there 10 100 1000 2000   \n\n  \t\t"] * 5


def bpe(tok, size, specials=(), alphabet=(), **options):
    tok.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials),
                            initial_alphabet=list(alphabet), show_progress=False, **options))
    return tok


def byte_bpe(tok, size, specials):
    return bpe(tok, size, specials, pre.ByteLevel.alphabet())


def gpt2():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer, tok.decoder = pre.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return byte_bpe(tok, 600, ["<|endoftext|>"])


def llama3():
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre.Sequence([pre.Split(Regex(LLAMA3), "isolated"),
                                      pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    byte_bpe(tok, 600, ["<s>", "</s>"])
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                              processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])])
    return tok


def llama3_unmerged():
    """ignore_merges matters only where a token cannot be reached by merges."""
    import json
    file = json.loads(llama3().to_str())
    vocab, merges = file["model"]["vocab"], file["model"]["merges"]
    file["model"]["merges"] = [m for i, m in enumerate(merges) if i % 5]
    made = {a + b for a, b in file["model"]["merges"]}
    known = lambda s: len(s) == 1 or s in made
    while True:
        kept = [m for m in file["model"]["merges"] if known(m[0]) and known(m[1])]
        made = {a + b for a, b in kept}
        if len(kept) == len(file["model"]["merges"]):
            break
        file["model"]["merges"] = kept
    return Tokenizer.from_str(json.dumps(file))


def o200k():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre.Sequence([pre.Split(Regex(O200K), "removed", invert=True),
                                      pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    return byte_bpe(tok, 500, ["<|endoftext|>"])


def bytes_of_sentencepiece():
    return [f"<0x{b:02X}>" for b in range(256)]


def spm_model(size):
    tok = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tok.pre_tokenizer = pre.Metaspace(prepend_scheme="always", split=True)
    bpe(tok, size, ["<unk>", "<s>", "</s>"] + bytes_of_sentencepiece(), limit_alphabet=120)
    import json
    file = json.loads(tok.to_str())
    file["added_tokens"] = [t for t in file["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(file))


def llama2():
    tok = spm_model(800)
    tok.pre_tokenizer = None
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tok


def mistral():
    tok = spm_model(700)
    tok.pre_tokenizer = pre.Metaspace(prepend_scheme="first", split=False)
    tok.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    return tok


def unigram(size, **options):
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tok.pre_tokenizer, tok.decoder = pre.Metaspace(), decoders.Metaspace()
    tok.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", show_progress=False,
                            special_tokens=["<unk>", "<s>", "</s>"] + options.get("more", [])))
    return tok


def t5():
    tok = unigram(400)
    tok.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 2)])
    return tok


def unigram_bytes():
    import json
    file = json.loads(unigram(700, more=bytes_of_sentencepiece()).to_str())
    file["added_tokens"] = [t for t in file["added_tokens"] if not t["content"].startswith("<0x")]
    file["model"]["byte_fallback"] = True
    tok = Tokenizer.from_str(json.dumps(file))
    tok.normalizer = normalizers.NFKD()
    tok.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tok


# What SentencePiece compiles into a charsmap: code points, and what they become.
RULES = [("FF21", "0041"), ("FF22", "0042"), ("FF23", "0043"), ("FF11", "0031"), ("FF12", "0032"), ("2460", "0031"),
         ("24B6", "0041"), ("FB01", "0066 0069"), ("FB02", "0066 006C"), ("212B", "00C5"), ("0041 030A", "00C5"),
         ("0065 0301", "00E9"), ("0061 0301", "00E1"), ("0061 0323", "1EA1"), ("006F 0308", "00F6"),
         ("2026", "002E 002E 002E"), ("2014", "002D"), ("00DF", "0073 0073"), ("017F", "0073"), ("4E2D", "4E2D 6587"),
         ("1F999", "006C 006C 0061 006D 0061"), ("00BD", "0031 2044 0032"), ("0915 093F", "0915"), ("2581", "005F"),
         ("01C5", "0044 017E"), ("2167", "0056 0049 0049 0049"), ("200B", ""), ("FEFF", ""), ("0007", "")]
RULES += [(f"{c:04X}", "0020") for c in [*range(9, 14), 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b), 0x2028, 0x2029,
                                         0x202f, 0x205f, 0x3000]]


def fields(message):
    """Number and value of each field of a message in protobuf's wire format."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        tag = number()
        size = {1: 8, 5: 4}.get(tag & 7) or number()
        if tag & 7:
            at += size
        yield tag >> 3, message[at - size:at] if tag & 7 else size


def charsmap():
    import sentencepiece
    with tempfile.TemporaryDirectory() as folder:
        text, rules, model = (pathlib.Path(folder) / name for name in ("text", "rules", "m.model"))
        text.write_text("a b c d e f g\n" * 50)
        rules.write_text("".join(f"{a}\t{b}\n" for a, b in RULES))
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(model.with_suffix("")), vocab_size=20,
                                                 hard_vocab_limit=False, normalization_rule_tsv=str(rules), minloglevel=2)
        spec = next(value for field, value in fields(model.read_bytes()) if field == 3)
        return next(value for field, value in fields(spec) if field == 2)


def t5_charsmap():
    """T5 as it is published: SentencePiece's own rules, words apart."""
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Precompiled(charsmap())
    tok.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])
    tok.decoder = decoders.Metaspace()
    tok.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", show_progress=False,
                            special_tokens=["<pad>", "</s>", "<unk>"]))
    tok.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return tok


def speech():
    """Tokens as a speech model gives them: repeated, padded, a sign between words."""
    tok = Tokenizer(models.BPE(unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.Replace(" ", "|"),
                                           normalizers.Replace("0", "<pad>")])
    tok.pre_tokenizer = pre.FixedLength(4)
    bpe(tok, 300, ["<unk>"], limit_alphabet=80)
    tok.decoder = decoders.CTC(pad_token="pad")
    return tok


def roberta():
    """RobertaProcessing around a byte-level model."""
    tok = gpt2()
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return tok


def bert():
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tok.normalizer, tok.pre_tokenizer = normalizers.BertNormalizer(), pre.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    tok.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=500, show_progress=False,
                            special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    tok.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return tok


def bert_cased():
    tok = bert()
    tok.normalizer = normalizers.BertNormalizer(lowercase=False, clean_text=False)
    tok.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tok.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tok


def words():
    tok = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                           normalizers.Strip()])
    tok.pre_tokenizer = pre.Whitespace()
    tok.train_from_iterator(corpus(), trainers.WordLevelTrainer(vocab_size=400, special_tokens=["<unk>"],
                                                                show_progress=False))
    return tok


def added():
    """Added tokens of every sort, digits and punctuation apart, a space in front."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.Punctuation("contiguous"),
                                      pre.ByteLevel(add_prefix_space=True)])
    tok.decoder = decoders.ByteLevel()
    byte_bpe(tok, 500, ["<|endoftext|>"])
    tok.add_tokens([AddedToken("<added>", lstrip=True, rstrip=True), AddedToken("word", single_word=True),
                    AddedToken("Café!", normalized=True), AddedToken("<s>", normalized=False, rstrip=True),
                    AddedToken("Hello", normalized=True, lstrip=True), AddedToken("Hello world")])
    tok.add_special_tokens([AddedToken("</s>", lstrip=True), "[MASK]"])
    return tok


def clip():
    """Word ends by a suffix, unknown characters fused."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tok.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Digits()])
    tok.decoder = decoders.BPEDecoder("</w>")
    return bpe(tok, 500, ["<unk>"], end_of_word_suffix="</w>", limit_alphabet=90)


def prefixed():
    """Continuing parts by a prefix, unknown characters each for itself."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    tok.normalizer = normalizers.NFKC()
    tok.pre_tokenizer = pre.Sequence([pre.CharDelimiterSplit(" "), pre.Punctuation("merged_with_previous")])
    tok.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return bpe(tok, 500, ["<unk>"], continuing_subword_prefix="##", limit_alphabet=90)


def splits():
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(left=False)])
    tok.pre_tokenizer = pre.Sequence([pre.Split(" ", "merged_with_next"), pre.Split(Regex(r"[aeiou]"), "merged_with_previous"),
                                      pre.Split(Regex(r"\d"), "contiguous"), pre.Split(Regex(r"\w+"), "isolated"),
                                      pre.Split("-", "removed")])
    tok.decoder = decoders.Fuse()
    return bpe(tok, 400, ["<unk>"], limit_alphabet=80)


def scripts():
    """Words are runs of one script; what is stripped in front takes the sign of the first word along; a token
    is looked for in the spaces that another swallows."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tok.normalizer = normalizers.Strip(right=False)
    tok.pre_tokenizer = pre.Sequence([pre.UnicodeScripts(), pre.Metaspace(prepend_scheme="first", split=False)])
    bpe(tok, 500, ["<unk>"], limit_alphabet=90)
    tok.add_tokens([AddedToken("Hello", normalized=True, rstrip=True), AddedToken(" x", normalized=True),
                    AddedToken("word", normalized=True, rstrip=True), AddedToken(" <added>", normalized=True)])
    tok.decoder = decoders.Metaspace(prepend_scheme="first")
    return tok


def dropped():
    """No unknown token: a character that has none leaves nothing, and what stood around it may be joined."""
    tok = Tokenizer(models.BPE())
    bpe(tok, 500, limit_alphabet=60)
    tok.decoder = decoders.Fuse()
    return tok


def bytes_first():
    """Bytes are written as characters before anything is cut, and tokens looked for in them, in lower case; the
    cuts ask for words and their edges."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.StripAccents(), normalizers.ByteLevel()])
    tok.pre_tokenizer = pre.Sequence([pre.Split(Regex(r"\b"), "merged_with_previous"), pre.Split(Regex(r"[^\w\d]"), "isolated"),
                                      pre.Split(Regex(r"\B"), "merged_with_next", invert=True)])
    tok.decoder = decoders.ByteLevel()
    byte_bpe(tok, 500, [])
    tok.add_tokens([AddedToken("Hello World", normalized=True), AddedToken("Naïve", normalized=True)])
    return tok


KINDS = [gpt2, llama3, llama3_unmerged, o200k, llama2, mistral, t5, unigram_bytes, bert, bert_cased, words, added, clip,
         prefixed, splits, t5_charsmap, speech, roberta, scripts, dropped, bytes_first]


def fnv(data):
    h = 0x811c9dc5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xffffffff
    return h


def record(make, strings):
    tok = make()
    name = make.__name__
    tok.save(str(OUT / f"{name}.json"), pretty=False)
    tok = Tokenizer.from_file(str(OUT / f"{name}.json"))
    with open(OUT / f"{name}.txt", "w") as out:
        for s in strings:
            ids = tok.encode(s.decode("utf-8", "replace")).ids
            text = tok.decode(ids, skip_special_tokens=False).encode()
            out.write(f"{len(ids)} {fnv(b''.join(i.to_bytes(4, 'little') for i in ids)):08x} {fnv(text):08x}\n")


def write_gguf():
    import gguf
    import numpy as np
    w = gguf.GGUFWriter(str(OUT / "python.gguf"), "llama")
    w.add_uint32("a.u32", 7)
    w.add_uint64("a.u64", 2 ** 64 - 1)
    w.add_float32("a.f32", 0.5)
    w.add_bool("a.bool", True)
    w.add_array("a.strings", ["one", "", "three"])
    w.add_array("a.i32s", [1, -3])
    m = np.zeros((2, 32), np.float32)
    m[0, :3], m[1, :3] = (1, 2, 3), (4, 5, 6)
    q = np.zeros(34, np.uint8)
    q[:3] = 7, 8, 9
    w.add_tensor("m", m)
    w.add_tensor("q", q, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    OUT.mkdir(exist_ok=True)
    strings = make_strings()
    (OUT / "strings.hex").write_text("".join(s.hex() + "\n" for s in strings))
    wanted = sys.argv[1:]
    for make in KINDS:
        if not wanted or make.__name__ in wanted:
            record(make, strings)
    if not wanted:
        write_gguf()


main()
