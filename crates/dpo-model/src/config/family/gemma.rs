//! Gemma: norms that scale by `1 + w`, an embedding multiplied by the root of its width.

use super::{
    Definition,
    common::{Defaults, llama_like},
};
use crate::config::{DecoderConfig, NormKind, fields::Fields, names::LLAMA};
use crate::error::ModelError;
use dpo_kernels::Activation;

pub(super) static FAMILY: Definition = Definition { model_type: "gemma", parse, names: &LLAMA };

/// What all Gemmas leave open.
pub(super) const DEFAULTS: Defaults = Defaults {
    n_kv_heads: Some(16),
    head_dim: Some(256),
    norm_eps: 1e-6,
    max_positions: 8192,
    is_tied: true,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    bos: Some(2),
    eos: Some(1),
    pad: Some(0),
    rope: super::qwen2::DEFAULTS.rope,
};

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let mut config = gemma_like(
        &FAMILY,
        fields,
        Defaults { activation: ("hidden_act", "gelu_pytorch_tanh"), ..DEFAULTS },
    )?;
    if config.feed_forward.activation == Activation::GeluErf {
        // The first releases say `gelu` and mean the approximation.
        config.feed_forward.activation = Activation::GeluTanh;
    }
    Ok(config)
}

/// What all Gemmas have in common.
pub(super) fn gemma_like(
    family: &'static Definition,
    fields: &Fields,
    defaults: Defaults,
) -> Result<DecoderConfig, ModelError> {
    let mut config = llama_like(family, fields, defaults)?;
    config.norm.kind = NormKind::RmsOnePlus;
    config.multipliers.embedding = (config.d_model as f64).sqrt();
    let has_bias = fields.flag("attention_bias", false)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    if fields.flag("use_bidirectional_attention", false)? {
        return Err(fields.wrong("use_bidirectional_attention", "false: a token sees only those before it"));
    }
    Ok(config)
}
