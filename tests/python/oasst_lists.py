#!/usr/bin/env python3
"""Lists of K completions, best first, out of OpenAssistant's trees: what `cargo xtask bench --against-python --lists` reads.

    oasst_lists.py TREES.jsonl OUT.jsonl [--completions 4] [--max-characters 2000]

A prompt with at least K ranked replies gives its best K; longer texts than asked for are left out and counted.
"""

import argparse
import json


def lists(node, turns, k):
    """Every prompt below a node that has K ranked replies, behind the turns that lead to it."""
    turns = [*turns, {"role": "user" if node["role"] == "prompter" else "assistant", "content": node["text"]}]
    replies = node.get("replies", [])
    ranked = sorted((reply for reply in replies if reply.get("rank") is not None), key=lambda reply: reply["rank"])
    if node["role"] == "prompter" and len(ranked) >= k:
        answers = [[{"role": "assistant", "content": reply["text"]}] for reply in ranked[:k]]
        yield {"prompt": turns, "completions": answers}
    for reply in replies:
        yield from lists(reply, turns, k)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trees")
    parser.add_argument("out")
    parser.add_argument("--completions", type=int, default=4)
    parser.add_argument("--max-characters", type=int, default=2000)
    args = parser.parse_args()
    kept, long = [], 0
    with open(args.trees, encoding="utf-8") as file:
        for line in file:
            for row in lists(json.loads(line)["prompt"], [], args.completions):
                prompt = sum(len(turn["content"]) for turn in row["prompt"])
                longest = max(len(answer[0]["content"]) for answer in row["completions"])
                if prompt + longest > args.max_characters:
                    long += 1
                else:
                    kept.append(row)
    with open(args.out, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in kept)
    print(f"{len(kept)} lists of {args.completions}; {long} left out, longer than {args.max_characters} characters")


if __name__ == "__main__":
    main()
