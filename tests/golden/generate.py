"""Makes generate.json: greedy continuations by transformers, and what its logits processors leave of random scores.

    pip install transformers==5.23.0 torch
    python generate.py

`greedy`: for each tiny model, prompts of different lengths, 24 tokens each, without and with a repetition penalty;
`least_lead` is the smallest difference between the best and the second-best score on the way, so that it can be seen
that rounding decides nothing. `sampling`: scores, tokens seen before, settings, and the probabilities to draw from.
"""

import json
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig

HERE = Path(__file__).parent
MODELS = sorted(folder.name for folder in (HERE / "models").iterdir())
PROMPTS = [[1, 17, 230, 5], [9], [300, 12, 12, 77, 140, 33, 8, 251, 64, 3, 199]]
PENALTIES = [1.0, 1.2]
SETTINGS = [
    {},
    {"temperature": 0.7},
    {"temperature": 2.5, "top_k": 5},
    {"top_k": 1},
    {"top_k": 1000},
    {"top_p": 0.9},
    {"top_p": 0.999},
    {"top_p": 0.01},
    {"min_p": 0.1},
    {"temperature": 1.5, "min_p": 1.0},
    {"temperature": 1.3, "top_k": 20, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.02, "repetition_penalty": 1.4},
    {"repetition_penalty": 0.6},
]


def greedy(model, prompt, penalty):
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=24, repetition_penalty=penalty, output_scores=True, return_dict_in_generate=True
    )
    with torch.no_grad():
        found = model.generate(torch.tensor([prompt]), generation_config=settings, pad_token_id=0)
    best = torch.stack(found.scores).topk(2).values
    return {
        "prompt": prompt,
        "repetition_penalty": penalty,
        "tokens": found.sequences[0, len(prompt) :].tolist(),
        "least_lead": (best[..., 0] - best[..., 1]).min().item(),
    }


def continuations(name):
    model = AutoModelForCausalLM.from_pretrained(HERE / "models" / name, dtype=torch.float32)
    model.generation_config.eos_token_id = None
    vocab = model.config.vocab_size
    prompts = [[word % vocab for word in prompt] for prompt in PROMPTS]
    return [greedy(model, prompt, penalty) for penalty in PENALTIES for prompt in prompts]


def distribution(model, settings, vocab, seed):
    torch.manual_seed(seed)
    scores = (torch.randn(vocab) * 3).round(decimals=3)
    if "top_p" not in settings:  # torch sorts equal ones in any order.
        scores[vocab // 2] = scores.max()
    seen = torch.randint(vocab, (12,))
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **settings})
    processors = model._get_logits_processor(config, input_ids_seq_length=12)
    left = processors(seen[None], scores[None].clone())[0]
    probabilities = left.double().softmax(-1)
    return {
        "settings": settings,
        "scores": [float(f"{x:.3f}") for x in scores.tolist()],
        "seen": seen.tolist(),
        "probabilities": {i: p for i, p in enumerate(probabilities.tolist()) if p > 0},
    }


model = AutoModelForCausalLM.from_pretrained(HERE / "models" / "llama_gqa_tied", dtype=torch.float32)
cases = [(settings, vocab) for vocab in (40, 400) for settings in SETTINGS]
golden = {
    "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
    "greedy": {name: continuations(name) for name in MODELS},
    "sampling": [distribution(model, settings, vocab, seed) for seed, (settings, vocab) in enumerate(cases)],
}
(HERE / "generate.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print({name: [(run["least_lead"], run["tokens"][:8]) for run in runs] for name, runs in golden["greedy"].items()})
print([len(case["probabilities"]) for case in golden["sampling"]])
