//! The controlled-sentiment experiment: reviews of our own, a reward that is known exactly, and what to make of it.
//!
//! `docs/experiment.md` tells it in words. Nothing here knows models or tensors: texts go in, texts and numbers come out.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::run_file::TrainArgs;

/// Runs the built-in experiment.
pub(crate) fn run(_args: &TrainArgs) -> Result<ExitCode> {
    bail!("not wired yet")
}

pub(crate) mod corpus;
mod domains;
pub(crate) mod evaluate;
pub(crate) mod grammar;
mod lexicon;
pub(crate) mod pairs;
mod plans;
pub(crate) mod reward;
mod rng;
pub(crate) mod shape;
pub(crate) mod table;
pub(crate) mod tokenizer;
mod writer;
