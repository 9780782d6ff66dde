//! The configuration of a GGUF file of the Llama architecture, out of its metadata.

use super::{GgmlType, GgufFile, GgufTensor, GgufValue};
use crate::config::{HfConfig, RopeConfig, RopeVariant};
use crate::error::ModelError;
use serde_json::{Map, Value, json};

/// Factors of the rotation frequencies, by which llama.cpp stores Llama 3's stretching.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A `config.json` out of metadata, read by the same code as a real one.
pub(super) fn read_config(file: &GgufFile) -> Result<HfConfig, ModelError> {
    let keys = Keys(file);
    let find = |name: &str| file.tensors().iter().find(|tensor| tensor.name == name);
    let embedding = find("token_embd.weight");
    let vocab_size = embedding.and_then(|tensor| tensor.shape.first().copied());
    let dtype = embedding.map_or(GgmlType::F32, |tensor| tensor.ggml_type).saved_as();
    let mut raw = Map::new();
    let mut put = |key: &str, value: Value| {
        raw.insert(key.to_owned(), value);
    };
    put("architectures", json!(["LlamaForCausalLM"]));
    put("attention_bias", json!(find("blk.0.attn_q.bias").is_some()));
    put("attention_dropout", json!(0.0));
    put("bos_token_id", keys.number("tokenizer.ggml.bos_token_id")?);
    put("dtype", json!(dtype.torch_name()));
    put("eos_token_id", keys.number("tokenizer.ggml.eos_token_id")?);
    put("head_dim", keys.head_dim()?);
    put("hidden_act", json!("silu"));
    put("hidden_size", keys.required("llama.embedding_length")?);
    put("initializer_range", json!(0.02));
    put("intermediate_size", keys.required("llama.feed_forward_length")?);
    put("max_position_embeddings", keys.required("llama.context_length")?);
    put("mlp_bias", json!(find("blk.0.ffn_gate.bias").is_some()));
    put("model_type", json!("llama"));
    put("num_attention_heads", keys.required("llama.attention.head_count")?);
    put("num_hidden_layers", keys.required("llama.block_count")?);
    put("num_key_value_heads", keys.number("llama.attention.head_count_kv")?);
    put("pad_token_id", keys.number("tokenizer.ggml.padding_token_id")?);
    put("rms_norm_eps", keys.required("llama.attention.layer_norm_rms_epsilon")?);
    put("rope_parameters", keys.rope_parameters()?);
    put("tie_word_embeddings", json!(find("output.weight").is_none()));
    put("use_cache", json!(true));
    put("vocab_size", json!(vocab_size));
    let config = HfConfig::from_json(raw, file.path())?;
    match find(ROPE_FACTORS) {
        Some(factors) => with_llama3_rope(config, file, factors),
        None => Ok(config),
    }
}

/// Metadata values as JSON.
struct Keys<'a>(&'a GgufFile);

impl Keys<'_> {
    fn wrong(&self, key: &str, expected: &str) -> ModelError {
        ModelError::Config {
            path: self.0.path().to_path_buf(),
            key: key.to_owned(),
            found: self.0.get(key).map_or("absent".to_owned(), ToString::to_string),
            expected: expected.to_owned(),
        }
    }

    /// `null` where the key is absent.
    fn number(&self, key: &str) -> Result<Value, ModelError> {
        let Some(value) = self.0.get(key) else { return Ok(Value::Null) };
        let number = match value.as_u64() {
            Some(whole) => Some(json!(whole)),
            None => value.as_f64().map(|number| json!(number)),
        };
        number.ok_or_else(|| self.wrong(key, "a number"))
    }

    fn required(&self, key: &str) -> Result<Value, ModelError> {
        match self.number(key)? {
            Value::Null => Err(self.wrong(key, "a number")),
            number => Ok(number),
        }
    }

    /// `key_length`, which has to be rotated as a whole; `rope.dimension_count` where only that is there.
    fn head_dim(&self) -> Result<Value, ModelError> {
        let (width, rotated) = ("llama.attention.key_length", "llama.rope.dimension_count");
        match (self.number(width)?, self.number(rotated)?) {
            (Value::Null, rotated) => Ok(rotated),
            (width, Value::Null) => Ok(width),
            (width, same) if width == same => Ok(width),
            (width, _) => Err(self.wrong(rotated, &format!("{width}: the whole head is rotated"))),
        }
    }

    fn rope_parameters(&self) -> Result<Value, ModelError> {
        let theta = match self.number("llama.rope.freq_base")? {
            Value::Null => json!(10_000.0),
            theta => theta,
        };
        let kind = "llama.rope.scaling.type";
        let known = ["type", "factor", "original_context_length", "finetuned"];
        for (key, _) in self.0.metadata() {
            if key.strip_prefix("llama.rope.scaling.").is_some_and(|name| !known.contains(&name)) {
                return Err(self.wrong(key, "none: this kind of stretching is not known"));
            }
        }
        let factor = || self.required("llama.rope.scaling.factor");
        match self.0.get(kind).map(GgufValue::as_str) {
            None | Some(Some("none")) => Ok(json!({ "rope_theta": theta, "rope_type": "default" })),
            Some(Some("linear")) => {
                Ok(json!({ "factor": factor()?, "rope_theta": theta, "rope_type": "linear" }))
            }
            Some(Some("yarn")) => {
                let original = self.required("llama.rope.scaling.original_context_length")?;
                Ok(json!({
                    "factor": factor()?,
                    "original_max_position_embeddings": original,
                    "rope_theta": theta,
                    "rope_type": "yarn",
                }))
            }
            Some(_) => Err(self.wrong(kind, "`none`, `linear` or `yarn`")),
        }
    }
}

/// llama.cpp stores Llama 3's stretching as one divisor a frequency; its settings are found again and verified.
fn with_llama3_rope(config: HfConfig, file: &GgufFile, factors: &GgufTensor) -> Result<HfConfig, ModelError> {
    let HfConfig { decoder, mut raw } = config;
    let stored = file.read_f32(factors)?;
    let factor = stored.iter().copied().fold(1.0, f32::max);
    let rope = json!({
        "factor": factor,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_theta": decoder.ropes[0].theta,
        "rope_type": "llama3",
    });
    raw.insert("rope_parameters".to_owned(), rope);
    let stretched = HfConfig::from_json(raw, file.path())?;
    let plain = RopeConfig { variant: RopeVariant::Default, ..decoder.ropes[0].clone() }.frequencies(0);
    let frequencies = stretched.decoder.ropes[0].frequencies(0);
    let computed =
        plain.inv_freq.iter().zip(&frequencies.inv_freq).map(|(plain, stretched)| plain / stretched);
    let same = |(computed, stored): (f32, &f32)| (computed - stored).abs() <= 1e-3 * stored;
    if stored.len() == plain.inv_freq.len() && computed.zip(&stored).all(same) {
        return Ok(stretched);
    }
    let problem = "does not hold Llama 3's factors; convert from the original folder instead";
    Err(ModelError::bad_tensor(file.path(), &factors.name, problem))
}
