//! What happened to the rows: every dropped, cut or odd one, counted by cause.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::RowId;

/// Why a row was dropped, changed or worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Chosen and rejected are the same; dropped.
    IdenticalSides,
    /// A completion has no text; dropped.
    EmptyCompletion,
}

/// Counts of rows by cause.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DataReport {
    /// Rows read from all files.
    pub rows_read: u64,
    /// Rows that went on to training.
    pub rows_kept: u64,
    /// Rows by cause.
    pub causes: BTreeMap<Cause, Vec<RowId>>,
}
