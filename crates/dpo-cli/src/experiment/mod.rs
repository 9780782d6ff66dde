//! The controlled-sentiment experiment: reviews of our own, a reward that is known exactly, and what to make of it.
//!
//! `docs/experiment.md` tells it in words. The generator, the reward and the judge know neither models nor
//! tensors: texts go in, texts and numbers come out. `assets` makes the model and its pairs, `run` trains and shows.

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
pub(crate) use study::{StudyArgs, run as run_study};
