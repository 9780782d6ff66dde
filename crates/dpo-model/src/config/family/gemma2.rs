//! Gemma 2: norms around both parts of a block, every other block with a window, soft caps.

use super::{
    Definition,
    common::{Defaults, MAX_POSITIONS, sliding_layers, window},
    gemma::{self, gemma_like},
};
use crate::config::{DecoderConfig, NormPlaces, TensorNames, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "gemma2", parse, names: &NAMES };

/// Gemma 2 and 3 have four norms a block.
pub(super) static NAMES: TensorNames = TensorNames {
    norms: &[
        ("attention_norm", "input_layernorm"),
        ("attention_out_norm", "post_attention_layernorm"),
        ("feed_forward_norm", "pre_feedforward_layernorm"),
        ("feed_forward_out_norm", "post_feedforward_layernorm"),
    ],
    ..LLAMA
};

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let mut config = gemma_like(&FAMILY, fields, Defaults { n_kv_heads: Some(4), ..gemma::DEFAULTS })?;
    set_norms_and_scale(&mut config, fields)?;
    config.attention.softcap = fields.optional("attn_logit_softcapping", Some(50.0))?;
    config.logit_softcap = fields.optional("final_logit_softcapping", Some(30.0))?;
    let window = window(fields, Some(4096))?;
    let sliding = sliding_layers(fields, config.n_layers(), |layer_idx| layer_idx % 2 == 0)?;
    for (layer, is_sliding) in config.layers.iter_mut().zip(sliding) {
        layer.window = window.filter(|_| is_sliding);
    }
    Ok(config)
}

/// What Gemma 2 and 3 share.
pub(super) fn set_norms_and_scale(config: &mut DecoderConfig, fields: &Fields) -> Result<(), ModelError> {
    config.norm.places = NormPlaces::Around;
    let scalar = fields.count("query_pre_attn_scalar", 1..=MAX_POSITIONS)?.unwrap_or(256);
    config.attention.scale = (scalar as f64).powf(-0.5);
    Ok(())
}
