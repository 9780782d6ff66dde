#!/usr/bin/env python3
"""A model that `dpo train` saved says the same in transformers.

Each model is trained for two steps, saved, scored by `dpo score`, and loaded from the saved folder with
`AutoModelForCausalLM` (in f64) and `AutoTokenizer`, which render, tokenise and score the same rows. The prompt's
length in tokens, each completion's length and each completion's summed log-prob must agree.

    check_saved_model.py --dpo target/release/dpo --work FOLDER [--data PAIRS.jsonl] MODEL...

A MODEL is a Hugging Face folder, with rows to train on in its `rows.jsonl` if it has such a file, or a .gguf file.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

TOLERANCE = 1e-4
"""Largest difference of a completion's summed log-prob, in nats."""

LEAST_CHANGE = 1e-2
"""Training must have moved some completion by more, or the saved model could be the one it started from."""


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


PLAIN = [
    ("The sky is", " blue.", " green."),
    ("Two and two make", " four.", " five, as everybody in this town has known for 100 years."),
    ("def area(r):\n    return", " math.pi * r ** 2\n", " 2 * math.pi * r\n"),
    ("Der Zug nach Zürich fährt um", " 17:45 Uhr ab.", " 日本 ab 🚂."),
]

CONVERSATIONS = [
    ([user("What is the capital of France?")], "Paris.", "I do not know, and nobody does."),
    ([user("Name three colours.")], "Red, green and blue.", "Red,\n\n- red,\n- red!"),
    (
        [{"role": "system", "content": "Be brief."}, user("Who wrote Faust?")],
        "Goethe.",
        "That is a long story: it begins in 1480, when a man by the name of Faust was born.",
    ),
    (
        [user("Hi"), assistant("Hello! How can I help?"), user("Tell me a joke  about ducks 🦆")],
        "A duck walks into a pharmacy and says: put it on my bill.",
        "No.",
    ),
]


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    return path


