#!/usr/bin/env python3
"""The yardstick of docs/benchmarks.md: the same steps by TRL's DPOTrainer on the processor, and what they cost.

Rows are taken in order and dropout is off. TRL prints a line a step, and the figures come after them; the first step is
left out of these, as it is slower than the others.

    trl_dpo.py --model FOLDER --data PAIRS.jsonl [--steps N] [--lora-rank R] [--out F.json]

runs on requirements-trl.txt. `cargo xtask bench --against-python` runs it in turn with `dpo bench`.
"""

import time

START = time.perf_counter()  # Before the imports, which a start from cold has to wait for.

import argparse
import json
import pathlib
import platform
import resource
import statistics
import sys
import tempfile

import peft
import torch
import transformers
import trl
from datasets import Dataset, disable_progress_bars
from transformers import AutoTokenizer, TrainerCallback
from transformers.utils.logging import set_verbosity_error
from trl import DPOConfig, DPOTrainer


class StepSeconds(TrainerCallback):
    """When the first step begins, and how long each takes: forward, backward, clipping and the optimizer."""

    def __init__(self):
        self.seconds = []
        self.first = None

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()
        self.first = self.first or self.start

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.start)


class TimedTrainer(DPOTrainer):
    """TRL's trainer; the pass over the reference is timed."""

    reference_rows = 0
    reference_seconds = 0.0

    def _precompute_ref_logps(self, dataset, *rest):
        start = time.perf_counter()
        dataset = super()._precompute_ref_logps(dataset, *rest)
        self.reference_seconds += time.perf_counter() - start
        self.reference_rows += len(dataset)
        return dataset


def first_rows(args):
    """As many as the steps take. TRL drops those whose prompt alone fills `--max-length`, and begins again for them."""
    n_rows = args.steps * args.batch
    with open(args.data, encoding="utf-8") as file:
        rows = [json.loads(line) for _, line in zip(range(n_rows), file)]
    if len(rows) < n_rows:
        sys.exit(f"{args.data}: has {len(rows)} rows; {args.steps} steps of {args.batch} take {n_rows}")
    return Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows])


def config(args, folder):
    return DPOConfig(
        output_dir=folder,
        use_cpu=True,
        model_init_kwargs={"dtype": "float32"},
        bf16=args.dtype == "bf16",
        gradient_checkpointing=False,
        beta=0.1,
        learning_rate=args.lr,
        per_device_train_batch_size=args.batch,
        max_steps=args.steps,
        max_length=args.max_length,
        train_sampling_strategy="sequential",
        precompute_ref_log_probs=args.precompute,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    )


def lora(rank):
    """Settings of an adapter, as `dpo train --lora-rank` has them; none for rank 0."""
    if rank == 0:
        return None
    return peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def figures(args, steps, trainer):
    """The names are those of `dpo bench`."""
    counted = steps.seconds[1:]
    waited = steps.first - START
    reference = trainer.reference_rows / trainer.reference_seconds if trainer.reference_rows else None
    quartiles = statistics.quantiles(counted, n=4, method="inclusive") if len(counted) > 1 else counted * 3
    return {
        "dtype": args.dtype,
        "lora_rank": args.lora_rank or None,
        "threads": args.threads,
        "steps": len(counted),
        "batch_size": args.batch,
        "pairs_per_second": len(counted) * args.batch / sum(counted),
        "step_seconds": {"median": quartiles[1], "quartiles": [quartiles[0], quartiles[2]]},
        "reference_rows_per_second": reference,
        "cold_start_seconds": waited - trainer.reference_seconds,
        "cold_start_with_reference_seconds": waited if args.precompute else None,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts in KiB.
        "versions": {
            "python": platform.python_version(),
            **{module.__name__: module.__version__ for module in (torch, transformers, trl, peft)},
        },
    }


def print_figures(figures):
    step = figures["step_seconds"]
    lines = [
        ("pairs/s", f"{figures['pairs_per_second']:.3f}"),
        ("step, median", f"{step['median']:.2f} s ({step['quartiles'][0]:.2f} to {step['quartiles'][1]:.2f})"),
        ("cold start", f"{figures['cold_start_seconds']:.2f} s"),
        ("peak memory", f"{figures['peak_memory_bytes'] / 2**30:.2f} GiB"),
    ]
    if figures["reference_rows_per_second"] is not None:
        lines.insert(2, ("reference rows/s", f"{figures['reference_rows_per_second']:.2f}"))
        lines.insert(4, ("  with the reference", f"{figures['cold_start_with_reference_seconds']:.2f} s"))
    for name, value in lines:
        print(f"{name:<22} {value}")


def train(args, folder):
    steps = StepSeconds()
    trainer = TimedTrainer(
        model=args.model,
        args=config(args, folder),
        train_dataset=first_rows(args),
        processing_class=AutoTokenizer.from_pretrained(args.model),
        peft_config=lora(args.lora_rank),
        callbacks=[steps],
    )
    trainer.train()
    measured = figures(args, steps, trainer)
    print_figures(measured)
    if args.out:
        args.out.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a Hugging Face folder")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="JSON lines with prompt, chosen and rejected")
    parser.add_argument("--steps", type=int, default=20, help="steps in all, at least 2")
    parser.add_argument("--batch", type=int, default=4, help="pairs a step")
    parser.add_argument("--lr", type=float, default=1e-6, help="learning rate of the first step; it falls to 0")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of arithmetic: f32, or bf16 autocast over f32 weights")
    parser.add_argument("--precompute", action="store_true", help="compute the reference's log-probs beforehand")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=512, help="tokens of a text; the rest is cut off")
    parser.add_argument("--lora-rank", type=int, default=0, help="width of adapters; 0 trains the weights")
    parser.add_argument("--out", type=pathlib.Path, help="also write the figures to this file")
    args = parser.parse_args()
    if args.steps < 2:
        parser.error("--steps must be at least 2: the first is not counted")
    torch.set_num_threads(args.threads)
    set_verbosity_error()
    disable_progress_bars()
    with tempfile.TemporaryDirectory(prefix="trl-dpo-") as folder:
        train(args, folder)


if __name__ == "__main__":
    main()
