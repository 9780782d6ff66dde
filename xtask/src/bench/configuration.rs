//! What is compared with what.

/// A row of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Configuration {
    /// All weights, each side in its fastest number format.
    FullBest,
    /// All weights in f32.
    FullF32,
    /// Adapters, each side in its fastest number format.
    LoraBest,
    /// Ranked lists here, all their pairs there; all weights, each side in its fastest number format.
    Lists,
}

/// Operands of matrix products; weights and optimizer are in f32 with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F32,
    Bf16,
}

/// How both sides run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) ours: Dtype,
    pub(super) python: Dtype,
    /// `None` trains all weights.
    pub(super) lora_rank: Option<usize>,
    pub(super) rows: Rows,
}

/// What both sides read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    Pairs,
    /// Lists of so many completions, and so many pairs of each.
    Lists {
        pairs: usize,
    },
}

impl Configuration {
    pub(super) const ALL: [Self; 4] = [Self::FullBest, Self::FullF32, Self::LoraBest, Self::Lists];

    /// As flags and results call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FullBest => "full_best",
            Self::FullF32 => "full_f32",
            Self::LoraBest => "lora_best",
            Self::Lists => "lists",
        }
    }
}

impl Dtype {
    /// As both programs call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}