def own_rows(work):
    """Plain and conversational pairs of our own, a file of each."""
    plain = [{"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, rejected in PLAIN]
    conversations = [
        {"prompt": prompt, "chosen": [assistant(chosen)], "rejected": [assistant(rejected)]}
        for prompt, chosen, rejected in CONVERSATIONS
    ]
    return [
        write_rows(work / "plain.jsonl", plain),
        write_rows(work / "conversations.jsonl", conversations),
    ]


def head_of(path, work, count):
    """The first pairs of a file with short answers: a sum over 70 tokens may be off by 1e-4 in f32 by rounding alone."""

    def is_short(row):
        return all(len(json.dumps(row[side])) < 160 for side in ("chosen", "rejected"))

    with open(path, encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if is_short(row)]
    return write_rows(work / "head.jsonl", rows[:count])


def dpo(args, *words):
    command = [args.dpo, *map(str, words)]
    # Log-probs that an earlier build left in the user's cache may differ in their last bits.
    environment = os.environ | {"DPO_CACHE_DIR": str(args.work / "cache")}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")


def score(args, model, files, out):
    dpo(args, "score", "--model", model, "--data", *files, "--out", out)
    with open(out, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def token_ids(tokenizer, row):
    """Ids of the prompt, and of the prompt with each completion."""
    sides = [row["chosen"], row["rejected"]]
    if isinstance(row["prompt"], str):
        end = tokenizer.eos_token
        texts = [row["prompt"] + side + ("" if side.endswith(end) else end) for side in sides]
        return tokenizer(row["prompt"])["input_ids"], [tokenizer(text)["input_ids"] for text in texts]

    def rendered(messages, **options):
        text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
        return tokenizer(text, add_special_tokens=False)["input_ids"]  # The template has written them.

    whole = [rendered(row["prompt"] + side) for side in sides]
    return rendered(row["prompt"], add_generation_prompt=True), whole


def shared_prefix(lists):
    """How many ids all lists begin with."""
    count = 0
    for ids in zip(*lists):
        if len(set(ids)) > 1:
            break
        count += 1
    return count


def expected(model, tokenizer, row):
    """The line of `dpo score`, by transformers."""
    prompt, texts = token_ids(tokenizer, row)
    start = shared_prefix([prompt, *texts])
    completions = []
    for ids in texts:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        logps = torch.log_softmax(logits[:-1], dim=-1)
        chosen = logps.gather(1, torch.tensor(ids[1:]).unsqueeze(1)).squeeze(1)
        # Token t is predicted at t - 1; the first token of all by nothing.
        completions.append({"tokens": len(ids) - start, "logp": chosen[max(start, 1) - 1 :].sum().item()})
    return {"prompt_tokens": start, "completions": completions}


def load(folder):
    # In f64, as torch's f32 log-softmax over a large vocabulary is off by 2e-5 a token, always to the same side: on
    # long completions that is ten times what is looked for here.
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(what):
            sys.exit(f"{folder}: transformers reports {what}: {sorted(info[what])}")
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def largest_difference(found, wanted):
    """Over all completions; the counts must be equal."""
    largest = 0.0
    if len(found) != len(wanted):
        sys.exit(f"{len(found)} pairs are scored, expected {len(wanted)}")
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=True), start=1):
        counts = [
            [line["prompt_tokens"], *(completion["tokens"] for completion in line["completions"])]
            for line in (ours, theirs)
        ]
        if counts[0] != counts[1]:
            sys.exit(f"pair {number}: tokens of prompt and completions are {counts[0]}, in transformers {counts[1]}")
        for mine, other in zip(ours["completions"], theirs["completions"], strict=True):
            largest = max(largest, abs(mine["logp"] - other["logp"]))
    return largest


def check(args, model, files, work):
    """Trains, saves, loads; the largest difference of a summed log-prob."""
    before = score(args, model, files, work / "before.jsonl")
    data = [word for file in files for word in ("--data", file)]
    speed = ["--learning-rate", "5e-6", "--warmup-ratio", "0", "--max-steps", "2", "--batch-size", "4"]
    outputs = ["--samples", "0", "--save-every", "0", "--out", work / "run"]
    dpo(args, "train", "--model", model, *data, *speed, *outputs)
    saved = work / "run" / "model"
    found = score(args, saved, files, work / "after.jsonl")
    moved = largest_difference(found, before)
    if moved < LEAST_CHANGE:
        sys.exit(f"{model}: training changed no log-prob by more than {moved:.1e}")
    rows = [json.loads(line) for file in files for line in open(file, encoding="utf-8")]
    policy, tokenizer = load(saved)
    difference = largest_difference(found, [expected(policy, tokenizer, row) for row in rows])
    print(
        f"{pathlib.Path(model).name}: {len(rows)} pairs, moved by up to {moved:.3g}; "
        f"dpo and transformers differ by at most {difference:.2e}",
        flush=True,
    )
    return difference


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dpo", default="target/release/dpo", help="the program")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="an empty folder to write to")
    parser.add_argument("--data", type=pathlib.Path, help="pairs with a prompt, to take some of for models that chat")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    args = parser.parse_args()
    disable_progress_bar()
    largest = 0.0
    for number, model in enumerate(args.models):
        work = args.work / str(number)
        work.mkdir(parents=True)
        rows = pathlib.Path(model) / "rows.jsonl"
        files = [rows] if rows.exists() else own_rows(work)
        if args.data and not rows.exists():
            files.append(head_of(args.data, work, 8))
        largest = max(largest, check(args, model, files, work))
    if largest > TOLERANCE:
        sys.exit(f"log-probs differ by {largest:.2e}; at most {TOLERANCE:.0e} is allowed")
    print(f"saved models agree with transformers within {largest:.2e} (allowed: {TOLERANCE:.0e})")


if __name__ == "__main__":
    main()
