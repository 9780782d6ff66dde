//! From a GGUF vocabulary to the `tokenizer.json` that transformers would make of it.

use serde_json::{Map, Value, json};

use super::split::{Split, WholePieces, byte_level};
use super::{GgufVocabulary, kind};
use crate::tokenizer::load::template_processing;

impl GgufVocabulary {
    /// `tokenizer.json`, as transformers would write it after its own conversion.
    pub(in crate::tokenizer) fn tokenizer_json(&self) -> Result<Value, String> {
        self.check()?;
        match self.model.as_str() {
            "gpt2" => self.byte_level(),
            "llama" => Ok(self.with_runs_of_spaces_as_pieces().sentence_piece()),
            other => Err(format!("its tokenizer is `{other}`; gpt2 and llama are read")),
        }
    }

    /// `tokenizer_config.json` to go with it.
    pub(in crate::tokenizer) fn tokenizer_config(&self) -> Value {
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

    fn assemble(&self, parts: Parts, model: Value) -> Value {
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added_tokens(),
            "normalizer": parts.normalizer,
            "pre_tokenizer": parts.pre_tokenizer,
            "post_processor": self.post_processor(parts.adds_bos),
            "decoder": parts.decoder,
            "model": model,
        })
    }

    fn vocab(&self) -> Value {
        let entries = self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into()));
        Value::Object(entries.collect())
    }

    /// Tokens that are looked for in the text before anything else.
    fn added_tokens(&self) -> Vec<Value> {
        let added = self.tokens.iter().enumerate().filter_map(|(id, content)| {
            let special = match self.token_type(id) {
                kind::CONTROL => true,
                kind::UNKNOWN => self.model == "llama",
                kind::USER_DEFINED => false,
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

    fn byte_level(&self) -> Result<Value, String> {
        let split = Split::named(&self.pre).ok_or_else(|| {
            format!(
                "it splits text as `{}` (`tokenizer.ggml.pre`), and only {} are read; take the model's Hugging Face folder",
                self.pre,
                Split::known_names()
            )
        })?;
        let parts = Parts {
            normalizer: split.normalizer(),
            pre_tokenizer: split.pre_tokenizer(),
            decoder: byte_level(true),
            adds_bos: split.adds_bos,
        };
        Ok(self.assemble(parts, self.byte_level_model(split.whole_pieces)))
    }

    fn byte_level_model(&self, whole_pieces: WholePieces) -> Value {
        let merges = self.merges.iter().map(|merge| match merge.split_once(' ') {
            Some((left, right)) => json!([left, right]),
            None => json!([merge, ""]),
        });
        json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": whole_pieces == WholePieces::Kept, "vocab": self.vocab(),
            "merges": merges.collect::<Vec<_>>(),
        })
    }

    /// `▁` for spaces and before the text, unknown characters as bytes.
    fn sentence_piece(&self) -> Value {
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
        let parts = Parts {
            normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
            pre_tokenizer: Value::Null,
            decoder: json!({"type": "Sequence", "decoders": decoders}),
            adds_bos: true,
        };
        self.assemble(parts, self.sentence_piece_model())
    }

    fn sentence_piece_model(&self) -> Value {
        let unk = self.unk_id.or_else(|| {
            let unknown = (0..self.tokens.len()).find(|id| self.token_type(*id) == kind::UNKNOWN)?;
            Some(unknown as u32)
        });
        json!({
            "type": "BPE", "dropout": null, "unk_token": self.token(unk), "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": self.vocab(), "merges": self.merges_from_scores(),
        })
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
