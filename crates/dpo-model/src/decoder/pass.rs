//! What a forward pass gives to every block beside its input.

use burn::tensor::Device;

use super::{
    PackedInput,
    input::{DropoutKeys, TextPosition},
    rotary::RotaryAngles,
};
use crate::DecoderConfig;

/// Rotations of the batch's positions, and what drives the adapters' dropout.
#[derive(Debug)]
pub(super) struct Pass {
    /// As [`DecoderConfig::ropes`].
    pub(super) rotations: Vec<RotaryAngles>,
    /// `None` drops nothing.
    pub(super) dropout: Option<DropoutKeys>,
}

impl Pass {
    /// Of a packed batch.
    pub(super) fn of(config: &DecoderConfig, input: &PackedInput) -> Self {
        let pass = Self::new(config, &input.text_positions(), input.device());
        Self { dropout: input.dropout(), ..pass }
    }

    /// Of tokens at these positions, without dropout.
    pub(super) fn new(config: &DecoderConfig, positions: &[TextPosition], device: &Device) -> Self {
        Self { rotations: RotaryAngles::all(config, positions, device), dropout: None }
    }
}
