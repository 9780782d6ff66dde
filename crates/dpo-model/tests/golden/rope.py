"""Writes rope.json: configurations and the rotation frequencies that transformers 5.23 computes from them.

Made with torch 2.15 in f32: python rope.py
"""
import json
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

BASE = dict(hidden_size=256, num_attention_heads=4, num_hidden_layers=1, intermediate_size=8, vocab_size=8,
            max_position_embeddings=4096, eos_token_id=2, model_type="llama")
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=1024)
CASES = [
    dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    dict(rope_parameters=dict(rope_type="default", rope_theta=100000.0)),
    dict(rope_theta=1000000.0),
    dict(rope_scaling=dict(type="linear", factor=3.0), rope_theta=10000.0),
    dict(rope_parameters=LLAMA3),
    dict(rope_parameters=LLAMA3, head_dim=128),
    dict(rope_scaling=dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
                           original_max_position_embeddings=512), rope_theta=500000.0),
    dict(rope_parameters=YARN),
    dict(rope_parameters=YARN, head_dim=16),
    dict(rope_parameters=YARN | dict(truncate=False, beta_fast=16.0, beta_slow=2.0)),
    dict(rope_parameters=YARN | dict(mscale=1.0, mscale_all_dim=0.8)),
    dict(rope_parameters=YARN | dict(attention_factor=1.5)),
    dict(rope_scaling=dict(type="yarn", factor=2.0), rope_theta=10000.0, original_max_position_embeddings=2048),
]
out = []
for case in CASES:
    config = BASE | case
    rope = LlamaRotaryEmbedding(LlamaConfig(**json.loads(json.dumps(config))))
    # f32 as decimals with 9 digits, which identify each.
    out.append(dict(config=config, inv_freq=[float(f"{x:.9g}") for x in rope.inv_freq.tolist()],
                    attention_scaling=rope.attention_scaling))
with open("rope.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]\n")
