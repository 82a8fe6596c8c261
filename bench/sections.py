"""What is measured: each section makes jobs (measure.Job) out of the programs that are here.

The bars are the ones that the project has set itself; shares are of the limit that binds the work.
"""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile

import models
from measure import LIMIT, OURS, Job, Missing, Worker

BATCH = 4


class Bench:
    """Where things are, which workers run, how much is asked for."""

    def __init__(self, options, root, folder):
        self.root, self.folder, self.quick = root, folder, options.quick
        self.build = os.path.abspath(options.build)
        self.smc = os.path.join(self.build, "codegen", "smc")
        self.smrun = os.path.join(self.build, "runtime", "smrun")
        self.python, self.llama_bench = options.python, options.llama_bench
        self.llama2, self.llmc = options.llama2, {64: options.llmc, 256: options.llmc_256}
        self.threads, self.text, self.fixed = options.threads, options.text, options.rounds
        self.bench_kernels = os.path.join(self.build, "tests", "kernels", "bench_kernels")
        self.kernels = Worker([self.bench_kernels, "--asked"], openblas_settings())
        self.workers = {}

    def programs(self):
        """Ours, which all have to be built."""
        return self.smc, self.smrun, self.bench_kernels

    def isa(self):
        """The set of instructions that our kernels were chosen for."""
        return self.kernels.ask("isa")["isa"]

    def rounds(self, quick, full):
        return self.fixed or (quick if self.quick else full)

    def plan_worker(self, path, threads):
        """`smrun bench` with the plan; one at a time, because each holds a model."""
        key = f"{path} {threads}"
        if key not in self.workers:
            self.close_plans()
            self.workers[key] = Worker([self.smrun, "bench", path, "--asked", "--threads",
                                        str(threads)])
        return self.workers[key]

    def close_plans(self):
        for key in [k for k in self.workers if k != "torch"]:
            self.workers.pop(key).close()

    def torch(self):
        if "torch" not in self.workers:
            if not self.python:
                raise Missing("no --python with PyTorch was given")
            worker = os.path.join(self.root, "bench", "torch_worker.py")
            self.workers["torch"] = Worker([self.python, worker])
        return self.workers["torch"]

    def close(self):
        for worker in [self.kernels, *self.workers.values()]:
            worker.close()
        self.workers = {}


def openblas_settings():
    """An OpenBLAS that is older than the processor takes it for one without AVX-512: it is told."""
    try:
        with open("/proc/cpuinfo") as cpu:
            wide = "avx512vl" in cpu.read()
    except OSError:
        wide = False
    told = os.environ.get("OPENBLAS_CORETYPE", "SKYLAKEX" if wide else "")
    return {"OPENBLAS_CORETYPE": told} if told else {}


# ---- contestants -------------------------------------------------------------------------------

def kernel(b, who, threads, seconds, case):
    return lambda: {"": b.kernels.ask(f"{who} {threads} {seconds} {case}")["seconds"]}


def limit_rate(b, threads, what, seconds=0.05):
    return b.kernels.ask(f"limit {threads} {seconds} {what}")["rate"]


def roof(b, threads, case, kind="fma"):
    """The time that a kernel's operations take at the limit."""
    def run():
        flops = b.kernels.ask(f"ours {threads} 0 {case}")["flops"]
        return {"": flops / limit_rate(b, threads, kind)}
    return run


def pytorch(b, threads, amount, what, metric="", pieces=1):
    return lambda: {metric: b.torch().ask(f"{threads} {amount} {what}")["seconds"] / pieces}


def ours_on_plan(b, make_plan, threads, requests):
    """requests: metric -> (line, pieces); seconds are of one piece."""
    def run():
        worker = b.plan_worker(make_plan(), threads)
        return {metric: worker.ask(line)["seconds"] / pieces
                for metric, (line, pieces) in requests.items()}
    return run


# ---- matrix products, kernels ------------------------------------------------------------------

