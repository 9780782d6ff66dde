//! Preference data: sources and formats, chat templates, tokenisation and packed batches.
//!
//! The one path every row takes:
//! source file → [`PreferenceExample`] → chat template → [`TokenTree`] → [`PackedBatch`].

pub mod example;
pub mod report;
pub mod tree;

pub use example::{Message, PreferenceExample, Relation, RowId, Text};
pub use report::{Cause, DataReport};
pub use tree::{PackedBatch, TokenTree, TreeSpan};
