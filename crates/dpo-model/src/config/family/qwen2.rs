//! Qwen 2 and 2.5: biases on queries, keys and values.

use super::{
    Definition,
    common::{Defaults, MAX_LAYERS, llama_like, sliding_layers, window},
};
use crate::config::{DecoderConfig, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "qwen2", parse, names: &LLAMA };

/// What Qwen 2 and 3 leave open.
pub(super) const DEFAULTS: Defaults = Defaults {
    n_kv_heads: Some(32),
    head_dim: None,
    norm_eps: 1e-6,
    max_positions: 32_768,
    is_tied: false,
    activation: ("hidden_act", "silu"),
    bos: None,
    eos: None,
    pad: None,
    rope: crate::config::rope_settings::RopeKeys {
        theta: "rope_theta",
        default_theta: 10_000.0,
        share: None,
        default_original: None,
    },
};

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let mut config = llama_like(&FAMILY, fields, DEFAULTS)?;
    config.attention.input_bias = true;
    set_windows(&mut config, fields)?;
    Ok(config)
}

/// Windows are there only where `use_sliding_window` says so, then on the blocks after the first
/// `max_window_layers`, or on those that `layer_types` names.
pub(super) fn set_windows(config: &mut DecoderConfig, fields: &Fields) -> Result<(), ModelError> {
    let is_used = fields.flag("use_sliding_window", false)?;
    let window = window(fields, Some(4096))?.filter(|_| is_used);
    let first = fields.count("max_window_layers", 0..=MAX_LAYERS)?.unwrap_or(28);
    let sliding = sliding_layers(fields, config.n_layers(), |layer_idx| layer_idx >= first)?;
    for (layer, is_sliding) in config.layers.iter_mut().zip(sliding) {
        layer.window = window.filter(|_| is_sliding);
    }
    Ok(())
}
