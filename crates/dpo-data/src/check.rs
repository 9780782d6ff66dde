//! Looking at the data before training on it: what in it teaches nothing, or the wrong thing.
//!
//! All of it are pure functions of the examples. What the reader of the files found is in the
//! [`DataReport`](crate::DataReport); here is what only shows when rows are compared with each other or read as text.

mod contradictions;
mod duplicates;
mod fault;
mod keys;
mod language;
mod leakage;
mod length;
mod near;
mod near_leakage;
mod opinions;
mod scan;
mod secrets;
mod shingles;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

pub use fault::{Fault, FoundRow, FoundRows, Severity};
pub use length::{LengthBias, Unit};
pub use scan::{Scan, Scanned};
pub use tokens::{Truncation, token_faults, token_length_bias, truncation};

use crate::{Agreement, PreferenceExample, Relation, RowId, TokenTree};
use keys::Compared;

/// What was found in a set of examples.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Rows by fault, those of each in the order of the rows. What was looked for and not found has no rows.
    pub faults: BTreeMap<Fault, FoundRows>,
    /// How well length alone tells the chosen side; `None` without pairs.
    pub length: Option<LengthBias>,
    /// How far the people agree whose rows are of different groups; `None` where no two of them judged the same pair.
    pub agreement: Option<Agreement>,
    /// Rows by the language of their completions, or by their script where the language is not known.
    pub languages: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Adds `rows` to those of a fault.
    pub fn add(&mut self, fault: Fault, rows: Vec<FoundRow>) {
        self.faults.entry(fault).or_default().extend(rows);
    }
}

/// Looks at `examples`, and at what they share with `eval`, the rows that will be measured on, if there are any.
///
/// The rows of `eval` are told from the others by the numbers of their files.
pub fn check_examples(examples: &[PreferenceExample], eval: Option<&[PreferenceExample]>) -> Findings {
    let rows: Vec<Compared> = examples.par_iter().map(Compared::of_example).collect();
    let keys: Option<Vec<Compared>> = eval.map(|eval| eval.par_iter().map(Compared::of_example).collect());
    let (mut findings, first) = compare(&rows, keys.as_deref());
    if let Some(eval) = eval {
        let shared: HashSet<RowId> =
            findings.faults[&Fault::PromptLeakage].rows.iter().map(|found| found.row).collect();
        let others = examples.iter().filter(|example| !shared.contains(&example.row));
        findings
            .add(Fault::NearPromptLeakage, near_leakage::similar_prompts(&others.collect::<Vec<_>>(), eval));
    }
    let first: Vec<&PreferenceExample> = first.into_iter().map(|idx| &examples[idx]).collect();
    findings.add(Fault::NearDuplicates, near::near_duplicates(&first));
    findings.agreement = opinions::agreement(examples, &rows);
    let (secrets, addresses) = secrets::find(examples);
    findings.add(Fault::Secrets, secrets);
    findings.add(Fault::EmailAddresses, addresses);
    let (languages, mixed) = language::mix(examples);
    findings.languages = languages;
    findings.add(Fault::SidesInDifferentLanguages, mixed);
    findings.length = length::bias_of_examples(examples, &rows);
    findings
}

/// The cheap part of it, of rows that are tokens already: copies, contradictions, prompts shared with the sets `eval`, and
/// the length bias. Each set comes with the number that its first file goes by.
pub fn check_trees(trees: &[TokenTree], eval: &[(u32, &[TokenTree])]) -> Findings {
    let rows: Vec<Compared> = trees.par_iter().map(Compared::of_tree).collect();
    let eval: Vec<Compared> =
        eval.iter().flat_map(|(first_file, trees)| of_set(*first_file, trees)).collect();
    let (mut findings, _) = compare(&rows, Some(&eval).filter(|eval| !eval.is_empty()).map(Vec::as_slice));
    findings.length = token_length_bias(trees);
    findings
}

fn of_set(first_file: u32, trees: &[TokenTree]) -> Vec<Compared> {
    let mut rows: Vec<Compared> = trees.par_iter().map(Compared::of_tree).collect();
    rows.iter_mut().for_each(|row| row.row.file += first_file);
    rows
}

/// What shows in the keys alone, and the indices of rows that are no copies.
fn compare(rows: &[Compared], eval: Option<&[Compared]>) -> (Findings, Vec<usize>) {
    let mut findings = Findings::default();
    let (first, copies) = duplicates::exact(rows);
    findings.add(Fault::ExactDuplicates, copies);
    findings.add(Fault::Contradictions, contradictions::contradictions(rows));
    if let Some(eval) = eval {
        findings.add(Fault::PromptLeakage, leakage::shared_prompts(rows, eval));
    }
    (findings, first)
}

/// The best and the worst completion of a row, by index, where it says which is which.
fn verdict(relation: &Relation, n_completions: usize) -> Option<(usize, usize)> {
    let last = n_completions.checked_sub(1)?;
    relation.preferences().contains(&(0, last)).then_some((0, last))
}
