//! Phi-3, 3.5 and 4-mini: stacked weights, partly turned heads, LongRoPE.

use super::{
    Definition,
    common::{Defaults, llama_like, window},
};
use crate::config::{
    AttentionInputs, DecoderConfig, FeedForwardKind, fields::Fields, names::LLAMA, rope_settings::RopeKeys,
};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "phi3", parse, names: &LLAMA };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let rope = RopeKeys {
        share: Some(("partial_rotary_factor", 1.0)),
        default_original: Some(4096.0),
        ..RopeKeys::default()
    };
    let defaults = Defaults {
        norm_eps: 1e-5,
        max_positions: 4096,
        eos: Some(32_000),
        pad: Some(32_000),
        rope,
        ..Defaults::default()
    };
    let mut config = llama_like(&FAMILY, fields, defaults)?;
    config.attention.inputs = AttentionInputs::Stacked;
    config.feed_forward.kind = FeedForwardKind::GatedStacked;
    let window = window(fields, None)?;
    config.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(config)
}
