"""Tiny random models of every family, with odd sizes, for the checks beside this file.

The tokenizer is a byte-level BPE of 301 tokens as GPT-2 has it, so that llama.cpp's format can hold it too.
"""

import argparse
import dataclasses
import json
import pathlib
import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

VOCAB = 301
SIZES = dict(vocab_size=VOCAB, bos_token_id=0, eos_token_id=1, pad_token_id=2, initializer_range=0.12)
LLAMA = dict(
    SIZES, hidden_size=40, intermediate_size=77, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=128, tie_word_embeddings=True,
)  # fmt: skip
GEMMA = dict(LLAMA, head_dim=12)
NEOX = dict(
    SIZES, hidden_size=40, intermediate_size=77, num_hidden_layers=2, num_attention_heads=4, rotary_pct=0.4,
    max_position_embeddings=128,
)  # fmt: skip
GPT2 = dict(SIZES, n_embd=36, n_layer=2, n_head=3, n_inner=77, n_positions=128)
LONG_FACTORS = {"short_factor": [1.0, 1.1, 1.5, 2.0], "long_factor": [1.5, 2.0, 4.0, 9.0]}

WORDS = "the a cat dog sat on mat moon seven 7 1480 Zürich über quack, stop. and then it’s over! 日本 🚂 \n\n  (x)".split(" ")


@dataclasses.dataclass
class Tiny:
    """A model to make, and what is expected of it."""

    family: str
    """The `model_type`."""

    settings: dict
    """What differs from the family's defaults in transformers."""

    dtype: torch.dtype = torch.float32
    """What the weight file holds."""

    in_gguf: bool = True
    """Whether a GGUF file can say all of its settings."""

    in_transformers_gguf: bool = False
    """Whether transformers reads such a file: it knows some families, and of them not all settings."""


LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_theta": 500_000.0,
}  # fmt: skip

