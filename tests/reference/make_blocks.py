"""Makes blocks.safetensors: rows of numbers, and what ggml makes of them in its block types.

    python3 make_blocks.py LIBGGML_BASE.so

x [rows, 256]        numbers: normal, uniform, zeros, steps of a quarter (ties), large, subnormal, heavy tails
TYPE.encoded         the bytes of ggml's reference quantisation of x (types with one scale for 32 numbers),
                     the same from the library and from gguf-py
TYPE.error [rows]    squared error of ggml's quantisation (the types of 256, whose search is ours)
TYPE.blocks          blocks of random bits with scales that are small numbers
TYPE.decoded         those blocks as gguf-py reads them"""
import ctypes
import os
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

SMALL = ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"]
LARGE = ["q4_K", "q5_K", "q6_K"]
SCALES = {"q8_0": [0], "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q4_K": [0, 2], "q5_K": [0, 2],
          "q6_K": [208]}


class InitParams(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def rows(rng):
    n = (2, 256)
    x = [rng.standard_normal(n), rng.uniform(-0.02, 0.02, n), rng.integers(-8, 8, n) * 0.25,
         np.abs(rng.standard_normal(n)), rng.standard_t(2, n), rng.standard_normal(n) * 9000,
         np.zeros((1, 256)), rng.standard_normal((1, 256)) * 1e-7, rng.standard_normal((1, 256)) * 1e-40,
         rng.standard_normal((1, 256)) * 1e-44]
    return np.concatenate(x).astype(np.float32)


def blocks(rng, name, size):
    out = rng.integers(0, 256, (8, size), dtype=np.uint8)
    for at in SCALES[name]:
        out[:, at:at + 2] = rng.standard_normal((8, 1)).astype(np.float16).view(np.uint8)
    return out


def main():
    lib = ctypes.CDLL(os.path.abspath(sys.argv[1]))
    lib.ggml_init.restype = ctypes.c_void_p
    lib.ggml_init(InitParams(1 << 20, None, False))
    rng = np.random.default_rng(5)
    x = rows(rng)
    out = {"x": x}
    for name in SMALL + LARGE:
        kind = gguf.GGMLQuantizationType[name.upper()]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        encoded = np.zeros((x.shape[0], 256 // elements * size), np.uint8)
        searched = x[:13] if name in LARGE else x       # ggml's search stops at numbers that small
        getattr(lib, f"quantize_row_{name}_ref")(searched.ctypes.data_as(ctypes.c_void_p),
                                                 encoded.ctypes.data_as(ctypes.c_void_p),
                                                 ctypes.c_int64(searched.size))
        key = name.lower()
        if name in SMALL:
            with np.errstate(all="ignore"):
                assert (gguf.quants.quantize(x, kind) == encoded).all()
            out[key + ".encoded"] = encoded.reshape(-1)
        else:
            decoded = gguf.quants.dequantize(encoded, kind).astype(np.float64)[:13]
            out[key + ".error"] = ((decoded - x[:13]) ** 2).sum(1).astype(np.float32)
        b = blocks(rng, name, size)
        out[key + ".blocks"] = b.reshape(-1)
        out[key + ".decoded"] = gguf.quants.dequantize(b.reshape(-1), kind)
    save_file(out, os.path.join(os.path.dirname(os.path.abspath(__file__)), "blocks.safetensors"))


main()
