//! SmolLM3: every fourth block without a rotation.

use super::{
    Definition,
    common::{Defaults, MAX_LAYERS, llama_like, sliding_layers, window},
};
use crate::config::{DecoderConfig, fields::Fields, names::LLAMA, rope_settings::RopeKeys};
use crate::error::ModelError;
use serde_json::Value;

pub(super) static FAMILY: Definition = Definition { model_type: "smollm3", parse, names: &LLAMA };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        n_kv_heads: Some(4),
        max_positions: 32_768,
        is_tied: true,
        bos: Some(128_000),
        eos: Some(128_001),
        pad: Some(128_004),
        rope: RopeKeys { default_theta: 2_000_000.0, ..RopeKeys::default() },
        ..Defaults::default()
    };
    let mut config = llama_like(&FAMILY, fields, defaults)?;
    let has_bias = fields.flag("attention_bias", false)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    config.feed_forward.bias = fields.flag("mlp_bias", false)?;
    let turned = turned_layers(fields, config.n_layers())?;
    let is_used = fields.flag("use_sliding_window", false)?;
    let window = window(fields, None)?.filter(|_| is_used);
    let sliding = sliding_layers(fields, config.n_layers(), |layer_idx| !turned[layer_idx])?;
    for ((layer, is_turned), is_sliding) in config.layers.iter_mut().zip(&turned).zip(sliding) {
        layer.rope = is_turned.then_some(0);
        layer.window = window.filter(|_| is_sliding);
    }
    Ok(config)
}

/// `no_rope_layers` has a 1 for each block that is turned, in spite of its name.
fn turned_layers(fields: &Fields, n_layers: usize) -> Result<Vec<bool>, ModelError> {
    let Some(value) = fields.value("no_rope_layers") else {
        let interval = fields.count("no_rope_layer_interval", 1..=MAX_LAYERS)?.unwrap_or(4);
        return Ok((0..n_layers).map(|layer_idx| !(layer_idx + 1).is_multiple_of(interval)).collect());
    };
    let is_turned = |value: &Value| value.as_u64().filter(|n| *n < 2).map(|n| n == 1);
    let layers = value.as_array().filter(|layers| layers.len() == n_layers);
    let layers = layers.and_then(|layers| layers.iter().map(is_turned).collect());
    layers.ok_or_else(|| fields.wrong("no_rope_layers", format!("a list of {n_layers} zeros and ones")))
}
