"""Makes losses.json: what TRL's DPOTrainer computes in f64 for the losses of dpo-core.

    pip install trl==1.16.0 torch
    python make_losses.py            # computes every case again from the inputs in losses.json, and writes it
    python make_losses.py --check    # only says how far the file is from what is computed now

The inputs (`sets`) are per-token log-probs [2B, T-1], chosen rows first, 0 outside the completions, and ln Σ p² of the
policy beside them. `grad` is the derivative of the loss by the log-probs. TRL's `sigmoid` ignores `label_smoothing`.
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
SMOOTHED = {"robust": (0.0, 0.1, 0.3), "exo_pair": (0.001, 0.1), "aot": (0.0, 0.1), "aot_unpaired": (0.0, 0.1)}
OF_MARGIN = {"sigmoid": 0.0, "sigmoid_norm": 0.0, "hinge": 0.0, "ipo": 0.0, "exo_pair": 0.1, "robust": 0.1, "discopop": 0.0}
DIVERGENCES = [("forward_kl", None), ("js_divergence", None)] + [("alpha_divergence", alpha) for alpha in (0.3, 0.5, 1.0, 2.0)]
# Its `hinge` and `sft` fail when they are weighted.
WEIGHTED = [
    "sigmoid", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop",
    "sigmoid_norm",
]
METRICS = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"]
DEFAULTS = {
    "beta": 0.1, "label_smoothing": 0.0, "f_divergence_type": "reverse_kl", "f_alpha_divergence_coef": 0.5,
    "ld_alpha": None, "use_weighting": False, "discopop_tau": 0.05, "loss_weights": None,
}


def cases():
    for loss in LOSSES:
        for beta in (0.1, 0.5):
            for name in ("b4", "b1"):
                yield name, {"loss_type": [loss], "beta": beta, "label_smoothing": 0.0}
    for loss, smoothings in SMOOTHED.items():
        for beta in (0.1, 0.5):
            for smoothing in smoothings:
                for name in ("b4", "b1"):
                    yield name, {"loss_type": [loss], "beta": beta, "label_smoothing": smoothing}
    for loss, smoothing in OF_MARGIN.items():
        for kind, alpha in DIVERGENCES:
            options = {"loss_type": [loss], "label_smoothing": smoothing, "f_divergence_type": kind}
            yield "b4", options if alpha is None else options | {"f_alpha_divergence_coef": alpha}
    for loss in WEIGHTED:
        yield "b4", {"loss_type": [loss], "use_weighting": True, "label_smoothing": 0.1 if loss == "exo_pair" else 0.0}
    for alpha in (0.0, 0.5, 1.0):
        for loss in ("sigmoid", "ipo", "sigmoid_norm", "hinge", "bco_pair"):
            yield "b4", {"loss_type": [loss], "ld_alpha": alpha}
    yield "b4", {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]}
    yield "b4", {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.25], "ld_alpha": 0.3}
    yield "b4", {"loss_type": ["sigmoid", "ipo"], "loss_weights": [0.5, 2.0], "use_weighting": True}


def outputs_of(log_probs, log_sum_sq_probs=None):
    zeros = torch.zeros_like(log_probs)
    return SimpleNamespace(
        log_probs=log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(), log_sum_sq_probs=log_sum_sq_probs
    )


def compute(inputs, options, dtype):
    options = DEFAULTS | options
    squares = torch.tensor(inputs["log_sum_sq_probs"], dtype=dtype)
    policy = torch.tensor(inputs["per_token_logps"], dtype=dtype, requires_grad=True)
    reference = torch.tensor(inputs["ref_per_token_logps"], dtype=dtype)
    completion_mask = torch.tensor(inputs["completion_mask"])
    gather = lambda tensor: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        ref_model=lambda **_: outputs_of(reference),
        accelerator=SimpleNamespace(device="cpu", gather=gather, gather_for_metrics=gather),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=options["discopop_tau"]),
        aux_loss_enabled=False, precompute_ref_logps=False, use_weighting=options["use_weighting"],
        ld_alpha=options["ld_alpha"], f_divergence_type=options["f_divergence_type"],
        f_alpha_divergence_coef=options["f_alpha_divergence_coef"], beta=options["beta"], label_smoothing=options["label_smoothing"],
        loss_types=options["loss_type"], loss_weights=options["loss_weights"] or [1.0] * len(options["loss_type"]),
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )
    batch = {
        "input_ids": torch.ones_like(completion_mask),
        "attention_mask": torch.tensor(inputs["attention_mask"]),
        "completion_mask": completion_mask,
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs_of(policy, squares), batch, False)
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
        in_f32 = compute(inputs, options, torch.float32)
        case = {"set": name, "options": options, "f32_loss": in_f32["loss"]}
        # Its α-divergence fails in f64.
        if options.get("f_divergence_type") == "alpha_divergence" and options["f_alpha_divergence_coef"] != 1.0:
            made.append(case | {"is_f32": True} | in_f32)
        else:
            made.append(case | compute(inputs, options, torch.float64))
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
