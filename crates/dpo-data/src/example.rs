//! One row of preference data, as text: what every source format is turned into.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Relation;

/// Where a row came from, for messages and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowId {
    /// Index of the file among those given, from 0.
    pub file: u32,
    /// Line of a JSONL file, element of a JSON array or row of a Parquet file, from 1.
    pub row: u64,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, or whatever else the chat template knows.
    pub role: String,
    /// What was said.
    pub content: String,
    /// Every other key of the message, handed to the chat template untouched.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A prompt or a completion.
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    /// Text that is tokenised as it stands; a completion gets the end-of-sequence token.
    Plain(String),
    /// Turns that the chat template renders; the template ends them.
    Messages(Vec<Message>),
}

/// A prompt, its completions, and what people said of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PreferenceExample {
    /// Where it was read.
    pub row: RowId,
    /// What every completion answers. May be empty.
    pub prompt: Text,
    /// `K` completions in the relation's order (a pair: chosen, rejected).
    pub completions: Vec<Text>,
    /// What is known about them.
    pub relation: Relation,
    /// Its share in a batch's weighted mean; 1 unless the row says otherwise.
    pub weight: f64,
    /// Whose row it is, as the group column says it: a person, a region; `None` where it says nothing.
    pub group: Option<String>,
    /// Keyword arguments of this row for the chat template (`chat_template_kwargs`, `tools`).
    pub template_kwargs: Map<String, Value>,
}