PRODUCTS = [("512", 512, 512, 512, "nn"), ("1024", 1024, 1024, 1024, "nn")]
GPT2_LAYERS = [("qkv", 768, 2304), ("proj", 768, 768), ("up", 768, 3072), ("down", 3072, 768),
               ("logits", 768, 50257)]


def products(rows=256):
    """Squares, then forward, input gradient and weight gradient of GPT-2's matrices."""
    yield from PRODUCTS
    for name, k, n in GPT2_LAYERS:
        stored = "nt" if name == "logits" else "nn"         # the tied table is [vocab, width]
        yield f"{name}", rows, k, n, stored
        yield f"{name} dx", rows, n, k, "nn" if name == "logits" else "nt"
        yield f"{name} dw", *((n, rows, k) if name == "logits" else (k, rows, n)), "tn"


def gemm(b):
    jobs = []
    for kind in ("f32", "bf16"):
        for name, m, k, n, layout in products():
            if b.quick and name.split()[0] == "proj":
                continue
            case = f"gemm {m} {k} {n} {kind} {layout}"
            big = m * k * n > 4e9
            amount = 0.05 if b.quick else 0.2
            for t in b.threads:
                rivals = {w: kernel(b, w, t, amount, case)
                          for w in ("openblas", "blis", "onednn", "onednn3")}
                if kind == "bf16":
                    rivals = {"onednn": rivals["onednn"], "onednn3": rivals["onednn3"],
                              "torch's onednn": pytorch(b, t, amount, f"mat{case[3:]}"
                                                        .replace("matm", "matmul", 1))}
                if " " not in name:             # a weight that is there before: packed once
                    rivals["onednn packed"] = pytorch(b, t, amount, f"packed {m} {k} {n} {kind}")
                contestants = {OURS: kernel(b, "ours", t, amount, case), **rivals,
                               LIMIT: roof(b, t, case, "bf16" if kind == "bf16" else "fma")}
                wanted = {"f32": 0.90, "bf16": 0.88}[kind] if name == "1024" else None
                if kind == "bf16" and " " not in name and layout == "nn":       # beside whom packs too
                    beside = {OURS: kernel(b, "ours", t, amount, f"{case} packed"),
                              "onednn packed": rivals["onednn packed"], LIMIT: contestants[LIMIT]}
                    jobs.append(Job("gemm", f"{kind} {name}: {m}x{k}x{n} {layout}, weight packed before", t, beside,
                                    b.rounds(2 if big else 3, 7), 0.6 if big else 0.25, {"": 1.0}))
                jobs.append(Job("gemm", f"{kind} {name}: {m}x{k}x{n} {layout}", t, contestants,
                                b.rounds(2 if big else 3, 7), 1.2 if big else 0.45, {"": 1.0}, {"": wanted}))
    return jobs


def adamw(b):
    jobs = []
    for name, n, wanted in (("124 M", 124439808, 0.85), ("2.36 M", 2359296, 0.85)):
        for t in b.threads:
            amount = 0.3 if n > 1e8 else 0.1
            case = f"row adamw 1 {n}"
            contestants = {OURS: kernel(b, "ours", t, amount, case),
                           "torch": pytorch(b, t, amount, f"adamw {n}"),
                           LIMIT: lambda t=t, n=n: {"": 28 * n / limit_rate(b, t, f"update {16 * n}", 0.2)}}
            jobs.append(Job("adamw", f"AdamW, {name} parameters", t, contestants, b.rounds(3, 7),
                            3 if n > 1e8 else 0.6, {"": 3.0}, {"": wanted}))
    return jobs


def rows(b):
    """Layer norm and softmax, forward: no bar, but a look at what PyTorch does."""
    jobs = []
    for name, ours, theirs, n in (("layer norm 256x768", "row norm 256 768", "norm 256 768", 256 * 768),
                                  ("softmax 12x1024x1024", "row softmax 12288 1024",
                                   "softmax 12288 1024", 12 << 20)):
        for t in b.threads:
            contestants = {OURS: kernel(b, "ours", t, 0.1, ours), "torch": pytorch(b, t, 0.1, theirs),
                           LIMIT: lambda t=t, n=n: {"": 8 * n / limit_rate(b, t, f"copy {8 * n}")}}
            jobs.append(Job("rows", name, t, contestants, b.rounds(3, 7), 0.5))
    return jobs


