//! A look at all rows that takes no more memory than it was given, however many there are.
//!
//! Rows are compared by their keys. While those of all rows fit, what is found is exact; then only the rows of every second prompt
//! are kept, of every fourth, and so on: all rows of a prompt or none, so that copies and contradictions among those that are
//! kept are whole, and those of all rows are estimated from them.

use std::collections::HashMap;

use rayon::prelude::*;

use super::keys::{Compared, Key};
use super::{Fault, Findings, FoundRow, FoundRows, compare, leakage, secrets};
use crate::report::LISTED_ROWS;
use crate::{PreferenceExample, RowId};

/// Rows that come a chunk at a time.
#[derive(Debug)]
pub struct Scan {
    /// Most rows that are kept.
    most: usize,
    /// The prompts of one in `2^halvings` are kept.
    halvings: u32,
    kept: Vec<Compared>,
    /// Prompts that are measured on; `None` without any set.
    measured: Option<HashMap<Key, RowId>>,
    faults: HashMap<Fault, FoundRows>,
}

/// What came of it.
#[derive(Debug)]
pub struct Scanned {
    /// Copies and contradictions among the rows that were compared, and prompts that are measured on, secrets and addresses of all
    /// rows, of which the first [`LISTED_ROWS`] are listed.
    pub findings: Findings,
    /// The rows of one prompt in so many were compared with each other; 1 for all rows. Counts of copies and contradictions are
    /// estimates beyond: what was found, times this.
    pub one_in: u64,
}

impl Scan {
    /// Rows that are compared where nobody says how many: about 70 MB.
    pub const MOST: usize = 1 << 17;

    /// Compares at most `most` rows with each other, and all of them with `eval`, the rows that are measured on.
    pub fn new(most: usize, eval: Option<&[PreferenceExample]>) -> Self {
        let keys = |eval: &[PreferenceExample]| leakage::prompts(&compared(eval));
        Self { most, halvings: 0, kept: Vec::new(), measured: eval.map(keys), faults: HashMap::new() }
    }

    /// Takes the next rows.
    pub fn add(&mut self, examples: &[PreferenceExample]) {
        let rows = compared(examples);
        if let Some(measured) = &self.measured {
            let shared = leakage::shared_with(&rows, measured);
            list(self.faults.entry(Fault::PromptLeakage).or_default(), shared);
        }
        let (found, addresses) = secrets::find(examples);
        list(self.faults.entry(Fault::Secrets).or_default(), found);
        list(self.faults.entry(Fault::EmailAddresses).or_default(), addresses);
        for row in rows {
            if is_kept(&row, self.halvings) {
                // What the completions are says nothing beyond the verdicts.
                self.kept.push(Compared { completions: Vec::new(), ..row });
            }
            while self.kept.len() > self.most {
                self.halvings += 1;
                let halvings = self.halvings;
                self.kept.retain(|row| is_kept(row, halvings));
            }
        }
    }

    /// What was found in all of them.
    pub fn finish(self) -> Scanned {
        let one_in = 1 << self.halvings;
        let (mut findings, _) = compare(&self.kept, None);
        for rows in findings.faults.values_mut() {
            rows.count *= one_in;
            rows.rows.truncate(LISTED_ROWS);
        }
        findings.faults.extend(self.faults);
        Scanned { findings, one_in }
    }
}

fn compared(examples: &[PreferenceExample]) -> Vec<Compared> {
    examples.par_iter().map(Compared::of_example).collect()
}

/// Whether the prompt of a row is one of those that are kept; a row without one goes by all that it says.
fn is_kept(row: &Compared, halvings: u32) -> bool {
    let key = row.prompt.unwrap_or(row.whole);
    key.trailing_zeros() >= halvings
}

/// Counts all of `found` and lists the first ones.
fn list(rows: &mut FoundRows, found: Vec<FoundRow>) {
    rows.count += found.len() as u64;
    let room = LISTED_ROWS.saturating_sub(rows.rows.len());
    rows.rows.extend(found.into_iter().take(room));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_examples;
    use crate::check::tests::pair;

    /// Of every prompt the first row, a copy, and its contradiction; each 50th prompt is measured on.
    fn rows(n_prompts: u64) -> (Vec<PreferenceExample>, Vec<PreferenceExample>) {
        let of = |n: u64| {
            let prompt = format!("prompt {n}");
            let rows = [("a", "b"), ("a", "b"), ("b", "a")];
            let row = |(idx, (chosen, rejected)): (usize, &(&str, &str))| {
                pair(3 * n + idx as u64, &prompt, chosen, rejected)
            };
            rows.iter().enumerate().map(row).collect::<Vec<_>>()
        };
        let eval = (0..n_prompts).step_by(50).map(|n| PreferenceExample {
            row: RowId { file: 1, row: n },
            ..pair(n, &format!("prompt {n}"), "c", "d")
        });
        ((0..n_prompts).flat_map(of).collect(), eval.collect())
    }

    fn scanned(most: usize, examples: &[PreferenceExample], eval: &[PreferenceExample]) -> Scanned {
        let mut scan = Scan::new(most, Some(eval));
        examples.chunks(100).for_each(|chunk| scan.add(chunk));
        scan.finish()
    }

    /// With room for all rows it is what the look at the whole set finds, row by row.
    #[test]
    fn with_room_for_all_it_is_exact() {
        let (examples, eval) = rows(200);
        let whole = check_examples(&examples, Some(&eval));
        let Scanned { findings, one_in } = scanned(600, &examples, &eval);
        assert_eq!(one_in, 1);
        for fault in [Fault::ExactDuplicates, Fault::Contradictions, Fault::PromptLeakage, Fault::Secrets] {
            assert_eq!(findings.faults[&fault], whole.faults[&fault], "{fault:?}");
        }
        assert_eq!(findings.faults[&Fault::ExactDuplicates].count, 200);
    }

    /// 12,000 rows where 1,000 fit: the prompts of one in 16 (12,000 / 16 = 750), from which the 4,000 copies and 4,000
    /// contradictions are estimated; 250 prompts have a binomial error of 6 %. Prompts that are measured on are found in all rows.
    #[test]
    fn beyond_its_room_it_estimates() {
        let (examples, eval) = rows(4000);
        let Scanned { findings, one_in } = scanned(1000, &examples, &eval);
        assert!([16, 32].contains(&one_in), "{one_in}");
        for fault in [Fault::ExactDuplicates, Fault::Contradictions] {
            let found = &findings.faults[&fault];
            assert!((3000..5000).contains(&found.count), "{fault:?}: {}", found.count);
            assert_eq!(found.rows.len() as u64 * one_in, found.count);
        }
        assert_eq!(findings.faults[&Fault::PromptLeakage].count, 3 * 80);
    }
}
