#!/usr/bin/env python3
"""A GGUF file holds the model of a Hugging Face folder, as gguf-py reads the one and safetensors the other.

Every weight of the folder, rounded by gguf-py, must be in the file byte for byte, nothing else may be there, and the
tokens must be those of `tokenizer.json`.

    check_gguf.py FILE.gguf FOLDER
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import safetensors.torch
import torch
from gguf import GGUFReader, MODEL_ARCH_NAMES, TokenType, get_tensor_name_map
from gguf.quants import quantize

MAY_BE_MORE = {"rope_freqs.weight"}
"""Tensors of a file that are no weights: Llama 3's rotation factors."""


def weights(folder):
    """Every tensor of the folder, in f32."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in safetensors.torch.load_file(path).items():
            found[name] = tensor.to(torch.float32).numpy()
    return found


def as_llama_cpp_has_it(architecture, name, values, config):
    """llama.cpp rotates neighbouring rows of a Llama, and stores Gemma's norms with the 1 that they are added to."""
    if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config["num_attention_heads"]
        if "k_proj" in name:
            heads = config.get("num_key_value_heads") or heads
        shape = values.shape
        return values.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return values + np.float32(1)
    return values


def check_weights(reader, architecture, folder):
    """The number of tensors that are the folder's."""
    config = json.loads((folder / "config.json").read_text())
    arch = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(arch, config["num_hidden_layers"])
    stored = {tensor.name: tensor for tensor in reader.tensors}
    expected = weights(folder)
    if config.get("tie_word_embeddings"):
        expected.pop("lm_head.weight", None)
    for name, values in expected.items():
        in_file = names.get_name(name, try_suffixes=(".weight", ".bias"))
        tensor = stored.pop(in_file, None)
        if tensor is None:
            sys.exit(f"{name}: `{in_file}` is not in the file")
        shape = tuple(int(size) for size in reversed(tensor.shape))
        if shape != values.shape:
            sys.exit(f"{in_file}: has the shape {shape}, the folder {values.shape}")
        values = np.ascontiguousarray(as_llama_cpp_has_it(architecture, name, values, config))
        rounded = quantize(values, tensor.tensor_type)
        if rounded.tobytes() != tensor.data.tobytes():
            sys.exit(f"{in_file}: is not what {tensor.tensor_type.name} makes of the folder's values")
    if more := set(stored) - MAY_BE_MORE:
        sys.exit(f"not in the folder: {', '.join(sorted(more))}")
    return len(expected)


def check_tokens(reader, folder):
    """The number of tokens that are the folder's."""
    texts = reader.get_field("tokenizer.ggml.tokens").contents()
    kinds = reader.get_field("tokenizer.ggml.token_type").contents()
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = dict(tokenizer["model"]["vocab"]) | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    for text, id in ids.items():
        if kinds[id] == TokenType.USER_DEFINED:
            text = text.replace("▁", " ")
        if texts[id] != text:
            sys.exit(f"token {id} is {texts[id]!r}, in the folder {text!r}")
    for id in set(range(len(texts))) - set(ids.values()):
        if kinds[id] != TokenType.UNUSED:
            sys.exit(f"token {id}, {texts[id]!r}, is not in the folder and not marked as unused")
    return len(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE.gguf")
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path)
    args = parser.parse_args()
    reader = GGUFReader(args.file)
    architecture = reader.get_field("general.architecture").contents()
    n_tensors, n_tokens = check_weights(reader, architecture, args.folder), check_tokens(reader, args.folder)
    print(f"{args.file}: {n_tensors} tensors and {n_tokens} tokens are those of {args.folder}")


if __name__ == "__main__":
    main()
