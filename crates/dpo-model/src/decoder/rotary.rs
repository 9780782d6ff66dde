//! Angles of the rotary position embedding for the positions of a batch.

use burn::tensor::{Device, Tensor, TensorData};

use super::input::TextPosition;
use crate::{DecoderConfig, config::RopeConfig};

/// Cosines and sines of every token's position.
#[derive(Debug, Clone)]
pub(super) struct RotaryAngles {
    /// `[n, rotated / 2]`
    cos: Tensor<2>,
    /// `[n, rotated / 2]`
    sin: Tensor<2>,
}

impl RotaryAngles {
    /// The angles of every rotation that the decoder has.
    pub(super) fn all(config: &DecoderConfig, positions: &[TextPosition], device: &Device) -> Vec<Self> {
        config.ropes.iter().map(|rope| Self::new(rope, positions, device)).collect()
    }

    /// Computed in f32 on the host, as transformers does.
    fn new(rope: &RopeConfig, positions: &[TextPosition], device: &Device) -> Self {
        let short_len = rope.short_text_len().unwrap_or(usize::MAX);
        let (short, long) = (rope.frequencies(0), rope.frequencies(usize::MAX));
        let shape = [positions.len(), short.inv_freq.len()];
        let table = |part: fn(f32) -> f32| {
            let of_token = |token: &TextPosition| {
                let frequencies = if token.text_len as usize > short_len { &long } else { &short };
                let position = token.position as f32;
                let scaling = frequencies.attention_scaling;
                frequencies.inv_freq.iter().map(move |freq| part(position * freq) * scaling)
            };
            let values: Vec<f32> = positions.iter().flat_map(of_token).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        Self { cos: table(f32::cos), sin: table(f32::sin) }
    }

    /// Cosines and sines, `[n, rotated / 2]`.
    pub(super) fn tables(&self) -> [Tensor<2>; 2] {
        [self.cos.clone(), self.sin.clone()]
    }

    /// `[n, heads · head_dim]` to the same.
    pub(super) fn rotate(&self, x: Tensor<2>, head_dim: usize) -> Tensor<2> {
        dpo_kernels::rotary(x, self.cos.clone(), self.sin.clone(), head_dim)
    }
}
