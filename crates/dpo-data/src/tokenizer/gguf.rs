//! The tokenizer inside a GGUF file, turned into the `tokenizer.json` that it once was, and the other way round.

mod pieces;
mod problem;
mod read;
mod split;
mod tokens;
mod write;

use std::collections::HashMap;

pub use problem::{GgufProblem, GgufWarning};
pub use write::GgufExport;

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

/// Kinds of tokens, `tokenizer.ggml.token_type`.
mod kind {
    pub(super) const NORMAL: i32 = 1;
    pub(super) const UNKNOWN: i32 = 2;
    pub(super) const CONTROL: i32 = 3;
    pub(super) const USER_DEFINED: i32 = 4;
    pub(super) const UNUSED: i32 = 5;
    pub(super) const BYTE: i32 = 6;
}

impl GgufVocabulary {
    /// The text of a token.
    fn token(&self, id: Option<u32>) -> Option<&str> {
        self.tokens.get(id? as usize).map(String::as_str)
    }

    fn token_type(&self, id: usize) -> i32 {
        self.token_types.get(id).copied().unwrap_or(kind::NORMAL)
    }

    /// Whether the lists belong together, ids exist and no token is there twice.
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
}
