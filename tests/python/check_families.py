#!/usr/bin/env python3
"""Every family, fresh random models of odd sizes: scoring, training, saving and adapters agree with transformers.

Each model of `tiny_families.py` is scored by `dpo score`; trained for two steps, all weights, saved and scored; and
trained with LoRA adapters, which PEFT loads. Summed log-probs of all completions must be those of transformers, and
what is saved must have the names, shapes and types of what was there.

    check_families.py --dpo target/release/dpo --work FOLDER [MODEL...]
"""

import sys

import torch
from check_saved_model import TOLERANCE, dpo, largest_difference, load, score, shared_prefix, token_ids
from peft import PeftModel
from safetensors import safe_open
from tiny_families import MODELS, make, set_up

LEAST_CHANGE = 1e-3
"""Training must have moved some completion by more."""

ADAPTERS = {"lora": [], "rslora": ["--rslora"], "dora": ["--dora"]}
COLUMNS = ["score", "saved", *ADAPTERS]


def describe(folder):
    """Name, shape and type of every tensor."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                part = file.get_slice(name)
                found[name] = (part.get_shape(), part.get_dtype())
    return found


def train(args, model, out, *flags):
    short = ["--max-steps", "2", "--warmup-ratio", "0", "--batch-size", "4", "--samples", "0", "--save-every", "0"]
    dpo(args, "train", "--model", model, "--data", model / "rows.jsonl", *short, "--out", out, *flags)
    return out / "model"


def expected(model, tokenizer, row):
    """The line of `dpo score`, by transformers, with both texts in one padded batch.

    Where the longest text of a batch chooses the rotation's frequencies, in LongRoPE, both completions have the same.
    """
    prompt, texts = token_ids(tokenizer, row)
    start = shared_prefix([prompt, *texts])
    length = max(map(len, texts))
    ids = torch.tensor([text + [tokenizer.pad_token_id] * (length - len(text)) for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts])
    with torch.no_grad():
        logps = torch.log_softmax(model(ids, attention_mask=mask).logits[:, :-1], dim=-1)
    logps = logps.gather(2, ids[:, 1:, None])[..., 0]
    sums = [logps[idx, max(start, 1) - 1 : len(text) - 1].sum().item() for idx, text in enumerate(texts)]
    completions = [{"tokens": len(text) - start, "logp": logp} for text, logp in zip(texts, sums, strict=True)]
    return {"prompt_tokens": start, "completions": completions}


def agreed(args, saved, policy, tokenizer, rows, before):
    """Largest difference to transformers, of a model that training has moved."""
    found = score(args, saved, [args.rows], saved.with_suffix(".jsonl"))
    if before is not None and largest_difference(found, before) < LEAST_CHANGE:
        sys.exit(f"{saved}: training changed no log-prob by more than {LEAST_CHANGE}")
    return largest_difference(found, [expected(policy, tokenizer, row) for row in rows]), found


def check(args, name, work):
    """The largest difference of each column, NaN where a column does not apply."""
    folder = work / "base"
    rows = make(name, folder)
    args.rows = folder / "rows.jsonl"
    errors = {}
    base, tokenizer = load(folder)
    errors["score"], before = agreed(args, folder, base, tokenizer, rows, None)
    saved = train(args, folder, work / "full", "--learning-rate", "1e-3")
    if describe(saved) != describe(folder):
        sys.exit(f"{name}: saved {describe(saved)}, the base has {describe(folder)}")
    errors["saved"], _ = agreed(args, saved, *load(saved), rows, before)
    is_first = name == next(other for other in MODELS if MODELS[other].family == MODELS[name].family)
    for kind, flags in ADAPTERS.items():
        if kind != "lora" and not is_first:
            continue
        saved = train(args, folder, work / kind, "--learning-rate", "1e-2", "--lora-rank", "4", *flags)
        policy = PeftModel.from_pretrained(load(folder)[0], saved).double().eval()
        errors[kind], _ = agreed(args, saved, policy, tokenizer, rows, before)
    return errors


def main():
    args = set_up(__doc__)
    print(f"{'largest difference, nats':<24}" + "".join(f"{column:>10}" for column in COLUMNS))
    largest = 0.0
    for name in args.models:
        errors = check(args, name, args.work / name.replace(" ", "-"))
        cells = (f"{errors[column]:>10.1e}" if column in errors else f"{'':>10}" for column in COLUMNS)
        print(f"{name:<24}" + "".join(cells), flush=True)
        largest = max(largest, *errors.values())
    if largest > TOLERANCE:
        sys.exit(f"log-probs differ by {largest:.2e}; at most {TOLERANCE:.0e} is allowed")
    print(f"all agree with transformers and PEFT within {largest:.2e} (allowed: {TOLERANCE:.0e})")


if __name__ == "__main__":
    main()
