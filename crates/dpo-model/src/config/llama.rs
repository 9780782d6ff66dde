//! The Llama family: its keys in `config.json`, their defaults in transformers, and its tensors.

use super::{DecoderConfig, RopeConfig, fields::Fields};
use crate::error::ModelError;
use crate::weights::{ExpectedTensor, WeightDtype};

/// Far above any model, far below what would overflow or exhaust memory in bookkeeping.
const MAX_LAYERS: usize = 4096;
const MAX_WIDTH: usize = 1 << 22;
const MAX_VOCAB: usize = 1 << 26;
const MAX_POSITIONS: usize = 1 << 40;

pub(super) fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    refuse_unknown_mathematics(fields)?;
    let d_model = fields.required_count("hidden_size", 1..=MAX_WIDTH)?;
    let n_heads = fields.required_count("num_attention_heads", 1..=MAX_WIDTH)?;
    if !d_model.is_multiple_of(n_heads) {
        return Err(fields.wrong("hidden_size", format!("a multiple of `num_attention_heads`, {n_heads}")));
    }
    let n_kv_heads = fields.count("num_key_value_heads", 1..=n_heads)?.unwrap_or(n_heads);
    if !n_heads.is_multiple_of(n_kv_heads) {
        return Err(
            fields.wrong("num_key_value_heads", format!("a divisor of `num_attention_heads`, {n_heads}"))
        );
    }
    let head_dim = fields.count("head_dim", 2..=MAX_WIDTH)?.unwrap_or(d_model / n_heads);
    if !head_dim.is_multiple_of(2) {
        return Err(
            fields.wrong("head_dim", format!("an even number, half of it is rotated; it is {head_dim} here"))
        );
    }
    let max_position_embeddings = fields.count("max_position_embeddings", 1..=MAX_POSITIONS)?.unwrap_or(2048);
    let vocab_size = fields.required_count("vocab_size", 1..=MAX_VOCAB)?;
    Ok(DecoderConfig {
        vocab_size,
        d_model,
        n_layers: fields.required_count("num_hidden_layers", 1..=MAX_LAYERS)?,
        n_heads,
        n_kv_heads,
        head_dim,
        d_ff: fields.required_count("intermediate_size", 1..=MAX_WIDTH)?,
        norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(1e-6),
        tie_word_embeddings: fields.flag("tie_word_embeddings", false)?,
        attention_bias: fields.flag("attention_bias", false)?,
        mlp_bias: fields.flag("mlp_bias", false)?,
        rope: RopeConfig::parse(fields, max_position_embeddings)?,
        max_position_embeddings,
        bos_token_id: token_ids(fields, "bos_token_id", Some(1), vocab_size)?.first().copied(),
        eos_token_ids: token_ids(fields, "eos_token_id", Some(2), vocab_size)?,
        pad_token_id: token_ids(fields, "pad_token_id", None, vocab_size)?.first().copied(),
        weight_dtype: weight_dtype(fields)?,
    })
}

/// Settings that change what the forward pass computes and that this decoder does not have.
fn refuse_unknown_mathematics(fields: &Fields) -> Result<(), ModelError> {
    if !matches!(fields.text("hidden_act")?, None | Some("silu" | "swish")) {
        return Err(fields.wrong("hidden_act", "`silu`"));
    }
    if fields.value("quantization_config").is_some() {
        return Err(fields.wrong("quantization_config", "none: take the unquantised model, or its GGUF"));
    }
    Ok(())
}

/// One id, a list of ids, or none; `-1` is how old configurations write "none".
fn token_ids(fields: &Fields, key: &str, default: Option<u32>, vocab: usize) -> Result<Vec<u32>, ModelError> {
    let wrong = || fields.wrong(key, format!("a token id below `vocab_size`, {vocab}"));
    let values = match fields.map.get(key) {
        None => return Ok(default.into_iter().filter(|id| (*id as usize) < vocab).collect()),
        Some(serde_json::Value::Null) => return Ok(Vec::new()),
        Some(serde_json::Value::Array(list)) => list.as_slice(),
        Some(single) if single.as_i64() == Some(-1) => return Ok(Vec::new()),
        Some(single) => std::slice::from_ref(single),
    };
    let id = |value: &serde_json::Value| value.as_u64().filter(|id| *id < vocab as u64).map(|id| id as u32);
    values.iter().map(|value| id(value).ok_or_else(wrong)).collect()
}

fn weight_dtype(fields: &Fields) -> Result<Option<WeightDtype>, ModelError> {
    let key = if fields.value("dtype").is_some() { "dtype" } else { "torch_dtype" };
    let Some(name) = fields.text(key)? else { return Ok(None) };
    let known = "`float32`, `float16`, `bfloat16` or `float64`";
    let name = name.strip_prefix("torch.").unwrap_or(name);
    WeightDtype::from_torch_name(name).map(Some).ok_or_else(|| fields.wrong(key, known))
}

pub(super) fn expected_tensors(config: &DecoderConfig) -> Vec<ExpectedTensor> {
    let &DecoderConfig { vocab_size, d_model, .. } = config;
    let mut tensors = vec![ExpectedTensor::new("model.embed_tokens.weight", &[vocab_size, d_model])];
    for layer in 0..config.n_layers {
        layer_tensors(config, &format!("model.layers.{layer}."), &mut tensors);
    }
    tensors.push(ExpectedTensor::new("model.norm.weight", &[d_model]));
    if !config.tie_word_embeddings {
        tensors.push(ExpectedTensor::new("lm_head.weight", &[vocab_size, d_model]));
    }
    tensors
}

fn layer_tensors(config: &DecoderConfig, prefix: &str, tensors: &mut Vec<ExpectedTensor>) {
    let &DecoderConfig { d_model, d_ff, n_heads, n_kv_heads, head_dim, .. } = config;
    let mut linear = |name: &str, n_out: usize, n_in: usize, bias: bool| {
        tensors.push(ExpectedTensor::new(&format!("{prefix}{name}.weight"), &[n_out, n_in]));
        if bias {
            tensors.push(ExpectedTensor::new(&format!("{prefix}{name}.bias"), &[n_out]));
        }
    };
    linear("self_attn.q_proj", n_heads * head_dim, d_model, config.attention_bias);
    linear("self_attn.k_proj", n_kv_heads * head_dim, d_model, config.attention_bias);
    linear("self_attn.v_proj", n_kv_heads * head_dim, d_model, config.attention_bias);
    linear("self_attn.o_proj", d_model, n_heads * head_dim, config.attention_bias);
    linear("mlp.gate_proj", d_ff, d_model, config.mlp_bias);
    linear("mlp.up_proj", d_ff, d_model, config.mlp_bias);
    linear("mlp.down_proj", d_model, d_ff, config.mlp_bias);
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push(ExpectedTensor::new(&format!("{prefix}{norm}.weight"), &[d_model]));
    }
}
