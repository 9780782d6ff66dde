"""Writes gguf_splits.json: a vocabulary, texts, and what llama.cpp makes of them under each `tokenizer.ggml.pre`.

The vocabulary was trained on the texts without any split, so that a text becomes few long tokens, and every split of one
is seen in its ids. Made with gguf 0.19.0, tokenizers 0.23.3 and, in the folder that is named, node-llama-cpp 3.22.1:

    python gguf_splits.py FOLDER_WITH_NODE_MODULES
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from gguf import GGUFWriter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

NAMES = """gpt-2 phi-2 jais exaone4 gigachat a.x-4.0 mellum trillion granite-docling olmo mpt smollm starcoder refact
codeshell exaone minerva-7b mellum2 command-r llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe
chatglm-bpe glm4 qwen2 stablelm2 deepseek-r1-qwen hunyuan kormo megrez solar-open grok-2 qwen35 tekken gpt-4o llama4
kanana2 talkie minimax-m2 deepseek-v3 hunyuan-dense joyai-llm falcon default""".split()

# Capitals and combining marks, which llama.cpp takes for something else where it has a regular expression of its own in
# place of the tokenizer's: there is nothing to compare.
BEYOND_ASCII = "ÉcoleÉté ÜBER Привет МИР ไทย हिन्दी"
ITS_OWN = ["tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"]

# All composed (NFC), as llama.cpp does not compose.
TEXTS = [
    "It's they'Re I'LL we'd you've CAN'T d'accord 'tis",
    "1 12 123 1234 12345 1234567 3.14159 v2x86 ²٣Ⅷ x1y22z333",
    "camelCase HTTPServer XMLHttp iPhone ABCdef abcDEF A aB Ab",
    "  two  spaces   and\tab\t\ttabs \n new\n\nlines \r\n\r\n  end  \n",
    "a.b,c;d:e!f?g (h) [i] {j} <k> \"l\" #m @n /o/ \\p |q| ~r` $5 +6 -7 =8 ^9 *0 ...!!! ?!/\n//x",
    "naïve café straße données пример слова 日本語の文章です。 中文，标点！ 한국어",
    BEYOND_ASCII,
    "emoji 😀😀 👩‍👩‍👧 ✨sparkles✨ ½ ∑x² €100",
    "<|a|> x<|a|>y  <|a|>\n z",
    "trailing spaces   ",
    "\n",
    " ",
    "mixed　wide　space\u00a0hard\u2003em",
]
CONTROL = "<|a|>"


def trained():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=1000, min_frequency=1, initial_alphabet=alphabet, show_progress=False, limit_alphabet=256
    )
    # Words three times over, so that inner parts are merged before whole texts are.
    texts = [part for text in TEXTS for part in text.split(CONTROL)]
    words = [word for text in texts for word in text.split()] * 3
    tokenizer.train_from_iterator(texts + words, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return tokens, [" ".join(merge) for merge in model["merges"]]


def write_gguf(path, pre, tokens, merges):
    writer = GGUFWriter(path, "llama")
    # A model without tensors has to have these.
    writer.add_context_length(8)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(8)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens + [CONTROL])
    writer.add_token_types([1] * len(tokens) + [3])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens))
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    modules = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    tokens, merges = trained()
    with tempfile.TemporaryDirectory(dir=modules) as work:
        work = pathlib.Path(work)
        shutil.copy(here / "gguf_splits.mjs", work)
        (work / "texts.json").write_text(json.dumps(TEXTS))
        paths = [work / f"{pre}.gguf" for pre in NAMES]
        for path, pre in zip(paths, NAMES):
            write_gguf(path, pre, tokens, merges)
        command = ["node", work / "gguf_splits.mjs", work / "texts.json", *paths]
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    names = {}
    for pre, line in zip(NAMES, lines, strict=True):
        if pre in ITS_OWN:
            ids = json.loads(line)
            ids[TEXTS.index(BEYOND_ASCII)] = None
            line = json.dumps(ids)
        names.setdefault(line, []).append(pre)
    splits = [{"names": same, "ids": json.loads(line)} for line, same in names.items()]
    golden = {"tokens": tokens + [CONTROL], "merges": merges, "texts": TEXTS, "splits": splits}
    with open(here / "gguf_splits.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    main()
