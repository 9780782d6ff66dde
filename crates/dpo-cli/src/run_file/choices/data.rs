//! The words of `[data]`: which set the rows are of, and what is made of them.

use clap::ValueEnum;
use dpo_data::Pairing;
use serde::{Deserialize, Serialize};

/// `data.preset`: a well-known set whose columns alone do not say how they are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// HelpSteer and HelpSteer2: rated responses, which are lists where rows with the same prompt follow each other
    Helpsteer,
    /// HelpSteer2-Preference: two responses and a preference from -3 for the first to 3 for the second
    Helpsteer2Preference,
    /// HelpSteer3: the same behind a conversation
    Helpsteer3,
    /// Stanford Human Preferences: two answers and their votes on Reddit
    Shp,
}

impl Preset {
    /// As the library knows it.
    pub(crate) fn of_data(self) -> dpo_data::Preset {
        match self {
            Self::Helpsteer => dpo_data::Preset::Helpsteer,
            Self::Helpsteer2Preference => dpo_data::Preset::Helpsteer2Preference,
            Self::Helpsteer3 => dpo_data::Preset::Helpsteer3,
            Self::Shp => dpo_data::Preset::Shp,
        }
    }
}

/// `data.annotators`: what becomes of the votes of several people on the same two completions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum Annotators {
    /// A row stays one row, with the shares of its votes
    #[default]
    Together,
    /// A row for each vote, whose group is the annotator
    Each,
}

impl Annotators {
    /// As the library knows it.
    pub(crate) fn of_data(self) -> dpo_data::Annotators {
        match self {
            Self::Together => dpo_data::Annotators::Together,
            Self::Each => dpo_data::Annotators::Each,
        }
    }
}

/// `data.stream_check`: which rows are looked at before the first step of a streamed run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum StreamCheck {
    /// Those of the first window
    #[default]
    Window,
    /// All rows, in one more pass over the files that takes no more memory than it was given
    All,
}

/// `data.pairs`: which pairs are made of a ranked list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(crate) enum Pairs {
    /// The best and the worst
    BestWorst,
    /// Every two of different rank
    All,
    /// Each and the next worse
    Adjacent,
}

impl Pairs {
    /// As the library knows it.
    pub(crate) fn pairing(self) -> Pairing {
        match self {
            Self::BestWorst => Pairing::BestWorst,
            Self::All => Pairing::All,
            Self::Adjacent => Pairing::Adjacent,
        }
    }
}

impl From<Pairing> for Pairs {
    fn from(pairing: Pairing) -> Self {
        match pairing {
            Pairing::BestWorst => Self::BestWorst,
            Pairing::All => Self::All,
            Pairing::Adjacent => Self::Adjacent,
        }
    }
}
