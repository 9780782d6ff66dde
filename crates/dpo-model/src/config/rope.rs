//! Rotary position embedding: its settings, and the frequencies that follow from them.
//!
//! Equations and rounding are those of transformers 5 (`modeling_rope_utils.py`): `f32` where torch has a tensor,
//! `f64` where Python has a number.

use serde::Serialize;
use std::f64::consts::PI;

/// Settings of the rotary position embedding (RoPE, <https://arxiv.org/abs/2104.09864>).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RopeConfig {
    /// Base of the wavelengths; 10,000 in the paper.
    pub theta: f64,
    /// Numbers of a head that are turned, from its first on; an odd one is rounded up.
    pub rotated: usize,
    /// How the frequencies are stretched for longer texts.
    pub variant: RopeVariant,
}

/// How frequencies are stretched so that a model reads longer texts than it was first trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// By a factor for each frequency, other ones for long texts (LongRoPE, <https://arxiv.org/abs/2402.13753>).
    Long(LongRope),
}

/// Settings of [`RopeVariant::Llama3`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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

/// Settings of [`RopeVariant::Long`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LongRope {
    /// Frequencies are divided by these in texts of the first training's length.
    pub short_factor: Vec<f64>,
    /// Frequencies are divided by these in longer texts.
    pub long_factor: Vec<f64>,
    /// Factor of cosine and sine.
    pub attention_factor: f64,
    /// Longest text of the first training.
    pub original_max_position_embeddings: f64,
}

/// What the rotation needs: an angle per position and pair of dimensions is `position · inv_freq[pair]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeFrequencies {
    /// Radians per position, one for each pair of turned numbers.
    pub inv_freq: Vec<f32>,
    /// Cosine and sine are multiplied by it.
    pub attention_scaling: f32,
}

impl RopeConfig {
    /// The frequencies in a text of `text_len` tokens; only [`RopeVariant::Long`] looks at that. Completions of one prompt
    /// share them, by the longest, as they do in a padded batch in transformers.
    pub fn frequencies(&self, text_len: usize) -> RopeFrequencies {
        let plain = self.wavelengths().map(f32::recip);
        let attention_scaling = match &self.variant {
            RopeVariant::Yarn(yarn) => yarn.attention_factor as f32,
            RopeVariant::Long(long) => long.attention_factor as f32,
            _ => 1.0,
        };
        let inv_freq = match &self.variant {
            RopeVariant::Default => plain.collect(),
            RopeVariant::Linear { factor } => plain.map(|freq| freq / *factor as f32).collect(),
            RopeVariant::Llama3(llama3) => plain.map(|freq| llama3.stretch(freq)).collect(),
            RopeVariant::Yarn(yarn) => yarn.stretch(self.theta, self.rotated, self.wavelengths()),
            RopeVariant::Long(long) => long.stretch(self.wavelengths(), text_len),
        };
        RopeFrequencies { inv_freq, attention_scaling }
    }

    /// Longest text with the frequencies of short ones; `None` where all texts have the same.
    pub fn short_text_len(&self) -> Option<usize> {
        match &self.variant {
            RopeVariant::Long(long) => Some(long.original_max_position_embeddings as usize),
            _ => None,
        }
    }

    /// `θ^(2i/d)`, the inverse of the frequencies of the paper.
    fn wavelengths(&self) -> impl Iterator<Item = f32> + use<> {
        let (theta, rotated) = (f64::from(self.theta as f32), self.rotated);
        (0..rotated.div_ceil(2)).map(move |i| {
            let exponent = (2 * i) as f32 / rotated as f32;
            theta.powf(f64::from(exponent)) as f32
        })
    }
}

impl LongRope {
    fn stretch(&self, wavelengths: impl Iterator<Item = f32>, text_len: usize) -> Vec<f32> {
        let is_long = text_len as f64 > self.original_max_position_embeddings;
        let factors = if is_long { &self.long_factor } else { &self.short_factor };
        wavelengths.zip(factors).map(|(wavelength, factor)| (*factor as f32 * wavelength).recip()).collect()
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
