"""PyTorch's side of the benchmark: answers each line of standard input with a line of JSON.

    THREADS AMOUNT WHAT ...      {"seconds": of one piece}

    step T MODE TYPE       AMOUNT training steps of GPT-2 124M, batch 4: forward, loss, backward, AdamW
    recipe MODE TEXT       AMOUNT iterations of nanoGPT's CPU recipe, batches cut out of the text's bytes
    generate               AMOUNT tokens of GPT-2 124M behind an empty cache
    adamw N                a step of AdamW on one tensor of N floats, for AMOUNT seconds, as all below
    norm ROWS N            layer norm forward;  softmax ROWS N likewise
    attention T            scaled_dot_product_attention, 12 heads of 64, causal;  attention_grad: backward
    matmul M K N TYPE LAYOUT
    packed M K N TYPE      by a weight that oneDNN has put into the layout of its own choice before

MODE is eager or compiled, TYPE f32 or bf16 (autocast).  AdamW is the fused one.  What is compiled asks
the threads for their number when it runs, so that it serves for both numbers.
"""
import json
import os
import statistics
import sys
import time

os.environ.setdefault("TORCHINDUCTOR_CPP_DYNAMIC_THREADS", "1")
import torch
import torch.nn.functional as F
from torch import nn

GPT2 = dict(vocab=50257, context=1024, width=768, depth=12, heads=12, bias=True)
NANO = dict(vocab=65, context=64, width=128, depth=4, heads=4, bias=False)
BATCH, NANO_BATCH, WARM = 4, 12, 2


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["heads"]
        self.qkv = nn.Linear(c["width"], 3 * c["width"], bias=c["bias"])
        self.out = nn.Linear(c["width"], c["width"], bias=c["bias"])

    def forward(self, x, cache=None):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for t in self.qkv(x).chunk(3, -1))
        if cache is not None:
            cache[0], cache[1] = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            y = F.scaled_dot_product_attention(q, cache[0], cache[1])
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        width, bias = c["width"], c["bias"]
        self.norm1, self.norm2 = (nn.LayerNorm(width, bias=bias) for _ in range(2))
        self.attention = Attention(c)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width, bias=bias),
                                 nn.GELU("tanh" if bias else "none"),
                                 nn.Linear(4 * width, width, bias=bias))

    def forward(self, x, cache=None):
        x = x + self.attention(self.norm1(x), cache)
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    """GPT-2 with a tied output; without biases it is nanoGPT's variant, whose GELU is exact."""

    def __init__(self, c):
        super().__init__()
        self.tokens = nn.Embedding(c["vocab"], c["width"])
        self.positions = nn.Embedding(c["context"], c["width"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["depth"]))
        self.norm = nn.LayerNorm(c["width"], bias=c["bias"])
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets=None, caches=None):
        first = caches[0][0].shape[2] if caches else 0
        x = self.tokens(tokens) + self.positions.weight[first:first + tokens.shape[1]]
        for i, layer in enumerate(self.layers):
            x = layer(x, caches[i] if caches else None)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return logits if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Trainer:
    """A model with its optimizer; its forward pass as it stands and compiled."""

    def __init__(self, c, lr, betas):
        torch.manual_seed(0)
        self.c, self.model = c, Model(c)
        shaped = {n: [p for p in self.model.parameters() if (p.ndim > 1) == n] for n in (True, False)}
        groups = [{"params": shaped[True], "weight_decay": 0.1},
                  {"params": shaped[False], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)
        self.compiled = None

    def forward(self, mode):
        if mode == "eager":
            return self.model
        if self.compiled is None:
            self.compiled = torch.compile(self.model, dynamic=False)
        return self.compiled

    def step(self, mode, half, tokens, targets, clip=0.0):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = self.forward(mode)(tokens, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimizer.step()
        return loss


held = {}


def keep(key, make):
    """What `make` makes, once; what was held for other work is dropped."""
    if key not in held:
        held.clear()
        held[key] = make()
    return held[key]


def timed(run, n):
    start = time.perf_counter()
    for _ in range(n):
        run()
    return (time.perf_counter() - start) / n


def median_for(run, seconds):
    """The median time of a run, in batches that a clock can tell."""
    run()
    one = timed(run, 1)
    n = max(1, int(0.004 / max(one, 1e-7)))
    took, end = [], time.perf_counter() + seconds
    while len(took) < 3 or time.perf_counter() < end:
        took.append(timed(run, n))
        if time.perf_counter() > end + 2 * seconds:
            break
    return statistics.median(took)


def step(n, length, mode, kind):
    trainer = keep("gpt2", lambda: Trainer(GPT2, 6e-4, (0.9, 0.95)))
    tokens, targets = torch.randint(GPT2["vocab"], (2, BATCH, int(length)))
    run = lambda: trainer.step(mode, kind == "bf16", tokens, targets).item()
    if (length, mode, kind, torch.get_num_threads()) not in held:
        timed(run, 1 if mode == "eager" else WARM)
        held[length, mode, kind, torch.get_num_threads()] = True
    return timed(run, int(n))


def recipe(n, mode, path):
    def make():
        with open(path, "rb") as f:
            text = f.read()
        ids = {c: i for i, c in enumerate(sorted(set(text)))}
        return Trainer(NANO, 1e-3, (0.9, 0.99)), torch.tensor([ids[c] for c in text])

    trainer, data = keep("recipe", make)
    length = NANO["context"]

    def run():
        starts = torch.randint(len(data) - length - 1, (NANO_BATCH,)).tolist()
        tokens = torch.stack([data[s:s + length] for s in starts])
        targets = torch.stack([data[s + 1:s + 1 + length] for s in starts])
        trainer.step(mode, False, tokens, targets, clip=1.0)

    if (mode, torch.get_num_threads()) not in held:
        timed(run, 5)
        held[mode, torch.get_num_threads()] = True
    return timed(run, int(n))


@torch.inference_mode()
def generate(n):
    model = keep("generate", lambda: Model(GPT2).eval())
    empty = torch.empty(1, GPT2["heads"], 0, GPT2["width"] // GPT2["heads"])
    caches = [[empty, empty] for _ in range(GPT2["depth"])]
    token = torch.zeros(1, 1, dtype=torch.long)
    model(token, caches=caches)

    def run():
        model(token, caches=caches)[0, -1].argmax()
    return timed(run, int(n))


def adamw(seconds, n):
    def make():
        p = torch.randn(int(n), requires_grad=True)
        p.grad = torch.randn(int(n))
        return torch.optim.AdamW([p], lr=1e-5, weight_decay=0.1, fused=True)
    return median_for(keep(f"adamw {n}", make).step, float(seconds))


def norm(seconds, rows, n):
    rows, n = int(rows), int(n)
    x, w, b = keep(f"norm {rows} {n}", lambda: (torch.randn(rows, n), torch.ones(n), torch.zeros(n)))
    return median_for(lambda: F.layer_norm(x, (n,), w, b), float(seconds))


def softmax(seconds, rows, n):
    x = keep(f"softmax {rows} {n}", lambda: torch.randn(int(rows), int(n)))
    return median_for(lambda: F.softmax(x, -1), float(seconds))


def attention(seconds, length, backward=False):
    def make():
        q, k, v = (torch.randn(1, 12, int(length), 64, requires_grad=backward) for _ in range(3))
        return q, k, v, torch.randn(1, 12, int(length), 64)
    q, k, v, g = keep(f"attention {length} {backward}", make)
    forward = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if not backward:
        return median_for(forward, float(seconds))
    y = forward()
    return median_for(lambda: torch.autograd.grad(y, (q, k, v), g, retain_graph=True), float(seconds))


def attention_grad(seconds, length):
    return attention(seconds, length, backward=True)


def matmul(seconds, m, k, n, kind, layout):
    def make():
        t = torch.bfloat16 if kind == "bf16" else torch.float32
        shapes = [(int(m), int(k)), (int(k), int(n))]
        return [torch.randn(s[::-1] if c == "t" else s).to(t) for s, c in zip(shapes, layout)]
    a, b = keep(f"matmul {m} {k} {n} {kind} {layout}", make)
    a, b = (x.T if c == "t" else x for x, c in zip((a, b), layout))
    return median_for(lambda: a @ b, float(seconds))


def packed(seconds, m, k, n, kind):
    def make():
        t = torch.bfloat16 if kind == "bf16" else torch.float32
        weight = torch.randn(int(n), int(k)).to(t)
        return torch.randn(int(m), int(k)).to(t), torch.ops.mkldnn._reorder_linear_weight(weight, int(m))
    x, w = keep(f"packed {m} {k} {n} {kind}", make)
    return median_for(lambda: torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], ""), float(seconds))


WORK = {f.__name__: f for f in (step, recipe, generate, adamw, norm, softmax, attention,
                                attention_grad, matmul, packed)}


def main():
    torch.set_grad_enabled(True)
    for line in sys.stdin:
        threads, amount, what, *words = line.split()
        torch.set_num_threads(int(threads))
        try:
            inference = what in ("norm", "softmax", "attention", "matmul", "packed")
            with torch.inference_mode(inference):
                answer = {"seconds": WORK[what](amount, *words)}
        except Exception as error:              # what cannot be compiled here is an answer too
            answer = {"missing": f"PyTorch: {str(error).splitlines()[0][:160]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
