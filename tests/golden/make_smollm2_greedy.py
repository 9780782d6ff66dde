"""Makes smollm2_greedy.json: what transformers answers with SmolLM2-135M-Instruct, always the likeliest token.

    pip install transformers==5.23.0 torch gguf accelerate
    python make_smollm2_greedy.py MODEL.gguf

The weights are those of the GGUF file in f32. `prompt` is a user's message where `is_chat`, else the text as it stands;
`tokens` are 64 new ones and `completion` is their text. `least_lead` is the smallest difference between the best and the
second-best score on the way, so that it can be seen that rounding decides nothing.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

HERE = Path(__file__).parent
PROMPTS = [
    ("Write three sentences about a lighthouse keeper who is afraid of the sea.", True),
    ("The three most important inventions of the nineteenth century were", False),
]


def ids(tokenizer, prompt, is_chat):
    if not is_chat:
        return tokenizer(prompt)["input_ids"]
    messages = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def answer(model, tokenizer, prompt, is_chat):
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=64,
        eos_token_id=tokenizer.eos_token_id,
        output_scores=True,
        return_dict_in_generate=True,
    )
    prompt_ids = ids(tokenizer, prompt, is_chat)
    with torch.no_grad():
        found = model.generate(torch.tensor([prompt_ids]), generation_config=settings, pad_token_id=0)
    tokens = found.sequences[0, len(prompt_ids) :].tolist()
    best = torch.stack(found.scores).topk(2).values
    return {
        "prompt": prompt,
        "is_chat": is_chat,
        "prompt_ids": prompt_ids,
        "tokens": tokens,
        "completion": tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False),
        "least_lead": (best[..., 0] - best[..., 1]).min().item(),
    }


def main():
    path = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    golden = {
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
        "answers": [answer(model, tokenizer, prompt, is_chat) for prompt, is_chat in PROMPTS],
    }
    (HERE / "smollm2_greedy.json").write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=False) + "\n")
    print([(len(answer["tokens"]), answer["least_lead"], answer["completion"]) for answer in golden["answers"]])


main()
