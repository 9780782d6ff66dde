//! The preference-training loop: reference cache, optimizer, checkpoints, exact resume, evaluation

mod batch;
mod cache;
mod checkpoint;
mod error;
mod files;
mod manifest;
mod metrics;
mod run_dir;
mod schedule;

pub use batch::DeviceBatch;
pub use cache::{CacheScope, Lookup, ReferenceCache, RowKey};
pub use checkpoint::{Checkpoint, Checkpoints, LastComplete};
pub use error::TrainError;
pub use files::write_atomically;
pub use metrics::{EvalMetrics, JsonlSink, MetricSink, StepMetrics};
pub use run_dir::{RunDir, RunMode};
pub use schedule::{Decay, Schedule};
