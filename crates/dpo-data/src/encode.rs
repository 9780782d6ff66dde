//! From a [`PreferenceExample`] to a [`TokenTree`]: rendering, tokenising, the boundary, the limit.
//!
//! The prompt alone and the prompt with each completion are tokenised as one text each. The tokens that all of them
//! start with are the prompt of the tree; what follows belongs to the completions, the rest of a prompt token that
//! was merged across the boundary too. This is what TRL does.

mod fit;
mod texts;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Place, Spot};
use crate::tokenizer::TextEncoder;
use crate::{Cause, DataError, DataReport, PreferenceExample, Text, TokenTree};

use fit::Fit;
use texts::{RowProblem, RowTokens};

/// Rows that are encoded before errors are looked for.
const CHUNK: usize = 4096;

/// What happens to a row of more than `max_length` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlong {
    /// An error names the first one.
    Refuse,
    /// The row is left out.
    Drop,
    /// The prompt loses its start and completions their end, and no completion becomes empty.
    ///
    /// Completions may fill what the prompt leaves of `max_length`, and half of it, rounded up, in any case: longer ones
    /// are cut at the end, with their end-of-sequence token. Then the prompt keeps its last tokens, as many as fit
    /// before the longest completion, and if the tokenizer puts a token at the start of every text, that one stays.
    #[default]
    Truncate,
    /// TRL's `keep_start`: a row whose prompt alone has `max_length` tokens is left out, else each completion is cut at
    /// the end.
    KeepStart,
}

/// What special tokens mean that are written out in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecialText {
    /// The characters they are made of. A row cannot end a turn or start one of the system's.
    #[default]
    Literal,
    /// Themselves, as in TRL: for texts that somebody has already put through a chat template.
    Parse,
}

/// `[encode]`: how rows become tokens. A missing field takes its default, an unknown one is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeConfig {
    /// Tokens that a prompt and one completion may have together; 0 for no limit.
    pub max_length: usize,
    /// What happens to a row that has more.
    pub overlong: Overlong,
    /// What special tokens mean that are written out in a row.
    pub special_text: SpecialText,
}

impl Default for EncodeConfig {
    fn default() -> Self {
        Self { max_length: 1024, overlong: Overlong::default(), special_text: SpecialText::default() }
    }
}

impl EncodeConfig {
    /// Checks the values.
    pub fn init(self) -> Result<EncodeOptions, DataError> {
        let Self { max_length, overlong, special_text } = self;
        if max_length == 1 {
            let problem =
                "max_length is 1, and one token has no prompt to follow; set 2 or more, or 0 for no limit";
            return Err(DataError::Config { problem: problem.to_owned() });
        }
        Ok(EncodeOptions { max_length: (max_length > 0).then_some(max_length), overlong, special_text })
    }
}

/// An [`EncodeConfig`] that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    max_length: Option<usize>,
    overlong: Overlong,
    special_text: SpecialText,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedRow {
    /// Its tokens; `None` if it was dropped.
    pub tree: Option<TokenTree>,
    /// What is to be reported of it; the last one is why it was dropped, if it was.
    pub causes: Vec<Cause>,
}

/// Encodes all examples on all cores. Trees come in the order of the examples, and the report is the same for any
/// number of threads.
///
/// `report` is the one that reading the examples gave: it knows the files' names, and rows are counted there.
pub fn encode_all(
    encoder: &TextEncoder,
    examples: &[PreferenceExample],
    options: &EncodeOptions,
    report: &mut DataReport,
) -> Result<Vec<TokenTree>, DataError> {
    let mut trees = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(CHUNK) {
        let encode = |example: &PreferenceExample| {
            let file = report.files.get(example.row.file as usize);
            encoder.encode(example, file.map_or(Path::new("data"), |file| &file.path), options)
        };
        for (row, example) in until_first_error(chunk, encode).into_iter().zip(chunk) {
            let row = row?;
            row.causes.into_iter().for_each(|cause| report.count(cause, example.row));
            trees.extend(row.tree);
        }
    }
    Ok(trees)
}

/// Maps all items on all cores, in order; those after the first error may be missing.
///
/// A chat template that refuses one row mostly refuses all, each after much work.
fn until_first_error<T: Sync, U: Send, E: Send>(
    items: &[T],
    map: impl Fn(&T) -> Result<U, E> + Sync,
) -> Vec<Result<U, E>> {
    let first_error = AtomicUsize::new(usize::MAX);
    let mapped: Vec<Option<Result<U, E>>> = items
        .par_iter()
        .enumerate()
        .map(|(idx, item)| {
            if idx > first_error.load(Ordering::Relaxed) {
                return None;
            }
            let result = map(item);
            if result.is_err() {
                first_error.fetch_min(idx, Ordering::Relaxed);
            }
            Some(result)
        })
        .collect();
    // All before the first error are there: only later ones were left out.
    mapped.into_iter().map_while(|result| result).collect()
}

