//! Preference data: sources and formats, chat templates, tokenisation and packed batches.
//!
//! The one path every row takes:
//! source file → [`PreferenceExample`] → chat template → [`TokenTree`] → [`PackedBatch`].

pub mod agreement;
pub mod check;
pub mod encode;
pub mod error;
pub mod example;
pub mod heldout;
pub mod micro;
pub mod order;
pub mod pack;
pub mod relation;
pub mod report;
pub mod shape;
pub mod source;
pub mod template;
pub mod tokenizer;
pub mod tree;

pub use agreement::{Agreement, Choice, VoterAgreement};
pub use check::{
    Fault, Findings, FoundRow, FoundRows, LengthBias, Scan, Scanned, Severity, check_examples, check_trees,
};
pub use encode::{EncodeConfig, EncodeOptions, EncodedRow, Overlong, SpecialText, encode_all};
pub use error::{DataError, Place, Spot};
pub use example::{Message, PreferenceExample, RowId, Text};
pub use heldout::HeldOut;
pub use micro::{even_parts, micro_batches};
pub use order::{BatchOrder, EpochOrder, Sampling};
pub use pack::{InvalidBatch, pack};
pub use relation::{Judgement, Label, Ranking, Relation, Votes};
pub use report::{Cause, DataReport, Effect, FileReport};
pub use shape::{Found, Needed, Pairing, shaped};
pub use source::{
    Annotators, ColumnNames, ExampleChunk, ExampleStream, Preset, Purpose, SourceConfig, Strings,
    read_examples,
};
pub use template::{ChatTemplate, Clock};
pub use tokenizer::{
    GgufExport, GgufProblem, GgufVocabulary, GgufWarning, Piece, TextEncoder, TokenizerFile,
};
pub use tree::{CompletionSpan, PackedBatch, ScoreRows, TokenTree, TreeSpan};
