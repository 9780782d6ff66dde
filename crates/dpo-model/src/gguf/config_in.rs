//! The configuration of a GGUF file, out of its metadata.

mod rope;

use super::architecture::{Architecture, EMBEDDING, HEAD};
use super::{GgmlType, GgufFile, GgufTensor, GgufValue};
use crate::config::HfConfig;
use crate::error::ModelError;
use serde_json::{Map, Value, json};

/// Factors of the rotation frequencies, by which llama.cpp stores Llama 3's stretching and LongRoPE.
pub(super) const ROPE_TENSORS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// A `config.json` out of metadata, read by the same code as a real one.
pub(super) fn read_config(
    file: &GgufFile,
    architecture: &'static Architecture,
) -> Result<HfConfig, ModelError> {
    let keys = Keys { file, architecture: architecture.name };
    let mut raw = Map::new();
    raw.insert("architectures".to_owned(), json!([architecture.class]));
    raw.insert("model_type".to_owned(), json!(architecture.model_type));
    raw.insert("use_cache".to_owned(), json!(true));
    keys.put_tokens(&mut raw)?;
    match architecture.name {
        "gpt2" => keys.put_gpt2(&mut raw)?,
        _ => keys.put_llama_like(&mut raw)?,
    }
    keys.put_particulars(&mut raw)?;
    let config = HfConfig::from_json(raw, file.path())?;
    match keys.tensor(ROPE_TENSORS[0]) {
        Some(factors) => rope::with_llama3(config, file, factors),
        None => Ok(config),
    }
}

/// Metadata values as JSON.
struct Keys<'a> {
    file: &'a GgufFile,
    architecture: &'static str,
}

