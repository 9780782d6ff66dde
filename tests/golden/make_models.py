"""Tiny random models of families, and what transformers computes with them: `models/<name>/`.

    python make_models.py [NAME …]

Each folder gets `config.json`, `model.safetensors`, a word-level tokenizer (token `i` is `t<i>`, id 2 is `</s>`), the three
pairs of `rows.jsonl`, and `golden.json`: logits, summed log-probs of the completions, DPO loss and gradients, in f32.
The folders `llama*`, `mistral_swa`, `qwen*`, `gemma2`, `gemma3`, `phi3`, `gpt2`, `gpt_neox_parallel` came from the same
recipe with 320 words; those below have 96 and odd sizes.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent / "models"
VOCAB = 96
SIZES = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.15)
LLAMA = dict(
    SIZES, hidden_size=36, intermediate_size=52, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
    max_position_embeddings=64,
)

MODELS = {
    "gemma": dict(LLAMA, model_type="gemma", head_dim=10),
    "gemma3_old_spelling": dict(
        LLAMA, model_type="gemma3_text", head_dim=10, num_hidden_layers=3, sliding_window=5, sliding_window_pattern=2,
        query_pre_attn_scalar=12, rope_theta=50_000.0, rope_local_base_freq=500.0,
        rope_scaling={"rope_type": "linear", "factor": 4.0},
    ),
    "olmo2": dict(LLAMA, model_type="olmo2", tie_word_embeddings=False),
    "smollm3": dict(LLAMA, model_type="smollm3", num_hidden_layers=5, no_rope_layer_interval=2, tie_word_embeddings=True),
    "granite": dict(
        LLAMA, model_type="granite", attention_bias=True, mlp_bias=True, embedding_multiplier=7.0, residual_multiplier=0.3,
        attention_multiplier=0.2, logits_scaling=3.0, tie_word_embeddings=True,
    ),
    "phi3_longrope": dict(
        LLAMA, model_type="phi3", hidden_size=48, partial_rotary_factor=0.75, sliding_window=9,
        original_max_position_embeddings=16, tie_word_embeddings=True,
        rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.5], "long_factor": [1.5, 3.0, 9.0]},
    ),
    "gpt_neox_sequential": dict(
        SIZES, model_type="gpt_neox", hidden_size=40, intermediate_size=52, num_hidden_layers=2, num_attention_heads=4,
        rotary_pct=0.5, rotary_emb_base=500, use_parallel_residual=False, max_position_embeddings=64,
    ),
    "gpt2_relu": dict(
        SIZES, model_type="gpt2", n_embd=30, n_layer=2, n_head=2, n_inner=44, n_positions=64, activation_function="relu",
        attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
    ),
    "qwen2_windows": dict(
        LLAMA, model_type="qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1,
    ),
}


def examples(generator):
    """Three pairs of random words: prompts of 6, 12 and 4, completions of different lengths that end in `</s>`."""
    words = lambda n: torch.randint(3, VOCAB, (n,), generator=generator).tolist()
    row = lambda prompt, chosen, rejected: {
        "prompt_ids": [1, *words(prompt - 1)],
        "chosen_ids": [*words(chosen - 1), 2],
        "rejected_ids": [*words(rejected - 1), 2],
    }
    return [row(6, 8, 4), row(12, 5, 14), row(4, 10, 10)]


def completion_logps(model, rows):
    """Logits and summed log-probs of each row by itself: `(prompt, completion)`."""
    logits, sums = [], []
    for prompt, completion in rows:
        ids = torch.tensor([prompt + completion])
        row = model(ids).logits[0]
        logps = torch.log_softmax(row.float(), -1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
        logits.append(row)
        sums.append(logps[len(prompt) - 1 :].sum())
    return logits, torch.stack(sums)


def golden(model, pairs):
    rows = [(pair["prompt_ids"], pair[side]) for side in ("chosen_ids", "rejected_ids") for pair in pairs]
    logits, sums = completion_logps(model, rows)
    reference = (sums.detach() + torch.linspace(-2.0, 2.0, 6)).round(decimals=2)
    ratios = sums - reference
    loss = -torch.nn.functional.logsigmoid(0.1 * (ratios[:3] - ratios[3:])).mean()
    loss.backward()
    grads = {}
    for name, parameter in model.named_parameters():
        grad = parameter.grad
        grads[name] = {"shape": list(grad.shape), "l2": grad.double().norm().item(), "head": grad.flatten()[:32].tolist()}
    return {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "examples": pairs,
        "logits_first16": [row[:, :16].tolist() for row in logits],
        "logits_full_last": [row[-1].tolist() for row in logits],
        "seq_logps": sums.tolist(),
        "ref_logps": reference.tolist(),
        "beta": 0.1,
        "dpo_loss": loss.item(),
        "grads": grads,
    }


def write_tokenizer(folder):
    source = json.loads((HERE / "llama_gqa_tied" / "tokenizer.json").read_text())
    vocab = source["model"]["vocab"]
    source["model"]["vocab"] = {word: idx for word, idx in vocab.items() if idx < VOCAB}
    (folder / "tokenizer.json").write_text(json.dumps(source, separators=(",", ":")))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "t0", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_rows(folder, pairs):
    word = lambda idx: "</s>" if idx == 2 else f"t{idx}"
    text = lambda ids: " ".join(map(word, ids))
    with open(folder / "rows.jsonl", "w") as file:
        for pair in pairs:
            row = {"prompt": text(pair["prompt_ids"])}
            row |= {side: " " + text(pair[f"{side}_ids"][:-1]) for side in ("chosen", "rejected")}
            file.write(json.dumps(row) + "\n")


def make(name, settings):
    torch.manual_seed(sum(map(ord, name)))
    kind = dict(settings)
    config = AutoConfig.for_model(kind.pop("model_type"), **kind)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():  # Norms of 1 and biases of 0 would hide mistakes.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    folder = HERE / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name.endswith("old_spelling") or "rope_scaling" in settings:
        # As users of transformers 4 have it.
        saved = json.loads((folder / "config.json").read_text())
        saved = {key: saved[key] for key in ("architectures", "dtype")} | settings
        (folder / "config.json").write_text(json.dumps(saved, indent=2))
    pairs = examples(torch.Generator().manual_seed(7))
    (folder / "golden.json").write_text(json.dumps(golden(model, pairs), separators=(",", ":")))
    write_tokenizer(folder)
    write_rows(folder, pairs)


for name in sys.argv[1:] or MODELS:
    make(name, MODELS[name])
