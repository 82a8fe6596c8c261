#!/usr/bin/env python3
"""Logits that llama2.c and llm.c themselves compute from tiny .bin files.

    python3 make_bin.py LLAMA2C LLMC          two checkouts; writes bin.json

The files are those that tests/e2e/test_bin.c writes, number by number.  Each program's source is compiled
with a few lines around its forward pass, which print the logits of three positions of fixed ids.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT, GROUP, TABLE = 32, 48, 2, 4, 2, 50, 24, 16, 64
HEAD = WIDTH // HEADS
IDS = [(7 * i * i + 3) % VOCAB for i in range(CONTEXT)]
ROWS = [0, 11, CONTEXT - 1]

LLAMA = """
#define TESTING
#include "%s"
int main(void)
{
    static const int ids[] = { %s };
    Transformer t;
    build_transformer(&t, "model.bin");
    for (int p = 0; p < %d; p++) {
        const float *z = forward(&t, ids[p], p);
        for (int v = 0; v < %d; v++)
            fprintf(stderr, "%%.9g%%c", z[v], v + 1 < %d ? ' ' : '\\n');
    }
}
"""
GPT2 = """
#define TESTING
#include "%s"
int main(void)
{
    static int ids[] = { %s };
    GPT2 model;
    gpt2_build_from_checkpoint(&model, "model.bin");
    gpt2_forward(&model, ids, NULL, 1, %d);
    for (int p = 0; p < %d; p++)
        for (int v = 0; v < %d; v++)
            fprintf(stderr, "%%.9g%%c", model.acts.logits[p * %d + v], v + 1 < %d ? ' ' : '\\n');
}
"""


class Model:
    """The bytes of a file, and the numbers that are drawn for it: -1/4 to 1/4 in steps of 1/128."""

    def __init__(self, seed):
        self.bytes, self.drawn = b"", seed

    def draw(self, n):
        out = []
        for _ in range(n):
            self.drawn = (self.drawn * 1664525 + 1013904223) % 2**32
            out.append(((self.drawn >> 26) - 32) / 128)
        return out

    def ints(self, *v):
        self.bytes += struct.pack(f"<{len(v)}i", *v)

    def floats(self, v):
        self.bytes += struct.pack(f"<{len(v)}f", *v)

    def vector(self, n):
        self.floats([1 + x for x in self.draw(n)])

    def matrix(self, rows, columns):
        self.floats(self.draw(rows * columns))

    def groups(self, rows, columns):
        x = self.draw(rows * columns)
        self.bytes += struct.pack(f"{len(x)}b", *(round(256 * v) for v in x))
        self.floats([1 / 256] * (len(x) // GROUP))

    def layers(self, add, *shape):
        for _ in range(LAYERS):
            add(*shape)


def llama(version, shared):
    m = Model(version + 1)
    if version:
        m.ints(0x616B3432, version)
    m.ints(WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, -VOCAB if version == 0 and not shared else VOCAB, CONTEXT)
    if version:
        m.bytes += bytes([shared])
        m.ints(GROUP)
        m.bytes = m.bytes.ljust(256, b"\0")
    matrix = m.groups if version else m.matrix

    def attention():
        m.layers(matrix, WIDTH, WIDTH)
        m.layers(matrix, HEAD * KV_HEADS, WIDTH)
        m.layers(matrix, HEAD * KV_HEADS, WIDTH)
        m.layers(matrix, WIDTH, WIDTH)

    def mlp():
        m.layers(matrix, HIDDEN, WIDTH)
        m.layers(matrix, WIDTH, HIDDEN)
        m.layers(matrix, HIDDEN, WIDTH)

    if version == 0:
        matrix(VOCAB, WIDTH)
    m.layers(m.vector, WIDTH)
    if version == 0:
        attention()
    m.layers(m.vector, WIDTH)
    if version == 0:
        mlp()
    m.vector(WIDTH)
    if version == 0:
        m.floats([7] * (CONTEXT * HEAD))
    else:
        matrix(VOCAB, WIDTH)
        attention()
        mlp()
    if not shared:
        matrix(VOCAB, WIDTH)
    return m.bytes


def gpt2():
    m = Model(9)
    m.ints(20240326, 3, CONTEXT, VOCAB, LAYERS, HEADS, WIDTH, TABLE)
    m.bytes = m.bytes.ljust(1024, b"\0")
    m.matrix(VOCAB, WIDTH)
    m.floats([7] * ((TABLE - VOCAB) * WIDTH))
    m.matrix(CONTEXT, WIDTH)
    for rows, columns in ((WIDTH, 0), (WIDTH, 0), (3 * WIDTH, WIDTH), (3 * WIDTH, 0), (WIDTH, WIDTH), (WIDTH, 0),
                          (WIDTH, 0), (WIDTH, 0), (4 * WIDTH, WIDTH), (4 * WIDTH, 0), (WIDTH, 4 * WIDTH),
                          (WIDTH, 0)):
        m.layers(*((m.matrix, rows, columns) if columns else (m.vector, rows)))
    m.vector(WIDTH)
    m.vector(WIDTH)
    return m.bytes


def logits(bin_file, source, driver):
    with tempfile.TemporaryDirectory() as folder:
        at = pathlib.Path(folder)
        (at / "model.bin").write_bytes(bin_file)
        (at / "driver.c").write_text(driver)
        subprocess.run(["cc", "-O1", f"-I{source.parent}", "driver.c", "-o", "driver", "-lm"], cwd=at, check=True,
                       stderr=subprocess.DEVNULL)
        said = subprocess.run(["./driver"], cwd=at, check=True, capture_output=True, text=True).stderr
    rows = [[float(x) for x in line.split()] for line in said.strip().split("\n")]
    assert len(rows) == CONTEXT and all(len(r) == VOCAB for r in rows)
    return [rows[r] for r in ROWS]


def main(llama2c, llmc):
    ids = ", ".join(map(str, IDS))
    out = {"rows": ROWS}
    for version, name in ((0, "run.c"), (2, "runq.c")):
        source = pathlib.Path(llama2c).resolve() / name
        for shared in (0, 1):
            out[f"llama{version}{shared}"] = logits(
                llama(version, shared), source, LLAMA % (source, ids, CONTEXT, VOCAB, VOCAB))
    source = pathlib.Path(llmc).resolve() / "train_gpt2.c"
    out["gpt2"] = logits(gpt2(), source, GPT2 % (source, ids, CONTEXT, CONTEXT, VOCAB, TABLE, VOCAB))
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()]
    (pathlib.Path(__file__).resolve().parent / "bin.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
