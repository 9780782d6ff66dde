//! The tokenizer inside a GGUF file, turned into the `tokenizer.json` that it once was.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::template_processing;

/// The `tokenizer.*` metadata of a GGUF file, as they stand there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufVocabulary {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE) or `llama` (SentencePiece BPE).
    pub model: String,
    /// `tokenizer.ggml.pre`: how text is split before BPE; may be empty. Not read for `llama`.
    pub pre: String,
    /// `tokenizer.ggml.tokens`: token texts by id.
    pub tokens: Vec<String>,
    /// `tokenizer.ggml.scores`: by id; needed for `llama` alone.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. May be empty.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`: pairs with a space between; needed for `gpt2` alone.
    pub merges: Vec<String>,
    /// `tokenizer.ggml.bos_token_id`: the token that starts a text.
    pub bos_id: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`: the token that ends a text.
    pub eos_id: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`: the token that ends a turn.
    pub eot_id: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`: the token for what has none.
    pub unk_id: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`: the token that fills up rows.
    pub pad_id: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`: whether every text starts with the token for that.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`: whether every text ends with the token for that.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`: whether `llama` puts a space before every text.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
}

/// Bytes in a piece that others can be merged into.
const LONGEST_PIECE: usize = 1024;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// OpenAI's `cl100k` as Meta took it for Llama 3: numbers in groups of up to three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with single digits.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Values of `tokenizer.ggml.pre` that are read.
const KNOWN_PRE: &str = "default, gpt-2, smollm, starcoder, refact, llama-bpe, qwen2";

impl GgufVocabulary {
    /// The text of a token.
    pub(super) fn token(&self, id: Option<u32>) -> Option<&str> {
        self.tokens.get(id? as usize).map(String::as_str)
    }

    /// `tokenizer.json`, as transformers would write it after its own conversion.
    pub(super) fn tokenizer_json(&self) -> Result<Value, String> {
        self.check()?;
        let (parts, model) = match self.model.as_str() {
            "gpt2" => (byte_level(&self.pre)?, self.byte_level_model()),
            "llama" => (self.sentence_piece(), self.sentence_piece_model()),
            other => return Err(format!("its tokenizer is `{other}`; gpt2 and llama are read")),
        };
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added_tokens(),
            "normalizer": parts.normalizer,
            "pre_tokenizer": parts.pre_tokenizer,
            "post_processor": self.post_processor(parts.adds_bos),
            "decoder": parts.decoder,
            "model": model,
        }))
    }

    /// `tokenizer_config.json` to go with it.
    pub(super) fn tokenizer_config(&self) -> Value {
        let mut config = Map::new();
        config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
        config.insert("clean_up_tokenization_spaces".to_owned(), false.into());
        let ids = [
            ("bos_token", self.bos_id),
            ("eos_token", self.eos_id),
            ("unk_token", self.unk_id),
            ("pad_token", self.pad_id),
        ];
        for (name, id) in ids {
            if let Some(token) = self.token(id) {
                config.insert(name.to_owned(), token.into());
            }
        }
        Value::Object(config)
    }

    fn check(&self) -> Result<(), String> {
        let n_tokens = self.tokens.len();
        if n_tokens == 0 {
            return Err("it holds no `tokenizer.ggml.tokens`".to_owned());
        }
        let lists = [("token_type", self.token_types.len()), ("scores", self.scores.len())];
        for (name, n) in lists {
            if n != n_tokens && (n != 0 || (name == "scores" && self.model == "llama")) {
                return Err(format!("`tokenizer.ggml.{name}` has {n} entries for {n_tokens} tokens"));
            }
        }
        let ids = [self.bos_id, self.eos_id, self.eot_id, self.unk_id, self.pad_id];
        if let Some(id) = ids.into_iter().flatten().find(|id| *id as usize >= n_tokens) {
            return Err(format!("it names the token {id} and holds {n_tokens}"));
        }
        let mut first = HashMap::with_capacity(n_tokens);
        for (id, token) in self.tokens.iter().enumerate() {
            if let Some(other) = first.insert(token.as_str(), id) {
                return Err(format!("its tokens {other} and {id} are the same, `{token}`"));
            }
        }
        Ok(())
    }

    fn token_type(&self, id: usize) -> i32 {
        self.token_types.get(id).copied().unwrap_or(1)
    }

    fn vocab(&self) -> Value {
        let entries = self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into()));
        Value::Object(entries.collect())
    }

    /// Tokens that are looked for in the text before anything else.
    fn added_tokens(&self) -> Vec<Value> {
        let added = self.tokens.iter().enumerate().filter_map(|(id, content)| {
            let special = match self.token_type(id) {
                CONTROL => true,
                UNKNOWN => self.model == "llama",
                USER_DEFINED => false,
                _ => return None,
            };
            Some(json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            }))
        });
        added.collect()
    }

    fn post_processor(&self, adds_bos: bool) -> Value {
        let token = |id: Option<u32>| Some((self.token(id)?.to_owned(), id?));
        let bos = token(self.bos_id).filter(|_| self.add_bos.unwrap_or(adds_bos));
        let eos = token(self.eos_id).filter(|_| self.add_eos.unwrap_or(false));
        template_processing(bos.as_ref(), eos.as_ref())
    }

    fn byte_level_model(&self) -> Value {
        let merges = self.merges.iter().map(|merge| match merge.split_once(' ') {
            Some((left, right)) => json!([left, right]),
            None => json!([merge, ""]),
        });
        json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": self.pre == "llama-bpe", "vocab": self.vocab(), "merges": merges.collect::<Vec<_>>(),
        })
    }

    /// `▁` for spaces and before the text, unknown characters as bytes.
    fn sentence_piece(&self) -> Parts {
        let prefix = self.add_space_prefix.unwrap_or(true);
        let mut normalizers = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})];
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Parts {
            normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
            pre_tokenizer: Value::Null,
            decoder: json!({"type": "Sequence", "decoders": decoders}),
            adds_bos: true,
        }
    }

    fn sentence_piece_model(&self) -> Value {
        let unk = self.unk_id.or_else(|| {
            let unknown = (0..self.tokens.len()).find(|id| self.token_type(*id) == UNKNOWN)?;
            Some(unknown as u32)
        });
        json!({
            "type": "BPE", "dropout": null, "unk_token": self.token(unk), "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": self.vocab(), "merges": self.merges_from_scores(),
        })
    }

    /// SentencePiece joins the pair whose piece scores highest; BPE the pair that stands first. So the pairs are all
    /// ways to cut a piece into two others, by falling score; where scores are equal, as transformers orders them: the
    /// longer left side first, then the longer right side, then by ids.
    fn merges_from_scores(&self) -> Vec<[&str; 2]> {
        // Bytes and control tokens are no result of merging, whatever their name, nor is a page of text.
        let mergeable = |id: usize| {
            matches!(self.token_type(id), 1 | USER_DEFINED | 5) && self.tokens[id].len() <= LONGEST_PIECE
        };
        let pieces: Vec<usize> = (0..self.tokens.len()).filter(|id| mergeable(*id)).collect();
        let ids: HashMap<&str, usize> = pieces.iter().map(|id| (self.tokens[*id].as_str(), *id)).collect();
        let mut merges = Vec::new();
        for id in pieces {
            let piece = self.tokens[id].as_str();
            let mut cuts: Vec<(usize, usize)> = piece
                .char_indices()
                .skip(1)
                .filter_map(|(cut, _)| Some((*ids.get(&piece[..cut])?, *ids.get(&piece[cut..])?)))
                .collect();
            cuts.sort_unstable();
            merges.extend(cuts.into_iter().map(|cut| (self.scores[id], cut)));
        }
        let n_chars: Vec<usize> = self.tokens.iter().map(|token| token.chars().count()).collect();
        merges.sort_by(|(score_a, a), (score_b, b)| {
            let lengths = |cut: &(usize, usize)| (n_chars[cut.0], n_chars[cut.1]);
            score_b.total_cmp(score_a).then_with(|| lengths(b).cmp(&lengths(a)))
        });
        merges
            .into_iter()
            .map(|(_, (left, right))| [self.tokens[left].as_str(), self.tokens[right].as_str()])
            .collect()
    }
}

/// What stands around the model.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    /// Whether texts start with BOS where the file does not say.
    adds_bos: bool,
}

/// How a byte-level tokenizer splits text, by the name that llama.cpp gave it.
fn byte_level(pre: &str) -> Result<Parts, String> {
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let digits = json!({"type": "Digits", "individual_digits": true});
    // GPT-2's own pattern is part of `ByteLevel`.
    let (normalizer, first, gpt2_pattern, adds_bos) = match pre {
        "" | "default" | "gpt-2" => (Value::Null, None, true, false),
        "smollm" | "starcoder" | "refact" => (Value::Null, Some(digits), true, false),
        "llama-bpe" => (Value::Null, Some(split(LLAMA3)), false, true),
        "qwen2" => (json!({"type": "NFC"}), Some(split(QWEN2)), false, false),
        other => {
            let problem = format!(
                "it splits text as `{other}` (`tokenizer.ggml.pre`), and only {KNOWN_PRE} are read; take the model's \
                 Hugging Face folder"
            );
            return Err(problem);
        }
    };
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let splits: Vec<Value> = first.into_iter().chain([bytes(gpt2_pattern)]).collect();
    let pre_tokenizer = json!({"type": "Sequence", "pretokenizers": splits});
    Ok(Parts { normalizer, pre_tokenizer, decoder: bytes(true), adds_bos })
}
