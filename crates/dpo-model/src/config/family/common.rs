//! What most families share: the keys of Llama's configuration, with the defaults of each family.

use super::{Definition, Family};
use crate::config::{
    AttentionConfig, AttentionInputs, DecoderConfig, FeedForwardConfig, FeedForwardKind, LayerConfig,
    Multipliers, NormConfig, NormKind, NormPlaces, QueryKeyNorm, Residual, RopeConfig,
    fields::Fields,
    rope_settings::{RopeKeys, RopeSizes},
};
use crate::error::ModelError;
use crate::weights::WeightDtype;
use dpo_kernels::Activation;
use serde_json::Value;

/// Far above any model, far below what would overflow or exhaust memory in bookkeeping.
pub(super) const MAX_LAYERS: usize = 4096;
pub(super) const MAX_WIDTH: usize = 1 << 22;
const MAX_VOCAB: usize = 1 << 26;
pub(super) const MAX_POSITIONS: usize = 1 << 40;

/// Values that a family has where its configuration says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    /// `None`: as many as query heads.
    pub(super) n_kv_heads: Option<usize>,
    /// `None`: the width divided by the query heads.
    pub(super) head_dim: Option<usize>,
    pub(super) norm_eps: f64,
    pub(super) max_positions: usize,
    pub(super) is_tied: bool,
    /// Key of the activation, and its value.
    pub(super) activation: (&'static str, &'static str),
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) rope: RopeKeys,
}

/// Llama's.
impl Default for Defaults {
    fn default() -> Self {
        Self {
            n_kv_heads: None,
            head_dim: None,
            norm_eps: 1e-6,
            max_positions: 2048,
            is_tied: false,
            activation: ("hidden_act", "silu"),
            bos: Some(1),
            eos: Some(2),
            pad: None,
            rope: RopeKeys::default(),
        }
    }
}

/// A decoder with RMS norms before both parts of a block, a gated feed-forward part and one rotation for all blocks,
/// without biases: what a family changes about it, it changes afterwards.
pub(super) fn llama_like(
    family: &'static Definition,
    fields: &Fields,
    defaults: Defaults,
) -> Result<DecoderConfig, ModelError> {
    refuse_quantised(fields)?;
    let d_model = fields.required_count("hidden_size", 1..=MAX_WIDTH)?;
    let heads = heads(fields, defaults, d_model)?;
    let max_positions =
        fields.count("max_position_embeddings", 1..=MAX_POSITIONS)?.unwrap_or(defaults.max_positions);
    let n_layers = fields.required_count("num_hidden_layers", 1..=MAX_LAYERS)?;
    let (key, default) = defaults.activation;
    let tokens = Tokens::parse(fields, defaults)?;
    let sizes = RopeSizes { head_dim: heads.head_dim, max_positions };
    Ok(DecoderConfig {
        family: Family(family),
        vocab_size: tokens.vocab_size,
        d_model,
        layers: vec![LayerConfig { window: None, rope: Some(0) }; n_layers],
        attention: heads,
        feed_forward: FeedForwardConfig {
            d_ff: fields.required_count("intermediate_size", 1..=MAX_WIDTH)?,
            kind: FeedForwardKind::Gated,
            activation: activation(fields, key, default)?,
            bias: false,
        },
        norm: NormConfig {
            kind: NormKind::Rms,
            epsilon: fields.positive("rms_norm_eps")?.unwrap_or(defaults.norm_eps),
            places: NormPlaces::Before,
        },
        residual: Residual::Sequential,
        ropes: vec![RopeConfig::parse(fields, defaults.rope, sizes)?],
        position_table: false,
        multipliers: Multipliers::default(),
        logit_softcap: None,
        tie_word_embeddings: fields.flag("tie_word_embeddings", defaults.is_tied)?,
        max_position_embeddings: max_positions,
        bos_token_id: tokens.bos,
        eos_token_ids: tokens.eos,
        pad_token_id: tokens.pad,
        weight_dtype: weight_dtype(fields)?,
    })
}

/// Values that other tools quantised are not what this decoder reads.
pub(super) fn refuse_quantised(fields: &Fields) -> Result<(), ModelError> {
    if fields.value("quantization_config").is_some() {
        return Err(fields.wrong("quantization_config", "none: take the unquantised model, or its GGUF"));
    }
    Ok(())
}

