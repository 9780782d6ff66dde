//! Models that are known by their size, with random weights.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::ValueEnum;
use dpo_model::{Decoder, HfConfig};
use serde_json::Value;

use crate::experiment::{LlamaShape, Rng};

/// The shape of a published model: the Llamas of <https://github.com/karpathy/llama2.c>, and SmolLM2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    #[value(name = "260K")]
    K260,
    #[value(name = "15M")]
    M15,
    #[value(name = "42M")]
    M42,
    #[value(name = "135M")]
    M135,
    #[value(name = "360M")]
    M360,
}

impl Shape {
    /// The word of the flag.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::K260 => "260K",
            Self::M15 => "15M",
            Self::M42 => "42M",
            Self::M135 => "135M",
            Self::M360 => "360M",
        }
    }

    /// Its sizes, for texts of up to `max_len` tokens.
    pub(super) fn llama(self, max_len: usize) -> LlamaShape {
        let [vocab_size, d_model, n_layers, n_heads, n_kv_heads, d_ff] = match self {
            Self::K260 => [512, 64, 5, 8, 4, 172],
            Self::M15 => [32_000, 288, 6, 6, 6, 768],
            Self::M42 => [32_000, 512, 8, 8, 8, 1376],
            Self::M135 => [49_152, 576, 30, 9, 3, 1536],
            Self::M360 => [49_152, 960, 32, 15, 5, 2560],
        };
        LlamaShape { vocab_size, d_model, n_layers, n_heads, n_kv_heads, d_ff, max_len }
    }

    /// A model of that shape: norms of 1, and matrices whose numbers have mean 0 and deviation 0.02.
    pub(super) fn random(self, max_len: usize, device: &Device) -> Result<Decoder> {
        let Value::Object(json) = self.llama(max_len).config_json() else {
            unreachable!("a config.json is an object")
        };
        let config = HfConfig::from_json(json, Path::new(self.name())).context("a shape of a benchmark")?;
        let half_width = 0.02 * 3f64.sqrt();
        let mut rng = Rng::new(0, 0);
        Decoder::from_values(&config.decoder, device, |info| {
            let is_norm = info.shape.len() == 1;
            let mut draw = || if is_norm { 1.0 } else { (half_width * (2.0 * rng.unit() - 1.0)) as f32 };
            Ok((0..info.n_values()).map(|_| draw()).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As their names say, rounded.
    #[test]
    fn names_are_numbers_of_parameters() {
        let sizes = Shape::value_variants().iter().map(|shape| shape.llama(8).n_params());
        assert_eq!(sizes.collect::<Vec<_>>(), [260_032, 15_191_712, 41_689_600, 134_515_008, 361_821_120]);
    }
}
