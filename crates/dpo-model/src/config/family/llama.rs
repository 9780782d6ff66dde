//! Llama 2 and 3.x, SmolLM 1 and 2, TinyLlama and all others that say `LlamaForCausalLM`.

use super::{
    Definition,
    common::{Defaults, llama_like},
};
use crate::config::{DecoderConfig, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "llama", parse, names: &LLAMA };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let mut config = llama_like(&FAMILY, fields, Defaults::default())?;
    let has_bias = fields.flag("attention_bias", false)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    config.feed_forward.bias = fields.flag("mlp_bias", false)?;
    Ok(config)
}
