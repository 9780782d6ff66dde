//! `dpo config`: a run file with every key, or what a run file comes to.

use std::path::PathBuf;

use anyhow::{Error, Result};
use clap::Args;
use dpo_core::LossKind;
use dpo_train::ReferenceUpdates;

use crate::{
    data::RowCache,
    default_loss,
    run_file::{
        RunConfig, RunFile, TrainArgs,
        config::{MicroBatches, Tuning},
        template,
    },
    terminal::print,
};

/// Flags of `dpo config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print what training with this run file will minimise: the formula with its numbers, how a batch is reduced, where it
    /// comes from
    #[arg(long, value_name = "RUN.TOML")]
    explain: Option<PathBuf>,
}

/// Prints what was asked for.
pub(crate) fn run(args: &ConfigArgs) -> Result<()> {
    let Some(path) = &args.explain else { return print(&template()) };
    let file = TrainArgs { config: Some(path.clone()), ..TrainArgs::default() };
    let (beneath, unread) = match default_loss::beneath(&file.run_file()?, &RowCache::default()) {
        Ok(beneath) => (beneath, None),
        Err(error) => (RunFile::default(), Some(error)),
    };
    print(&explained(&file.run_config(&beneath)?, unread))
}

/// What becomes of the reference in the run.
fn followed(config: &RunConfig) -> String {
    let Some(ReferenceUpdates { every, mix }) = config.reference_updates else {
        return ", whose log-probs are computed once".to_owned();
    };
    let what = match &config.tuning {
        Tuning::Weights => "",
        Tuning::NewAdapter(_) | Tuning::Adapter(_) => ", θ being the adapter's matrices",
    };
    let update = match mix {
        1.0 => "θ_ref ← θ".to_owned(),
        _ => format!("θ_ref ← {mix}·θ + {}·θ_ref", short(1.0 - mix)),
    };
    format!(
        " at first, and follows the policy: after every {every} steps {update}{what}\n  (TR-DPO, https://arxiv.org/abs/2404.09656); \
         its log-probs are computed once, and from the first time on at every step"
    )
}

/// A number without the digits that subtraction leaves behind.
fn short(x: f64) -> f64 {
    (x * 1e12).round() / 1e12
}

/// `unread` is why the rows could not be asked which loss fits them, where none is named.
fn explained(config: &RunConfig, unread: Option<Error>) -> String {
    let mut text = config.loss.explain();
    text.push_str("\nin this run\n");
    let size = config.train.batch_size;
    let how = match config.train.micro_batches {
        MicroBatches::Parts(1) => "computed at once".to_owned(),
        MicroBatches::Parts(parts) => {
            format!("computed in {parts} parts, whose gradients add up to the step's")
        }
        MicroBatches::Tokens(tokens) => {
            format!("computed in parts of at most {tokens} tokens, whose gradients add up to the step's")
        }
    };
    text += &format!("  a step is {size} rows, {how}\n");
    text += &match (&config.model.reference, config.loss.needs_reference()) {
        (_, false) => "  there is no reference: none is computed\n".to_owned(),
        (Some(reference), true) => format!("  π_ref is {reference}{}\n", followed(config)),
        (None, true) => format!("  π_ref is {} before training{}\n", config.model.base, followed(config)),
    };
    if config.loss.reads_distributions() {
        text += "  π_ref stays in memory and reads the rows of every step: D_y needs what it says of every word\n";
    }
    if let Some(error) = unread {
        text += &format!(
            "  no loss is named: this is the one for plain pairs, for the rows cannot be read ({error:#})\n"
        );
    }
    if let Some(value) = config.loss.at_zero_margin().filter(|_| config.model.reference.is_none()) {
        let is_of_lengths = config.loss.parts().iter().any(|part| part.loss.kind() == LossKind::RDpo);
        let pair = if is_of_lengths { "a pair of equal lengths" } else { "every pair" };
        text +=
            &format!("  the first step's loss is {value} for {pair}: there policy and reference are one\n");
    }
    text
}
