#!/usr/bin/env python3
"""Exported GGUF files say the same as the folders they come from, and what cannot be exported is refused.

Each model of `tiny_families.py` is exported in f32; `dpo score` must give the same log-probs on the file, and so must
transformers, where its own reader of GGUF files knows the architecture. A LoRA adapter is merged and exported too. What llama.cpp should compute is written to
`llama_cpp.jsonl` in the work folder, for `tests/llama_cpp/check.mjs`.

    check_exports.py --dpo target/release/dpo --work FOLDER [MODEL...]
"""

import json
import subprocess
import sys

import torch
from check_saved_model import dpo, largest_difference, load, score
from peft import PeftModel
from tiny_families import MODELS, make, set_up
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-3
"""Largest difference of a completion's summed log-prob, in nats."""

LLAMA_CPP_TOLERANCE = 1e-2
"""The same of one token in llama.cpp, which keeps keys and values in f16."""

N_GREEDY = 16
COLUMNS = ["dpo", "transformers", "merged"]


def refused(args, folder, out):
    """The message with which the export ends."""
    command = [args.dpo, "export", "--model", folder, "--gguf", out, "--quant", "f32"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        sys.exit(f"{folder}: is exported, though llama.cpp would compute something else")
    if out.exists() or "a GGUF file cannot hold" not in done.stderr:
        sys.exit(f"{folder}: is refused with {done.stderr!r}, file there: {out.exists()}")
    return done.stderr.strip().removeprefix("error: ")


def greedy(model, prompt):
    """The likeliest continuation and the log-prob of each of its tokens."""
    ids, logps = list(prompt), []
    for _ in range(N_GREEDY):
        with torch.no_grad():
            last = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], dim=-1)
        best = int(last.argmax())
        ids.append(best)
        logps.append(last[best].item())
    return {"prompt": prompt, "greedy": ids[len(prompt) :], "logps": logps}


def write_case(cases, name, files, model, prompts):
    texts = [greedy(model, prompt) for prompt in prompts]
    cases.write(json.dumps({"name": name, **files, "tolerance": LLAMA_CPP_TOLERANCE, "texts": texts}) + "\n")


def train_adapter(args, model, work):
    short = ["--max-steps", "2", "--warmup-ratio", "0", "--batch-size", "4", "--samples", "0", "--save-every", "0"]
    lora = ["--lora-rank", "4", "--learning-rate", "1e-2"]
    dpo(args, "train", "--model", model, "--data", model / "rows.jsonl", *short, *lora, "--out", work / "run")
    return work / "run" / "model"


def largest_logit_difference(model, other, tokenizer, rows):
    largest = 0.0
    for row in rows:
        ids = torch.tensor([tokenizer(row["prompt"] + row["chosen"])["input_ids"]])
        with torch.no_grad():
            difference = torch.log_softmax(model(ids).logits, -1) - torch.log_softmax(other(ids).logits, -1)
        largest = max(largest, difference.abs().max().item())
    return largest


def check(args, name, work, cases):
    """The largest difference of each column."""
    folder, out = work / "base", work / "model.gguf"
    rows = make(name, folder)
    if not MODELS[name].in_gguf:
        print(f"{name:<24}{refused(args, folder, out)}", flush=True)
        return {}
    dpo(args, "export", "--model", folder, "--gguf", out, "--quant", "f32")
    files = [folder / "rows.jsonl"]
    in_folder, in_file = (score(args, model, files, work / f"{model.name}.jsonl") for model in (folder, out))
    errors = {"dpo": largest_difference(in_file, in_folder)}
    model, tokenizer = load(folder)
    if MODELS[name].in_transformers_gguf:
        other = AutoModelForCausalLM.from_pretrained(work, gguf_file=out.name, dtype=torch.float64).eval()
        errors["transformers"] = largest_logit_difference(model, other, tokenizer, rows)
    prompts = [tokenizer(row["prompt"])["input_ids"] for row in rows]
    # llama.cpp takes LongRoPE's factors for long texts wherever there is room for such texts.
    prompts = [*prompts[:2], sum(prompts, [])] if "longrope" not in name else [sum(prompts, [])]
    write_case(cases, name, {"gguf": str(out.resolve())}, model, prompts)

    adapter, merged, alone = train_adapter(args, folder, work), work / "merged.gguf", work / "adapter.gguf"
    dpo(args, "export", "--model", adapter, "--merge", "--gguf", merged, "--quant", "f32")
    dpo(args, "export", "--model", adapter, "--gguf", alone, "--quant", "f32")
    adapted, in_file = (score(args, model, files, work / f"{model.name}.jsonl") for model in (adapter, merged))
    errors["merged"] = largest_difference(in_file, adapted)
    policy = PeftModel.from_pretrained(model, adapter).double().eval()
    write_case(cases, f"{name} + lora", {"gguf": str(out.resolve()), "lora": str(alone.resolve())}, policy, prompts)
    return errors


def main():
    args = set_up(__doc__)
    args.work.mkdir(parents=True)
    largest = 0.0
    print("{:<24}{:>10}{:>14}{:>10}".format("largest difference, nats", *COLUMNS))
    with open(args.work / "llama_cpp.jsonl", "w", encoding="utf-8") as cases:
        for name in args.models:
            found = check(args, name, args.work / name.replace(" ", "-"), cases)
            if not found:
                continue
            cells = (f"{found[column]:.1e}" if column in found else "" for column in COLUMNS)
            print("{:<24}{:>10}{:>14}{:>10}".format(name, *cells), flush=True)
            largest = max(largest, *found.values())
    if largest > TOLERANCE:
        sys.exit(f"log-probs differ by {largest:.2e}; at most {TOLERANCE:.0e} is allowed")
    print(f"GGUF files agree with their folders within {largest:.2e} (allowed: {TOLERANCE:.0e})")


if __name__ == "__main__":
    main()
