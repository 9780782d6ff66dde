//! The vocabulary that a GGUF file carries.

use super::{GgufArray, GgufFile, GgufValue};
use crate::error::ModelError;

/// The tokenizer part of a GGUF file, as it is there: `tokenizer.ggml.*` and `tokenizer.chat_template`.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufTokenizer {
    /// Kind of tokenizer: `gpt2` is byte-level BPE, `llama` is SentencePiece.
    pub model: String,
    /// Which pre-tokenizer splits the text before BPE, such as `smollm`.
    pub pre: Option<String>,
    /// Text of each token, by id.
    pub tokens: Vec<String>,
    /// Score of each token, for SentencePiece.
    pub scores: Option<Vec<f32>>,
    /// Kind of each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub token_types: Option<Vec<i32>>,
    /// Merges of BPE, first first: two tokens and a space between them.
    pub merges: Option<Vec<String>>,
    /// Token that begins a text.
    pub bos: Option<u32>,
    /// Token that ends a text.
    pub eos: Option<u32>,
    /// Token that ends a turn, where that is not `eos`.
    pub eot: Option<u32>,
    /// Token that stands for what has none.
    pub unk: Option<u32>,
    /// Token that fills up rows.
    pub pad: Option<u32>,
    /// Whether a text is begun with `bos`; unset where the file leaves it to the model kind.
    pub add_bos: Option<bool>,
    /// Whether a text is ended with `eos`; unset where the file leaves it to the model kind.
    pub add_eos: Option<bool>,
    /// Whether a space is put before a text; unset where the file leaves it to the model kind.
    pub add_space_prefix: Option<bool>,
    /// The chat template, in Jinja.
    pub chat_template: Option<String>,
}

impl GgufTokenizer {
    /// Takes the tokenizer out of a file's metadata; an error when there is none.
    pub fn from_file(file: &GgufFile) -> Result<Self, ModelError> {
        let keys = Keys { file };
        let Some(tokens) = keys.strings("tokens")? else {
            return Err(file.wrong("tokenizer.ggml.tokens", "a list of strings; the file has no tokenizer"));
        };
        let tokenizer = Self {
            model: keys.text("tokenizer.ggml.model")?.unwrap_or_default(),
            pre: keys.text("tokenizer.ggml.pre")?,
            scores: keys.scores(tokens.len())?,
            token_types: keys.token_types(tokens.len())?,
            merges: keys.strings("merges")?,
            bos: keys.id("bos", tokens.len())?,
            eos: keys.id("eos", tokens.len())?,
            eot: keys.id("eot", tokens.len())?,
            unk: keys.id("unknown", tokens.len())?,
            pad: keys.id("padding", tokens.len())?,
            add_bos: keys.flag("add_bos_token")?,
            add_eos: keys.flag("add_eos_token")?,
            add_space_prefix: keys.flag("add_space_prefix")?,
            chat_template: keys.text("tokenizer.chat_template")?,
            tokens,
        };
        Ok(tokenizer)
    }

    /// The metadata that [`Self::from_file`] reads, for another file.
    pub fn to_metadata(&self) -> Vec<(String, GgufValue)> {
        let texts = |list: &[String]| GgufValue::Array(GgufArray::String(list.to_vec()));
        let text = |text: &String| GgufValue::String(text.clone());
        let id = |id: Option<u32>| id.map(GgufValue::Uint32);
        let flag = |flag: Option<bool>| flag.map(GgufValue::Bool);
        let values = [
            ("ggml.model", Some(text(&self.model))),
            ("ggml.pre", self.pre.as_ref().map(text)),
            ("ggml.tokens", Some(texts(&self.tokens))),
            ("ggml.scores", self.scores.clone().map(|list| GgufValue::Array(GgufArray::Float32(list)))),
            (
                "ggml.token_type",
                self.token_types.clone().map(|list| GgufValue::Array(GgufArray::Int32(list))),
            ),
            ("ggml.merges", self.merges.as_deref().map(texts)),
            ("ggml.bos_token_id", id(self.bos)),
            ("ggml.eos_token_id", id(self.eos)),
            ("ggml.eot_token_id", id(self.eot)),
            ("ggml.unknown_token_id", id(self.unk)),
            ("ggml.padding_token_id", id(self.pad)),
            ("ggml.add_bos_token", flag(self.add_bos)),
            ("ggml.add_eos_token", flag(self.add_eos)),
            ("ggml.add_space_prefix", flag(self.add_space_prefix)),
            ("chat_template", self.chat_template.as_ref().map(text)),
        ];
        let values = values.into_iter().filter_map(|(key, value)| Some((format!("tokenizer.{key}"), value?)));
        values.collect()
    }
}

/// Reads the tokenizer's keys.
struct Keys<'a> {
    file: &'a GgufFile,
}

impl Keys<'_> {
    fn text(&self, key: &str) -> Result<Option<String>, ModelError> {
        let Some(value) = self.file.get(key) else { return Ok(None) };
        value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| self.file.wrong(key, "a string"))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, ModelError> {
        let key = format!("tokenizer.ggml.{name}");
        let Some(value) = self.file.get(&key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.file.wrong(&key, "true or false"))
    }

    fn id(&self, name: &str, n_tokens: usize) -> Result<Option<u32>, ModelError> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(value) = self.file.get(&key) else { return Ok(None) };
        let id = value.as_u64().filter(|id| *id < n_tokens as u64).and_then(|id| u32::try_from(id).ok());
        id.map(Some).ok_or_else(|| self.file.wrong(&key, &format!("a token id below {n_tokens}")))
    }

    fn strings(&self, name: &str) -> Result<Option<Vec<String>>, ModelError> {
        let key = format!("tokenizer.ggml.{name}");
        match self.file.get(&key) {
            None => Ok(None),
            Some(GgufValue::Array(GgufArray::String(list))) => Ok(Some(list.clone())),
            Some(_) => Err(self.file.wrong(&key, "a list of strings")),
        }
    }

    fn scores(&self, n_tokens: usize) -> Result<Option<Vec<f32>>, ModelError> {
        let key = "tokenizer.ggml.scores";
        match self.file.get(key) {
            None => Ok(None),
            Some(GgufValue::Array(GgufArray::Float32(list))) if list.len() == n_tokens => {
                Ok(Some(list.clone()))
            }
            Some(_) => Err(self.file.wrong(key, &format!("a list of {n_tokens} float32, one a token"))),
        }
    }

    fn token_types(&self, n_tokens: usize) -> Result<Option<Vec<i32>>, ModelError> {
        let key = "tokenizer.ggml.token_type";
        match self.file.get(key) {
            None => Ok(None),
            Some(GgufValue::Array(GgufArray::Int32(list))) if list.len() == n_tokens => {
                Ok(Some(list.clone()))
            }
            Some(GgufValue::Array(GgufArray::Uint32(list))) if list.len() == n_tokens => {
                Ok(Some(list.iter().map(|&kind| kind as i32).collect()))
            }
            Some(_) => Err(self.file.wrong(key, &format!("a list of {n_tokens} int32, one a token"))),
        }
    }
}
