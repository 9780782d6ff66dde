//! What can be wrong with rows, and the rows that have it.

use serde::Serialize;

use crate::{Cause, RowId};

/// What is wrong with a row, or worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The same prompt and completions with the same verdict, once more.
    ExactDuplicates,
    /// An earlier row but for a few characters.
    NearDuplicates,
    /// A verdict that others on the same prompt turn around, directly or in a cycle.
    Contradictions,
    /// Chosen and rejected are the same text.
    IdenticalSides,
    /// A completion has no text.
    EmptySides,
    /// The prompt is among those that are measured on.
    PromptLeakage,
    /// The prompt is one of those that are measured on, but for a few characters.
    NearPromptLeakage,
    /// A completion that is said to be worse has the higher score.
    ScoresDisagree,
    /// A text has what looks like a key or a password in it.
    Secrets,
    /// A text has an e-mail address in it.
    EmailAddresses,
    /// Chosen and rejected are written in different languages or scripts.
    SidesInDifferentLanguages,
    /// The prompt starts with the token that starts a text twice.
    DoubleBos,
    /// The prompt does not start with the token that this tokenizer starts every text with.
    MissingBos,
    /// A completion does not end with a token that ends an answer.
    MissingEos,
    /// A completion ends with two tokens that end an answer.
    DoubleEos,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look.
    Look,
    /// It teaches the wrong thing, or gives a false measure, or must not be learnt: repair it first.
    Serious,
}

impl Fault {
    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Self::Contradictions
            | Self::IdenticalSides
            | Self::EmptySides
            | Self::PromptLeakage
            | Self::Secrets
            | Self::DoubleBos
            | Self::MissingEos => Severity::Serious,
            Self::ExactDuplicates
            | Self::NearDuplicates
            | Self::NearPromptLeakage
            | Self::ScoresDisagree
            | Self::EmailAddresses
            | Self::SidesInDifferentLanguages
            | Self::MissingBos
            | Self::DoubleEos => Severity::Look,
        }
    }

    /// A phrase for people, to follow the number of rows.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::ExactDuplicates => "the same row once more",
            Self::NearDuplicates => "an earlier row but for a few characters",
            Self::Contradictions => "other verdicts on the same prompt say the opposite",
            Self::IdenticalSides => "chosen and rejected are the same",
            Self::EmptySides => "a completion has no text",
            Self::PromptLeakage => "the prompt is among those that are measured on",
            Self::NearPromptLeakage => "the prompt is nearly one that is measured on",
            Self::ScoresDisagree => Cause::ScoresDisagree.phrase(),
            Self::Secrets => "what looks like a key or a password is in a text",
            Self::EmailAddresses => "an e-mail address is in a text",
            Self::SidesInDifferentLanguages => "chosen and rejected are in different languages",
            Self::DoubleBos => "the prompt starts with two start tokens",
            Self::MissingBos => "the prompt lacks the token that starts every text",
            Self::MissingEos => "a completion does not end with a token that ends an answer",
            Self::DoubleEos => "a completion ends with two tokens that end an answer",
        }
    }

    /// The fault that a reader of files has found already, if it goes by a name of its own here.
    pub fn of_cause(cause: Cause) -> Option<Self> {
        match cause {
            Cause::IdenticalSides => Some(Self::IdenticalSides),
            Cause::EmptyCompletion => Some(Self::EmptySides),
            Cause::ScoresDisagree => Some(Self::ScoresDisagree),
            _ => None,
        }
    }
}

/// A row with a fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundRow {
    /// Where it was read.
    #[serde(flatten)]
    pub row: RowId,
    /// The row that it is held against: the first of the copies, one that says the opposite, one that is measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<RowId>,
    /// Where in the row, and what kind of thing: `prompt: access key`. Never the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
}

impl FoundRow {
    /// A row by itself.
    pub fn new(row: RowId) -> Self {
        Self { row, of: None, what: None }
    }

    /// A row held against another one.
    pub(super) fn beside(row: RowId, of: RowId) -> Self {
        Self { row, of: Some(of), what: None }
    }

    /// A row with something in it.
    pub(super) fn with(row: RowId, what: String) -> Self {
        Self { row, of: None, what: Some(what) }
    }
}

/// The rows with one fault: as many as could be removed, so that nobody has it any more.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FoundRows {
    /// How many there are.
    pub count: u64,
    /// All of them; of what the reader of files found, the first [`LISTED_ROWS`](crate::report::LISTED_ROWS).
    pub rows: Vec<FoundRow>,
}

impl FoundRows {
    pub(super) fn extend(&mut self, rows: Vec<FoundRow>) {
        self.count += rows.len() as u64;
        self.rows.extend(rows);
    }
}
