"""Times how TRL's DPOTrainer prepares a file: prompts extracted, chat template applied, tokenised, with `datasets.map`.

    python tokenise_speed.py MODEL_FOLDER DATA.jsonl [PROCESSES]

What the trainer does with the rows in `_prepare_dataset` is timed, and nothing else; nothing comes from a cache. Five times,
of which the median is printed. Beside it stands the example `tokenise` of dpo-data.
"""

import statistics
import sys
import tempfile
import time

import datasets
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, DPOTrainer

SECONDS = []
CPU_SECONDS = []


class Timed(DPOTrainer):
    def _prepare_dataset(self, *args, **kwargs):
        start, cpu = time.perf_counter(), time.process_time()
        prepared = super()._prepare_dataset(*args, **kwargs)
        SECONDS.append(time.perf_counter() - start)
        CPU_SECONDS.append(time.process_time() - cpu)
        self.prepared = prepared
        return prepared


def main():
    folder, data = sys.argv[1:3]
    processes = int(sys.argv[3]) if len(sys.argv) > 3 else None
    datasets.disable_caching()
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tiny = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    torch.manual_seed(0)
    for _ in range(5):
        rows = datasets.load_dataset("json", data_files=data, split="train", cache_dir=tempfile.mkdtemp())
        with tempfile.TemporaryDirectory() as out:
            config = DPOConfig(
                output_dir=out, use_cpu=True, bf16=False, report_to="none", max_length=1024, dataset_num_proc=processes
            )
            Timed(
                LlamaForCausalLM(tiny),
                ref_model=LlamaForCausalLM(tiny),
                args=config,
                train_dataset=rows,
                processing_class=tokenizer,
            )
    median = statistics.median(SECONDS)
    print(
        f"{len(rows)} rows: median {median:.3f} s of {len(SECONDS)} ({min(SECONDS):.3f} to {max(SECONDS):.3f}), "
        f"{len(rows) / median:.0f} rows/s, {processes or 1} processes, {statistics.median(CPU_SECONDS):.3f} s of this one's processor"
    )


if __name__ == "__main__":
    main()
