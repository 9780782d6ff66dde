//! `dpo config`: a run file with every key, or what a run file comes to.

use std::path::PathBuf;

use anyhow::{Error, Result};
use clap::Args;
use dpo_core::LossKind;

use crate::{
    default_loss,
    run_file::{RunConfig, RunFile, TrainArgs, config::MicroBatches, template},
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
    let (beneath, unread) = match default_loss::beneath(&file.run_file()?) {
        Ok(beneath) => (beneath, None),
        Err(error) => (RunFile::default(), Some(error)),
    };
    print(&explained(&file.run_config(&beneath)?, unread))
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
        (Some(reference), true) => format!("  π_ref is {reference}, whose log-probs are computed once\n"),
        (None, true) => {
            format!("  π_ref is {} before training, whose log-probs are computed once\n", config.model.base)
        }
    };
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
