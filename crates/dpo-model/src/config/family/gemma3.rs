//! Gemma 3, the text model: norms on the heads, five blocks with a window for one without, a rotation for each kind.

use super::{
    Definition,
    common::{Defaults, MAX_LAYERS, sliding_layers, window},
    gemma::{self, gemma_like},
    gemma2,
};
use crate::config::{
    DecoderConfig, QueryKeyNorm, RopeConfig,
    fields::Fields,
    rope_settings::{RopeKeys, RopeSizes},
};
use crate::error::ModelError;
use serde_json::Map;

pub(super) static FAMILY: Definition = Definition { model_type: "gemma3_text", parse, names: &gemma2::NAMES };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults { n_kv_heads: Some(4), max_positions: 131_072, ..gemma::DEFAULTS };
    let ropes = ropes(fields, defaults)?;
    // Its rotations are told by kind of block, which the shared part does not read.
    let mut shared = fields.map.clone();
    shared.retain(|key, _| !["rope_parameters", "rope_scaling", "rope_theta"].contains(&key.as_str()));
    let shared = Fields { path: fields.path, prefix: "", map: &shared };
    let mut config = gemma_like(&FAMILY, &shared, defaults)?;
    config.ropes = ropes;
    gemma2::set_norms_and_scale(&mut config, fields)?;
    config.attention.query_key_norm = QueryKeyNorm::EachHead;
    config.attention.softcap = fields.optional("attn_logit_softcapping", None)?;
    config.logit_softcap = fields.optional("final_logit_softcapping", None)?;
    let window = window(fields, Some(4096))?;
    let pattern = pattern(fields)?;
    let sliding =
        sliding_layers(fields, config.n_layers(), |layer_idx| !(layer_idx + 1).is_multiple_of(pattern))?;
    for (layer, is_sliding) in config.layers.iter_mut().zip(sliding) {
        layer.window = window.filter(|_| is_sliding);
        layer.rope = Some(usize::from(is_sliding));
    }
    Ok(config)
}

/// Every so many blocks one has no window.
fn pattern(fields: &Fields) -> Result<usize, ModelError> {
    Ok(fields.count("sliding_window_pattern", 1..=MAX_LAYERS)?.unwrap_or(6))
}

/// The rotation of blocks without a window, then that of blocks with one.
fn ropes(fields: &Fields, defaults: Defaults) -> Result<Vec<RopeConfig>, ModelError> {
    let sizes = RopeSizes {
        head_dim: fields.count("head_dim", 1..=1 << 22)?.unwrap_or(256),
        max_positions: fields
            .count("max_position_embeddings", 1..=1 << 40)?
            .unwrap_or(defaults.max_positions),
    };
    let empty = Map::new();
    let nested = fields.object("rope_parameters")?;
    let of_kind = |kind: &str| match nested.and_then(|map| map.get(kind)) {
        Some(value) => {
            value.as_object().ok_or_else(|| fields.wrong("rope_parameters", "objects by kind of block"))
        }
        None => Ok(&empty),
    };
    let mut full = of_kind("full_attention")?.clone();
    // Version 4 stretches only the blocks without a window.
    full.extend(fields.object("rope_scaling")?.unwrap_or(&empty).clone());
    let keys = |theta, default_theta| RopeKeys { theta, default_theta, ..RopeKeys::default() };
    let rope =
        |prefix, map, keys| RopeConfig::of(fields, &Fields { path: fields.path, prefix, map }, keys, sizes);
    Ok(vec![
        rope("rope_parameters.full_attention.", &full, keys("rope_theta", 1e6))?,
        rope(
            "rope_parameters.sliding_attention.",
            of_kind("sliding_attention")?,
            keys("rope_local_base_freq", 10_000.0),
        )?,
    ])
}
