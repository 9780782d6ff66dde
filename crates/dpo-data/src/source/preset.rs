//! Well-known sets whose columns alone do not say how they are meant.

use serde::{Deserialize, Serialize};

use super::ColumnNames;

/// A well-known set. Others (HH, UltraFeedback and its binarized form, Nectar, OpenAssistant's trees, PandaLM, Alpaca, ShareGPT,
/// LLaMA-Factory, Argilla) are known by their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// HelpSteer and HelpSteer2: a response a row, rated; rows with the same prompt that follow each other are a list, best
    /// first by helpfulness.
    Helpsteer,
    /// HelpSteer2-Preference: two responses and a preference from −3 for the first to 3 for the second.
    Helpsteer2Preference,
    /// HelpSteer3: the same, behind a conversation.
    Helpsteer3,
    /// Stanford Human Preferences: two answers and their votes on Reddit.
    Shp,
}

/// How the margin of two completions is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum MarginSign {
    /// Above 0 for the first.
    #[default]
    First,
    /// Above 0 for the second.
    Second,
}

impl Preset {
    /// Its name in a run file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Helpsteer => "helpsteer",
            Self::Helpsteer2Preference => "helpsteer2-preference",
            Self::Helpsteer3 => "helpsteer3",
            Self::Shp => "shp",
        }
    }

    /// Its columns, but for those that somebody names otherwise.
    pub(super) fn columns(self, named: &ColumnNames) -> ColumnNames {
        let mut columns = named.clone();
        let set = |column: &mut Option<String>, name: &str| {
            column.get_or_insert_with(|| name.to_owned());
        };
        match self {
            Self::Helpsteer => {
                set(&mut columns.prompt, "prompt");
                set(&mut columns.completion, "response");
            }
            Self::Helpsteer2Preference => {
                set(&mut columns.prompt, "prompt");
                set(&mut columns.first, "response_1");
                set(&mut columns.second, "response_2");
                set(&mut columns.margin, "preference_strength");
            }
            Self::Helpsteer3 => {
                set(&mut columns.prompt, "context");
                set(&mut columns.first, "response1");
                set(&mut columns.second, "response2");
                set(&mut columns.margin, "overall_preference");
            }
            Self::Shp => {
                set(&mut columns.prompt, "history");
                set(&mut columns.first, "human_ref_A");
                set(&mut columns.second, "human_ref_B");
                set(&mut columns.score_chosen, "score_A");
                set(&mut columns.score_rejected, "score_B");
            }
        }
        columns
    }

    pub(super) fn margin_sign(self) -> MarginSign {
        match self {
            Self::Helpsteer2Preference | Self::Helpsteer3 => MarginSign::Second,
            Self::Helpsteer | Self::Shp => MarginSign::First,
        }
    }

    /// The rating of a single response, where rows that follow each other make a list.
    pub(super) fn rating(self) -> Option<&'static str> {
        matches!(self, Self::Helpsteer).then_some("helpfulness")
    }
}
