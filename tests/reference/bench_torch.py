"""How fast PyTorch trains on this CPU: the peer to measure beside smallmind. Prints JSON.

    python3 bench_torch.py --threads 2 [--only gpt2|nanogpt] [--mode eager|compiled] [--seconds 30]

Two workloads, both float32 with random tokens, the whole step timed (forward, loss, backward,
AdamW; no clipping and no data loading, so what is measured is the arithmetic):
  gpt2      GPT-2 124M, batch 4, 64 positions
  nanogpt   nanoGPT's CPU recipe: 4 layers, 4 heads, width 128, 64 positions, batch 12, 65 tokens
AdamW is PyTorch's fused one, the faster of its two on the CPU.
A step is timed after warm-up until `--seconds` have passed (at least 5 steps); the figures are the
median, both quartiles and the fastest. `cores` is processor time over wall time: much below
`threads`, somebody else had the machine and the figures mean little. Run it in turn with what it
is compared with.
"""
import argparse
import json
import platform
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

GPT2 = dict(vocab=50257, context=1024, width=768, depth=12, heads=12, bias=True, batch=4, length=64)
NANOGPT = dict(vocab=65, context=64, width=128, depth=4, heads=4, bias=False, batch=12, length=64)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["heads"]
        self.qkv = nn.Linear(c["width"], 3 * c["width"], bias=c["bias"])
        self.out = nn.Linear(c["width"], c["width"], bias=c["bias"])

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for t in self.qkv(x).chunk(3, -1))
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

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    """GPT-2 with a tied output; without biases it is nanoGPT's variant, whose GELU is exact."""

    def __init__(self, c):
        super().__init__()
        self.tokens = nn.Embedding(c["vocab"], c["width"])
        self.positions = nn.Embedding(c["context"], c["width"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["depth"]))
        self.norm = nn.LayerNorm(c["width"], bias=c["bias"])

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions.weight[:tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def measure(c, compiled, seconds):
    """Seconds of the first step, which in compiled mode holds the compiling, of each step after
    warm-up, and the mean number of cores that these kept busy."""
    torch.manual_seed(0)
    torch.compiler.reset()
    model = Model(c)
    for p in model.parameters():
        if p.ndim > 1:
            nn.init.normal_(p, std=0.02)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=6e-4, betas=(0.9, 0.95), fused=True)
    forward = torch.compile(model) if compiled else model

    def step():
        tokens, targets = torch.randint(c["vocab"], (2, c["batch"], c["length"]))
        start = time.perf_counter()
        loss = forward(tokens, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()
        return time.perf_counter() - start

    first = step()
    warm = [step() for _ in range(2)]
    n = max(5, int(seconds / statistics.mean(warm)))
    wall, cpu = time.perf_counter(), time.process_time()
    steps = [step() for _ in range(n)]
    return first, steps, (time.process_time() - cpu) / (time.perf_counter() - wall)


def report(c, first, steps, cores):
    low, median, high = statistics.quantiles(steps, n=4)
    tokens = c["batch"] * c["length"]
    return {"ms_per_step": round(1e3 * median, 3),
            "quartiles_ms": [round(1e3 * low, 3), round(1e3 * high, 3)],
            "fastest_ms": round(1e3 * min(steps), 3), "cores": round(cores, 2),
            "steps_per_s": round(1 / median, 3), "tokens_per_s": round(tokens / median, 1),
            "first_step_s": round(first, 2), "steps": len(steps)}


def cpu_name():
    try:
        with open("/proc/cpuinfo") as f:
            info = dict(line.split(":", 1) for line in f if ":" in line)
        info = {k.strip(): v.strip() for k, v in info.items()}
        return f"{info['model name']} (family {info['cpu family']}, model {info['model']})"
    except (OSError, KeyError):
        return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("gpt2", "nanogpt"))
    parser.add_argument("--mode", choices=("eager", "compiled"))
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = {"cpu": cpu_name(), "torch": torch.__version__.split("+")[0],
               "threads": args.threads, "isa": torch.backends.cpu.get_cpu_capability()}
    for name, c in (("gpt2", GPT2), ("nanogpt", NANOGPT)):
        for mode in ("eager", "compiled"):
            if args.only in (None, name) and args.mode in (None, mode):
                try:
                    steps = measure(c, mode == "compiled", args.seconds)
                    results[f"{name}_{mode}"] = report(c, *steps)
                except Exception as error:          # a peer that cannot compile is a result too
                    results[f"{name}_{mode}"] = {"failed": repr(error)[:200]}
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
