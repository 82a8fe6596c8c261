#!/usr/bin/env python3
"""Do our GGUF files have in llama.cpp the logits that `transformers` computes?

    python3 compare_llama_cpp.py SOURCE BUILD SMC SMRUN [FAMILY...]

SOURCE is a checkout of llama.cpp and BUILD the folder where its library was built.  Each tiny model of
families/ is written as a folder of safetensors, `smrun export` makes a GGUF file of it in f32, llama_logits.c
computes its logits with that library for the recorded prompt, and the largest difference from those of
`transformers` is told as a share of the largest logit.  Exits with 1 when one is above 2e-3: gelu, which
llama.cpp looks up in a table of f16, costs as much; all else is 2e-6.  What llama.cpp has no room for, a
window in Llama's architecture and a scale of scores in Gemma 2's, is left out of those models first.  Needs a
C++ compiler, and what make_families.py needs.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

from make_families import FAMILIES, HERE, draw, fill

LIMIT = 2e-3
WITHOUT = {"mistral": {"sliding_window": None}, "gemma2": {"query_pre_attn_scalar": 16}}


def build(source, folder, out):
    includes = [f"-I{source}/include", f"-I{source}/ggml/include"]
    flash = ["-DFLASH_TYPE"] if "flash_attn_type;" in (source / "include/llama.h").read_text() else []
    shared = sorted(folder.rglob("libllama.so")) + sorted(folder.rglob("libggml*.so"))
    static = [p for name in ("llama", "ggml", "ggml-cpu", "ggml-base") for p in folder.rglob(f"lib{name}.a")]
    libraries = [str(p) for p in shared or static]
    paths = [f"-Wl,-rpath,{p.parent}" for p in shared]
    subprocess.run(["cc", "-c", *includes, *flash, str(HERE / "llama_logits.c"), "-o", f"{out}.o"], check=True)
    subprocess.run(["c++", f"{out}.o", *libraries, *paths, "-fopenmp", "-lpthread", "-ldl", "-o", out], check=True)


def characters():
    """By which byte-level tokenizers write the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(others))]


def expected(name, ref):
    config = FAMILIES[name]
    for key, value in WITHOUT.get(name, {}).items():
        ref["config"][key] = value
        setattr(config, key, value)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    draw(model, ref["seed"], ref["centre"])
    with torch.no_grad():
        return model(torch.tensor([ref["prompt"]]), use_cache=False).logits[0].numpy()


def write_folder(folder, ref):
    vocab = ref["config"]["vocab_size"]
    tokens = {c: i for i, c in enumerate(characters()[:vocab])}
    tokenizer = {"added_tokens": [], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                 "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": tokens, "merges": []}}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(ref["config"]))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    save_file({name: fill(name, shape, ref["seed"], ref["centre"]).numpy() for name, shape in ref["tensors"]},
              folder / "model.safetensors")


def compare(name, folder, smrun, llama):
    ref = json.loads((HERE / "families" / f"{name}.json").read_text())
    want = expected(name, ref)
    write_folder(folder / "model", ref)
    gguf = folder / f"{name}.gguf"
    made = subprocess.run([smrun, "export", folder / "model", "-o", gguf], capture_output=True, text=True)
    if made.returncode:
        return None, made.stderr.strip()
    ids = [str(i) for i in ref["prompt"]]
    ran = subprocess.run([llama, gguf, *ids], capture_output=True)
    if ran.returncode:
        return None, " ".join(ran.stderr.decode().split())
    got = np.frombuffer(ran.stdout, np.float32).reshape(len(ids), -1)
    return np.abs(got - want).max() / np.abs(want).max(), ""


def main():
    source, folder, smc, smrun = (pathlib.Path(a).resolve() for a in sys.argv[1:5])
    os.environ |= {"SMC": str(smc), "SMALLMIND_MODELS": str(HERE.parents[1] / "models")}
    names = sys.argv[5:] or sorted(p.stem for p in (HERE / "families").glob("*.json"))
    fine = True
    with tempfile.TemporaryDirectory() as scratch:
        llama = os.path.join(scratch, "llama_logits")
        build(source, folder, llama)
        for name in names:
            error, why = compare(name, pathlib.Path(scratch), smrun, llama)
            fine = fine and error is not None and error <= LIMIT
            print(f"{name:10} {why if error is None else f'{error:.1e}'}", flush=True)
    sys.exit(not fine)


if __name__ == "__main__":
    main()
