"""Makes losses_kto.json: what TRL's KTOTrainer computes in f64 for the sequences of losses.json.

    pip install trl==1.16.0 torch
    python make_losses_kto.py            # computes every case again, and writes the file
    python make_losses_kto.py --check    # only says how far the file is from what is computed now

The chosen sequences of the set are the desirable completions, the rejected ones the undesirable. `kl_logps` and
`ref_kl_logps` are summed log-probs of mismatched completions, one for each sequence. `grad` is the derivative of the loss
by the per-token log-probs.
"""

import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
from make_losses import numbers
from trl.trainer.kto_trainer import KTOTrainer

FILE = Path(__file__).with_name("losses_kto.json")
SET = "b4"
CASES = [(0.1, 1.0, 1.0, 0.2), (0.5, 1.33, 0.8, 0.2), (0.1, 1.0, 1.5, -0.4)]
METRICS = ["kl", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"]


def outputs_of(log_probs):
    zeros = torch.zeros_like(log_probs)
    return SimpleNamespace(log_probs=log_probs, entropy=zeros, mean_logits=zeros)


def compute(inputs, case):
    f64 = lambda values: torch.tensor(values, dtype=torch.float64)
    policy = f64(inputs["per_token_logps"]).requires_grad_()
    mask = torch.tensor(inputs["completion_mask"])
    kl = f64(case["kl_logps"])
    gather = lambda tensor: tensor
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=SimpleNamespace(device="cpu", gather_for_metrics=gather),
        aux_loss_enabled=False, precompute_ref_logps=True, calculate_KL=True, loss_type="kto", beta=case["beta"],
        desirable_weight=case["desirable"], undesirable_weight=case["undesirable"],
        _compute_kl_logps=lambda model, batch: kl, _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )
    n = len(mask) // 2
    batch = {
        "input_ids": torch.ones_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "label": torch.tensor([True] * n + [False] * n), "ref_logps": f64(inputs["ref_per_token_logps"]).sum(-1),
        "ref_KL_logps": f64(case["ref_kl_logps"]),
    }
    loss = KTOTrainer._compute_loss(trainer, lambda **_: outputs_of(policy), batch, False)
    loss.backward()
    metrics = {name: trainer._metrics["train"][name][0] for name in METRICS}
    return {"loss": loss.item(), "grad": policy.grad.tolist(), "metrics": metrics}


def main():
    inputs = json.loads(FILE.with_name("losses.json").read_text())["sets"][SET]
    made = []
    for idx, (beta, desirable, undesirable, drift) in enumerate(CASES):
        draw = random.Random(idx)
        reference = [draw.uniform(-15, -1) for _ in inputs["per_token_logps"]]
        case = {"set": SET, "beta": beta, "desirable": desirable, "undesirable": undesirable}
        case["kl_logps"] = [logp + draw.uniform(-1, 1) + drift for logp in reference]
        case["ref_kl_logps"] = reference
        made.append(case | compute(inputs, case))
    then = json.loads(FILE.read_text())["cases"] if FILE.exists() else []
    flat = lambda cases: [n for case in cases for n in numbers([case["loss"], case["grad"], case["metrics"]])]
    same = len(flat(then)) == len(flat(made))
    difference = max(abs(a - b) for a, b in zip(flat(made), flat(then))) if same else float("inf")
    print(f"{len(made)} cases, largest difference to the file: {difference:.3g}")
    if "--check" not in sys.argv:
        lines = ",\n".join(json.dumps(case) for case in made)
        FILE.write_text(f'{{"made_with": "TRL 1.16.0",\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
