//! OLMo 2: norms after both parts of a block, and over all queries and all keys.

use super::{
    Definition,
    common::{Defaults, llama_like},
};
use crate::config::{DecoderConfig, NormPlaces, QueryKeyNorm, TensorNames, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "olmo2", parse, names: &NAMES };

static NAMES: TensorNames = TensorNames {
    norms: &[
        ("attention_out_norm", "post_attention_layernorm"),
        ("feed_forward_out_norm", "post_feedforward_layernorm"),
    ],
    ..LLAMA
};

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let defaults =
        Defaults { norm_eps: 1e-5, bos: None, eos: Some(50_279), pad: Some(1), ..Defaults::default() };
    let mut config = llama_like(&FAMILY, fields, defaults)?;
    let has_bias = fields.flag("attention_bias", false)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    config.attention.query_key_norm = QueryKeyNorm::AllHeads;
    config.norm.places = NormPlaces::After;
    Ok(config)
}
