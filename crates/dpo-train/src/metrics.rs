//! Where a run's numbers go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use dpo_core::MetricMeans;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use crate::TrainError;

/// What is known after an optimizer step: one line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The step, from 1.
    pub step: u64,
    /// Passes over the data so far.
    pub epoch: f64,
    /// Loss of the step's batch before the step.
    pub loss: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Rate the step was made with.
    pub learning_rate: f64,
    /// Rewards and log-probs of the step's pairs; none where there are no pairs.
    #[serde(flatten)]
    pub pairs: Option<MetricMeans>,
    /// How far the policy has drifted from its reference, `z₀` of `kto`; none with other objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// How far the policy's distributions have moved; none where the objective does not read that.
    #[serde(flatten)]
    pub divergences: Option<MeanDivergences>,
    /// What each group counted in the step, with `group_robust` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_shares: Option<BTreeMap<String, f64>>,
    /// How often the step's reference had followed the policy; none where it stays what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_updates: Option<u64>,
    /// Tokens trained on since the start of the run.
    pub num_tokens: u64,
    /// Tokens a second in this step.
    pub tokens_per_second: f64,
}

/// How far the policy's distributions have moved from the reference's, `Σ_t KL(π_ref ‖ π_θ)` over a completion's tokens, in nats: the
/// mean over pairs, see [`tdpo_loss`](dpo_core::tdpo_loss).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanDivergences {
    /// Of the chosen completions.
    #[serde(rename = "kl/chosen")]
    pub chosen: f64,
    /// Of the rejected ones.
    #[serde(rename = "kl/rejected")]
    pub rejected: f64,
}

/// What an evaluation found: one line of `eval.jsonl`, under the Python trainers' names: `eval_loss`,
/// `eval_rewards/margins`; of a named set `eval_NAME_loss` and so on.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalMetrics {
    /// Steps made before it.
    pub step: u64,
    /// Name of the evaluation set; empty for the only one.
    pub set: String,
    /// Mean loss.
    pub loss: f64,
    /// Rewards and log-probs; none where there are no pairs.
    pub pairs: Option<MetricMeans>,
    /// How far the policy's distributions have moved; none where the objective does not read that.
    pub divergences: Option<MeanDivergences>,
}

impl EvalMetrics {
    /// The numbers with their names, in order.
    pub fn named(&self) -> Vec<(String, f64)> {
        let prefix = if self.set.is_empty() { "eval_".to_owned() } else { format!("eval_{}_", self.set) };
        let mut numbers = vec![("loss", self.loss)];
        if let Some(pairs) = &self.pairs {
            numbers.extend([
                ("rewards/chosen", pairs.rewards_chosen),
                ("rewards/rejected", pairs.rewards_rejected),
                ("rewards/accuracies", pairs.rewards_accuracies),
                ("rewards/margins", pairs.rewards_margins),
                ("logps/chosen", pairs.logps_chosen),
                ("logps/rejected", pairs.logps_rejected),
            ]);
        }
        if let Some(divergences) = &self.divergences {
            numbers.extend([("kl/chosen", divergences.chosen), ("kl/rejected", divergences.rejected)]);
        }
        numbers.into_iter().map(|(name, number)| (format!("{prefix}{name}"), number)).collect()
    }
}

impl Serialize for EvalMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = self.named();
        let mut map = serializer.serialize_map(Some(numbers.len() + 1))?;
        map.serialize_entry("step", &self.step)?;
        for (name, number) in numbers {
            map.serialize_entry(&name, &number)?;
        }
        map.end()
    }
}

/// Receives a run's numbers in order of its steps.
pub trait MetricSink {
    /// An optimizer step was made.
    fn step(&mut self, metrics: &StepMetrics) -> Result<(), TrainError>;

    /// An evaluation was made.
    fn eval(&mut self, metrics: &EvalMetrics) -> Result<(), TrainError>;

    /// Makes everything received so far survive a power cut; a checkpoint is written only after that.
    fn flush(&mut self) -> Result<(), TrainError>;
}

/// Writes `metrics.jsonl` and `eval.jsonl`.
#[derive(Debug)]
pub struct JsonlSink {
    steps: JsonlFile,
    evals: JsonlFile,
}

impl JsonlSink {
    /// Opens both files of a run that has made `done` steps, 0 if it is new, and takes away what was written after
    /// them, so that the files become those of a run that was never interrupted.
    pub fn open(metrics: &Path, eval: &Path, done: u64) -> Result<Self, TrainError> {
        Ok(Self { steps: JsonlFile::open(metrics, done)?, evals: JsonlFile::open(eval, done)? })
    }

    /// Lines of `metrics.jsonl` and `eval.jsonl` that were taken away.
    pub fn n_dropped(&self) -> usize {
        self.steps.n_dropped + self.evals.n_dropped
    }
}

impl MetricSink for JsonlSink {
    fn step(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        self.steps.append(metrics)
    }

    fn eval(&mut self, metrics: &EvalMetrics) -> Result<(), TrainError> {
        self.evals.append(metrics)
    }

    fn flush(&mut self) -> Result<(), TrainError> {
        self.steps.sync()?;
        self.evals.sync()
    }
}

/// A line that is longer is none of ours.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A file of JSON objects with a `step`, one a line.
#[derive(Debug)]
struct JsonlFile {
    path: PathBuf,
    file: File,
    n_dropped: usize,
}

impl JsonlFile {
    fn open(path: &Path, done: u64) -> Result<Self, TrainError> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(TrainError::io("open", path))?;
        let (kept_bytes, n_dropped) = kept(&file, done).map_err(TrainError::io("read", path))?;
        let mut cut = || {
            file.set_len(kept_bytes)?;
            file.seek(SeekFrom::End(0)).map(drop)
        };
        cut().map_err(TrainError::io("shorten", path))?;
        Ok(Self { path: path.to_owned(), file, n_dropped })
    }

    /// One write a line, so that whoever follows the file sees whole lines.
    fn append(&mut self, record: &impl Serialize) -> Result<(), TrainError> {
        let at = TrainError::io("write", &self.path);
        let mut line = match serde_json::to_vec(record) {
            Ok(line) => line,
            Err(error) => return Err(at(error.into())),
        };
        line.push(b'\n');
        self.file.write_all(&line).map_err(at)
    }

    fn sync(&mut self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(TrainError::io("write", &self.path))
    }
}

/// Bytes of the lines up to this step, and the number of those after it. A line that is no object with a step, as a
/// fault leaves the last one, ends what is kept.
fn kept(file: &File, done: u64) -> std::io::Result<(u64, usize)> {
    type Object = serde_json::Map<String, serde_json::Value>;
    let mut reader = BufReader::new(file);
    let (mut kept_bytes, mut n_dropped, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let n_read = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? as u64;
        if n_read == 0 {
            return Ok((kept_bytes, n_dropped));
        }
        let is_whole = line.ends_with(b"\n");
        let object = serde_json::from_slice::<Object>(&line).ok();
        let step = object.as_ref().and_then(|object| object.get("step")?.as_u64());
        let is_kept = is_whole && step.is_some_and(|step| step <= done);
        if is_kept && n_dropped == 0 {
            kept_bytes += n_read;
        } else {
            n_dropped += 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
