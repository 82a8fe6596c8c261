"""Writes runtime/tokenizer/scripts.def: which script each character is of, asked from Hugging Face's `tokenizers`.

    python tests/reference/make_scripts.py      (needs tokenizers)

Its pre-tokenizer UnicodeScripts puts a cut where the script changes, so a text of all characters in a row,
and pairs of characters out of it, tell which ones are of the same.  A character that has none never begins
a piece.  Scripts are numbered in the order in which they appear.
"""

import pathlib

from tokenizers import pre_tokenizers

OUT = pathlib.Path(__file__).parents[2] / "runtime" / "tokenizer" / "scripts.def"
SPLIT = pre_tokenizers.UnicodeScripts().pre_tokenize_str

HEAD = """/* The scripts of Unicode 9: RANGE(first, last, script) in ascending order, made by
 * tests/reference/make_scripts.py.  Scripts are numbers; a character in no range has none.  Hiragana, Katakana
 * and the sign of a long vowel are of one with Han, and the space has none. */
"""


def begins_nothing(c):
    return SPLIT(chr(c) + "a")[0][1][0] == 1


def main():
    everything = "".join(chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000)
    first_of, ranges = [], []
    for piece, _ in SPLIT(everything):
        known = [ord(c) for c in piece if not begins_nothing(ord(c))]
        script = next((i for i, c in enumerate(first_of) if len(SPLIT(chr(c) + chr(known[0]))) == 1), None)
        if script is None:
            script = len(first_of)
            first_of.append(known[0])
        for c in known:
            if ranges and ranges[-1][1:] == [c - 1, script]:
                ranges[-1][1] = c
            else:
                ranges.append([c, c, script])
    cells = [f"RANGE({a:#x}, {b:#x}, {script + 1})" for a, b, script in ranges]
    lines = [" ".join(cells[i:i + 4]) for i in range(0, len(cells), 4)]
    OUT.write_text(HEAD + "\n".join(lines) + "\n")


main()
