"""Ten training steps of three tiny models in PyTorch: an oracle that this project did not write.

Writes, for NAME in tiny_gpt2, tiny_llama and tiny_mlp, beside this script:
  NAME.safetensors          the initial weights, float32, under the names of models/*.smg
  NAME_batches.safetensors  one tensor per input of the .smg file; step s takes the samples
                            s * batch .. s * batch + batch - 1 of the first axis
  NAME.json                 what PyTorch made of them; README.md has the schema

    python3 train_tiny.py              rewrite the files
    python3 train_tiny.py --check      compute, compare with the files, write nothing
    python3 train_tiny.py --sensitivity
                                       how far the figures move when one rule is broken, which is
                                       how tight a tolerance has to be to notice
"""
import argparse
import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import tiny_models as tiny

HERE = pathlib.Path(__file__).resolve().parent
STEPS = 10


def language_loss(model):
    def loss(params, tokens, targets):
        logits = model(params, tokens.long())
        return F.cross_entropy(logits.flatten(0, 1), targets.long().flatten())
    return loss


def squared_error(params, x, target):
    d = tiny.mlp(params, x) - target
    return (d * d).mean()


def token_batches(seed, batch=4, length=16, vocab=64):
    rng = torch.Generator().manual_seed(seed)
    shape = (STEPS * batch, length)
    return {name: torch.randint(vocab, shape, generator=rng, dtype=torch.int32)
            for name in ("tokens", "targets")}


def regression_batches(seed, batch=8):
    rng = torch.Generator().manual_seed(seed)
    return {"x": torch.randn((STEPS * batch, tiny.MLP["inputs"]), generator=rng),
            "target": torch.randn((STEPS * batch, 1), generator=rng)}


def adamw(params, lr, decay=0.1, betas=(0.9, 0.95), decay_rank=2):
    """Decoupled decay, on matrices only: a bias or a norm weight must not be pulled to zero."""
    groups = [{"params": [p for p in params if p.ndim >= decay_rank], "weight_decay": decay},
              {"params": [p for p in params if p.ndim < decay_rank], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=1e-8, foreach=False)


def sgd(params, lr=0.01, momentum=0.9):
    return torch.optim.SGD(params, lr=lr, momentum=momentum, foreach=False)


# The language models' gradients are always longer than the clip; the network's on some steps only.
CASES = {
    "tiny_gpt2": dict(shapes=tiny.gpt2_shapes(), config=tiny.GPT2, model=tiny.gpt2, std=0.2,
                      loss=language_loss(tiny.gpt2), batches=token_batches(11), batch=4,
                      optimizer=adamw, options=dict(lr=6e-4), clip=1.0, seed=1),
    "tiny_llama": dict(shapes=tiny.llama_shapes(), config=tiny.LLAMA, model=tiny.llama, std=0.2,
                       loss=language_loss(tiny.llama), batches=token_batches(12), batch=4,
                       optimizer=adamw, options=dict(lr=3e-4), clip=1.0, seed=2),
    "tiny_mlp": dict(shapes=tiny.mlp_shapes(), config=tiny.MLP, model=tiny.mlp, std=0.08,
                     loss=squared_error, batches=regression_batches(13), batch=8,
                     optimizer=sgd, options=dict(lr=0.01, momentum=0.9), clip=1.0, seed=3),
}


def train(case, dtype, **change):
    """The ten steps in one dtype: losses and norms before clipping, and the final parameters."""
    case = {**case, **change}
    params = {name: value.to(dtype).requires_grad_()
              for name, value in tiny.init(case["shapes"], case["seed"], case["std"]).items()}
    leaves = list(params.values())
    optimizer = case["optimizer"](leaves, **case["options"])
    losses, norms = [], []
    for step in range(STEPS):
        rows = slice(step * case["batch"], (step + 1) * case["batch"])
        batch = [t[rows].to(dtype) if t.is_floating_point() else t[rows]
                 for t in case["batches"].values()]
        loss = case["loss"](params, *batch)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(leaves, case["clip"])
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, {name: p.detach() for name, p in params.items()}


def l2(params):
    return {name: value.double().norm().item() for name, value in params.items()}


def results(case):
    losses, norms, final = train(case, torch.float32)
    losses64, norms64, final64 = train(case, torch.float64)
    initial = tiny.init(case["shapes"], case["seed"], case["std"])
    first = next(iter(case["batches"].values()))[:case["batch"]]
    with torch.no_grad():
        if first.is_floating_point():
            outputs = {"y_first_batch": shortest(case["model"](initial, first))}
        else:
            outputs = {"logits_first_row": shortest(case["model"](initial, first[:1].long())[0])}
    return {"torch": torch.__version__.split("+")[0], "config": case["config"],
            "batch": case["batch"], "optimizer": case["optimizer"].__name__,
            **case["options"], "clip": case["clip"],
            "losses": losses, "grad_norms": norms,
            "losses_f64": losses64, "grad_norms_f64": norms64,
            "final_norms": l2(final), "final_norms_f64": l2(final64), **outputs}


def shortest(t):
    """Nested lists of the fewest digits that read back as the same float32."""
    if t.ndim:
        return [shortest(row) for row in t]
    return float(str(t.numpy()))


def check_against_transformers(case):
    """The tiny models are ours too; so that they are GPT-2 and Llama, the published code says."""
    import transformers
    params = tiny.init(case["shapes"], case["seed"], case["std"])
    tokens, c = case["batches"]["tokens"].long(), case["config"]
    if case["model"] is tiny.gpt2:
        peer = transformers.GPT2LMHeadModel(transformers.GPT2Config(
            vocab_size=c["vocab"], n_positions=c["context"], n_embd=c["width"],
            n_layer=c["depth"], n_head=c["heads"], activation_function="gelu_new",
            layer_norm_epsilon=1e-5, bos_token_id=None, eos_token_id=None))
        named = {"transformer." + k: v for k, v in params.items()}
        named["lm_head.weight"] = params["wte.weight"]
    else:
        peer = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=c["vocab"], max_position_embeddings=c["context"],
            hidden_size=c["width"], intermediate_size=c["hidden"],
            num_hidden_layers=c["depth"], num_attention_heads=c["heads"],
            num_key_value_heads=c["kv_heads"], rms_norm_eps=c["eps"],
            rope_parameters={"rope_type": "default", "rope_theta": c["rope_base"]},
            tie_word_embeddings=False))
        named = params
    peer.load_state_dict(named, strict=True)
    with torch.no_grad():
        difference = (peer.eval()(tokens).logits - case["model"](params, tokens)).abs().max().item()
    print(f"  transformers {transformers.__version__}: logits differ by {difference:.2g}")
    assert difference < 1e-5


