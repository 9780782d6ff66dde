"""Makes runs/: ten optimizer steps of TRL's DPOTrainer, trimmed to what the tests read.

    python make_runs.py SHARED        # SHARED holds golden/runs and golden/smollm2_hh_20_steps.json

Nothing is computed here: numbers are copied, those that no test reads are left out.
"""

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "runs"
RUNS = ["base_plain", "base_conv", "cosine_wd_accum2", "clip", "precompute", "ipo", "truncate", "lora4"]
WITH_DATASET = ["base_plain", "base_conv", "truncate"]
OPTIONS = [
    "per_device_train_batch_size", "gradient_accumulation_steps", "max_steps", "max_length", "learning_rate",
    "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "loss_type", "beta",
    "precompute_ref_log_probs",
]
PAIRS = [f"{what}/{side}" for what in ("rewards", "logps") for side in ("chosen", "rejected")]
METRICS = ["loss", *PAIRS, "rewards/accuracies", "rewards/margins"]
STEP = ["grad_norm", "learning_rate", "epoch", *METRICS]


def pick(values, names):
    return {name: values[name] for name in names if name in values}


def trimmed(golden, dataset):
    steps = [{"step": step["step"]} | pick(step["log"], STEP) for step in golden["steps"]]
    run = {"options": pick(golden["options"], OPTIONS)} | pick(golden, ["format", "rows_in", "rows_kept"])
    run |= {"steps": steps, "eval": pick(golden["eval"], [f"eval_{name}" for name in METRICS])}
    run["final"] = {name: pick(tensor, ["l2", "head", "tail"]) for name, tensor in golden["final"].items()}
    return run | ({"dataset": golden["dataset"]} if dataset else {})


def main():
    source = Path(sys.argv[1]) / "golden"
    OUT.mkdir(exist_ok=True)
    for name in RUNS:
        golden = json.loads((source / "runs" / name / "golden.json").read_text())
        text = json.dumps(trimmed(golden, name in WITH_DATASET), separators=(",", ":"))
        (OUT / f"{name}.json").write_text(text + "\n")
    for name in ["train_conv", "train_plain", "eval_conv", "eval_plain"]:
        shutil.copyfile(source / "runs" / f"{name}.json", OUT / f"{name}.json")
    shutil.copytree(source / "runs" / "model", OUT / "model", dirs_exist_ok=True)
    shutil.copyfile(source / "runs" / "base_conv" / "model.safetensors", OUT / "base_conv.safetensors")
    for which in ["initial", "final"]:
        adapter = source / "runs" / "lora4" / f"{which}_adapter.safetensors"
        shutil.copyfile(adapter, OUT / f"lora4_{which}.safetensors")
    golden = json.loads((source / "smollm2_hh_20_steps.json").read_text())
    steps = [pick(step, ["step", *STEP]) for step in golden["steps"]]
    text = json.dumps(pick(golden, ["what", "options", "versions"]) | {"steps": steps}, indent=1)
    (OUT / "smollm2_hh_20_steps.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
