#!/usr/bin/env python3
"""GGUF by somebody else: Python's `gguf` package and its own table of tensor names.

    python3 gguf_families.py write            makes families/*.gguf, which the tests import
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
        "smollm3": gguf.MODEL_ARCH.SMOLLM3, "qwen3moe": gguf.MODEL_ARCH.QWEN3MOE}
WRITTEN = {"qwen3": "qwen3", "gemma": "gemma", "gemma3": "gemma3", "phi3": "phi3", "mixtral": "llama",
           "qwen3moe": "qwen3moe"}


def stacked(tensors):
    """Each expert's matrix by itself in the folder, one tensor for all of them here."""
    stacks = {}
    for name, x in tensors:
        if ".experts." in name:
            head, tail = name.split(".experts.")
            expert, leaf = tail.split(".", 1)
            stacks.setdefault(f"{head}.experts.{leaf}", {})[int(expert)] = x
        else:
            yield name, x
    for name, parts in stacks.items():
        yield name, np.stack([parts[e] for e in sorted(parts)])


def add_values(w, c):
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    head = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    w.add_key_length(head)
    w.add_value_length(head)
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_theta"])
    w.add_rope_dimension_count(int(head * c.get("partial_rotary_factor", 1)))
    if c.get("sliding_window"):
        w.add_sliding_window(c["sliding_window"])
    if c["model_type"] == "gemma3_text":
        w.add_sliding_window_pattern(c["sliding_window_pattern"])
        w.add_rope_freq_base_swa(c["rope_local_base_freq"])
    if "num_local_experts" in c:
        w.add_expert_count(c["num_local_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
    if "moe_intermediate_size" in c:
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    add_scaling(w, c, c.get("rope_scaling") or {"rope_type": "default"})


def add_scaling(w, c, rope):
    if rope["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "longrope":
        trained = c["original_max_position_embeddings"]
        stretch = c["max_position_embeddings"] / trained
        w.add_rope_scaling_orig_ctx_len(trained)
        w.add_rope_scaling_attn_factors(np.sqrt(1 + np.log(stretch) / np.log(trained)))
        w.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))


def write(family, arch):
    ref = json.loads((HERE / "families" / f"{family}.json").read_text())
    c = ref["config"]
    w = gguf.GGUFWriter(HERE / "families" / f"{family}.gguf", arch)
    add_values(w, c)
    names = gguf.get_tensor_name_map(ARCH[arch], c["num_hidden_layers"])
    heads, kv = c["num_attention_heads"], c["num_key_value_heads"]
    tensors = ((name, hub_view(arch, name, fill(name, shape, ref["seed"], ref["centre"]).numpy(), heads, kv))
               for name, shape in ref["tensors"])
    for name, x in stacked(tensors):
        to = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if x.ndim == 1:
            w.add_tensor(to, x)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            w.add_tensor(to, gguf.quantize(np.ascontiguousarray(x), kind), raw_dtype=kind)
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
        for name, x in stacked(load_file(file).items()):
            to = names.get_name(name, try_suffixes=(".weight", ".bias"))
            want = hub_view(arch, name, x, heads, config.get("num_key_value_heads") or heads)
            got = gguf.dequantize(ours[to].data, ours[to].tensor_type).reshape(want.shape)
            assert np.array_equal(got, want.astype(np.float32)), name
            seen.add(to)
    more = sorted(set(ours) - seen)
    print(f"{path}: {arch}, {len(seen)} tensors equal; besides: {', '.join(more) or 'none'}")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        for family, arch in WRITTEN.items():
            write(family, arch)
    else:
        check(*sys.argv[2:])