def relative(a, b):
    return max(abs(x - y) / max(abs(y), 1e-30) for x, y in zip(a, b))


def compare(name, fresh):
    """Another PyTorch sums in another order; anything beyond that is a finding."""
    kept = json.loads((HERE / f"{name}.json").read_text())
    for key in ("losses", "grad_norms", "losses_f64", "grad_norms_f64"):
        worst = relative(fresh[key], kept[key])
        print(f"  {key}: {worst:.2g} relative")
        assert worst < (1e-10 if key.endswith("f64") else 1e-5), key
    for kind, want in (("", CASES[name]["batches"]), ("weights", tiny.init(
            CASES[name]["shapes"], CASES[name]["seed"], CASES[name]["std"]))):
        path = HERE / (f"{name}.safetensors" if kind else f"{name}_batches.safetensors")
        have = load_file(path)
        assert have.keys() == want.keys() and all(torch.equal(have[k], want[k]) for k in have), path


def write(name, case, result):
    save_file(tiny.init(case["shapes"], case["seed"], case["std"]), HERE / f"{name}.safetensors")
    save_file(case["batches"], HERE / f"{name}_batches.safetensors")
    for file in HERE.glob(f"{name}*.safetensors"):
        file.chmod(0o644)
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in result.items()]
    (HERE / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def sensitivity(name, case):
    broken = {"no clipping": dict(clip=1e9)}
    if case["optimizer"] is adamw:
        options = case["options"]
        broken.update({
            "no decay": dict(options={**options, "decay": 0.0}),
            "decay on every tensor": dict(options={**options, "decay_rank": 0}),
            "beta2 0.999": dict(options={**options, "betas": (0.9, 0.999)})})
    else:
        broken["no momentum"] = dict(options={**case["options"], "momentum": 0.0})
    losses, norms, final = train(case, torch.float64)
    rows = {"float32": train(case, torch.float32)}
    rows.update({what: train(case, torch.float64, **change) for what, change in broken.items()})
    print(f"  {'':24} loss (absolute)  grad norm (rel)  final norm (rel)")
    for what, (l, g, f) in rows.items():
        want, have = l2(final), l2(f)
        print(f"  {what:24} {max(abs(a - b) for a, b in zip(l, losses)):15.2g}"
              f"  {relative(g, norms):15.2g}"
              f"  {relative(have.values(), want.values()):16.2g}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--sensitivity", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, case in CASES.items():
        print(name)
        if case["config"] is not tiny.MLP:
            check_against_transformers(case)
        if args.sensitivity:
            sensitivity(name, case)
        elif args.check:
            compare(name, results(case))
        else:
            write(name, case, results(case))


if __name__ == "__main__":
    main()
