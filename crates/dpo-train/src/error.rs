//! Everything that can go wrong while training, apart from mistakes of our own.

use std::io;
use std::path::{Path, PathBuf};

use dpo_data::RowId;
use dpo_model::ModelError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No room left, or the quota is used up.
    #[error(
        "the disk is full: cannot {action} {}; nothing that was saved before is lost: free some space and resume",
        path.display()
    )]
    DiskFull {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system lets this file grow no further.
    #[error(
        "cannot {action} {}: it may grow no further; nothing that was saved before is lost: raise the limit on file \
         sizes (`ulimit -f`) and resume",
        path.display()
    )]
    FileTooLarge {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The loss is that of whole batches.
    #[error(
        "step {step} would be computed in {parts} parts, and the loss `{loss}` couples the rows of a batch: compute a step \
         at once (no `accumulate`, a larger `tokens_per_batch`), or choose another loss"
    )]
    CoupledBatchCut {
        /// The step, from 1.
        step: u64,
        /// Micro-batches that its rows would be cut into.
        parts: usize,
        /// The loss.
        loss: &'static str,
    },
    /// The loss is that of whole batches, in which every row counts once.
    #[error(
        "{} has the weight {weight}, and the loss `{loss}` couples the rows of a batch, each of which counts once: take the \
         weights out, or choose another loss",
        row_list(&[*row])
    )]
    CoupledWeight {
        /// The row.
        row: RowId,
        /// Its weight.
        weight: f64,
        /// The loss.
        loss: &'static str,
    },
    /// Another process trains there.
    #[error("{} is in use by {holder}; wait for it, or choose another run directory", dir.display())]
    RunInUse {
        /// The run directory.
        dir: PathBuf,
        /// `process 1234`, or that it is not known.
        holder: String,
    },
    /// A new run was to start where one has been.
    #[error("{} holds a run already; resume it, or choose another run directory", dir.display())]
    HoldsRun {
        /// The run directory.
        dir: PathBuf,
    },
    /// A new run was to start among files of another kind.
    #[error("{} is not empty and holds no run: it has `{found}`; choose a new or an empty directory", dir.display())]
    NotARun {
        /// The directory.
        dir: PathBuf,
        /// One of the names found there.
        found: String,
    },
    /// A resume where no run has been.
    #[error("{} holds no run that could be resumed: it has no config.toml", dir.display())]
    NothingToResume {
        /// The directory.
        dir: PathBuf,
    },
    /// A resume with other settings.
    #[error(
        "{} holds another run: there line {line} of config.toml is `{found}`, here it is `{wanted}`; \
         resume with the settings it was started with, or choose another run directory",
        dir.display()
    )]
    OtherRun {
        /// The run directory.
        dir: PathBuf,
        /// Number of the first line that differs, from 1.
        line: usize,
        /// That line in the directory.
        found: String,
        /// That line now.
        wanted: String,
    },
    /// A checkpoint is not what was written.
    #[error("checkpoint {} is damaged: {what}; resume from an earlier one", path.display())]
    CheckpointDamaged {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A reference log-prob that is no number.
    #[error(
        "log-prob {token} of completion {completion} under the reference is {value}; nothing of this row is cached"
    )]
    ReferenceNotFinite {
        /// Which completion of the row, from 0.
        completion: usize,
        /// Which of its tokens, from 0.
        token: usize,
        /// The value.
        value: f32,
    },
    /// The reference gives log-probs that are no numbers.
    #[error(
        "the reference gives log-probs that are no finite numbers, in rows {}; its weights hold NaN or infinities, or \
         overflow: take other weights",
        row_list(rows)
    )]
    ReferenceRowsNotFinite {
        /// The rows, as far as they were computed.
        rows: Vec<RowId>,
    },
    /// Rows that come in windows cannot be read on.
    #[error("the next rows cannot be read")]
    Rows {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A reference that is to follow the policy has other parameters.
    #[error(
        "the reference cannot follow the policy: `{parameter}` is not the same parameter in both; leave the reference out, or \
         take one of the policy's architecture"
    )]
    OtherReference {
        /// The first parameter that one of them lacks, or has in another shape.
        parameter: String,
    },
    /// Somebody wanted to stop before the first step.
    #[error(
        "stopped before the first step; what was computed of the reference is kept: go on with `--resume auto`"
    )]
    Stopped,
    /// The reference cache changed under a running process.
    #[error("{}: an entry at byte {offset} is no longer what was verified at the start; start again to recompute it", path.display())]
    CacheChanged {
        /// The shard.
        path: PathBuf,
        /// Where its entry begins.
        offset: u64,
    },
    /// A schedule that is none.
    #[error("`{field}` is {found}; {help}")]
    InvalidSchedule {
        /// The setting.
        field: &'static str,
        /// The value given.
        found: String,
        /// What to give instead.
        help: &'static str,
    },
    /// An entry that was looked up is gone.
    #[error("{}: the cache of reference log-probs lost an entry while it was read; start again", root.display())]
    CacheIncomplete {
        /// The cache's folder.
        root: PathBuf,
    },
    /// NaN or infinity.
    #[error(
        "step {step}: {what} is not a finite number, in rows {}; nothing was updated: look at these rows, lower the \
         learning rate, or resume from an earlier checkpoint",
        row_list(rows)
    )]
    NotFinite {
        /// The step that was not made.
        step: u64,
        /// "the loss" or "the gradient".
        what: &'static str,
        /// Rows of the step, or those at fault where that is known.
        rows: Vec<RowId>,
    },
    /// The policy is not its own reference before the first update.
    #[error(
        "step 1, {}: the {side} completion has log-prob {policy} under the policy and {reference} under its own \
         reference; the forward pass while training and the reference pass (or its cache) do not agree, so training \
         does not start; delete the reference cache and try again",
        row_list(std::slice::from_ref(row))
    )]
    StepZero {
        /// The row.
        row: RowId,
        /// "chosen" or "rejected", "only", or its place in a list.
        side: String,
        /// Its summed log-prob in the training pass.
        policy: f64,
        /// Its summed log-prob from the reference pass.
        reference: f64,
    },
    /// A model could not be read or written.
    #[error(transparent)]
    Model(ModelError),
    /// Something could not be turned into JSON.
    #[error("cannot write JSON")]
    Json(#[source] serde_json::Error),
}

/// Rows by file and number, the first ten of them.
fn row_list(rows: &[RowId]) -> String {
    let named = rows.iter().take(10).map(|row| format!("{} of file {}", row.row, row.file + 1));
    let more = if rows.len() > 10 { ", …" } else { "" };
    named.collect::<Vec<_>>().join(", ") + more
}

impl TrainError {
    /// A failure of the model's files; a full disk is told apart.
    pub(crate) fn from_model(error: ModelError) -> Self {
        match error {
            ModelError::Io { source, path, .. } => Self::io("write", &path)(source),
            other => Self::Model(other),
        }
    }

    /// For `map_err`: says what was tried with which file, and tells a full disk from other failures.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path, source }
            }
            io::ErrorKind::FileTooLarge => Self::FileTooLarge { action, path, source },
            _ => Self::Io { action, path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/full` refuses every write with ENOSPC.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let path = Path::new("/dev/full");
        let full = std::fs::write(path, b"x").map_err(TrainError::io("write", path));
        assert!(matches!(full, Err(TrainError::DiskFull { .. })), "{full:?}");
        let absent = std::fs::read("/no/such/file").map_err(TrainError::io("read", path));
        assert!(matches!(absent, Err(TrainError::Io { .. })), "{absent:?}");
    }
}
