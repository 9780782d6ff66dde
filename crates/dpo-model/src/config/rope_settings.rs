//! The settings of the rotation in `config.json`, in the spelling of transformers 5 and of version 4.

use super::{Llama3Rope, LongRope, RopeConfig, RopeVariant, YarnRope, fields::Fields};
use crate::error::ModelError;
use serde_json::Map;

/// What a family calls the settings of its rotation, and their defaults.
#[derive(Debug, Clone, Copy)]
pub(super) struct RopeKeys {
    /// Key of the base outside of `rope_parameters`.
    pub(super) theta: &'static str,
    pub(super) default_theta: f64,
    /// Key outside of `rope_parameters` of the share of a head that is turned, and its default; `None` where the
    /// whole head is.
    pub(super) share: Option<(&'static str, f64)>,
    /// Longest text of the first training, where the family has a default for it.
    pub(super) default_original: Option<f64>,
}

impl Default for RopeKeys {
    fn default() -> Self {
        Self { theta: "rope_theta", default_theta: 10_000.0, share: None, default_original: None }
    }
}

/// Sizes that the settings are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct RopeSizes {
    pub(super) head_dim: usize,
    pub(super) max_positions: usize,
}

impl RopeConfig {
    /// Reads `rope_parameters` (transformers 5), `rope_scaling` and `rope_theta` (version 4); `rope_scaling` goes first
    /// where both are there, as it does in transformers.
    pub(super) fn parse(config: &Fields, keys: RopeKeys, sizes: RopeSizes) -> Result<Self, ModelError> {
        let empty = Map::new();
        let scaling = config.object("rope_scaling")?.filter(|map| !map.is_empty());
        let (prefix, map) = match (scaling, config.object("rope_parameters")?) {
            (Some(map), _) => ("rope_scaling.", map),
            (None, Some(map)) => ("rope_parameters.", map),
            (None, None) => ("rope_parameters.", &empty),
        };
        Self::of(config, &Fields { path: config.path, prefix, map }, keys, sizes)
    }

    /// The rotation that `rope` describes, with what it leaves out taken from `config`.
    pub(super) fn of(
        config: &Fields,
        rope: &Fields,
        keys: RopeKeys,
        sizes: RopeSizes,
    ) -> Result<Self, ModelError> {
        let theta = match rope.positive("rope_theta")? {
            Some(theta) => theta,
            None => config.positive(keys.theta)?.unwrap_or(keys.default_theta),
        };
        let rotated = rotated(config, rope, keys, sizes.head_dim)?;
        let original = original_positions(config, rope, keys, sizes.max_positions)?;
        let variant = variant(rope, theta, rotated, original, sizes.max_positions)?;
        Ok(Self { theta, rotated, variant })
    }
}

/// How many numbers of a head are turned.
fn rotated(config: &Fields, rope: &Fields, keys: RopeKeys, head_dim: usize) -> Result<usize, ModelError> {
    let inner = "partial_rotary_factor";
    let Some((outer, default)) = keys.share else {
        for fields in [config, rope] {
            if fields.positive(inner)?.is_some_and(|share| share != 1.0) {
                return Err(fields.wrong(inner, "1: the whole head is rotated"));
            }
        }
        if !head_dim.is_multiple_of(2) {
            let expected = format!("an even number, half of it is rotated; it is {head_dim} here");
            return Err(config.wrong("head_dim", expected));
        }
        return Ok(head_dim);
    };
    let (fields, key) = if rope.value(inner).is_some() { (rope, inner) } else { (config, outer) };
    let share = fields.positive(key)?.unwrap_or(default);
    let rotated = (head_dim as f64 * share) as usize;
    if rotated == 0 || rotated.next_multiple_of(2) > head_dim {
        return Err(fields.wrong(key, format!("a share of a head of {head_dim}, above 0 and up to 1")));
    }
    Ok(rotated)
}