def attention(b):
    jobs = []
    for t in b.threads:
        for length in (64, 128, 256, 512, 1024, 2048, 4096):
            for what in ("attention", "attention_grad"):
                case = f"{what} 12 {length} 64"
                contestants = {OURS: kernel(b, "ours", t, 0.05, case),
                               "torch": pytorch(b, t, 0.05, f"{what} {length}"),
                               LIMIT: roof(b, t, case)}
                name = "attention " + ("backward" if what.endswith("grad") else "forward")
                jobs.append(Job("attention", f"{name}, {length} positions", t, contestants,
                                b.rounds(3 if length < 2000 else 1, 5),
                                0.4 + 6 * (length / 4096) ** 2, {"": 1.2}))
    return jobs


def kernels(b):
    """Every row of kernels.def, as bench_kernels tells it; nobody beside."""
    def run():
        print(subprocess.run([b.kernels.words[0]], capture_output=True, text=True).stdout)
        return {}
    return [Job("kernels", "every kernel", 1, {OURS: run}, 1, 25)]


# ---- training ----------------------------------------------------------------------------------

def step_plan(b, length, kind):
    words = ["--batch", str(BATCH), "--seq", str(length), "--precision", kind]
    return lambda: models.plan(b, f"step-{length}-{kind}", "gpt2", words)


def step_limit(b, threads, length, kind):
    """6 operations for each parameter and token at the multiply-add limit, and a pass of AdamW."""
    def run():
        n = models.parameters(models.GPT2)
        work = 6.0 * n * BATCH * length / limit_rate(b, threads, kind, 0.2)
        return {"": work + 28.0 * n / limit_rate(b, threads, f"update {16 * n}", 0.2)}
    return run


def llmc_weights(b):
    """A folder with what the program looks for: GPT-2's weights and ids of a text, all random."""
    folder = os.path.join(b.folder, "llmc")
    data = os.path.join(folder, "dev", "data", "tinyshakespeare")
    weights = os.path.join(folder, "gpt2_124M.bin")
    if os.path.exists(weights):
        return folder
    os.makedirs(data, exist_ok=True)
    m, padded = models.GPT2, 50304
    n = models.parameters(m) + (padded - m["vocab"]) * m["width"]
    noise = models._random_bytes("f32", 1 << 30)
    for part in ("train", "val"):
        with open(os.path.join(data, f"tiny_shakespeare_{part}.bin"), "wb") as f:
            f.write(struct.pack("<256i", 20240520, 1, 60000, *[0] * 253))
            f.write(struct.pack("<60000H", *(i * 40503 % 50257 for i in range(60000))))
    with open(weights + ".part", "wb") as f:
        f.write(struct.pack("<256i", 20240326, 3, 1024, m["vocab"], 12, 12, 768, padded, *[0] * 248))
        models._write_over_and_over(f, noise, 4 * n)
    os.replace(weights + ".part", weights)
    return folder


class Llmc:
    """llm.c trains without end; it is stopped between rounds.  Batch 4 and the positions are built in."""

    def __init__(self, b, threads, length):
        self.b, self.threads, self.length, self.process = b, threads, length, None

    def line(self):
        for line in self.process.stdout:
            found = re.search(r"step \d+: .*took ([0-9.]+) ms", line)
            if found:
                return float(found[1]) / 1e3
        raise Missing("llm.c ended")

    def __call__(self):
        program = self.b.llmc[self.length]
        if not program:
            raise Missing(f"no --llmc{'-256' if self.length == 256 else ''} was given")
        if self.process is None:
            self.process = subprocess.Popen(
                ["stdbuf", "-oL", os.path.abspath(program)], cwd=llmc_weights(self.b), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)})
            self.b.workers[f"llmc {self.length} {self.threads}"] = self
            self.line()
        self.process.send_signal(signal.SIGCONT)
        self.line()                     # the step that was stopped in the middle
        seconds = self.line()
        self.process.send_signal(signal.SIGSTOP)
        return {"": seconds}

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


