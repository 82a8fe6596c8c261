"""What Hugging Face's BpeTrainer learns from tinyshakespeare: hashes of its first merges.

    python make_bpe.py TINYSHAKESPEARE.TXT > bpe_merges.txt

A line is a number of merges and the FNV-1a of them, each written as "left right\n"."""
import json
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

COUNTS = [1, 10, 100, 1000, 4743, 19743]


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return h


t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
text = open(sys.argv[1], newline="").read()
t.train_from_iterator([text], trainers.BpeTrainer(
    vocab_size=COUNTS[-1] + 257, special_tokens=["<|endoftext|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
merges = [" ".join(m) + "\n" for m in json.loads(t.to_str())["model"]["merges"]]
for n in COUNTS:
    print(n, "%08x" % fnv("".join(merges[:n]).encode()))
