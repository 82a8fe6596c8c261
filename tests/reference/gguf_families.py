#!/usr/bin/env python3
"""GGUF by somebody else: Python's `gguf` package and its own table of tensor names.

    python3 gguf_families.py write            makes families/qwen3.gguf, which the tests import
    python3 gguf_families.py check A.gguf B   reads what `smrun export B -o A.gguf` wrote of a folder B
                                              and compares every tensor with it
"""
import json
import pathlib
import sys

import gguf
import numpy as np

from make_families import HERE, fill

ARCH = {"qwen3": gguf.MODEL_ARCH.QWEN3, "llama": gguf.MODEL_ARCH.LLAMA, "gpt2": gguf.MODEL_ARCH.GPT2,
        "qwen2": gguf.MODEL_ARCH.QWEN2, "gemma": gguf.MODEL_ARCH.GEMMA, "phi3": gguf.MODEL_ARCH.PHI3,
        "gemma2": gguf.MODEL_ARCH.GEMMA2, "gemma3": gguf.MODEL_ARCH.GEMMA3,
        "smollm3": gguf.MODEL_ARCH.SMOLLM3}


def write():
    ref = json.loads((HERE / "families" / "qwen3.json").read_text())
    c = ref["config"]
    w = gguf.GGUFWriter(HERE / "families" / "qwen3.gguf", "qwen3")
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_key_length(c["head_dim"])
    w.add_value_length(c["head_dim"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_theta"])
    names = gguf.get_tensor_name_map(ARCH["qwen3"], c["num_hidden_layers"])
    for name, shape in ref["tensors"]:
        x = fill(name, shape, ref["seed"], ref["centre"]).numpy()
        to = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if x.ndim == 1:
            w.add_tensor(to, x)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            w.add_tensor(to, gguf.quantize(x, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def hub_view(arch, name, x, heads, kv_heads):
    """A tensor of the folder as GGUF holds it; see runtime/hub/layout.h."""
    if arch in ("llama", "smollm3") and (".q_proj." in name or ".k_proj." in name):
        n = heads if ".q_proj." in name else kv_heads
        return x.reshape(n, 2, x.shape[0] // n // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
    if arch == "gpt2" and ".h." in name and x.ndim == 2:
        return x.T
    if arch.startswith("gemma") and name.endswith("norm.weight"):
        return x + 1
    return x


def check(path, folder):
    from safetensors.numpy import load_file
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    r = gguf.GGUFReader(path)
    arch = r.fields["general.architecture"].contents()
    ours = {t.name: t for t in r.tensors}
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    names = gguf.get_tensor_name_map(ARCH[arch], layers)
    seen = set()
    for file in sorted(pathlib.Path(folder).glob("model*.safetensors")):
        for name, x in load_file(file).items():
            to = names.get_name(name, try_suffixes=(".weight", ".bias"))
            want = hub_view(arch, name, x, heads, config.get("num_key_value_heads", heads))
            got = gguf.dequantize(ours[to].data, ours[to].tensor_type).reshape(want.shape)
            assert np.array_equal(got, want.astype(np.float32)), name
            seen.add(to)
    more = sorted(set(ours) - seen)
    print(f"{path}: {arch}, {len(seen)} tensors equal; besides: {', '.join(more) or 'none'}")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write()
    else:
        check(*sys.argv[2:])
