//! Prompts that are trained on and measured on.

use std::collections::HashMap;

use super::FoundRow;
use super::keys::{Compared, Key};
use crate::RowId;

/// The rows to train on whose prompt `eval` has too, each with the first row there. Rows without a prompt share none.
pub(super) fn shared_prompts(rows: &[Compared], eval: &[Compared]) -> Vec<FoundRow> {
    shared_with(rows, &prompts(eval))
}

/// The first row of each prompt.
pub(super) fn prompts(eval: &[Compared]) -> HashMap<Key, RowId> {
    let mut measured: HashMap<Key, RowId> = HashMap::with_capacity(eval.len());
    for row in eval {
        if let Some(prompt) = row.prompt {
            measured.entry(prompt).or_insert(row.row);
        }
    }
    measured
}

/// The rows whose prompt is one of `measured`.
pub(super) fn shared_with(rows: &[Compared], measured: &HashMap<Key, RowId>) -> Vec<FoundRow> {
    let shared = |row: &Compared| Some(FoundRow::beside(row.row, *measured.get(&row.prompt?)?));
    rows.iter().filter_map(shared).collect()
}
