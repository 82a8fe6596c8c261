"""Single operations and their gradients in float64 from PyTorch: an outside oracle for ir/eval.

    python3 ops.py            rewrite ops.json
    python3 ops.py --check    compute, compare with ops.json, write nothing

ops.json is {"torch": VERSION, "cases": [CASE, ...]}, and a CASE is

    "name"        unique, e.g. "attention_window"
    "op"          the operation: one case or several have the same
    "attrs"       {name: number, string or bool}; README.md says what each means
    "inputs"      {name: TENSOR}, all of the operation's tensors, constant ones too
    "output"      TENSOR
    "cotangent"   TENSOR of the output's shape: the gradient that arrives from above
    "grads"       {name of an input: TENSOR}, the gradient of sum(cotangent * output) with
                  respect to every f64 input

and a TENSOR is {"dtype": "f64" or "i32", "shape": [..], "values": [..]}, the values flat and the
last axis fastest. Inputs and cotangents are multiples of 1/64 and so are exact in float32 too;
outputs and gradients have every digit that a double needs. No value is infinite or NaN.
"""
import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F

import tiny_models as tiny

FILE = pathlib.Path(__file__).resolve().parent / "ops.json"
RNG = torch.Generator().manual_seed(20)


def normal(*shape, scale=1.0):
    """Random multiples of 1/64: short in the file and exact in float32."""
    return (torch.randn(shape, generator=RNG, dtype=torch.float64) * scale * 64).round() / 64


def ids(high, *shape):
    return torch.randint(high, shape, generator=RNG, dtype=torch.int32)


def case(name, function, inputs, op=None, **attrs):
    leaves = {k: v.clone().requires_grad_(v.is_floating_point()) for k, v in inputs.items()}
    output = function(*leaves.values(), **attrs)
    cotangent = normal(*output.shape)
    output.backward(cotangent)
    return {"name": name, "op": op or name, "attrs": attrs,
            "inputs": {k: tensor(v) for k, v in inputs.items()},
            "output": tensor(output), "cotangent": tensor(cotangent),
            "grads": {k: tensor(v.grad) for k, v in leaves.items() if v.requires_grad}}


def tensor(t):
    t = t.detach()
    values = t.flatten().tolist()
    assert all(math.isfinite(v) for v in values)
    return {"dtype": "f64" if t.is_floating_point() else "i32", "shape": list(t.shape),
            "values": values}


def map_cases():
    """Operations on single elements, over a range that reaches into both tails."""
    x = torch.cat([torch.arange(-12, 13) / 2.0, torch.tensor([-30.0, -9.25, 0.015625, 9.25, 30.0])])
    x = {"x": x.double()}
    yield case("gelu", F.gelu, x)
    yield case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x)
    yield case("silu", F.silu, x)
    yield case("sigmoid", torch.sigmoid, x)
    yield case("tanh", torch.tanh, x)
    yield case("erf", torch.erf, x)


def softmax_cases():
    def softmax(x, axis):
        return torch.softmax(x, axis)

    x = {"x": normal(2, 3, 5, scale=2)}
    yield case("softmax", softmax, x, axis=-1)
    yield case("softmax_middle_axis", softmax, x, op="softmax", axis=1)
    # Naively exponentiated, these overflow; the rows also differ by far more than they vary.
    far = {"x": x["x"][0] + torch.tensor([[1000.0], [-1000.0], [0.0]], dtype=torch.float64)}
    yield case("softmax_far_from_zero", softmax, far, op="softmax", axis=-1)
    yield case("logsumexp", lambda x, axis: torch.logsumexp(x, axis, keepdim=True), far, axis=-1)


def cross_entropy(logits, targets, ignore):
    flat = F.cross_entropy(logits.flatten(0, -2), targets.flatten().long(), reduction="none",
                           ignore_index=ignore)
    return flat.view(targets.shape)


def cross_entropy_cases():
    targets = ids(7, 2, 3)
    targets[0, 1] = targets[1, 2] = -100
    yield case("cross_entropy", cross_entropy,
               {"logits": normal(2, 3, 7, scale=2), "targets": targets}, ignore=-100)
    targets = ids(4, 3)
    targets[1] = 0
    yield case("cross_entropy_ignore_zero", cross_entropy,
               {"logits": normal(3, 4, scale=40), "targets": targets}, op="cross_entropy",
               ignore=0)


def norm_cases():
    x, weight, bias = normal(2, 3, 8, scale=2) + 1, normal(8) + 1, normal(8)
    def layer_norm(x, weight, bias, eps):
        return F.layer_norm(x, (8,), weight, bias, eps)

    yield case("layer_norm", layer_norm,
               {"x": x, "weight": weight, "bias": bias}, eps=1e-5)
    # Rows this quiet make eps count.
    yield case("layer_norm_quiet", layer_norm,
               {"x": normal(2, 8, scale=0.03), "weight": weight, "bias": bias}, op="layer_norm",
               eps=1e-3)
    yield case("rms_norm", lambda x, weight, eps: F.rms_norm(x, (8,), weight, eps),
               {"x": x, "weight": weight}, eps=1e-5)


