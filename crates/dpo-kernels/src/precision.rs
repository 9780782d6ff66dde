//! In which number format matrix products take their operands.

use crate::Activation;

/// Number format of the operands of a matrix product; they are added up in f32 whichever it is.
///
/// Everything that is no matrix product of a layer or of the head (norms, activations, softmax) is in f32; attention is where a processor has no unit for bfloat16, and so
/// is what an optimizer sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Each rounded to bfloat16, the upper half of f32, to nearest even: forward and backward.
    Bf16,
    /// Each rounded to the 11 digits of half precision, to nearest even: forward and backward. What half precision takes for
    /// infinite or for 0 is neither: a device multiplies operands times a power of two that brings them into its range.
    F16,
}

impl Precision {
    /// As flags and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Binary digits of an f32 that rounding drops.
    #[cfg(feature = "cpu")]
    pub(crate) const fn dropped_digits(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::Bf16 => 16,
            Self::F16 => 13,
        }
    }
}

/// What becomes logits, and log-probabilities in the end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LogitSpec {
    /// Logits `l` become `c·tanh(l/c)` (Gemma 2: <https://arxiv.org/abs/2408.00118>).
    pub softcap: Option<f64>,
    /// Operands of the products with the head.
    pub precision: Precision,
}

/// What becomes the logits of two models whose distributions are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DivergenceSpec {
    /// Those of the model that is trained; both have its precision.
    pub logits: LogitSpec,
    /// Cap of the logits that it is held against.
    pub reference_softcap: Option<f64>,
}

impl DivergenceSpec {
    /// Of the logits that it is held against.
    pub(crate) fn reference(self) -> LogitSpec {
        LogitSpec { softcap: self.reference_softcap, ..self.logits }
    }
}

/// What is between the matrices of a feed-forward layer, and how they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedForwardSpec {
    /// `act` of `down(act(gate(x))·up(x))`.
    pub activation: Activation,
    /// Operands of all products.
    pub precision: Precision,
}

/// How an adapter is added to the matrix beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraSpec {
    /// `s`, usually `α / rank`.
    pub scale: f64,
    /// Operands of all products.
    pub precision: Precision,
}
