//! A configurable decoder on burn: weights in and out, log-probabilities over packed trees, generation.

pub mod adapter;
pub mod config;
pub mod decoder;
pub mod error;
pub mod generate;
pub mod gguf;
mod quantised;
pub mod weights;

pub use adapter::{Adapter, LoraConfig, LoraKind, LoraScaling, LoraTargets};
pub use config::{DecoderConfig, Family, HfConfig, ParameterInfo, TablePart};
pub use decoder::{
    Decoder, Distributions, GradientList, GradientSums, PackedInput, Place, RecomputedLogps, ScoredRows,
    ScoredTokens, TokenOutputs, joined_values,
};
pub use dpo_kernels::Precision;
pub use error::ModelError;
pub use generate::{Finish, GenerateConfig, Generation, NewToken, Next, SampleConfig, Sampling};
pub use gguf::{GgufModel, GgufTokenizer};
pub use weights::{HfFolder, WeightSource};