impl TextEncoder {
    /// Encodes one example; `file` is where it came from, for messages.
    pub fn encode(
        &self,
        example: &PreferenceExample,
        file: &Path,
        options: &EncodeOptions,
    ) -> Result<EncodedRow, DataError> {
        let place = || Place { path: file.to_path_buf(), spot: Spot::Row(example.row.row) };
        let tokens =
            self.row_tokens(example, options.special_text).map_err(|problem| self.error(problem, place()))?;
        let (mut tree, mut causes) = split(example, tokens);
        if lacks_tokens(&tree) {
            causes.push(Cause::EmptyCompletion);
            return Ok(EncodedRow { tree: None, causes });
        }
        let kept_start = self.kept_start(&tree);
        match fit::fit(&mut tree, options, kept_start) {
            Fit::Fits => {}
            Fit::Cut(cuts) => causes.extend(cuts),
            Fit::Dropped(cause) => {
                causes.push(cause);
                return Ok(EncodedRow { tree: None, causes });
            }
            Fit::Refused { max_length } => {
                let (prompt, length) = (tree.prompt.len(), tree.max_length());
                return Err(DataError::TooLong { place: place(), prompt, length, max_length });
            }
        }
        causes.extend(notes(&tree));
        Ok(EncodedRow { tree: Some(tree), causes })
    }

    /// Ids of a prompt alone, as a model is given it to answer: rendered by the chat template up to where the answer
    /// starts, or plain.
    pub fn encode_prompt(
        &self,
        prompt: &Text,
        template_kwargs: &Map<String, Value>,
        special_text: SpecialText,
    ) -> Result<Vec<u32>, DataError> {
        self.prompt_tokens(prompt, template_kwargs, special_text)
            .map_err(|problem| self.error(problem, Place::file(self.path())))
    }

    fn error(&self, problem: RowProblem, place: Place) -> DataError {
        let tokenizer = self.path().to_path_buf();
        match problem {
            RowProblem::Template(problem) => {
                let template =
                    self.chat_template().map_or(tokenizer, |template| template.path().to_path_buf());
                DataError::Template { place, template, problem }
            }
            RowProblem::Text(problem) => DataError::Tokenise { place, problem },
            RowProblem::NoTemplate => DataError::NoTemplate { place, tokenizer },
            RowProblem::NoEos => DataError::NoEos { tokenizer },
        }
    }

    /// Cuts a tree that was encoded without a limit, and says what it lost; nothing happens to one that fits, or where
    /// `options` does not truncate.
    pub(crate) fn truncate(&self, tree: &mut TokenTree, options: &EncodeOptions) -> Vec<Cause> {
        match fit::fit(tree, options, self.kept_start(tree)) {
            Fit::Cut(causes) => causes,
            Fit::Fits | Fit::Dropped(_) | Fit::Refused { .. } => Vec::new(),
        }
    }

    /// Tokens at the start of a prompt that stay when it is cut there.
    fn kept_start(&self, tree: &TokenTree) -> usize {
        let starts_with_bos = self.bos_id().is_some_and(|bos| tree.prompt.first() == Some(&bos));
        usize::from(self.adds_bos() && starts_with_bos)
    }
}

/// Whether there is a completion with nothing to learn from: none of its tokens is scored.
fn lacks_tokens(tree: &TokenTree) -> bool {
    let least = if tree.prompt.is_empty() { 2 } else { 1 };
    tree.completions.is_empty() || tree.completions.iter().any(|completion| completion.len() < least)
}

/// Cuts the texts of a row where they stop being the same.
fn split(example: &PreferenceExample, tokens: RowTokens) -> (TokenTree, Vec<Cause>) {
    let RowTokens { prompt, texts, special_in_text } = tokens;
    let n_shared = texts.iter().map(|text| common_prefix(&prompt, text)).min().unwrap_or(prompt.len());
    let mut causes = Vec::new();
    if special_in_text {
        causes.push(Cause::SpecialTokenInText);
    }
    if n_shared < prompt.len() {
        causes.push(Cause::BoundaryStraddle);
    }
    let tree = TokenTree {
        row: example.row,
        completions: texts.into_iter().map(|text| text[n_shared..].to_vec()).collect(),
        prompt: prompt[..n_shared].to_vec(),
        relation: example.relation.clone(),
        weight: example.weight,
        group: example.group.clone(),
    };
    (tree, causes)
}

/// How many elements two slices have in common at their start.
pub(crate) fn common_prefix<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// What is odd about a tree that is trained on.
fn notes(tree: &TokenTree) -> Vec<Cause> {
    let mut causes = Vec::new();
    if tree.prompt.is_empty() {
        causes.push(Cause::UnscoredFirstToken);
    }
    if tree.completions.len() > 1 && tree.completions.windows(2).all(|pair| pair[0] == pair[1]) {
        causes.push(Cause::SameTokens);
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the other threads do, all items before the first error are there, and that error.
    #[test]
    fn the_first_error_in_order_is_found() {
        let items: Vec<usize> = (0..10_000).collect();
        for first in [0, 1, 4_999, 9_999] {
            let mapped = until_first_error(&items, |&item| if item >= first { Err(item) } else { Ok(item) });
            let found: Result<Vec<usize>, usize> = mapped.into_iter().collect();
            assert_eq!(found, Err(first));
        }
        let all: Result<Vec<usize>, usize> =
            until_first_error(&items, |&item| Ok(item)).into_iter().collect();
        assert_eq!(all, Ok(items));
    }
}
