//! What a forward pass gives to every block beside its input.

use burn::tensor::Device;
use dpo_kernels::Precision;

use super::{
    Decoder, PackedInput,
    input::{DropoutKeys, TextPosition},
    rotary::RotaryAngles,
};

/// Rotations of the batch's positions, the operands of matrix products, and what drives the adapters' dropout.
#[derive(Debug)]
pub(super) struct Pass {
    /// As [`DecoderConfig::ropes`].
    pub(super) rotations: Vec<RotaryAngles>,
    pub(super) precision: Precision,
    /// `None` drops nothing.
    pub(super) dropout: Option<DropoutKeys>,
}

impl Pass {
    /// Of a packed batch.
    pub(super) fn of(model: &Decoder, input: &PackedInput) -> Self {
        let pass = Self::new(model, &input.text_positions(), input.device());
        Self { dropout: input.dropout(), ..pass }
    }

    /// Of tokens at these positions, without dropout.
    pub(super) fn new(model: &Decoder, positions: &[TextPosition], device: &Device) -> Self {
        let rotations = RotaryAngles::all(&model.config, positions, device);
        Self { rotations, precision: model.precision, dropout: None }
    }
}
