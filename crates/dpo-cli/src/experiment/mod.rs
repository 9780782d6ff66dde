//! The controlled-sentiment experiment: reviews of our own, a reward that is known exactly, and what to make of it.
//!
//! `docs/experiment.md` tells it in words. The generator, the reward and the judge know neither models nor
//! tensors: texts go in, texts and numbers come out. `assets` makes the model and its pairs, `run` trains and shows.

mod annotators;
mod assets;
mod bundle;
mod corpus;
mod domains;
mod evaluate;
mod grammar;
mod lexicon;
mod pairs;
mod plans;
mod reward;
mod rng;
mod run;
mod sampling;
mod shape;
mod study;
mod table;
mod tokenizer;
mod writer;

pub(crate) use assets::{AssetsArgs, make as make_assets};
pub(crate) use rng::Rng;
pub(crate) use run::run;
pub(crate) use shape::LlamaShape;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `dpo experiment`.
#[derive(Debug, Args)]
pub(crate) struct ExperimentArgs {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Ranked and scored lists, as lists and as pairs
    Graded(study::StudyArgs),
    /// Five annotators who disagree: soft labels, and what most of them say
    Votes(study::StudyArgs),
    /// A fifth of the labels flipped
    Flips(study::StudyArgs),
    /// What an excellent answer is compared with: a poor one, or a mediocre one
    Contrast(study::StudyArgs),
    /// Real annotators: an adapter of each and one of all, on everybody's held-out votes
    Annotators(annotators::AnnotatorsArgs),
}

/// Runs `dpo experiment`.
pub(crate) fn run_study(args: &ExperimentArgs) -> anyhow::Result<ExitCode> {
    use study::Study;
    match &args.which {
        Which::Graded(args) => study::run(Study::Graded, args)?,
        Which::Votes(args) => study::run(Study::Votes, args)?,
        Which::Flips(args) => study::run(Study::Flips, args)?,
        Which::Contrast(args) => study::run(Study::Contrast, args)?,
        Which::Annotators(args) => annotators::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
