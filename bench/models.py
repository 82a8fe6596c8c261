"""The models that are measured: plans of ours, and files with random weights for the others.

Everything is made once in the folder of the benchmark and used again while it is there.
"""
import os
import random
import struct
import subprocess

from measure import Missing

GPT2 = dict(family="gpt2", vocab=50257, context=1024, width=768, depth=12, heads=12, kv_heads=12,
            hidden=3072, tied=True)
PROFILE = dict(family="gpt2", vocab=512, context=128, width=256, depth=4, heads=8, kv_heads=8,
               hidden=1024, tied=False)
SMALL = dict(family="llama", vocab=32000, context=256, width=288, depth=6, heads=6, kv_heads=6,
             hidden=768, tied=True)
SMOL = dict(family="llama", vocab=49152, context=1024, width=576, depth=30, heads=9, kv_heads=3,
            hidden=1536, tied=True)
TINY = dict(family="llama", vocab=32000, context=1024, width=2048, depth=22, heads=32, kv_heads=4,
            hidden=5632, tied=False)

F32, I32, STRING, ARRAY, U32 = 6, 5, 8, 9, 4            # kinds of values in GGUF
# Name, number in GGUF, elements and bytes of a block, file type.
TYPES = {"f32": (0, 1, 4, 0), "bf16": (30, 1, 2, 32), "q8_0": (8, 32, 34, 7), "q4_0": (2, 32, 18, 2)}
ALIGNMENT = 32


def matrix_bytes(m, kind):
    """Bytes of weights that a token reads: all matrices, the output among them, and no table."""
    kv = m["width"] // m["heads"] * m["kv_heads"]
    mlp = (2 if m["family"] == "gpt2" else 3) * m["width"] * m["hidden"]
    layer = m["width"] * (2 * m["width"] + 2 * kv) + mlp
    n = m["depth"] * layer + m["vocab"] * m["width"]
    _, elements, size, _ = TYPES[kind]
    return n * size / elements


def parameters(m):
    """Of a GPT-2 with a tied output."""
    layer = 12 * m["width"] ** 2 + 13 * m["width"]
    return m["vocab"] * m["width"] + m["context"] * m["width"] + m["depth"] * layer + 2 * m["width"]


# ---- plans -------------------------------------------------------------------------------------

def plan(bench, name, model, words):
    """Compiles models/MODEL.smg; the path of the plan."""
    path = os.path.join(bench.folder, name + ".smp")
    command = [bench.smc, "compile", os.path.join(bench.root, "models", model + ".smg"), "-o", path]
    done = subprocess.run(command + words, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"smc: {done.stderr.strip()[:200]}")
    return path


def generation_plan(bench, name, m, kind):
    """A plan that generates, its prompt in one piece; weights of the type that GGUF's file has."""
    words = ["--chunk", str(min(512, m["context"]))]
    if m is PROFILE:
        return plan(bench, name, "profile", words)
    for key in ("vocab", "context", "width", "depth", "heads"):
        words += ["-D", f"{key}={m[key]}"]
    if m["family"] == "llama":
        for key in ("kv_heads", "hidden", "tied"):
            words += ["-D", f"{key}={str(m[key]).lower()}"]
    if kind != "f32":
        words += ["--weights", kind]
    return plan(bench, f"{name}-{kind}", m["family"], words)


# ---- GGUF --------------------------------------------------------------------------------------