fn heads(fields: &Fields, defaults: Defaults, d_model: usize) -> Result<AttentionConfig, ModelError> {
    let n_heads = fields.required_count("num_attention_heads", 1..=MAX_WIDTH)?;
    let default = defaults.n_kv_heads.filter(|n| *n <= n_heads);
    let n_kv_heads = fields.optional_count("num_key_value_heads", 1..=n_heads, default)?.unwrap_or(n_heads);
    if !n_heads.is_multiple_of(n_kv_heads) {
        let expected = format!("a divisor of `num_attention_heads`, {n_heads}");
        return Err(fields.wrong("num_key_value_heads", expected));
    }
    let head_dim = match fields.optional_count("head_dim", 1..=MAX_WIDTH, defaults.head_dim)? {
        Some(head_dim) => head_dim,
        None if d_model.is_multiple_of(n_heads) => d_model / n_heads,
        None => {
            return Err(
                fields.wrong("hidden_size", format!("a multiple of `num_attention_heads`, {n_heads}"))
            );
        }
    };
    Ok(AttentionConfig {
        n_heads,
        n_kv_heads,
        head_dim,
        scale: (head_dim as f64).powf(-0.5),
        softcap: None,
        inputs: AttentionInputs::Separate,
        input_bias: false,
        output_bias: false,
        query_key_norm: QueryKeyNorm::Absent,
    })
}

/// The vocabulary's size and special tokens.
pub(super) struct Tokens {
    pub(super) vocab_size: usize,
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
    pub(super) pad: Option<u32>,
}

impl Tokens {
    pub(super) fn parse(fields: &Fields, defaults: Defaults) -> Result<Self, ModelError> {
        let vocab_size = fields.required_count("vocab_size", 1..=MAX_VOCAB)?;
        let ids = |key, default| token_ids(fields, key, default, vocab_size);
        Ok(Self {
            vocab_size,
            bos: ids("bos_token_id", defaults.bos)?.first().copied(),
            eos: ids("eos_token_id", defaults.eos)?,
            pad: ids("pad_token_id", defaults.pad)?.first().copied(),
        })
    }
}

/// One id, a list of ids, or none; `-1` is how old configurations write "none".
fn token_ids(fields: &Fields, key: &str, default: Option<u32>, vocab: usize) -> Result<Vec<u32>, ModelError> {
    let wrong = || fields.wrong(key, format!("a token id below `vocab_size`, {vocab}"));
    let values = match fields.map.get(key) {
        None => return Ok(default.into_iter().filter(|id| (*id as usize) < vocab).collect()),
        Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) if single.as_i64() == Some(-1) => return Ok(Vec::new()),
        Some(single) => std::slice::from_ref(single),
    };
    let id = |value: &Value| value.as_u64().filter(|id| *id < vocab as u64).map(|id| id as u32);
    values.iter().map(|value| id(value).ok_or_else(wrong)).collect()
}

pub(super) fn weight_dtype(fields: &Fields) -> Result<Option<WeightDtype>, ModelError> {
    let key = if fields.value("dtype").is_some() { "dtype" } else { "torch_dtype" };
    let Some(name) = fields.text(key)? else { return Ok(None) };
    let known = "`float32`, `float16`, `bfloat16` or `float64`";
    let name = name.strip_prefix("torch.").unwrap_or(name);
    WeightDtype::from_torch_name(name).map(Some).ok_or_else(|| fields.wrong(key, known))
}

/// An activation under its name in transformers.
pub(super) fn activation(fields: &Fields, key: &str, default: &str) -> Result<Activation, ModelError> {
    match fields.text(key)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::GeluErf),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        _ => Err(fields.wrong(key, "`silu`, `gelu`, `gelu_new`, `gelu_pytorch_tanh` or `relu`")),
    }
}

/// Whether each block has a window: `layer_types`, or `default` by the block's index.
pub(super) fn sliding_layers(
    fields: &Fields,
    n_layers: usize,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<bool>, ModelError> {
    let Some(types) = fields.value("layer_types") else { return Ok((0..n_layers).map(default).collect()) };
    let is_sliding = |value: &Value| match value.as_str() {
        Some("sliding_attention") => Some(true),
        Some("full_attention") => Some(false),
        _ => None,
    };
    let layers = types.as_array().filter(|types| types.len() == n_layers);
    let layers = layers.and_then(|types| types.iter().map(is_sliding).collect());
    let expected = format!("a list of {n_layers}, each `sliding_attention` or `full_attention`");
    layers.ok_or_else(|| fields.wrong("layer_types", expected))
}

/// `sliding_window`, at least 1; `default` where the key is absent.
pub(super) fn window(fields: &Fields, default: Option<usize>) -> Result<Option<usize>, ModelError> {
    fields.optional_count("sliding_window", 1..=MAX_POSITIONS, default)
}