def step(b):
    jobs = []
    for kind in ("f32", "bf16"):
        for length in (64, 256):
            for t in sorted(b.threads, reverse=True):       # compiled at the most threads
                plan = step_plan(b, length, kind)
                contestants = {
                    OURS: ours_on_plan(b, plan, t, {"": ("train 1", 1)}),
                    "torch eager": pytorch(b, t, 1, f"step {length} eager {kind}"),
                    "torch compiled": pytorch(b, t, 1, f"step {length} compiled {kind}"),
                    LIMIT: step_limit(b, t, length, "bf16" if kind == "bf16" else "fma")}
                if kind == "f32" and (length == 64 or not b.quick or b.llmc[length]):
                    contestants["llm.c"] = Llmc(b, t, length)
                if b.quick and kind == "bf16":
                    del contestants["torch compiled"]
                each = (1.2 if length == 64 else 3.5) * (0.5 if kind == "bf16" else 1) * 2 / t
                jobs.append(Job("step", f"GPT-2 124M step {kind}, B4 T{length}", t, contestants,
                                b.rounds(2 if length > 64 else 3, 5), len(contestants) * each + 5,
                                {"": 1.5}, {"": 0.65 if kind == "bf16" else 0.75},
                                own_bar={"llm.c": 4.5}))
    return jobs