def _string(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def _pair(key, kind, value):
    head = _string(key) + struct.pack("<I", kind)
    if kind == STRING:
        return head + _string(value)
    return head + struct.pack({U32: "<I", F32: "<f"}[kind], value)


def _values(m, file_type):
    a = m["family"]
    epsilon = "layer_norm_epsilon" if a == "gpt2" else "layer_norm_rms_epsilon"
    head = m["width"] // m["heads"]
    pairs = [("general.architecture", STRING, a), ("general.file_type", U32, file_type),
             ("general.alignment", U32, ALIGNMENT), (f"{a}.vocab_size", U32, m["vocab"]),
             (f"{a}.context_length", U32, m["context"]), (f"{a}.embedding_length", U32, m["width"]),
             (f"{a}.block_count", U32, m["depth"]), (f"{a}.feed_forward_length", U32, m["hidden"]),
             (f"{a}.attention.head_count", U32, m["heads"]),
             (f"{a}.attention.head_count_kv", U32, m["kv_heads"]),
             (f"{a}.attention.{epsilon}", F32, 1e-5), ("tokenizer.ggml.model", STRING, "no_vocab")]
    if a == "llama":
        pairs.append((f"{a}.rope.dimension_count", U32, head))
    return pairs


def _tensors(m):
    """(name, dims with the fastest first) of every tensor; those of one axis stay f32."""
    w, h, kv = m["width"], m["hidden"], m["width"] // m["heads"] * m["kv_heads"]
    yield "token_embd.weight", (w, m["vocab"])
    yield "output_norm.weight", (w,)
    if not m["tied"] or m["family"] == "gpt2":     # llama.cpp wants it of every GPT-2
        yield "output.weight", (w, m["vocab"])
    if m["family"] == "gpt2":
        yield "position_embd.weight", (w, m["context"])
        yield "output_norm.bias", (w,)
    for i in range(m["depth"]):
        layer = [("attn_norm", (w,)), ("ffn_norm", (w,)), ("attn_output", (w, w)),
                 ("ffn_up", (w, h)), ("ffn_down", (h, w))]
        if m["family"] == "gpt2":
            layer.append(("attn_qkv", (w, 3 * w)))
            for name, dims in list(layer):
                yield f"blk.{i}.{name}.bias", (dims[-1],)
        else:
            layer += [("attn_q", (w, w)), ("attn_k", (w, kv)), ("attn_v", (w, kv)), ("ffn_gate", (w, h))]
        for name, dims in layer:
            yield f"blk.{i}.{name}.weight", dims


def _random_bytes(kind, blocks):
    """Small numbers of a type: about as many bytes as fit a megabyte, to be written over and over."""
    source = random.Random(1)
    _, elements, size, _ = TYPES[kind]
    count = min(blocks, (1 << 20) // size)
    if kind == "f32":
        return struct.pack(f"<{count}f", *(source.uniform(-0.05, 0.05) for _ in range(count)))
    if kind == "bf16":
        floats = struct.pack(f"<{count}f", *(source.uniform(-0.05, 0.05) for _ in range(count)))
        return b"".join(floats[i + 2:i + 4] for i in range(0, len(floats), 4))
    scale = struct.pack("<e", 0.0005)
    return b"".join(scale + source.randbytes(size - 2) for _ in range(count))


def gguf(bench, name, m, kind):
    """A GGUF file with random weights; its path."""
    path = os.path.join(bench.folder, f"{name}-{kind}.gguf")
    if os.path.exists(path):
        return path
    pairs = _values(m, TYPES[kind][3])
    tensors = []
    for tensor, dims in _tensors(m):
        plain = len(dims) == 1 or tensor.startswith("position")
        tensors.append((tensor, dims, "f32" if plain else kind))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(_pair(*p) for p in pairs)
    at, sizes = 0, []
    for tensor, dims, type_ in tensors:
        number, elements, size, _ = TYPES[type_]
        head += _string(tensor) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number, at)
        n = size
        for d in dims:
            n *= d
        sizes.append(n // elements)
        at += -(-sizes[-1] // ALIGNMENT) * ALIGNMENT
    noise = {k: _random_bytes(k, 1 << 30) for k in {t[2] for t in tensors}}
    with open(path + ".part", "wb") as f:
        f.write(head + bytes(-len(head) % ALIGNMENT))
        for (_, _, type_), size in zip(tensors, sizes):
            _write_over_and_over(f, noise[type_], size)
            f.write(bytes(-size % ALIGNMENT))
    os.replace(path + ".part", path)
    return path


def _write_over_and_over(f, data, size):
    while size > 0:
        f.write(data[:size])
        size -= len(data)


# ---- llama2.c ----------------------------------------------------------------------------------

def llama2(bench, name, m):
    """A file of llama2.c's first version, with a tied output, and a tokenizer; their paths."""
    path = os.path.join(bench.folder, name + ".bin")
    tokenizer = os.path.join(bench.folder, "tokenizer.bin")
    noise = _random_bytes("f32", 1 << 30)
    w, h, n = m["width"], m["hidden"], m["depth"]
    kv = w // m["heads"] * m["kv_heads"]
    floats = (m["vocab"] * w + 2 * n * w + n * w * (2 * w + 2 * kv) + 3 * n * w * h + w
              + m["context"] * (w // m["heads"]))
    with open(path, "wb") as f:
        f.write(struct.pack("<7i", w, h, n, m["heads"], m["kv_heads"], m["vocab"], m["context"]))
        _write_over_and_over(f, noise, 4 * floats)
    with open(tokenizer, "wb") as f:
        f.write(struct.pack("<i", 8))
        for i in range(m["vocab"]):
            text = (f"<0x{i - 3:02X}>" if 3 <= i < 259 else f"t{i}").encode()
            f.write(struct.pack("<fi", -float(i), len(text)) + text)
    return path, tokenizer
