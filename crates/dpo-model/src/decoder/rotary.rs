//! Angles of the rotary position embedding for the positions of a batch.

use burn::tensor::{Device, Tensor, TensorData};

use crate::DecoderConfig;

/// Cosines and sines of every token's position.
#[derive(Debug, Clone)]
pub(super) struct RotaryAngles {
    /// `[n, head_dim / 2]`
    cos: Tensor<2>,
    /// `[n, head_dim / 2]`
    sin: Tensor<2>,
    head_dim: usize,
}

impl RotaryAngles {
    /// Computed in f32 on the host, as transformers does.
    pub(super) fn new(config: &DecoderConfig, positions: &[u32], device: &Device) -> Self {
        let frequencies = config.rope.frequencies(config.head_dim);
        let shape = [positions.len(), frequencies.inv_freq.len()];
        let table = |part: fn(f32) -> f32| {
            let values: Vec<f32> = positions
                .iter()
                .flat_map(|position| {
                    frequencies.inv_freq.iter().map(move |freq| part(*position as f32 * freq))
                })
                .map(|value| value * frequencies.attention_scaling)
                .collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Self { cos: table(f32::cos), sin: table(f32::sin), head_dim: config.head_dim }
    }

    /// `[n, heads · head_dim]` to the same.
    pub(super) fn rotate(&self, x: Tensor<2>) -> Tensor<2> {
        dpo_kernels::rotary(x, self.cos.clone(), self.sin.clone(), self.head_dim)
    }
}