impl Keys<'_> {
    fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.file.tensors().iter().find(|tensor| tensor.name == name)
    }

    /// The name of a key of the architecture.
    fn of(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// `null` where the key is absent.
    fn global(&self, key: &str) -> Result<Value, ModelError> {
        let Some(value) = self.file.get(key) else { return Ok(Value::Null) };
        let number = match value.as_u64() {
            Some(whole) => Some(json!(whole)),
            None => value.as_f64().map(|number| json!(number)),
        };
        number.ok_or_else(|| self.file.wrong(key, "a number"))
    }

    fn number(&self, key: &str) -> Result<Value, ModelError> {
        self.global(&self.of(key))
    }

    fn required(&self, key: &str) -> Result<Value, ModelError> {
        match self.number(key)? {
            Value::Null => Err(self.file.wrong(&self.of(key), "a number")),
            number => Ok(number),
        }
    }

    fn put_tokens(&self, raw: &mut Map<String, Value>) -> Result<(), ModelError> {
        let embedding = self.tensor(EMBEDDING);
        let dtype = embedding.map_or(GgmlType::F32, |tensor| tensor.ggml_type).saved_as();
        let vocab_size = embedding.and_then(|tensor| tensor.shape.first().copied());
        for (key, name) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
            raw.insert(key.to_owned(), self.global(&format!("tokenizer.ggml.{name}_token_id"))?);
        }
        raw.insert("dtype".to_owned(), json!(dtype.torch_name()));
        raw.insert("vocab_size".to_owned(), json!(vocab_size));
        raw.insert("tie_word_embeddings".to_owned(), json!(self.is_tied()?));
        Ok(())
    }

    /// Without a head of its own, or with a copy of the embedding where llama.cpp wants one.
    fn is_tied(&self) -> Result<bool, ModelError> {
        let (Some(embedding), Some(head)) = (self.tensor(EMBEDDING), self.tensor(HEAD)) else {
            return Ok(true);
        };
        let wants_head = matches!(self.architecture, "gpt2" | "gptneox" | "olmo2");
        let may_be_copy = wants_head && embedding.ggml_type == head.ggml_type;
        Ok(may_be_copy && self.file.read_f32(embedding)? == self.file.read_f32(head)?)
    }

    fn put_gpt2(&self, raw: &mut Map<String, Value>) -> Result<(), ModelError> {
        for (key, name) in [
            ("n_embd", "embedding_length"),
            ("n_head", "attention.head_count"),
            ("n_inner", "feed_forward_length"),
            ("n_layer", "block_count"),
            ("n_positions", "context_length"),
            ("layer_norm_epsilon", "attention.layer_norm_epsilon"),
        ] {
            raw.insert(key.to_owned(), self.required(name)?);
        }
        raw.insert("activation_function".to_owned(), json!("gelu_new"));
        for key in ["attn_pdrop", "embd_pdrop", "resid_pdrop"] {
            raw.insert(key.to_owned(), json!(0.0));
        }
        Ok(())
    }

    fn put_llama_like(&self, raw: &mut Map<String, Value>) -> Result<(), ModelError> {
        for (key, name) in [
            ("hidden_size", "embedding_length"),
            ("intermediate_size", "feed_forward_length"),
            ("max_position_embeddings", "context_length"),
            ("num_attention_heads", "attention.head_count"),
            ("num_hidden_layers", "block_count"),
        ] {
            raw.insert(key.to_owned(), self.required(name)?);
        }
        let n_kv_heads = match self.number("attention.head_count_kv")? {
            Value::Null => raw["num_attention_heads"].clone(),
            n_kv_heads => n_kv_heads,
        };
        raw.insert("num_key_value_heads".to_owned(), n_kv_heads);
        let epsilon = match self.architecture {
            "gptneox" => ("layer_norm_eps", "attention.layer_norm_epsilon"),
            _ => ("rms_norm_eps", "attention.layer_norm_rms_epsilon"),
        };
        raw.insert(epsilon.0.to_owned(), self.required(epsilon.1)?);
        let activation = match self.architecture {
            "gemma" => ("hidden_act", "gelu_pytorch_tanh"),
            "gemma2" | "gemma3" => ("hidden_activation", "gelu_pytorch_tanh"),
            "gptneox" => ("hidden_act", "gelu"),
            _ => ("hidden_act", "silu"),
        };
        raw.insert(activation.0.to_owned(), json!(activation.1));
        raw.insert("attention_bias".to_owned(), json!(self.has_attention_bias()));
        raw.insert("attention_dropout".to_owned(), json!(0.0));
        raw.insert("initializer_range".to_owned(), json!(0.02));
        if matches!(self.architecture, "llama" | "granite" | "smollm3") {
            raw.insert("mlp_bias".to_owned(), json!(self.tensor("blk.0.ffn_gate.bias").is_some()));
        }
        self.put_heads(raw)
    }

    fn has_attention_bias(&self) -> bool {
        // Qwen 2 has biases on queries, keys and values alone, which its family says by itself.
        let name = if self.architecture == "gptneox" { "blk.0.attn_qkv.bias" } else { "blk.0.attn_q.bias" };
        self.architecture != "qwen2" && self.tensor(name).is_some()
    }

    /// Width of a head and how much of it is turned, with the rotation.
    fn put_heads(&self, raw: &mut Map<String, Value>) -> Result<(), ModelError> {
        let rotated = self.number("rope.dimension_count")?;
        let width = match self.number("attention.key_length")? {
            Value::Null if matches!(self.architecture, "phi3" | "gptneox") => Value::Null,
            Value::Null => rotated.clone(),
            width => width,
        };
        let mut rope = self.rope_parameters()?;
        if matches!(self.architecture, "phi3" | "gptneox") {
            let n_heads = raw["num_attention_heads"].as_f64().unwrap_or(1.0);
            let default = raw["hidden_size"].as_f64().unwrap_or(0.0) / n_heads;
            let head_dim = width.as_f64().unwrap_or(default);
            let share = rotated.as_f64().map_or(1.0, |rotated| rotated / head_dim);
            rope.insert("partial_rotary_factor".to_owned(), json!(share));
        } else if rotated != Value::Null && rotated != width {
            let expected = format!("{width}: the whole head is rotated");
            return Err(self.file.wrong(&self.of("rope.dimension_count"), &expected));
        }
        if width != Value::Null {
            raw.insert("head_dim".to_owned(), width);
        }
        match self.architecture {
            "gemma3" => {
                let full = Value::Object(rope);
                let sliding = json!({ "rope_theta": 10_000.0, "rope_type": "default" });
                raw.insert(
                    "rope_parameters".to_owned(),
                    json!({ "full_attention": full, "sliding_attention": sliding }),
                );
            }
            _ => {
                raw.insert("rope_parameters".to_owned(), Value::Object(rope));
            }
        }
        Ok(())
    }

    /// What single families have beside that.
    fn put_particulars(&self, raw: &mut Map<String, Value>) -> Result<(), ModelError> {
        let mut put = |key: &str, value: Value| {
            raw.insert(key.to_owned(), value);
        };
        match self.architecture {
            "qwen2" | "qwen3" => put("use_sliding_window", json!(false)),
            "gemma2" => {
                put("sliding_window", self.number("attention.sliding_window")?);
                put("attn_logit_softcapping", self.number("attn_logit_softcapping")?);
                put("final_logit_softcapping", self.number("final_logit_softcapping")?);
                self.put_gemma_scale(raw)?;
            }
            "gemma3" => {
                put("sliding_window", self.number("attention.sliding_window")?);
                self.put_gemma_scale(raw)?;
            }
            "phi3" => {
                // 0 says none.
                let window = self.number("attention.sliding_window")?;
                put("sliding_window", if window == json!(0) { Value::Null } else { window });
                let original = self.number("rope.scaling.original_context_length")?;
                if original != Value::Null {
                    put("original_max_position_embeddings", original);
                }
            }
            "gptneox" => {
                let flag = self.file.get(&self.of("use_parallel_residual")).and_then(GgufValue::as_bool);
                put("use_parallel_residual", json!(flag.unwrap_or(true)));
            }
            "granite" => {
                put("attention_multiplier", self.required("attention.scale")?);
                put("embedding_multiplier", self.required("embedding_scale")?);
                put("residual_multiplier", self.required("residual_scale")?);
                put("logits_scaling", self.required("logit_scale")?);
            }
            _ => {}
        }
        Ok(())
    }

    /// llama.cpp derives the factor on the scores: from the width of a head, but for the 27B models.
    fn put_gemma_scale(&self, raw: &mut Map<String, Value>) -> Result<(), ModelError> {
        let is_27b = match self.architecture {
            "gemma2" => raw["num_hidden_layers"] == json!(46),
            _ => raw["num_hidden_layers"] == json!(62),
        };
        let head_dim = raw.get("head_dim").and_then(Value::as_u64);
        let per_head = raw["hidden_size"].as_u64().zip(raw["num_attention_heads"].as_u64());
        let scalar = if is_27b { per_head.map(|(width, n_heads)| width / n_heads.max(1)) } else { head_dim };
        let scalar = scalar.ok_or_else(|| self.file.wrong(&self.of("attention.key_length"), "a number"))?;
        raw.insert("query_pre_attn_scalar".to_owned(), json!(scalar));
        Ok(())
    }
}
