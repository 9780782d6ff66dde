"""Makes losses.json: what TRL's DPOTrainer computes in f64 for the losses of dpo-core.

    pip install trl==1.16.0 torch
    python make_losses.py            # computes every case again from the inputs in losses.json, and writes it
    python make_losses.py --check    # only says how far the file is from what is computed now

The inputs (`sets`) are per-token log-probs [2B, T-1], chosen rows first, 0 outside the completions. `grad` is the
derivative of the loss by them. TRL's `sigmoid` ignores `label_smoothing`; its `aot` does not, and for a batch of one
pair, which sorts nothing, `aot` is `sigmoid` with label smoothing: that is where conservative DPO is taken from.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from trl import DPOTrainer

FILE = Path(__file__).with_name("losses.json")
LOSSES = [
    "sigmoid", "ipo", "hinge", "sigmoid_norm", "sft", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop",
]
SMOOTHED = {"robust": (0.0, 0.1, 0.3), "exo_pair": (0.001, 0.1)}
METRICS = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"]


def cases():
    for loss in LOSSES:
        for beta in (0.1, 0.5):
            for name in ("b4", "b1"):
                yield name, {"loss_type": loss, "beta": beta, "label_smoothing": 0.0}
    for loss, smoothings in SMOOTHED.items():
        for beta in (0.1, 0.5):
            for smoothing in smoothings:
                for name in ("b4", "b1"):
                    yield name, {"loss_type": loss, "beta": beta, "label_smoothing": smoothing}
    for beta in (0.1, 0.5):
        yield "b1", {"loss_type": "aot", "beta": beta, "label_smoothing": 0.1}


def outputs_of(log_probs):
    zeros = torch.zeros_like(log_probs)
    return SimpleNamespace(log_probs=log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


def compute(inputs, options, dtype):
    policy = torch.tensor(inputs["per_token_logps"], dtype=dtype, requires_grad=True)
    reference = torch.tensor(inputs["ref_per_token_logps"], dtype=dtype)
    completion_mask = torch.tensor(inputs["completion_mask"])
    gather = lambda tensor: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        ref_model=lambda **_: outputs_of(reference),
        accelerator=SimpleNamespace(device="cpu", gather=gather, gather_for_metrics=gather),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05),
        aux_loss_enabled=False, precompute_ref_logps=False, use_weighting=False, ld_alpha=None,
        f_divergence_type="reverse_kl", beta=options["beta"], label_smoothing=options["label_smoothing"],
        loss_types=[options["loss_type"]], loss_weights=[1.0],
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )
    batch = {
        "input_ids": torch.ones_like(completion_mask),
        "attention_mask": torch.tensor(inputs["attention_mask"]),
        "completion_mask": completion_mask,
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs_of(policy), batch, False)
    loss.backward()
    metrics = {name: trainer._metrics["train"][name][0] for name in METRICS}
    return {"loss": loss.item(), "grad": policy.grad.tolist(), "metrics": metrics}


def numbers(value):
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value]


def main():
    # The reference runs under a helper that switches checkpointing off in a real model.
    import contextlib
    import trl.trainer.dpo_trainer as module
    module.disable_gradient_checkpointing = lambda *_: contextlib.nullcontext()
    module.is_peft_model = lambda _: False

    golden = json.loads(FILE.read_text())
    made = []
    for name, options in cases():
        inputs = golden["sets"][name]
        f32 = compute(inputs, options, torch.float32)["loss"]
        made.append({"set": name, "options": options, "f32_loss": f32} | compute(inputs, options, torch.float64))
    difference = float("inf")
    if len(made) == len(golden["cases"]):
        pairs = zip(made, golden["cases"])
        flat = lambda case: numbers([case["loss"], case["grad"], case["metrics"]])
        difference = max(abs(a - b) for now, then in pairs for a, b in zip(flat(now), flat(then), strict=True))
    print(f"{len(made)} cases, largest difference to the file: {difference:.3g}")
    if "--check" not in sys.argv:
        lines = ",\n".join(json.dumps(case) for case in made)
        sets = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in golden["sets"].items())
        FILE.write_text(f'{{"made_with": "TRL 1.16.0",\n"sets": {{\n{sets}\n}},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
