"""Makes runs/tr_dpo.json: ten optimizer steps of TRL's DPOTrainer whose reference follows the policy.

    python make_tr_dpo.py            # beside runs/model, runs/train_conv.json and runs/eval_conv.json

Options and trimming are those of runs/base_conv.json (see make_runs.py), with `sync_ref_model`: after steps 4 and 8 the
reference becomes 0.6 of the policy and 0.4 of itself.
"""

import json
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from make_runs import METRICS, OUT, STEP, pick

OPTIONS = {
    "per_device_train_batch_size": 4,
    "max_steps": 10,
    "max_length": 160,
    "learning_rate": 0.001,
    "lr_scheduler_type": "linear",
    "warmup_steps": 3,
}


class Logs(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.steps.append({"step": state.global_step} | pick(logs, STEP))


def rows(name):
    return Dataset.from_list(json.loads((OUT / f"{name}_conv.json").read_text()))


def summary(tensor):
    values = tensor.detach().to(torch.float64).flatten()
    return {"l2": values.norm().item(), "head": values[:8].tolist(), "tail": values[-8:].tolist()}


def train(name, trainer_class, options, written=None, **others):
    """Ten steps with these options beside those of base_conv, written to runs/NAME.json with those that TRL does not have."""
    logs = Logs()
    options = OPTIONS | options
    with tempfile.TemporaryDirectory() as folder:
        config = DPOConfig(
            output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, per_device_eval_batch_size=4,
            logging_steps=1, save_strategy="no", report_to="none", seed=42, train_sampling_strategy="sequential",
            dataloader_pin_memory=False, disable_tqdm=True,
            model_init_kwargs={"attn_implementation": "eager", "dtype": "float32"}, **options, **others,
        )
        trainer = trainer_class(
            model=str(OUT / "model"), args=config, train_dataset=rows("train"), eval_dataset=rows("eval"),
            callbacks=[logs],
        )
        trainer.train()
        evaluation = pick(trainer.evaluate(), [f"eval_{name}" for name in METRICS])
    run = {"options": options | (written or {}), "format": "conv", "rows_in": 64, "rows_kept": 64, "steps": logs.steps, "eval": evaluation}
    run["final"] = {name: summary(tensor) for name, tensor in trainer.model.named_parameters()}
    (OUT / f"{name}.json").write_text(json.dumps(run, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    train("tr_dpo", DPOTrainer, {"ref_model_mixup_alpha": 0.6, "ref_model_sync_steps": 4}, sync_ref_model=True)
