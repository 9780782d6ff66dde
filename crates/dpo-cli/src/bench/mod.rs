//! `dpo bench`: what a training step costs, where the time goes, and how the cost grows.

mod growth;
mod spread;
mod step;
mod steps;

use std::{num::NonZeroUsize, process::ExitCode};

use anyhow::Result;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

/// What `dpo bench` measures.
#[derive(Debug)]
pub(crate) enum BenchArgs {
    /// Steps of a model on rows.
    Steps(Box<steps::StepsArgs>),
    /// Something else, which has a name.
    Named(Mode),
}

/// What is measured instead of steps on given rows.
#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Time, speed and memory of a step against the size of the batch, of its texts and of the model
    Growth(growth::GrowthArgs),
    /// One measurement of `growth`, in a process of its own
    #[command(hide = true)]
    Point(growth::PointArgs),
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    match args {
        BenchArgs::Steps(args) => steps::run(args),
        BenchArgs::Named(Mode::Growth(args)) => growth::run(args),
        BenchArgs::Named(Mode::Point(args)) => growth::run_point(args),
    }
}

/// A model and data are required where no mode is named, which cannot be derived.
impl Args for BenchArgs {
    fn augment_args(command: Command) -> Command {
        Mode::augment_subcommands(steps::StepsArgs::augment_args(command))
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for BenchArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand_name() {
            Some(_) => Mode::from_arg_matches(matches).map(Self::Named),
            None => steps::StepsArgs::from_arg_matches(matches).map(|args| Self::Steps(Box::new(args))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A number of steps, or of pairs.
fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number of at least 1".to_owned())
}