fn variant(
    rope: &Fields,
    theta: f64,
    rotated: usize,
    original: f64,
    max_positions: usize,
) -> Result<RopeVariant, ModelError> {
    let key = if rope.value("rope_type").is_some() { "rope_type" } else { "type" };
    match rope.text(key)? {
        None | Some("default") => Ok(RopeVariant::Default),
        Some("linear") => Ok(RopeVariant::Linear { factor: rope.required_positive("factor")? }),
        Some("llama3") => llama3_variant(rope, original),
        Some("longrope" | "su") => long_variant(rope, rotated, original, max_positions),
        // What early Phi-3 configurations call LongRoPE.
        Some("yarn") if rope.value("short_factor").is_some() => {
            long_variant(rope, rotated, original, max_positions)
        }
        Some("yarn") if (theta - 1.0).abs() < 1e-6 => Err(rope.wrong("rope_theta", "a base other than 1")),
        Some("yarn") => yarn_variant(rope, original, max_positions),
        Some(_) => Err(rope.wrong(key, "`default`, `linear`, `llama3`, `yarn` or `longrope`")),
    }
}

fn original_positions(
    config: &Fields,
    rope: &Fields,
    keys: RopeKeys,
    max_positions: usize,
) -> Result<f64, ModelError> {
    let key = "original_max_position_embeddings";
    let given = match config.positive(key)?.or(keys.default_original) {
        Some(outer) => Some(outer),
        None => rope.positive(key)?,
    };
    Ok(given.unwrap_or(max_positions as f64))
}

fn llama3_variant(rope: &Fields, original_max_position_embeddings: f64) -> Result<RopeVariant, ModelError> {
    let factor = rope.required_positive("factor")?;
    let low_freq_factor = rope.required_positive("low_freq_factor")?;
    let high_freq_factor = rope.required_positive("high_freq_factor")?;
    if (high_freq_factor - low_freq_factor) as f32 <= 0.0 {
        return Err(rope.wrong("high_freq_factor", format!("more than `low_freq_factor`, {low_freq_factor}")));
    }
    Ok(RopeVariant::Llama3(Llama3Rope {
        factor,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings,
    }))
}

fn yarn_variant(rope: &Fields, original: f64, max_positions: usize) -> Result<RopeVariant, ModelError> {
    let factor = rope.positive("factor")?.unwrap_or(max_positions as f64 / original);
    let attention_factor = match rope.positive("attention_factor")? {
        Some(given) => given,
        None => match (nonzero(rope, "mscale")?, nonzero(rope, "mscale_all_dim")?) {
            (Some(scale), Some(all)) => magnitude(factor, scale) / magnitude(factor, all),
            _ => magnitude(factor, 1.0),
        },
    };
    Ok(RopeVariant::Yarn(YarnRope {
        factor,
        attention_factor,
        beta_fast: nonzero(rope, "beta_fast")?.unwrap_or(32.0),
        beta_slow: nonzero(rope, "beta_slow")?.unwrap_or(1.0),
        original_max_position_embeddings: original,
        truncate: rope.flag("truncate", true)?,
    }))
}

fn long_variant(
    rope: &Fields,
    rotated: usize,
    original: f64,
    max_positions: usize,
) -> Result<RopeVariant, ModelError> {
    let factors = |key: &str| {
        let factors = rope.positives(key)?.filter(|factors| factors.len() == rotated.div_ceil(2));
        factors.ok_or_else(|| rope.wrong(key, format!("{} numbers above 0", rotated.div_ceil(2))))
    };
    let factor = rope.positive("factor")?.unwrap_or(max_positions as f64 / original);
    let attention_factor = match rope.positive("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / original.ln()).sqrt(),
    };
    Ok(RopeVariant::Long(LongRope {
        short_factor: factors("short_factor")?,
        long_factor: factors("long_factor")?,
        attention_factor,
        original_max_position_embeddings: original,
    }))
}

/// A number above 0, or none; 0 stands for "not given" in transformers too.
fn nonzero(rope: &Fields, key: &str) -> Result<Option<f64>, ModelError> {
    if rope.value(key).and_then(serde_json::Value::as_f64) == Some(0.0) {
        Ok(None)
    } else {
        rope.positive(key)
    }
}

/// `0.1·m·ln(s) + 1`, Eq. 22 of <https://arxiv.org/abs/2309.00071>.
fn magnitude(scale: f64, mscale: f64) -> f64 {
    if scale <= 1.0 { 1.0 } else { 0.1 * mscale * scale.ln() + 1.0 }
}
