//! Qwen 3: norms on the heads of queries and keys.

use super::{
    Definition,
    common::{Defaults, llama_like},
    qwen2,
};
use crate::config::{DecoderConfig, QueryKeyNorm, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "qwen3", parse, names: &LLAMA };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults { head_dim: Some(128), ..qwen2::DEFAULTS };
    let mut config = llama_like(&FAMILY, fields, defaults)?;
    let has_bias = fields.flag("attention_bias", false)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    config.attention.query_key_norm = QueryKeyNorm::EachHead;
    qwen2::set_windows(&mut config, fields)?;
    Ok(config)
}
