//! The preference-training loop: reference cache, optimizer, checkpoints, exact resume, evaluation.

mod batch;
mod cache;
mod checkpoint;
mod composite;
mod displacement;
mod error;
mod evaluation;
mod files;
mod gradient;
mod groups;
mod loss;
mod manifest;
mod metrics;
mod micro;
mod mismatched;
mod moving_margin;
mod moving_reference;
mod optimizer;
mod reference;
mod run_dir;
mod schedule;
mod scores;
mod sides;
mod state;
mod trainer;
mod windows;

pub use batch::DeviceBatch;
pub use cache::{CacheScope, Lookup, ReferenceCache, RowKey};
pub use checkpoint::{Checkpoint, Checkpoints, LastComplete};
pub use displacement::DisplacementWatch;
pub use error::TrainError;
pub use evaluation::{EvalSet, Evaluation, evaluate, rows_of};
pub use files::write_atomically;
pub use gradient::{Activations, BatchGradient, DropoutSeed, PassTimes};
pub use groups::GroupShares;
pub use loss::{LossSpec, Row};
pub use metrics::{EvalMetrics, JsonlSink, MeanDivergences, MetricSink, StepMetrics};
pub use micro::MicroBatching;
pub use mismatched::mismatched;
pub use moving_margin::MovingMargin;
pub use moving_reference::{MovingReference, ReferenceUpdates};
pub use optimizer::{AdamW, AdamWConfig, clip_factor, gradient_norm};
pub use reference::{CacheUse, ReferenceLogps, token_logps, token_logps_in_parts};
pub use run_dir::{RunDir, RunMode};
pub use schedule::{Decay, Schedule};
pub use scores::BatchScores;
pub use sides::{SidesSaid, said_of_sides};
pub use state::{Progress, Warning, save_decoder};
pub use trainer::{
    Ending, INFERENCE_TOKENS, Observer, StepTimes, StepZeroGate, TrainData, Trainer, TrainerConfig,
};
pub use windows::{Window, Windows};
