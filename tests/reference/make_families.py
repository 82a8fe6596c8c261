#!/usr/bin/env python3
"""Tiny models of every published family that models/ can run, and what `transformers` makes of them.

Weights are not stored: both sides draw them from Philox4x32-10 by the name of the tensor (see `fill`;
tests/e2e/family.c does the same), as multiples of 1/64 that f32, f16 and bf16 hold exactly.  What is
stored per family is its config.json in the form of the hub's files, the names and shapes of its
tensors, a prompt, the logits at a few of its positions, and 200 greedy ids.  The seed is the first
whose greedy choices are many and all clear: no runner-up within MARGIN of the largest logit, so that
rounding cannot change an id.

    python3 make_families.py [NAME...]        writes families/NAME.json beside this script
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers as hf

HERE = pathlib.Path(__file__).parent
PROMPT, NEW, VOCAB, CONTEXT = 80, 200, 120, 288
ROWS = (0, 30, 79)                      # positions of the prompt whose logits are stored
MARGIN = 1e-3                           # of the largest logit
VARIETY = 12                            # different ids among the greedy ones

BASE = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, intermediate_size=48, max_position_embeddings=CONTEXT,
            bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)
LONG = [round(1 + 0.4 * j, 2) for j in range(6)]
SHORT = [1.0] * 6

FAMILIES = {
    "gpt2": hf.GPT2Config(vocab_size=VOCAB, n_positions=CONTEXT, n_embd=32, n_layer=3, n_head=4,
                          bos_token_id=1, eos_token_id=2),
    "llama2": hf.LlamaConfig(**BASE | dict(num_key_value_heads=4, attention_bias=True, mlp_bias=True),
                             rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=1e4)),
    "llama3": hf.LlamaConfig(**BASE | dict(tie_word_embeddings=True, rms_norm_eps=1e-5, head_dim=16),
                             rope_parameters=dict(rope_type="llama3", factor=8.0, rope_theta=1e4,
                                                  low_freq_factor=1.0, high_freq_factor=4.0,
                                                  original_max_position_embeddings=64)),
    "smollm3": hf.SmolLM3Config(**BASE | dict(num_hidden_layers=4, tie_word_embeddings=True),
                                rope_parameters=dict(rope_type="default", rope_theta=5e6)),
    "mistral": hf.MistralConfig(**BASE, head_dim=16, sliding_window=24),
    "qwen2": hf.Qwen2Config(**BASE, rope_parameters=dict(
        rope_type="yarn", factor=4.0, rope_theta=1e4, original_max_position_embeddings=72)),
    "qwen3": hf.Qwen3Config(**BASE, head_dim=16),
    "gemma": hf.GemmaConfig(**BASE | dict(tie_word_embeddings=True), head_dim=16),
    "gemma2": hf.Gemma2Config(**BASE | dict(tie_word_embeddings=True), head_dim=16, sliding_window=24,
                              query_pre_attn_scalar=24, attn_logit_softcapping=5.0,
                              final_logit_softcapping=0.5),
    "gemma3": hf.Gemma3TextConfig(**BASE | dict(tie_word_embeddings=True, num_hidden_layers=6),
                                  head_dim=16, sliding_window=24, query_pre_attn_scalar=16,
                                  rope_parameters={
                                      "full_attention": dict(rope_type="linear", factor=8.0,
                                                             rope_theta=1e6),
                                      "sliding_attention": dict(rope_type="default",
                                                                rope_theta=1e4)}),
    "phi3": hf.Phi3Config(**BASE | dict(hidden_size=64), sliding_window=200,
                          original_max_position_embeddings=64,
                          rope_parameters=dict(rope_type="longrope", rope_theta=1e4,
                                               partial_rotary_factor=0.75, long_factor=LONG,
                                               short_factor=SHORT,
                                               original_max_position_embeddings=64)),
    "mixtral": hf.MixtralConfig(**BASE | dict(num_hidden_layers=2), num_local_experts=4,
                                num_experts_per_tok=2, sliding_window=None),
    "qwen3moe": hf.Qwen3MoeConfig(**BASE | dict(num_hidden_layers=2), head_dim=16, num_experts=6,
                                  num_experts_per_tok=3, moe_intermediate_size=24,
                                  norm_topk_prob=True),
}


def philox(seed, stream, n):
    """n words of Philox4x32-10 as base/random.h counts them."""
    block = np.arange((n + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [block & low, block >> np.uint64(32),
         np.full_like(block, stream & 0xFFFFFFFF), np.full_like(block, stream >> 32)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1).reshape(-1)[:n].astype(np.uint32)


def fnv(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def fill(name, shape, seed, centre):
    """Matrices k/256 (queries and keys k/128, Gemma's scaled embeddings k/1024), biases k/512, norms
    centre + k/256 rounded down to 1/64; -64 <= k < 64."""
    k = (philox(seed, fnv(name), int(np.prod(shape))) >> 25).astype(np.int64) - 64
    if len(shape) > 1:
        sharp = "q_proj" in name or "k_proj" in name or "qkv" in name or "c_attn" in name
        scaled = centre == 0 and "embed" in name
        x = k / (128 if sharp else 1024 if scaled else 256)
    elif name.endswith("bias"):
        x = k / 512
    else:
        x = centre + (k >> 2) / 64
    return torch.tensor(x.reshape(shape), dtype=torch.float32)


def parts(model):
    """Names and values as save_pretrained writes them: each parameter once, each expert by itself."""
    mixtral = model.config.model_type == "mixtral"
    names = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    for name, p in model.named_parameters():
        hub = name.replace(".mlp.", ".block_sparse_moe.") if mixtral else name
        if name.endswith("experts.gate_up_proj"):
            for e in range(p.shape[0]):
                for k, half in enumerate(p[e].chunk(2)):
                    yield hub.replace("gate_up_proj", f"{e}.{names[k]}.weight"), half
        elif name.endswith("experts.down_proj"):
            for e in range(p.shape[0]):
                yield hub.replace("down_proj", f"{e}.{names[2]}.weight"), p[e]
        else:
            yield hub, p


def tensors(model):
    return [(n, list(p.shape)) for n, p in parts(model)]


def draw(model, seed, centre):
    with torch.no_grad():
        for name, p in parts(model):
            p.copy_(fill(name, list(p.shape), seed, centre))


def greedy(model, prompt):
    """The ids and the smallest lead of a choice over the next best, relative to the largest logit."""
    ids, lead = list(prompt), 1.0
    for _ in range(NEW):
        z = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        top = torch.topk(z, 2).values
        lead = min(lead, float((top[0] - top[1]) / z.abs().max()))
        if lead < MARGIN:
            break
        ids.append(int(z.argmax()))
    return ids[len(prompt):], lead


def published(config):
    """config.json as the hub has it: with "rope_theta" and "rope_scaling" for what is older than
    "rope_parameters"."""
    c = json.loads(config.to_json_string(use_diff=False))
    rope = c.get("rope_parameters")
    if not rope or c["model_type"] in ("qwen2", "smollm3"):
        return c
    del c["rope_parameters"]
    if c["model_type"] == "gemma3_text":
        c["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        c["sliding_window_pattern"] = 6
        del c["layer_types"]
        rope = rope["full_attention"]
    c["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        c["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    if c["model_type"] == "phi3":
        del rope["original_max_position_embeddings"]
    c["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    return c


def reference(name):
    config = FAMILIES[name]
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    centre = 0.0 if name.startswith("gemma") else 1.0
    prompt = [3 + (i * i * 7 + 13 * i) % (VOCAB - 3) for i in range(PROMPT)]
    with torch.no_grad():
        for seed in range(1, 1000):
            draw(model, seed, centre)
            ids, lead = greedy(model, prompt)
            if lead >= MARGIN and len(set(ids)) >= VARIETY:
                break
        else:
            raise SystemExit(f"{name}: no seed has clear choices")
        logits = model(torch.tensor([prompt]), use_cache=False).logits[0]
    out = {"config": published(config), "seed": seed, "centre": centre, "tensors": tensors(model),
           "prompt": prompt, "ids": ids, "rows": list(ROWS),
           "logits": [[float(f"{x:.8g}") for x in logits[r].tolist()] for r in ROWS]}
    out["config"]["architectures"] = [type(model).__name__]
    path = HERE / "families" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    lines = [f' {json.dumps(k)}: {json.dumps(v)}' for k, v in out.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{name}: seed {seed}, lead {lead:.1e}, {len(set(ids))} different ids, "
          f"largest logit {float(logits.abs().max()):.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for which in sys.argv[1:] or FAMILIES:
        reference(which)
