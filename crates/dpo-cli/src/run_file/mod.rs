//! The run file: what `dpo train` is told, in TOML or as flags.
//!
//! [`RunFile`] is what was written, [`RunConfig`] what it comes to. A flag is laid over the file,
//! the file over the defaults; everything wrong is said at once.

mod apply;
mod check;
pub(crate) mod choices;
pub(crate) mod config;
pub(crate) mod docs;
pub(crate) mod flags;
mod init;
mod keys;
mod loss;
mod mix;
mod parse;
pub(crate) mod problem;
mod reference;
mod row_args;
mod rows;
pub(crate) mod sections;
pub(crate) mod values;
pub(crate) mod variants;

use clap::Args;
use serde::{Deserialize, Serialize};

pub(crate) use config::RunConfig;
#[cfg(test)]
pub(crate) use docs::reference_page;
pub(crate) use docs::template;
pub(crate) use flags::TrainArgs;
pub(crate) use problem::InvalidRunFile;
pub(crate) use row_args::RowArgs;
pub(crate) use rows::HeldOutBy;

/// A run file as it was written. A missing key is `None`, an unknown one is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunFile {
    /// The models.
    #[command(flatten)]
    pub(crate) model: sections::ModelSection,
    /// The rows.
    #[command(flatten)]
    pub(crate) data: sections::DataSection,
    /// The objective.
    #[command(flatten)]
    pub(crate) loss: sections::LossSection,
    /// How the reference follows the policy.
    #[command(flatten)]
    pub(crate) reference: sections::ReferenceSection,
    /// The adapter.
    #[command(flatten)]
    pub(crate) lora: sections::LoraSection,
    /// The loop.
    #[command(flatten)]
    pub(crate) train: sections::TrainSection,
    /// Measuring.
    #[command(flatten)]
    pub(crate) eval: sections::EvalSection,
    /// Where and with what.
    #[command(flatten)]
    pub(crate) run: sections::RunSection,
}

impl RunFile {
    /// Whether it names neither a model nor data, which asks for the built-in experiment.
    pub(crate) fn names_nothing(&self) -> bool {
        self.model.base.is_none() && self.data.train.is_none()
    }

    fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("every value of a run file has a TOML form")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
