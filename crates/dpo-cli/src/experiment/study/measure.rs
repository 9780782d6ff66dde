//! Training on judgments, and what it came to.

use std::path::Path;

use anyhow::{Context, Result, bail};
use dpo_model::Decoder;
use dpo_train::Ending;
use serde::Serialize;
use serde_json::Value;

use super::{Arm, StudyArgs};
use crate::{
    experiment::{
        bundle::Bundle,
        corpus,
        evaluate::Summary,
        sampling::{Sample, kl, sample},
    },
    model_source::ModelSource,
    run_file::RunFile,
    train::Session,
};

/// Prompts and draws that rewards are measured on: those of the built-in experiment.
const PROMPT_SEED: u64 = 21;
const SAMPLE_SEED: u64 = 22;

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// `None` for the model that all start from.
    pub(super) arm: Option<&'static str>,
    pub(super) seed: u64,
    pub(super) steps: u64,
    /// Nats a review from the start.
    pub(super) kl: f64,
    /// Mean true reward of its own samples.
    pub(super) reward: f64,
    /// Share of samples with a positive reward.
    pub(super) positive: f64,
    /// Share of samples that repeat no other one.
    pub(super) distinct: f64,
}

impl Point {
    pub(super) fn line(&self) -> String {
        format!(
            "{}, seed {}, {} steps: true reward {:+.2} at a KL of {:.1}",
            self.arm.unwrap_or("start"),
            self.seed,
            self.steps,
            self.reward,
            self.kl
        )
    }
}

/// What all runs of a study share.
pub(super) struct Bench<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) source: &'a ModelSource,
    pub(super) base: &'a Decoder,
    pub(super) work: &'a Path,
    pub(super) args: &'a StudyArgs,
}

impl Bench<'_> {
    /// The model before any training.
    pub(super) fn start(&self) -> Result<Point> {
        self.measured(self.base, None, 0, 0)
    }

    /// Trains on the rows and measures.
    pub(super) fn point(&self, arm: &Arm, rows: &[Value], seed: u64, steps: u64) -> Result<Point> {
        let config = self.run_file(arm, rows, seed, steps)?.init()?;
        let out = config.run.out.clone();
        let finished = Session::open(config)?.train()?;
        if finished.ending != Ending::Complete {
            bail!("stopped before `{}` was trained", arm.name);
        }
        let point = self.measured(&finished.policy, Some(arm.name), seed, steps)?;
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        Ok(point)
    }

    fn run_file(&self, arm: &Arm, rows: &[Value], seed: u64, steps: u64) -> Result<RunFile> {
        if rows.is_empty() {
            bail!("no row for `{}`; take more --prompts", arm.name);
        }
        let data = self.work.join("rows.jsonl");
        let lines = rows.iter().fold(String::new(), |lines, row| lines + &row.to_string() + "\n");
        std::fs::write(&data, lines).with_context(|| format!("cannot write {}", data.display()))?;
        let text = format!(
            "[model]\nbase = {:?}\ndtype = {}\n[data]\ntrain = [{:?}]\nmax_length = 256\n{}\n[loss]\n{}\n\
             [train]\nlearning_rate = 6e-4\nbatch_size = {}\nmax_steps = {steps}\nseed = {seed}\n\
             [eval]\nsamples = 0\n[run]\nout = {:?}\nsave_every = 0\nlog_every = 10\n",
            self.bundle.model().display().to_string(),
            toml::Value::try_from(self.args.dtype)?,
            data.display().to_string(),
            arm.data,
            arm.loss,
            arm.batch_size,
            self.work.join("run").display().to_string(),
        );
        Ok(toml::from_str(&text)?)
    }

    fn measured(&self, policy: &Decoder, arm: Option<&'static str>, seed: u64, steps: u64) -> Result<Point> {
        let prompts = corpus::prompts(PROMPT_SEED, self.args.measured);
        let samples = sample(policy, self.source, &prompts, SAMPLE_SEED + 100 * seed)?;
        let kl = if arm.is_some() { kl(policy, self.base, &samples) } else { 0.0 };
        let texts: Vec<String> = samples.iter().map(Sample::text).collect();
        let summary = Summary::of(&texts).context("no samples")?;
        Ok(Point {
            arm,
            seed,
            steps,
            kl,
            reward: summary.reward.value,
            positive: summary.positive.value,
            distinct: summary.distinct_texts,
        })
    }
}
