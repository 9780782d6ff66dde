//! Granite: constant multipliers on embedding, scores, residuals and logits.

use super::{
    Definition,
    common::{Defaults, llama_like},
};
use crate::config::{DecoderConfig, Multipliers, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "granite", parse, names: &LLAMA };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let mut config = llama_like(&FAMILY, fields, Defaults::default())?;
    let has_bias = fields.flag("attention_bias", false)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    config.feed_forward.bias = fields.flag("mlp_bias", false)?;
    let multiplier = |key| Ok::<_, ModelError>(fields.positive(key)?.unwrap_or(1.0));
    config.attention.scale = multiplier("attention_multiplier")?;
    config.multipliers = Multipliers {
        embedding: multiplier("embedding_multiplier")?,
        residual: multiplier("residual_multiplier")?,
        logit_divisor: multiplier("logits_scaling")?,
    };
    Ok(config)
}
