#!/usr/bin/env python3
"""The yardstick of docs/benchmarks.md: the same steps by TRL's DPOTrainer on the processor, and what they cost.

Rows are taken in order and dropout is off. TRL prints a line a step, and the figures come after them; the first step is
left out of these, as it is slower than the others.

    trl_dpo.py --model FOLDER --data PAIRS.jsonl [--steps N] [--lora-rank R]

needs `trl==1.16.0` and `datasets==5.2.0` beside requirements.txt.
"""

import argparse
import json
import pathlib
import resource
import sys
import tempfile
import time

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from transformers.utils.logging import set_verbosity_error
from trl import DPOConfig, DPOTrainer


class StepSeconds(TrainerCallback):
    """How long each step takes: forward, backward, clipping and the optimizer."""

    def __init__(self):
        self.seconds = []

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.start)


class TimedTrainer(DPOTrainer):
    """TRL's trainer; the pass over the reference is timed."""

    reference_rows_per_second = None

    def _precompute_ref_logps(self, dataset, *rest):
        start = time.perf_counter()
        dataset = super()._precompute_ref_logps(dataset, *rest)
        self.reference_rows_per_second = len(dataset) / (time.perf_counter() - start)
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
        model_init_kwargs={"dtype": {"f32": "float32", "bf16": "bfloat16"}[args.dtype]},
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
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def print_figures(args, seconds, reference_rows_per_second):
    counted = seconds[1:]
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB.
    print(f"{'pairs/s':<22} {len(counted) * args.batch / sum(counted):.3f}")
    print(f"{'step, median':<22} {sorted(counted)[len(counted) // 2]:.2f} s")
    if reference_rows_per_second is not None:
        print(f"{'reference rows/s':<22} {reference_rows_per_second:.2f}")
    print(f"{'peak memory':<22} {peak_bytes / 2**30:.2f} GiB")


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
    print_figures(args, steps.seconds, trainer.reference_rows_per_second)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a Hugging Face folder")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="JSON lines with prompt, chosen and rejected")
    parser.add_argument("--steps", type=int, default=20, help="steps in all, at least 2")
    parser.add_argument("--batch", type=int, default=4, help="pairs a step")
    parser.add_argument("--lr", type=float, default=1e-6, help="learning rate of the first step; it falls to 0")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="of weights and arithmetic")
    parser.add_argument("--precompute", action="store_true", help="compute the reference's log-probs beforehand")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=512, help="tokens of a text; the rest is cut off")
    parser.add_argument("--lora-rank", type=int, default=0, help="width of adapters; 0 trains the weights")
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
