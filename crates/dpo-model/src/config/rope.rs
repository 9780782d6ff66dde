//! Rotary position embedding: its settings in `config.json`, and the frequencies that follow from them.
//!
//! Equations and rounding are those of transformers 5 (`modeling_rope_utils.py`): `f32` where torch has a tensor,
//! `f64` where Python has a number.

use super::fields::Fields;
use crate::error::ModelError;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Settings of the rotary position embedding (RoPE, <https://arxiv.org/abs/2104.09864>).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RopeConfig {
    /// Base of the wavelengths; 10,000 in the paper.
    pub theta: f64,
    /// How the frequencies are stretched for longer texts.
    pub variant: RopeVariant,
}

/// How frequencies are stretched so that a model reads longer texts than it was first trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum RopeVariant {
    /// Not at all.
    Default,
    /// All by the same factor (<https://arxiv.org/abs/2306.15595>).
    Linear {
        /// Frequencies are divided by it.
        factor: f64,
    },
    /// Low frequencies by a factor, high ones not, smoothly in between (Llama 3.1).
    Llama3(Llama3Rope),
    /// By dimension, with the attention sharpened (YaRN, <https://arxiv.org/abs/2309.00071>).
    Yarn(YarnRope),
}

/// Settings of [`RopeVariant::Llama3`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Llama3Rope {
    /// Low frequencies are divided by it.
    pub factor: f64,
    /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are low frequencies.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are high frequencies.
    pub high_freq_factor: f64,
    /// Longest text of the first training.
    pub original_max_position_embeddings: f64,
}

/// Settings of [`RopeVariant::Yarn`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct YarnRope {
    /// Interpolated frequencies are divided by it.
    pub factor: f64,
    /// Factor of cosine and sine, resolved from `attention_factor`, `mscale` and `mscale_all_dim`.
    pub attention_factor: f64,
    /// Dimensions that turn more often than this over the first training's length are kept.
    pub beta_fast: f64,
    /// Dimensions that turn less often than this are interpolated.
    pub beta_slow: f64,
    /// Longest text of the first training.
    pub original_max_position_embeddings: f64,
    /// Whether the bounds between those dimensions are rounded to whole ones.
    pub truncate: bool,
}

/// What the rotation needs: an angle per position and pair of dimensions is `position · inv_freq[pair]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeFrequencies {
    /// Radians per position, `head_dim / 2` of them.
    pub inv_freq: Vec<f32>,
    /// Cosine and sine are multiplied by it.
    pub attention_scaling: f32,
}

impl RopeConfig {
    /// The frequencies for heads of width `head_dim`.
    pub fn frequencies(&self, head_dim: usize) -> RopeFrequencies {
        let plain = self.wavelengths(head_dim).map(f32::recip);
        let attention_scaling = match self.variant {
            RopeVariant::Yarn(yarn) => yarn.attention_factor as f32,
            _ => 1.0,
        };
        let inv_freq = match self.variant {
            RopeVariant::Default => plain.collect(),
            RopeVariant::Linear { factor } => plain.map(|freq| freq / factor as f32).collect(),
            RopeVariant::Llama3(llama3) => plain.map(|freq| llama3.stretch(freq)).collect(),
            RopeVariant::Yarn(yarn) => yarn.stretch(self.theta, head_dim, self.wavelengths(head_dim)),
        };
        RopeFrequencies { inv_freq, attention_scaling }
    }