MODELS = {
    "llama": Tiny("llama", dict(LLAMA, head_dim=14), in_transformers_gguf=True),
    "llama biases": Tiny(
        "llama",
        dict(
            LLAMA, attention_bias=True, mlp_bias=True, tie_word_embeddings=False, rope_parameters=LLAMA3,
            max_position_embeddings=65_536,
        ),
        torch.bfloat16,
    ),  # fmt: skip
    "llama yarn": Tiny(
        "llama",
        dict(
            LLAMA, max_position_embeddings=128, rope_parameters={
                "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 300.0,
            },
        ),
    ),  # fmt: skip
    "mistral": Tiny(
        "mistral",
        dict(LLAMA, head_dim=14, sliding_window=None, tie_word_embeddings=False),
        in_transformers_gguf=True,
    ),
    "mistral window": Tiny("mistral", dict(LLAMA, sliding_window=7), torch.float16, in_gguf=False),
    "qwen2": Tiny("qwen2", dict(LLAMA, num_key_value_heads=1), torch.bfloat16, in_transformers_gguf=True),
    "qwen2 window": Tiny(
        "qwen2",
        dict(LLAMA, use_sliding_window=True, sliding_window=6, max_window_layers=1, tie_word_embeddings=False),
        in_gguf=False,
    ),
    "qwen3": Tiny("qwen3", dict(LLAMA, head_dim=128), torch.float16, in_transformers_gguf=True),
    "qwen3 biases": Tiny("qwen3", dict(LLAMA, head_dim=12, attention_bias=True, tie_word_embeddings=False), in_gguf=False),
    "gemma": Tiny("gemma", GEMMA),
    "gemma untied": Tiny(
        "gemma", dict(GEMMA, num_key_value_heads=1, tie_word_embeddings=False), torch.bfloat16, in_gguf=False
    ),
    "gemma2": Tiny(
        "gemma2",
        dict(GEMMA, num_hidden_layers=3, head_dim=256, sliding_window=6, query_pre_attn_scalar=256),
        in_transformers_gguf=True,
    ),
    "gemma2 scale": Tiny(
        "gemma2", dict(GEMMA, sliding_window=6, query_pre_attn_scalar=17), torch.bfloat16, in_gguf=False
    ),
    "gemma3": Tiny(
        "gemma3_text",
        dict(GEMMA, num_hidden_layers=7, head_dim=256, sliding_window=5, query_pre_attn_scalar=256),
        in_transformers_gguf=True,
    ),
    "gemma3 linear": Tiny(
        "gemma3_text",
        dict(
            GEMMA, num_hidden_layers=7, sliding_window=5, query_pre_attn_scalar=12, tie_word_embeddings=False,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1_000_000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            },
        ),
    ),  # fmt: skip
    "gemma3 pattern": Tiny(
        "gemma3_text",
        dict(
            GEMMA, num_hidden_layers=3, sliding_window=5, query_pre_attn_scalar=9, attention_bias=True,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        torch.float16,
        in_gguf=False,
    ),  # fmt: skip
    "phi3 partial": Tiny("phi3", dict(LLAMA, partial_rotary_factor=0.6, tie_word_embeddings=False)),
    "phi3 longrope": Tiny(
        "phi3",
        dict(
            LLAMA, partial_rotary_factor=0.8, original_max_position_embeddings=32,
            rope_scaling={"type": "longrope", **LONG_FACTORS},
        ),
        torch.bfloat16,
    ),  # fmt: skip
    "phi3 window": Tiny("phi3", dict(LLAMA, sliding_window=11), torch.float16, in_gguf=False),
    "gpt2": Tiny("gpt2", dict(GPT2, n_inner=None, n_positions=1024), in_transformers_gguf=True),
    "gpt2 relu": Tiny(
        "gpt2", dict(GPT2, activation_function="relu", tie_word_embeddings=False), torch.float16, in_gguf=False
    ),
    "gpt_neox parallel": Tiny("gpt_neox", dict(NEOX, use_parallel_residual=True)),
    "gpt_neox sequential": Tiny(
        "gpt_neox", dict(NEOX, use_parallel_residual=False, tie_word_embeddings=True), torch.float16
    ),
    "olmo2": Tiny("olmo2", dict(LLAMA, tie_word_embeddings=False)),
    "olmo2 tied": Tiny("olmo2", dict(LLAMA, num_key_value_heads=4), torch.bfloat16),
    "smollm3": Tiny("smollm3", dict(LLAMA, num_hidden_layers=5)),
    "smollm3 biases": Tiny(
        "smollm3",
        dict(LLAMA, num_hidden_layers=3, no_rope_layer_interval=2, attention_bias=True, mlp_bias=True),
        torch.float16,
        in_gguf=False,
    ),
    "granite": Tiny(
        "granite",
        dict(
            LLAMA, embedding_multiplier=7.0, residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=3.0,
        ),
    ),  # fmt: skip
    "granite biases": Tiny(
        "granite",
        dict(LLAMA, attention_bias=True, mlp_bias=True, logits_scaling=0.5, tie_word_embeddings=False),
        torch.bfloat16,
    ),
}


def text(source, n_words):
    return " ".join(source.choice(WORDS) for _ in range(n_words))


def write_rows(path, seed):
    """Six random pairs, prompts and completions of many lengths."""
    source = random.Random(seed)
    rows = [
        {
            "prompt": text(source, source.randint(1, 9)),
            "chosen": " well " + text(source, source.randint(1, 12)),
            "rejected": " no, " + text(source, source.randint(1, 12)),
        }
        for _ in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def make_tokenizer(starts_texts):
    """Every byte and some merges; `starts_texts` puts `<s>` before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    source = random.Random(0)
    tokenizer.train_from_iterator([text(source, 200) for _ in range(20)], trainer)
    assert tokenizer.get_vocab_size() == VOCAB
    if starts_texts:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def write_tokenizer(folder, starts_texts):
    make_tokenizer(starts_texts).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>",
        "model_max_length": 128, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def make(name, folder):
    """Writes the model with its tokenizer and its pairs; the pairs."""
    tiny = MODELS[name]
    seed = sum(map(ord, name))
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(tiny.family, **tiny.settings), dtype=torch.float32)
    with torch.no_grad():  # Norms of 1 and biases of 0 would hide mistakes.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    folder.mkdir(parents=True)
    model.to(tiny.dtype).save_pretrained(folder)
    write_tokenizer(folder, starts_texts=seed % 2 == 0)
    return write_rows(folder / "rows.jsonl", seed)


def set_up(description):
    """The arguments of a check of these models; it runs on one thread and shows no progress bars."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dpo", default="target/release/dpo", help="the program")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="an empty folder to write to")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names in tiny_families.py, all of them without")
    args = parser.parse_args()
    args.models = args.models or list(MODELS)
    disable_progress_bar()
    torch.set_num_threads(1)
    return args
