//! How byte-level tokenizers cut text before they merge, under the names that llama.cpp gave to the ways it knows:
//! `tokenizer.ggml.pre`, in `llm_tokenizer_bpe` of <https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp>.

use serde_json::{Value, json};

/// One way to split, and what else goes by its names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// Values of `tokenizer.ggml.pre`; the first is the one written.
    pub(super) names: &'static [&'static str],
    /// Regular expressions that cut the text one after the other; a match is a piece, and so is what lies between two.
    patterns: &'static [&'static str],
    /// Whether the models with these names compose characters first. llama.cpp does not.
    pub(super) normalizer: Normalizer,
    /// What becomes of a piece that is a token as it stands.
    pub(super) whole_pieces: WholePieces,
    /// Whether texts start with BOS where the file does not say.
    pub(super) adds_bos: bool,
}

/// What is done to a text before it is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Normalizer {
    None,
    Nfc,
}

/// What becomes of a piece that is a token as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WholePieces {
    /// It is that token: `ignore_merges` of `tokenizer.json`.
    Kept,
    /// It is merged like any other.
    Merged,
}

use Normalizer::{Nfc, None as Plain};
use WholePieces::{Kept, Merged};

/// GPT-2's own, which `ByteLevel` has inside.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Every digit alone.
const DIGIT: &str = r"\p{N}";
/// Numbers cut into groups of up to three.
const THREE_DIGITS: &str = r"\p{N}{1,3}";
/// OpenAI's `cl100k` as Meta took it for Llama 3: numbers in groups of up to three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with combining marks as parts of words.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words cut where a capital follows a small letter.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// OpenAI's `o200k`: the same with endings such as `'ll` at the word and numbers in groups of up to three.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;

/// Every way that is read. Of two that differ in nothing but names, the first is written.
pub(super) const SPLITS: [Split; 14] = [
    split(
        &[
            "gpt-2",
            "phi-2",
            "jais",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "trillion",
            "granite-docling",
        ],
        &[GPT2],
    ),
    Split { normalizer: Nfc, ..split(&["olmo", "mpt"], &[GPT2]) },
    split(&["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"], &[DIGIT, GPT2]),
    Split { normalizer: Nfc, ..split(&["command-r"], &[DIGIT, GPT2]) },
    Split {
        whole_pieces: Kept,
        adds_bos: true,
        ..split(
            &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
            &[LLAMA3],
        )
    },
    split(&["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"], &[LLAMA3]),
    Split { normalizer: Nfc, ..split(&["qwen2"], &[QWEN2]) },
    split(&["stablelm2", "deepseek-r1-qwen", "hunyuan", "kormo", "megrez", "solar-open", "grok-2"], &[QWEN2]),
    Split { normalizer: Nfc, ..split(&["qwen35"], &[QWEN35]) },
    Split { whole_pieces: Kept, adds_bos: true, ..split(&["tekken"], &[TEKKEN]) },
    split(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[GPT4O]),
    split(&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &[THREE_DIGITS, r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK]),
    split(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    // What llama.cpp does where it was told nothing else.
    split(&["default", ""], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
];

const fn split(names: &'static [&'static str], patterns: &'static [&'static str]) -> Split {
    Split { names, patterns, normalizer: Plain, whole_pieces: Merged, adds_bos: false }
}

impl Split {
    /// The way with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        SPLITS.iter().find(|split| split.names.contains(&name))
    }

    /// All names, as an error lists them.
    pub(super) fn known_names() -> String {
        let names = SPLITS.iter().flat_map(|split| split.names).filter(|name| !name.is_empty());
        names.copied().collect::<Vec<_>>().join(", ")
    }

    /// `pre_tokenizer` of `tokenizer.json`.
    pub(super) fn pre_tokenizer(&self) -> Value {
        let (first, bytes) = match self.patterns {
            [first @ .., GPT2] => (first, byte_level(true)),
            all => (all, byte_level(false)),
        };
        let step = |pattern: &&str| match *pattern {
            DIGIT => json!({"type": "Digits", "individual_digits": true}),
            pattern => {
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
            }
        };
        let steps: Vec<Value> = first.iter().map(step).chain([bytes]).collect();
        json!({"type": "Sequence", "pretokenizers": steps})
    }

    /// `normalizer` of `tokenizer.json`.
    pub(super) fn normalizer(&self) -> Value {
        match self.normalizer {
            Plain => Value::Null,
            Nfc => json!({"type": "NFC"}),
        }
    }

    /// The ways that split as this `pre_tokenizer` of a `tokenizer.json` does; nothing if a step of it is unknown.
    pub(super) fn that_split_as(pre_tokenizer: &Value) -> Vec<&'static Self> {
        let steps = match pre_tokenizer["pretokenizers"].as_array() {
            Some(steps) => steps.as_slice(),
            None => std::slice::from_ref(pre_tokenizer),
        };
        let patterns: Option<Vec<Vec<String>>> = steps.iter().map(patterns).collect();
        let patterns: Vec<String> = patterns.unwrap_or_default().concat();
        SPLITS.iter().filter(|split| split.patterns.iter().eq(&patterns)).collect()
    }
}

/// The step that turns bytes into characters, with or without [`GPT2`] before.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

/// A step as the regular expressions that it stands for.
fn patterns(step: &Value) -> Option<Vec<String>> {
    match step["type"].as_str()? {
        "ByteLevel" if step["add_prefix_space"] == true => None,
        "ByteLevel" if step["use_regex"] == false => Some(Vec::new()),
        "ByteLevel" => Some(vec![GPT2.to_owned()]),
        "Digits" if step["individual_digits"] == true => Some(vec![DIGIT.to_owned()]),
        "Digits" => Some(vec![r"\p{N}+".to_owned()]),
        "Split" => {
            let pattern = step["pattern"]["Regex"].as_str()?;
            let matches_everything = pattern.ends_with(r"|\s+");
            match (step["behavior"].as_str()?, step["invert"].as_bool()?) {
                ("Isolated", _) => {}
                // What is not matched is removed: nothing.
                ("Removed", true) if matches_everything => {}
                _ => return None,
            }
            Some(vec![pattern.replace('\r', r"\r").replace('\n', r"\n")])
        }
        _ => None,
    }
}