    /// `θ^(2i/d)`, the inverse of the frequencies of the paper.
    fn wavelengths(&self, head_dim: usize) -> impl Iterator<Item = f32> + use<> {
        let theta = f64::from(self.theta as f32);
        (0..head_dim / 2).map(move |i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            theta.powf(f64::from(exponent)) as f32
        })
    }

    /// Reads `rope_parameters` (transformers 5), `rope_scaling` and `rope_theta` (version 4); the latter go first
    /// where both are there, as they do in transformers.
    pub(super) fn parse(config: &Fields, max_positions: usize) -> Result<Self, ModelError> {
        let empty = serde_json::Map::new();
        let scaling = config.object("rope_scaling")?.filter(|map| !map.is_empty());
        let (prefix, map) = match (scaling, config.object("rope_parameters")?) {
            (Some(map), _) => ("rope_scaling.", map),
            (None, Some(map)) => ("rope_parameters.", map),
            (None, None) => ("rope_parameters.", &empty),
        };
        let rope = Fields { path: config.path, prefix, map };
        let theta = match rope.positive("rope_theta")? {
            Some(theta) => theta,
            None => config.positive("rope_theta")?.unwrap_or(10_000.0),
        };
        for fields in [config, &rope] {
            let rotated = fields.positive("partial_rotary_factor")?;
            if rotated.is_some() && rotated != Some(1.0) {
                return Err(fields.wrong("partial_rotary_factor", "1: the whole head is rotated"));
            }
        }
        Ok(Self { theta, variant: variant(config, &rope, theta, max_positions)? })
    }
}

impl Llama3Rope {
    fn stretch(&self, freq: f32) -> f32 {
        let &Self { factor, low_freq_factor: low, high_freq_factor: high, .. } = self;
        let original = self.original_max_position_embeddings;
        // torch computes `number / tensor` as `reciprocal(tensor) * number`.
        let wavelength = freq.recip() * (2.0 * PI) as f32;
        if wavelength > (original / low) as f32 {
            return freq / factor as f32;
        }
        if wavelength < (original / high) as f32 {
            return freq;
        }
        let smooth = (wavelength.recip() * original as f32 - low as f32) / (high - low) as f32;
        (1.0 - smooth) * freq / factor as f32 + smooth * freq
    }
}

impl YarnRope {
    fn stretch(&self, theta: f64, head_dim: usize, wavelengths: impl Iterator<Item = f32>) -> Vec<f32> {
        let low = self.correction_dim(theta, head_dim, self.beta_fast);
        let high = self.correction_dim(theta, head_dim, self.beta_slow);
        let (low, high) = if self.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, mut high) = (low.max(0.0), high.min((head_dim - 1) as f64));
        if (high - low).abs() < f64::EPSILON {
            high += 0.001; // transformers prevents the singularity by the same amount.
        }
        let blend = |(i, wavelength): (usize, f32)| {
            let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
            let kept = 1.0 - ramp;
            (self.factor as f32 * wavelength).recip() * (1.0 - kept) + wavelength.recip() * kept
        };
        wavelengths.enumerate().map(blend).collect()
    }

    /// The dimension that turns `rotations` times over the first training's length.
    fn correction_dim(&self, theta: f64, head_dim: usize, rotations: f64) -> f64 {
        let turns = self.original_max_position_embeddings / (rotations * 2.0 * PI);
        (head_dim as f64 * turns.ln()) / (2.0 * theta.ln())
    }
}

fn variant(
    config: &Fields,
    rope: &Fields,
    theta: f64,
    max_positions: usize,
) -> Result<RopeVariant, ModelError> {
    let key = if rope.value("rope_type").is_some() { "rope_type" } else { "type" };
    match rope.text(key)? {
        None | Some("default") => Ok(RopeVariant::Default),
        Some("linear") => Ok(RopeVariant::Linear { factor: rope.required_positive("factor")? }),
        Some("llama3") => llama3_variant(rope, original_positions(config, rope, max_positions)?),
        Some("yarn") if (theta - 1.0).abs() < 1e-6 => Err(rope.wrong("rope_theta", "a base other than 1")),
        Some("yarn") => yarn_variant(rope, original_positions(config, rope, max_positions)?, max_positions),
        Some(_) => Err(rope.wrong(key, "`default`, `linear`, `llama3` or `yarn`")),
    }
}

fn original_positions(config: &Fields, rope: &Fields, max_positions: usize) -> Result<f64, ModelError> {
    let key = "original_max_position_embeddings";
    let given = match config.positive(key)? {
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
