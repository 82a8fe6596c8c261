"""The three models of models/*.smg at tiny sizes, written plainly on a dictionary of tensors.

A parameter's name and layout are those of the .smg file, so a file written from `init` loads into
the compiled program as it stands. Every tensor starts random and far from its usual value (biases
off zero, norm weights off one): a term that a program forgets then shows in the first loss.
"""
import math

import torch
import torch.nn.functional as F

GPT2 = dict(vocab=64, context=32, width=32, depth=2, heads=4)
LLAMA = dict(vocab=64, context=32, width=32, depth=2, heads=4, kv_heads=2, hidden=64,
             rope_base=10000.0, eps=1e-5)
MLP = dict(inputs=8, hidden=64)


def init(shapes, seed, std):
    """Names -> float32 tensors; a name ending in `norm.weight` or `ln_*.weight` is around one."""
    rng = torch.Generator().manual_seed(seed)
    params = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=rng) * std
        if len(shape) == 1 and name.endswith("weight"):
            value += 1
        params[name] = value
    return params


def gpt2_shapes(c=GPT2):
    w = c["width"]
    shapes = {"wte.weight": (c["vocab"], w), "wpe.weight": (c["context"], w)}
    for i in range(c["depth"]):
        for path, columns in (("attn.c_attn", (w, 3 * w)), ("attn.c_proj", (w, w)),
                              ("mlp.c_fc", (w, 4 * w)), ("mlp.c_proj", (4 * w, w))):
            shapes[f"h.{i}.{path}.weight"] = columns
            shapes[f"h.{i}.{path}.bias"] = columns[1:]
        for path in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{path}.weight"] = (w,)
            shapes[f"h.{i}.{path}.bias"] = (w,)
    shapes["ln_f.weight"] = (w,)
    shapes["ln_f.bias"] = (w,)
    return shapes


def gpt2(p, tokens, c=GPT2):
    """tokens [B, T] -> logits [B, T, vocab]; matrices are [in, out], the output is tied."""
    B, T = tokens.shape
    width, heads = c["width"], c["heads"]

    def norm(x, path):
        return F.layer_norm(x, (width,), p[path + ".weight"], p[path + ".bias"], 1e-5)

    def conv1d(x, path):
        return x @ p[path + ".weight"] + p[path + ".bias"]

    def split_heads(x):
        return x.view(B, T, heads, width // heads).transpose(1, 2)

    x = p["wte.weight"][tokens] + p["wpe.weight"][:T]
    for i in range(c["depth"]):
        h = f"h.{i}."
        q, k, v = conv1d(norm(x, h + "ln_1"), h + "attn.c_attn").chunk(3, -1)
        y = causal_attention(split_heads(q), split_heads(k), split_heads(v))
        x = x + conv1d(y.transpose(1, 2).reshape(B, T, width), h + "attn.c_proj")
        y = F.gelu(conv1d(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh")
        x = x + conv1d(y, h + "mlp.c_proj")
    return norm(x, "ln_f") @ p["wte.weight"].T


def llama_shapes(c=LLAMA):
    w, kv = c["width"], c["kv_heads"] * (c["width"] // c["heads"])
    shapes = {"model.embed_tokens.weight": (c["vocab"], w)}
    for i in range(c["depth"]):
        layer = {"input_layernorm": (w,),
                 "self_attn.q_proj": (w, w), "self_attn.k_proj": (kv, w),
                 "self_attn.v_proj": (kv, w), "self_attn.o_proj": (w, w),
                 "post_attention_layernorm": (w,),
                 "mlp.gate_proj": (c["hidden"], w), "mlp.up_proj": (c["hidden"], w),
                 "mlp.down_proj": (w, c["hidden"])}
        shapes.update({f"model.layers.{i}.{k}.weight": v for k, v in layer.items()})
    shapes["model.norm.weight"] = (w,)
    shapes["lm_head.weight"] = (c["vocab"], w)
    return shapes


def llama(p, tokens, c=LLAMA):
    """tokens [B, T] -> logits [B, T, vocab]; matrices are [out, in]."""
    B, T = tokens.shape
    heads, kv_heads, head = c["heads"], c["kv_heads"], c["width"] // c["heads"]

    def norm(x, path):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + c["eps"]) * p[path + ".weight"]

    def linear(x, path):
        return x @ p[path + ".weight"].T

    def split_heads(x, count):
        return x.view(B, T, count, head).transpose(1, 2)

    x = p["model.embed_tokens.weight"][tokens]
    for i in range(c["depth"]):
        layer = f"model.layers.{i}."
        a, y = layer + "self_attn.", norm(x, layer + "input_layernorm")
        q = rope_half(split_heads(linear(y, a + "q_proj"), heads), c["rope_base"])
        k = rope_half(split_heads(linear(y, a + "k_proj"), kv_heads), c["rope_base"])
        v = split_heads(linear(y, a + "v_proj"), kv_heads)
        k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        y = causal_attention(q, k, v).transpose(1, 2).reshape(B, T, heads * head)
        x = x + linear(y, a + "o_proj")
        m, y = layer + "mlp.", norm(x, layer + "post_attention_layernorm")
        y = F.silu(linear(y, m + "gate_proj")) * linear(y, m + "up_proj")
        x = x + linear(y, m + "down_proj")
    return linear(norm(x, "model.norm"), "lm_head")


def mlp_shapes(c=MLP):
    n, h = c["inputs"], c["hidden"]
    return {"first.weight": (h, n), "first.bias": (h,), "second.weight": (h, h),
            "second.bias": (h,), "last.weight": (1, h), "last.bias": (1,)}


def mlp(p, x):
    """x [B, inputs] -> [B, 1]; matrices are [out, in]."""
    x = torch.relu(F.linear(x, p["first.weight"], p["first.bias"]))
    x = torch.relu(F.linear(x, p["second.weight"], p["second.bias"]))
    return F.linear(x, p["last.weight"], p["last.bias"])


def causal_attention(q, k, v):
    T = q.shape[-2]
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(future, -math.inf)
    return torch.softmax(scores, -1) @ v


def rope_half(x, base):
    """x [.., T, head], position t in row t: element i turns with element i + head/2."""
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.outer(torch.arange(x.shape[-2], dtype=torch.float64), frequency)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
