//! Verdicts on the same prompt that cannot all hold.
//!
//! They are taken up one by one, those that most rows say first and the earlier ones among equals; what turns around
//! what has been taken up already, directly or by way of others, is a contradiction. (Tideman's ranked pairs, 1987.)

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::FoundRow;
use super::keys::{Compared, Key};

/// The rows whose verdict falls, each with one that stands against it.
///
/// Verdicts of different groups (people, regions) are opinions, not contradictions.
pub(super) fn contradictions(rows: &[Compared<'_>]) -> Vec<FoundRow> {
    let mut by_prompt: HashMap<(Option<Key>, Option<&str>), Vec<Said>> = HashMap::new();
    for (row_idx, row) in rows.iter().enumerate() {
        if let Some((better, worse)) = row.verdict {
            let said = Said { row_idx, better: row.completions[better], worse: row.completions[worse] };
            by_prompt.entry((row.prompt, row.group)).or_default().push(said);
        }
    }
    let several = by_prompt.into_values().filter(|said| said.len() > 1);
    let mut found: Vec<(usize, usize)> = several.flat_map(|said| fallen(&said)).collect();
    found.sort_unstable();
    found.into_iter().map(|(row, of)| FoundRow::beside(rows[row].row, rows[of].row)).collect()
}

/// That one completion is better than another.
#[derive(Debug, Clone, Copy)]
struct Said {
    row_idx: usize,
    better: Key,
    worse: Key,
}

/// The rows of a prompt whose verdict falls, and one of those that it falls by.
fn fallen(said: &[Said]) -> Vec<(usize, usize)> {
    let mut verdicts: BTreeMap<(Key, Key), Vec<usize>> = BTreeMap::new();
    for said in said.iter().filter(|said| said.better != said.worse) {
        verdicts.entry((said.better, said.worse)).or_default().push(said.row_idx);
    }
    let mut verdicts: Vec<_> = verdicts.into_iter().collect();
    verdicts.sort_by_key(|(_, rows)| (Reverse(rows.len()), rows[0]));
    let mut standing = Standing::default();
    let mut fallen = Vec::new();
    for ((better, worse), rows) in verdicts {
        match standing.against(better, worse) {
            Some(row) => fallen.extend(rows.into_iter().map(|fallen| (fallen, row))),
            None => standing.worse_than.entry(better).or_default().push((worse, rows[0])),
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
    /// A row by which `worse` is better than `better`: the one that says so itself, or the first on a way from one to
    /// the other.
    fn against(&self, better: Key, worse: Key) -> Option<usize> {
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
