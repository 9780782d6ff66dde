//! Verdicts on the same prompt that cannot all hold.
//!
//! Rows are taken up one by one, those that say what most rows say first and the earlier ones among equals; a row of which one
//! verdict turns around what has been taken up already, directly or by way of others, is a contradiction. (Tideman's ranked pairs,
//! 1987, of whole rows.)

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::FoundRow;
use super::keys::{Compared, Key, Verdict};

/// The rows whose verdict falls, each with one that stands against it.
///
/// Verdicts of different groups (people, regions) are opinions, not contradictions.
pub(super) fn contradictions(rows: &[Compared]) -> Vec<FoundRow> {
    let mut by_prompt: HashMap<(Option<Key>, Option<Key>), Vec<usize>> = HashMap::new();
    for (row_idx, row) in rows.iter().enumerate() {
        if !row.verdicts.is_empty() {
            by_prompt.entry((row.prompt, row.group)).or_default().push(row_idx);
        }
    }
    let several = by_prompt.into_values().filter(|indices| indices.len() > 1);
    let mut found: Vec<(usize, usize)> = several.flat_map(|indices| fallen(rows, &indices)).collect();
    found.sort_unstable();
    found.into_iter().map(|(row, of)| FoundRow::beside(rows[row].row, rows[of].row)).collect()
}

/// Of these rows of one prompt those that fall, and one of those that they fall by.
fn fallen(rows: &[Compared], indices: &[usize]) -> Vec<(usize, usize)> {
    let mut said: HashMap<Verdict, usize> = HashMap::new();
    for &row_idx in indices {
        let own: HashSet<Verdict> = rows[row_idx].verdicts.iter().copied().collect();
        own.into_iter().for_each(|verdict| *said.entry(verdict).or_default() += 1);
    }
    // A row is as well supported as the verdict of it that fewest rows share.
    let support = |row_idx: usize| rows[row_idx].verdicts.iter().map(|verdict| said[verdict]).min();
    let mut order: Vec<usize> = indices.to_vec();
    order.sort_by_key(|&row_idx| (Reverse(support(row_idx)), row_idx));
    let mut standing = Standing::default();
    let mut fallen = Vec::new();
    for row_idx in order {
        let verdicts = &rows[row_idx].verdicts;
        match verdicts.iter().find_map(|verdict| standing.against(*verdict)) {
            Some(row) => fallen.push((row_idx, row)),
            None => verdicts.iter().for_each(|verdict| standing.take_up(*verdict, row_idx)),
        }
    }
    fallen
}

/// The verdicts that were taken up.
#[derive(Debug, Default)]
struct Standing {
    /// What each completion is better than, and the row that says so.
    worse_than: HashMap<Key, Vec<(Key, usize)>>,
}

impl Standing {
    fn take_up(&mut self, (better, worse): Verdict, row: usize) {
        let worse_ones = self.worse_than.entry(better).or_default();
        if worse_ones.iter().all(|(other, _)| *other != worse) {
            worse_ones.push((worse, row));
        }
    }

    /// A row by which `worse` is better than `better`: the one that says so itself, or the first on a way from one to
    /// the other.
    fn against(&self, (better, worse): Verdict) -> Option<usize> {
        let steps = |from: Key| self.worse_than.get(&from).into_iter().flatten();
        if let Some((_, row)) = steps(worse).find(|(to, _)| *to == better) {
            return Some(*row);
        }
        for (first, row) in steps(worse) {
            let (mut open, mut seen) = (vec![*first], HashSet::from([*first]));
            while let Some(at) = open.pop() {
                if at == better {
                    return Some(*row);
                }
                open.extend(steps(at).map(|(to, _)| *to).filter(|to| seen.insert(*to)));
            }
        }
        None
    }
}
