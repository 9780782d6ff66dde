//! Rows that are there more than once.

use std::collections::HashMap;

use super::FoundRow;
use super::keys::{Compared, Key};

/// Indices of the first of each kind, and the copies that follow.
pub(super) fn exact(rows: &[Compared]) -> (Vec<usize>, Vec<FoundRow>) {
    let mut seen: HashMap<Key, usize> = HashMap::with_capacity(rows.len());
    let (mut first, mut copies) = (Vec::new(), Vec::new());
    for (idx, row) in rows.iter().enumerate() {
        let earlier = *seen.entry(row.whole).or_insert(idx);
        if earlier == idx {
            first.push(idx);
        } else {
            copies.push(FoundRow::beside(row.row, rows[earlier].row));
        }
    }
    (first, copies)
}
