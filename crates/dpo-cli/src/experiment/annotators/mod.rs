//! `dpo experiment annotators`: an adapter of each annotator and one of all, each on everybody's held-out votes.
//!
//! `docs/experiments.md` says what came out.

mod plot;
mod tally;
mod votes;

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use dpo_data::Clock;
use dpo_model::Decoder;
use dpo_train::{Ending, INFERENCE_TOKENS, token_logps_in_parts};
use serde::Serialize;

use self::{
    tally::{Cell, Tally, cells, gains},
    votes::{HeldOutPairs, Split, Votes},
};
use crate::{
    experiment::study::write_figures,
    run_file::{RunConfig, RunFile, choices::Dtype},
    terminal::print,
    train::{Session, Workshop, note},
};

/// The adapter that learns from all votes.
const POOLED: &str = "pooled";

/// Flags of `dpo experiment annotators`.
#[derive(Debug, Args)]
pub(crate) struct AnnotatorsArgs {
    /// Model to start from: a folder, a hub id or a .gguf file
    #[arg(long)]
    model: String,
    /// Rows with a column of votes for each annotator, such as PandaLM's; may be given several times
    #[arg(long, required = true, value_name = "DATA")]
    data: Vec<String>,
    /// Splits of the prompts, with an order of the rows and adapters of their own
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Optimizer steps of each adapter
    #[arg(long, default_value_t = 30)]
    steps: u64,
    /// Votes of a step
    #[arg(long, default_value_t = 8)]
    batch_size: u64,
    /// Highest learning rate
    #[arg(long, default_value_t = 5e-4)]
    learning_rate: f64,
    /// Rank of the adapters
    #[arg(long, default_value_t = 16)]
    rank: u64,
    /// Longest prompt and answer together, in tokens; longer rows are left out
    #[arg(long, default_value_t = 512)]
    max_length: u64,
    /// Share of the prompts that is held out
    #[arg(long, default_value_t = 0.3)]
    heldout: f64,
    /// Operands of matrix products
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Folder for the figures, as JSON and SVG
    #[arg(long, default_value = "target/experiments")]
    out: PathBuf,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    study: &'static str,
    model: String,
    seeds: u64,
    steps: u64,
    batch_size: u64,
    learning_rate: f64,
    rank: u64,
    heldout: f64,
    annotators: Vec<String>,
    splits: Vec<Split>,
    cells: Vec<Cell>,
    gains: Vec<tally::Gain>,
    tallies: Vec<Tally>,
}

/// Runs the command.
pub(crate) fn run(args: &AnnotatorsArgs) -> Result<()> {
    check(args)?;
    let votes = Votes::read(&args.data)?;
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let workshop = Rc::new(Workshop::open(&args.config(work.path(), None, 1)?, Clock::now())?);
    workshop.keep_weights()?;
    let mut report = args.report(&votes);
    for seed in 1..=args.seeds {
        let (split, held_out) = votes.split(args.heldout, seed, &rows(work.path(), seed))?;
        note(&format!("seed {seed}: {}", split.line()));
        let held_out = held_out.encoded(&args.config(work.path(), None, seed)?, &workshop)?;
        let base = sums(&workshop.load(&workshop.base)?.0, &held_out);
        let arms = votes.annotators.iter().map(|name| Some(name.as_str())).chain([None]);
        for arm in arms {
            let policy = args.trained(work.path(), arm, seed, &workshop)?;
            let margins: Vec<f64> =
                sums(&policy, &held_out).iter().zip(&base).map(|(policy, base)| policy - base).collect();
            let arm = arm.unwrap_or(POOLED);
            let tallies = held_out.tallies(&margins, arm, seed, &votes.annotators);
            tallies.iter().for_each(|tally| note(&tally.line()));
            report.tallies.extend(tallies);
        }
        report.splits.push(split);
        report.cells = cells(&report.tallies);
        report.gains = gains(&report.tallies, &votes.annotators);
        let picture = plot::svg(&report.cells, &report.annotators);
        write_figures(&args.out, report.study, &report, &picture)?;
    }
    print(&tally::tables(&report.cells, &report.gains, &votes.annotators))
}

fn check(args: &AnnotatorsArgs) -> Result<()> {
    if args.seeds == 0 || args.steps == 0 {
        bail!("--seeds and --steps are to be at least 1");
    }
    if !(args.heldout > 0.0 && args.heldout < 1.0) {
        bail!("--heldout is {}; expected a share above 0 and below 1", args.heldout);
    }
    Ok(())
}

/// The file of the votes that a seed trains on.
fn rows(work: &Path, seed: u64) -> PathBuf {
    work.join(format!("votes-{seed}.jsonl"))
}

/// How much more likely the first side of each pair is than the second, in nats.
fn sums(model: &Decoder, held_out: &HeldOutPairs) -> Vec<f64> {
    let logps = token_logps_in_parts(model, &held_out.trees.iter().collect::<Vec<_>>(), INFERENCE_TOKENS);
    let sum = |completion: &Vec<f32>| completion.iter().map(|logp| f64::from(*logp)).sum::<f64>();
    logps.iter().map(|completions| sum(&completions[0]) - sum(&completions[1])).collect()
}

impl AnnotatorsArgs {
    /// Settings of the adapter of an annotator, or of all.
    fn config(&self, work: &Path, annotator: Option<&str>, seed: u64) -> Result<RunConfig> {
        let text = format!(
            "[model]\nbase = {:?}\ndtype = {}\n[data]\ntrain = [{:?}]\ncolumns = {{ group = \"annotator\" }}\n\
             max_length = {}\n{}[loss]\nkind = \"sigmoid\"\n[lora]\nrank = {}\n[train]\nlearning_rate = {:e}\n\
             batch_size = {}\nmax_steps = {}\nseed = {seed}\n[eval]\nsamples = 0\n[run]\nout = {:?}\nsave_every = 0\n\
             log_every = 10\n",
            self.model,
            toml::Value::try_from(self.dtype)?,
            rows(work, seed).display().to_string(),
            self.max_length,
            annotator.map_or_else(String::new, |name| format!("only_group = {name:?}\n")),
            self.rank,
            self.learning_rate,
            self.batch_size,
            self.steps,
            work.join("run").display().to_string(),
        );
        Ok(toml::from_str::<RunFile>(&text)?.init()?)
    }

    fn trained(
        &self,
        work: &Path,
        annotator: Option<&str>,
        seed: u64,
        workshop: &Rc<Workshop>,
    ) -> Result<Decoder> {
        let config = self.config(work, annotator, seed)?;
        let (out, name) = (config.run.out.clone(), annotator.unwrap_or(POOLED));
        let finished = Session::of_workshop(config, name, workshop)?.train()?;
        if finished.ending != Ending::Complete {
            bail!("stopped before the adapter `{name}` was trained");
        }
        std::fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
        Ok(finished.policy)
    }

    fn report(&self, votes: &Votes) -> Report {
        let folder = |name: &str| Path::new(name).file_name().map(|name| name.to_string_lossy().into_owned());
        Report {
            study: "annotators",
            model: folder(&self.model).unwrap_or_else(|| self.model.clone()),
            seeds: self.seeds,
            steps: self.steps,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            rank: self.rank,
            heldout: self.heldout,
            annotators: votes.annotators.clone(),
            splits: Vec::new(),
            cells: Vec::new(),
            gains: Vec::new(),
            tallies: Vec::new(),
        }
    }
}
