//! What shows once rows are tokens: starts and ends of texts, and what a limit on their length would cut.

use rayon::prelude::*;
use serde::Serialize;

use super::keys::ids_key;
use super::length::good_and_bad;
use super::{Fault, Findings, FoundRow, LengthBias, Unit, verdict};
use crate::{Cause, DataError, EncodeConfig, Overlong, Relation, TextEncoder, TokenTree};

/// Tokens at the end of a completion among which the one that ends an answer is looked for: some templates write a line
/// break after it.
const LAST_TOKENS: usize = 3;

/// Looks at starts and ends of texts. `ends` are the tokens that end an answer; `trees` are encoded without a limit.
pub fn token_faults(trees: &[TokenTree], encoder: &TextEncoder, ends: &[u32], findings: &mut Findings) {
    let bos = encoder.bos_id();
    let starts_twice = |tree: &TokenTree| bos.is_some_and(|bos| tree.prompt.starts_with(&[bos, bos]));
    let lacks_start = |tree: &TokenTree| encoder.adds_bos() && tree.prompt.first().copied() != bos;
    let n_ends = |completion: &Vec<u32>| {
        let last = &completion[completion.len().saturating_sub(LAST_TOKENS)..];
        last.iter().filter(|id| ends.contains(id)).count()
    };
    let lacks_end = |tree: &TokenTree| tree.completions.iter().any(|completion| n_ends(completion) == 0);
    let ends_twice = |tree: &TokenTree| tree.completions.iter().any(|completion| n_ends(completion) > 1);
    let rows = |has: &(dyn Fn(&TokenTree) -> bool + Sync)| -> Vec<FoundRow> {
        trees.par_iter().filter(|tree| has(tree)).map(|tree| FoundRow::new(tree.row)).collect()
    };
    findings.add(Fault::DoubleBos, rows(&starts_twice));
    findings.add(Fault::MissingBos, rows(&lacks_start));
    findings.add(Fault::MissingEos, rows(&lacks_end));
    findings.add(Fault::DoubleEos, rows(&ends_twice));
}

/// The length bias in tokens, of the same pairs as that in characters; `None` without pairs.
pub fn token_length_bias(trees: &[TokenTree]) -> Option<LengthBias> {
    let lengths = trees.iter().filter_map(|tree| {
        let (chosen, rejected) = verdict(&tree.relation, tree.completions.len())?;
        Some([chosen, rejected].map(|side| tree.completions[side].len()))
    });
    let labelled = trees.iter().filter_map(|tree| match &tree.relation {
        Relation::Label(label) => {
            Some((Some(ids_key(&tree.prompt)), *label, tree.completions.first()?.len()))
        }
        _ => None,
    });
    let lengths: Vec<[usize; 2]> = lengths.chain(good_and_bad(labelled)).collect();
    LengthBias::of(&lengths, Unit::Tokens)
}

/// What a limit on the length of texts would cut, where overlong rows are truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Truncation {
    /// The limit, in tokens of a prompt and a completion.
    pub max_length: usize,
    /// Rows that have more.
    pub rows: u64,
    /// Those whose prompt would lose its start.
    pub prompts_cut: u64,
    /// Those of whose completions one would lose its end.
    pub completions_cut: u64,
    /// Tokens of completions that would be lost.
    pub completion_tokens_cut: u64,
}

/// What each of `limits` would cut of `trees`, which are encoded without a limit.
pub fn truncation(
    trees: &[TokenTree],
    encoder: &TextEncoder,
    limits: &[usize],
) -> Result<Vec<Truncation>, DataError> {
    limits.iter().map(|limit| at_limit(trees, encoder, *limit)).collect()
}

fn at_limit(trees: &[TokenTree], encoder: &TextEncoder, max_length: usize) -> Result<Truncation, DataError> {
    let config = EncodeConfig { max_length, overlong: Overlong::Truncate, ..EncodeConfig::default() };
    let options = config.init()?;
    let of_completions = |tree: &TokenTree| tree.completions.iter().map(Vec::len).sum::<usize>();
    let cut = |tree: &TokenTree| {
        let mut short = tree.clone();
        let causes = encoder.truncate(&mut short, &options);
        let has = |cause| u64::from(causes.contains(&cause));
        let lost = (of_completions(tree) - of_completions(&short)) as u64;
        [1, has(Cause::PromptCut), has(Cause::CompletionCut), lost]
    };
    let add = |a: [u64; 4], b: [u64; 4]| std::array::from_fn(|at| a[at] + b[at]);
    let overlong = trees.par_iter().filter(|tree| tree.max_length() > max_length);
    let [rows, prompts_cut, completions_cut, completion_tokens_cut] =
        overlong.map(cut).reduce(|| [0; 4], add);
    Ok(Truncation { max_length, rows, prompts_cut, completions_cut, completion_tokens_cut })
}
