//! One point: a model of some size takes the same batch again and again.

use std::{num::NonZeroUsize, process::ExitCode};

use anyhow::Result;
use burn::{module::Module, tensor::Device};
use clap::Args;
use dpo_data::{Relation, RowId, TokenTree};
use dpo_train::Row;
use serde::{Deserialize, Serialize};

use super::shape::Shape;
use crate::{
    bench::{
        at_least_one,
        spread::Spread,
        step::{StepCost, loss_of, share, timed_steps, tokens_per_second},
    },
    device,
    experiment::Rng,
    run_file::choices::{Backend, Dtype},
    terminal::print,
    train::peak_memory_bytes,
};

/// How every point is measured.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct Setting {
    /// Steps that are timed
    #[arg(long, default_value = "3", value_parser = at_least_one)]
    steps: NonZeroUsize,
    /// Steps before them that are not
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Operands of matrix products
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub(super) dtype: Dtype,
    /// Threads; 0 takes one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Arguments of `dpo bench point`.
#[derive(Debug, Args)]
pub(crate) struct PointArgs {
    /// Size of the model
    #[arg(long, value_enum)]
    pub(super) model: Shape,
    /// Pairs a batch
    #[arg(long, value_parser = at_least_one)]
    pub(super) pairs: NonZeroUsize,
    /// Tokens of a pair
    #[arg(long, value_parser = length)]
    pub(super) length: usize,
    #[command(flatten)]
    pub(super) setting: Setting,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) model: String,
    pub(super) parameters: usize,
    /// Of a batch.
    pub(super) pairs: usize,
    /// Of a pair: its prompt and both its answers.
    pub(super) pair_length: usize,
    /// Of a batch.
    pub(super) tokens: usize,
    pub(super) threads: usize,
    pub(super) step_seconds: Spread,
    pub(super) tokens_per_second: f64,
    forward_share: f64,
    backward_share: f64,
    optimizer_share: f64,
    pub(super) peak_memory_bytes: Option<u64>,
}

/// Prompts are three fifths of the tokens of a pair, as in real human pairs, where both answers share them.
const PROMPT_SHARE: f64 = 0.6;

/// The shortest pair: a token of the prompt and one of each answer, whatever the share.
const SHORTEST: usize = 4;

/// A length of a pair in tokens.
pub(super) fn length(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a whole number of at least {SHORTEST}");
    text.parse().ok().filter(|length| *length >= SHORTEST).ok_or_else(expected)
}

/// Runs the command.
pub(crate) fn run(args: &PointArgs) -> Result<ExitCode> {
    device::set_threads(args.setting.threads)?;
    print(&format!("{}\n", serde_json::to_string(&args.measured(&device::open(Backend::Cpu)?)?)?))?;
    Ok(ExitCode::SUCCESS)
}

impl PointArgs {
    /// The words that stand for it on a command line.
    pub(super) fn words(&self) -> Vec<String> {
        let Setting { steps, warmup, dtype, threads } = &self.setting;
        let words = [
            ("model", self.model.name().to_owned()),
            ("pairs", self.pairs.to_string()),
            ("length", self.length.to_string()),
            ("steps", steps.to_string()),
            ("warmup", warmup.to_string()),
            ("dtype", dtype.precision().name().to_owned()),
            ("threads", threads.to_string()),
        ];
        words.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }

    fn measured(&self, device: &Device) -> Result<Point> {
        let precision = device::precision(device, self.setting.dtype)?;
        let policy = self.model.random(self.length, device)?.with_precision(precision).train();
        let parameters = policy.n_parameters();
        let vocab_size = policy.config().vocab_size;
        let trees: Vec<TokenTree> =
            (0..self.pairs.get()).map(|idx| random_pair(self.length, idx, vocab_size)).collect();
        // A step costs the same whatever the reference says.
        let n_scored = |tree: &TokenTree| tree.completions.iter().map(Vec::len).sum();
        let reference: Vec<Vec<f32>> = trees.iter().map(|tree| vec![0.0; n_scored(tree)]).collect();
        let batch: Vec<Row<'_>> = trees
            .iter()
            .zip(&reference)
            .map(|(tree, reference)| Row { tree, reference, mismatched: None, share: None })
            .collect();
        let batches = vec![&batch[..]; self.setting.warmup + self.setting.steps.get()];
        let (_, costs) = timed_steps(policy, &loss_of(&batch), &batches, device)?;
        let costs = &costs[self.setting.warmup..];
        Ok(Point {
            model: self.model.name().to_owned(),
            parameters,
            pairs: self.pairs.get(),
            pair_length: self.length,
            tokens: costs[0].n_tokens,
            threads: rayon::current_num_threads(),
            step_seconds: Spread::of(costs.iter().map(StepCost::seconds)),
            tokens_per_second: tokens_per_second(costs),
            forward_share: share(costs, |cost| cost.forward),
            backward_share: share(costs, |cost| cost.backward),
            optimizer_share: share(costs, |cost| cost.optimizer),
            peak_memory_bytes: peak_memory_bytes(),
        })
    }
}

/// A pair of `length` random tokens.
fn random_pair(length: usize, idx: usize, vocab_size: usize) -> TokenTree {
    let n_prompt = ((length as f64 * PROMPT_SHARE) as usize).clamp(1, length - 2);
    let n_chosen = (length - n_prompt) / 2;
    let mut rng = Rng::new(1, idx as u64);
    let mut ids = |n: usize| (0..n).map(|_| rng.below(vocab_size) as u32).collect::<Vec<_>>();
    TokenTree {
        row: RowId { file: 0, row: idx as u64 },
        prompt: ids(n_prompt),
        completions: vec![ids(n_chosen), ids(length - n_prompt - n_chosen)],
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All tokens are there and below the vocabulary's size; the prompt has its share, however short the pair is.
    #[test]
    fn a_pair_has_its_length() {
        for length in [SHORTEST, 5, 17, 256] {
            let pair = random_pair(length, 0, 512);
            assert_eq!(pair.n_tokens(), length);
            assert!(pair.completions.iter().all(|ids| !ids.is_empty()));
            assert!(pair.prompt.iter().chain(pair.completions.iter().flatten()).all(|id| *id < 512));
        }
        assert_eq!(random_pair(256, 0, 512).prompt.len(), 153);
    }

    /// Too short for a prompt and two answers, or no number.
    #[test]
    fn lengths_are_checked() {
        assert_eq!(length("4"), Ok(4));
        for wrong in ["3", "0", "-1", "x", ""] {
            assert_eq!(length(wrong), Err("expected a whole number of at least 4".to_owned()));
        }
    }
}