def attention(q, k, v, past=None, causal=True, window=0, soft_cap=0.0, scale=None):
    """From its definition; PyTorch's own agrees wherever it can say the same."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    per_query = [t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v)]
    scores = q @ per_query[0].mT * scale
    if soft_cap:
        scores = soft_cap * torch.tanh(scores / soft_cap)
    seen = visible(q.shape[-2], k.shape[-2], 0 if past is None else int(past), causal, window)
    result = torch.softmax(scores.masked_fill(~seen, -math.inf), -1) @ per_query[1]
    if not soft_cap:
        peer = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale,
                                              enable_gqa=True)
        assert (peer - result).abs().max() < 1e-14
    return result


def visible(T, S, past, causal, window):
    """[T, S]; query t stands at position past + t. A window counts the query's own position."""
    query = torch.arange(past, past + T)[:, None]
    key = torch.arange(S)[None, :]
    seen = torch.ones(T, S, dtype=torch.bool)
    if causal:
        seen &= key <= query
    if window:
        seen &= key > query - window
    return seen


def attention_cases():
    def inputs(heads, kv_heads, T, S=None, head=4):
        S = S or T
        return {"q": normal(1, heads, T, head), "k": normal(1, kv_heads, S, head),
                "v": normal(1, kv_heads, S, head)}

    def named(name, tensors, **attrs):
        return case("attention_" + name, attention, tensors, op="attention", **attrs)

    yield named("causal", inputs(2, 2, 6), causal=True)
    yield named("not_causal", inputs(2, 2, 4), causal=False)
    yield named("grouped", inputs(4, 2, 5), causal=True)
    yield named("scaled", inputs(2, 1, 4), causal=True, scale=0.75)
    yield named("window", inputs(2, 2, 7), causal=True, window=3)
    yield named("soft_cap", inputs(2, 2, 5), causal=True, soft_cap=0.5)
    yield named("grouped_window_soft_cap", inputs(4, 2, 7), causal=True, window=4, soft_cap=1.5)
    past = {"past": torch.tensor(4, dtype=torch.int32)}
    yield case("attention_cached", attention, {**inputs(2, 1, 3, S=7), **past}, causal=True)
    yield case("attention_cached_window", attention, {**inputs(2, 1, 3, S=7), **past},
               op="attention_cached", causal=True, window=3)


def rope(x, positions, base, style):
    """Half from the tiny Llama, which transformers vouches for; interleaved as complex numbers."""
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = positions[:, None].double() * frequency
    turn = torch.polar(torch.ones_like(angle), angle)
    if style == "interleaved":
        pairs = torch.view_as_complex(x.unflatten(-1, (half, 2)))
        return torch.view_as_real(pairs * turn).flatten(-2)
    result = torch.view_as_real(torch.complex(x[..., :half], x[..., half:]) * turn)
    result = torch.cat([result[..., 0], result[..., 1]], -1)
    if positions[0] == 0:
        assert (result - tiny.rope_half(x, base)).abs().max() < 1e-14
    return result


def rope_cases():
    for style in ("half", "interleaved"):
        for first, base in ((0, 10000.0), (1000, 500.0)):
            positions = torch.arange(first, first + 4, dtype=torch.int32)
            yield case(f"rope_{style}_from_{first}", rope,
                       {"x": normal(1, 2, 4, 6), "positions": positions}, op="rope",
                       base=base, style=style)


def embedding_cases():
    # Ids that come twice must add up, ids that never come must stay zero.
    tokens = torch.tensor([[3, 0, 3, 5], [5, 3, 2, 0]], dtype=torch.int32)
    yield case("embedding", lambda table, ids: F.embedding(ids, table),
               {"table": normal(7, 3), "ids": tokens})


def all_cases():
    return [c for group in (map_cases, softmax_cases, cross_entropy_cases, norm_cases,
                            attention_cases, rope_cases, embedding_cases) for c in group()]


def check(cases):
    kept = json.loads(FILE.read_text())["cases"]
    assert [c["name"] for c in kept] == [c["name"] for c in cases]
    worst = 0.0
    for have, want in zip(cases, kept):
        assert have["inputs"] == want["inputs"] and have["cotangent"] == want["cotangent"]
        pairs = [(have["output"], want["output"])]
        pairs += [(have["grads"][k], want["grads"][k]) for k in want["grads"]]
        for a, b in pairs:
            scale = max(map(abs, b["values"]))
            worst = max([worst] + [abs(x - y) / scale for x, y in zip(a["values"], b["values"])])
    print(f"{len(cases)} cases, largest difference {worst:.2g} relative")
    assert worst < 1e-13


def write(cases):
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    FILE.write_text(f'{{"torch": "{torch.__version__.split("+")[0]}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {FILE.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = all_cases()
    check(cases) if args.check else write(cases)


if __name__ == "__main__":
    main()
