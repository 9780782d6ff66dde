//! The words a run file may use where it offers a choice.

mod data;
pub(crate) mod loss_kind;

use clap::ValueEnum;
use dpo_model::{Precision, gguf::GgmlType, weights::WeightDtype};
use serde::{Deserialize, Serialize};

pub(crate) use data::{Annotators, Pairs, Preset, StreamCheck};
pub(crate) use loss_kind::LossKind;

/// `model.dtype`: the operands of matrix products.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Dtype {
    /// Single precision
    #[default]
    #[serde(alias = "float32", alias = "fp32")]
    #[value(aliases = ["float32", "fp32"])]
    F32,
    /// Rounded to bfloat16 where they are multiplied; sums, norms, softmax, weights and optimizer stay in f32
    #[serde(alias = "bfloat16")]
    #[value(alias = "bfloat16")]
    Bf16,
    /// Rounded to half precision where they are multiplied, each operand times a power of two that brings it into its range: the digits
    /// of TF32, for GPUs
    #[serde(alias = "float16", alias = "fp16")]
    #[value(aliases = ["float16", "fp16"])]
    F16,
}

impl Dtype {
    /// As the model knows it.
    pub(crate) fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::Bf16,
            Self::F16 => Precision::F16,
        }
    }
}

/// `run.save_dtype`: the number format of the model that a run leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum SaveDtype {
    /// Each tensor as the base has it, and the blocks of a GGUF file as float32
    #[default]
    Base,
    /// As they were trained
    #[serde(alias = "float32")]
    #[value(alias = "float32")]
    F32,
    /// Rounded to bfloat16
    #[serde(alias = "bfloat16")]
    #[value(alias = "bfloat16")]
    Bf16,
}

impl SaveDtype {
    /// The format of a tensor that was read in `base`.
    pub(crate) fn of(self, base: WeightDtype) -> WeightDtype {
        match self {
            Self::Base => base,
            Self::F32 => WeightDtype::F32,
            Self::Bf16 => WeightDtype::Bf16,
        }
    }
}

/// `loss.ties`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum TieModel {
    /// A margin within `rao_kupper_a` of 0 is a tie
    RaoKupper,
    /// Ties are as common as `davidson_nu` says
    Davidson,
}

impl TieModel {
    /// The loss of this model.
    pub(crate) fn loss(self) -> LossKind {
        match self {
            Self::RaoKupper => LossKind::RaoKupper,
            Self::Davidson => LossKind::Davidson,
        }
    }

    /// The model of this loss, if it has one.
    pub(crate) fn of(loss: LossKind) -> Option<Self> {
        match loss {
            LossKind::RaoKupper => Some(Self::RaoKupper),
            LossKind::Davidson => Some(Self::Davidson),
            _ => None,
        }
    }
}

/// `loss.ipo_reduction`: what the margin of `ipo` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum IpoReduction {
    /// Log-ratios divided by the number of completion tokens
    Mean,
    /// Summed log-ratios, as in the paper
    Sum,
}

/// `loss.f_divergence`: what holds the policy to its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Divergence {
    /// Reverse KL, as in DPO
    ReverseKl,
    /// Forward KL
    ForwardKl,
    /// Jensen–Shannon
    Js,
    /// α-divergence, with `f_alpha`
    Alpha,
}

/// `data.overlong`: what becomes of a row longer than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Overlong {
    /// Stop with the row's number
    Refuse,
    /// Leave the row out and count it
    Drop,
    /// Keep the prompt's end and the completion's start
    Truncate,
    /// Drop rows whose prompt is too long, cut the end of completions (the Python trainer's choice)
    KeepStart,
}

/// `data.strings`: what prompts and completions that are strings are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Strings {
    /// As messages where they are `Human:`/`Assistant:` transcripts or come from instruction columns, else as text
    Auto,
    /// As text that no chat template touches
    Plain,
    /// As a user turn and an assistant turn, for the chat template
    Messages,
}

/// `data.special_text`: what special tokens mean that are written out in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum SpecialText {
    /// The characters they are made of, so that a row cannot end a turn
    Literal,
    /// Themselves, for texts that were already put through a chat template
    Parse,
}

/// `train.schedule`: the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Schedule {
    /// Straight down to 0 at the last step
    Linear,
    /// Half a cosine down to 0 at the last step
    Cosine,
    /// Stays where it is
    Constant,
}

/// `train.order`: the order of the rows in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Order {
    /// A new permutation each epoch, fixed by the seed
    Shuffle,
    /// As they lie in the files
    Sequential,
}

/// `train.pad_gradient`: what the embedding learns of the pad token as an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum PadGradient {
    /// All that it should: chat models use it as a real token
    Keep,
    /// Nothing, as PyTorch has it for `padding_idx`; for comparison step by step
    Drop,
}

/// `lora.base_quant`: how the frozen matrices are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum BaseQuant {
    /// 8 bits a number and a factor for every 32
    #[serde(rename = "q8_0")]
    #[value(name = "q8_0")]
    Q80,
    /// 4 bits a number and a factor for every 32
    Q4,
}

impl BaseQuant {
    /// ggml's blocks.
    pub(crate) fn ggml_type(self) -> GgmlType {
        match self {
            Self::Q80 => GgmlType::Q8_0,
            Self::Q4 => GgmlType::Q4_0,
        }
    }
}

/// `variants.order`: when each variant takes its steps. What they come to is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VariantOrder {
    /// One after another.
    InTurn,
    /// A step of each, then the next step of each.
    Interleaved,
}

/// `run.backend`: what computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Backend {
    /// The fastest of those that are in this program and whose device is there: CUDA, then another GPU, then the processor
    Auto,
    /// The processor
    Cpu,
    /// Any GPU, through Vulkan, Metal or DirectX
    Wgpu,
    /// Any GPU, through Vulkan and SPIR-V
    Vulkan,
    /// An Apple GPU, through Metal's own language
    Metal,
    /// An NVIDIA GPU, through CUDA
    Cuda,
}

#[cfg(test)]
mod tests {
    use clap::builder::TypedValueParser;

    use super::*;

    /// The name in messages, the word of a run file and the value of the flag are one.
    #[test]
    fn a_loss_has_one_name() {
        let values: Vec<_> = loss_kind::LossKindParser.possible_values().into_iter().flatten().collect();
        assert_eq!(values.len(), LossKind::ALL.len());
        for (kind, value) in LossKind::ALL.into_iter().zip(values) {
            let written = toml::Value::try_from(kind).ok();
            assert_eq!(written.as_ref().and_then(toml::Value::as_str), Some(kind.name()));
            assert_eq!(value.get_name(), kind.name());
        }
    }
}