def recipe(b):
    """Whole programs: data loading, clipping and all; seconds of an iteration."""
    text, steps = b.text, 100 if b.quick else 400

    def ours(t):
        def run():
            if not os.path.exists(text):
                raise Missing(f"{text} is not there")
            plan = models.plan(b, "recipe", "chargpt", ["-D", "vocab=65", "-D", "context=64",
                                                        "--batch", "12"])
            out = tempfile.mkdtemp(dir=b.folder)
            words = [b.smrun, "train", plan, "--data", text, "--out", os.path.join(out, "run"),
                     "--steps", str(steps), "--eval-every", "0", "--checkpoint-every", "0", "--quiet",
                     "--lr", "1e-3", "--threads", str(t)]
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                raise Missing(f"smrun train: {done.stderr.strip()[:200]}")
            with open(os.path.join(out, "run", "log.jsonl")) as log:
                took = [json.loads(line) for line in log if "seconds" in line]
            shutil.rmtree(out)
            return {"": (took[-1]["seconds"] - took[9]["seconds"]) / (len(took) - 10)}
        return run

    jobs = []
    for t in sorted(b.threads, reverse=True):
        contestants = {OURS: ours(t),
                       "torch eager": pytorch(b, t, steps // 2, f"recipe eager {text}"),
                       "torch compiled": pytorch(b, t, steps // 2, f"recipe compiled {text}")}
        jobs.append(Job("recipe", "nanoGPT's CPU recipe, an iteration", t, contestants,
                        b.rounds(3, 5), 8 if b.quick else 30, {"": 2.5}))
    return jobs


# ---- generation --------------------------------------------------------------------------------

def llama_cpp(b, make_file, threads, prompt, tokens):
    def run():
        if not b.llama_bench:
            raise Missing("no --llama-bench was given")
        words = [b.llama_bench, "-m", make_file(), "-p", str(prompt), "-n", str(tokens), "-t",
                 str(threads), "-r", "1", "-o", "json"]
        done = subprocess.run(words, capture_output=True, text=True)
        try:
            tests = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise Missing(f"llama-bench: {done.stderr.strip()[-200:]}")
        return {"prefill" if t["n_prompt"] else "decode": t["avg_ns"] / 1e9 / (t["n_prompt"] or t["n_gen"])
                for t in tests}
    return run


def llama2_c(b, threads, m):
    def run():
        if not b.llama2:
            raise Missing("no --llama2 was given")
        weights, tokenizer = models.llama2(b, "small", m)
        done = subprocess.run([b.llama2, weights, "-z", tokenizer, "-t", "0", "-n", "200"],
                              capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        found = re.search(rb"achieved tok/s: ([0-9.]+)", done.stderr)
        if not found:
            raise Missing("llama2.c told no speed: its text ended at once")
        return {"decode": 1 / float(found[1])}
    return run


def weights_limit(b, threads, m, kind, prompt):
    """A token: all weights read once, from wherever so many bytes stay; one of a prompt: its multiply-adds
    with them, in the numbers that they have."""
    def run():
        size = models.matrix_bytes(m, kind)
        found = {"decode": size / limit_rate(b, threads, f"read {size:.0f}", 0.15)}
        if prompt:
            numbers = {"f32": "fma", "bf16": "bf16"}.get(kind, "int8")
            work = 2 * models.matrix_bytes(m, "f32") / 4
            found["prefill"] = work / limit_rate(b, threads, numbers, 0.05)
        return found
    return run


def generation_job(b, section, name, m, kind, t, prompt, tokens, rounds, seconds, bar, extra=()):
    plan = lambda: models.generation_plan(b, name, m, kind)
    file = lambda: models.gguf(b, name, m, kind)
    requests = {"decode": (f"decode {tokens}", tokens)}
    if prompt:
        requests["prefill"] = (f"prefill {prompt}", prompt)
    contestants = {OURS: ours_on_plan(b, plan, t, requests),
                   "llama.cpp": llama_cpp(b, file, t, prompt, tokens), **dict(extra)}
    big = models.matrix_bytes(m, kind) > 64e6
    contestants[LIMIT] = weights_limit(b, t, m, kind, prompt)
    share = {"decode": 0.85 if kind.startswith("q") else 0.90} if big else {}
    return Job(section, f"{name} {kind}", t, contestants, rounds, seconds, bar, share, "ms a token")


def decode(b):
    jobs = []
    kinds = (("f32", 1.0, 2.0), ("bf16", 1.15, 2.0), ("q8_0", 1.3, 2.0), ("q4_0", 1.3, 2.0))
    for name, m, weight in (("GPT-2 124M", models.GPT2, 1.0), ("SmolLM 135M", models.SMOL, 1.2),
                            ("TinyLlama 1.1B", models.TINY, 8.0)):
        for kind, decoding, prefill in kinds:
            if kind.startswith("q") and m is models.GPT2:
                continue
            for t in b.threads:
                prompt = 512 if not b.quick or weight < 2 else 128
                tokens = 128 if not b.quick else 32 if weight < 2 else 12
                extra = {}
                if m is models.GPT2 and kind == "f32" and b.python:
                    extra = {"torch": pytorch(b, t, tokens, "generate", "decode")}
                seconds = (1 if kind == "f32" else 0.7) * (3 * weight * prompt / 512 + 2) * 2 / t
                jobs.append(generation_job(b, "decode", name.replace(" ", "-"), m, kind, t, prompt,
                                           tokens, b.rounds(2 if weight < 2 else 1, 5), seconds,
                                           {"decode": decoding, "prefill": prefill}, extra))
    return jobs


def small(b):
    """Models that fit the cache: there barriers and what an operation costs decide."""
    jobs = []
    for name, m in (("profile-3.45M", models.PROFILE), ("llama-15M", models.SMALL)):
        for t in b.threads:
            extra = {"llama2.c": llama2_c(b, t, m)} if m is models.SMALL else {}
            jobs.append(generation_job(b, "small", name, m, "f32", t, 0, 100, b.rounds(5, 9), 1.5,
                                       {"decode": 1.5}, extra))
    return jobs


SECTIONS = {f.__name__: f for f in (gemm, adamw, rows, attention, small, recipe, step, decode)}
EXTRA = {"kernels": kernels}
