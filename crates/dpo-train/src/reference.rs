//! What the reference says of every row: computed once, kept in the cache, complete before training begins.

use std::{num::NonZeroUsize, ops::ControlFlow, path::Path};

use burn::tensor::Tensor;
use dpo_data::{RowId, TokenTree, micro_batches};
use dpo_model::Decoder;

use crate::{
    CacheScope, DeviceBatch, ReferenceCache, RowKey, TrainError, loss::scored_tokens, micro::placed,
};

/// Token log-probs of rows under one model, in the rows' order.
#[derive(Debug, Clone, Default)]
pub struct ReferenceLogps {
    rows: Vec<Vec<f32>>,
    /// Of each row's prompt before another completion; empty where nobody asks.
    mismatched: Vec<Option<(TokenTree, Vec<f32>)>>,
}

/// Where the log-probs came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Rows found in the cache.
    pub hits: usize,
    /// Rows computed.
    pub computed: usize,
    /// Damaged entries that were met and computed again.
    pub damaged: usize,
}

impl ReferenceLogps {
    /// Log-probs of every scored token of a row, completion after completion.
    pub fn row(&self, row_idx: usize) -> &[f32] {
        &self.rows[row_idx]
    }

    /// A row's prompt before another completion, and the log-probs of that.
    pub fn mismatched(&self, row_idx: usize) -> Option<(&TokenTree, &[f32])> {
        let (tree, logps) = self.mismatched.get(row_idx)?.as_ref()?;
        Some((tree, logps.as_slice()))
    }

    /// Adds what the reference says of [`mismatched`](crate::mismatched) rows, one for each row here.
    #[must_use]
    pub fn with_mismatched(self, trees: Vec<TokenTree>, logps: Self) -> Self {
        assert_eq!(trees.len(), self.rows.len(), "a mismatched completion for each row");
        let mismatched = trees.into_iter().zip(logps.rows).map(Some).collect();
        Self { mismatched, ..self }
    }

    /// Looks all rows up in the cache below `root`, and computes those that are not there with the model that
    /// `model` gives, which is asked for only then. `progress` is told how many rows of how many are done, and may
    /// break off: what is done by then is kept.
    pub fn cached(
        root: &Path,
        scope: &CacheScope,
        trees: &[TokenTree],
        max_tokens: NonZeroUsize,
        mut model: impl FnMut() -> Result<Decoder, TrainError>,
        mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(Self, CacheUse), TrainError> {
        let key = |tree: &TokenTree| scope.row_key(&tree.prompt, tree.completions.iter().map(Vec::as_slice));
        let keys: Vec<RowKey> = trees.iter().map(key).collect();
        let (mut cache, lookup) = ReferenceCache::open(root, scope, &keys)?;
        if !lookup.misses.is_empty() {
            let model = model()?;
            let missing: Vec<&TokenTree> = lookup.misses.iter().map(|row_idx| &trees[*row_idx]).collect();
            let mut n_done = 0;
            for indices in micro_batches(&missing, max_tokens) {
                let part: Vec<&TokenTree> = indices.iter().map(|idx| missing[*idx]).collect();
                let computed = token_logps(&model, &part);
                refuse_not_finite(&part, &computed)?;
                for (idx, completions) in indices.iter().zip(&computed) {
                    cache.insert(keys[lookup.misses[*idx]], completions)?;
                }
                cache.sync()?;
                n_done += indices.len();
                if progress(n_done, missing.len()).is_break() {
                    return Err(TrainError::Stopped);
                }
            }
        }
        let absent = || TrainError::CacheIncomplete { root: root.to_owned() };
        let row = |key| Ok(cache.get(key)?.ok_or_else(absent)?.concat());
        let rows = keys.iter().map(row).collect::<Result<Vec<_>, TrainError>>()?;
        let used = CacheUse { hits: lookup.hits, computed: lookup.misses.len(), damaged: lookup.damaged };
        Ok((Self { rows, mismatched: Vec::new() }, used))
    }

    /// Puts rows back in their places among `n_rows`: row `i` of `self` is row `places[i]`. The others are empty.
    #[must_use]
    pub fn placed(self, n_rows: usize, places: &[usize]) -> Self {
        let mut rows = vec![Vec::new(); n_rows];
        for (logps, place) in self.rows.into_iter().zip(places) {
            rows[*place] = logps;
        }
        let mut mismatched = if self.mismatched.is_empty() { Vec::new() } else { vec![None; n_rows] };
        for (other, place) in self.mismatched.into_iter().zip(places) {
            mismatched[*place] = other;
        }
        Self { rows, mismatched }
    }

    /// Log-probs of rows, of each completion after completion.
    pub(crate) fn of_rows(logps: Vec<Vec<Vec<f32>>>) -> Self {
        let rows = logps.into_iter().map(|completions| completions.concat()).collect();
        Self { rows, mismatched: Vec::new() }
    }

    /// Computes all rows without a cache.
    pub fn computed(trees: &[TokenTree], max_tokens: NonZeroUsize, model: &Decoder) -> Self {
        Self::of_rows(token_logps_in_parts(model, &trees.iter().collect::<Vec<_>>(), max_tokens))
    }
}

/// As [`token_logps`] of any number of trees, about `max_tokens` tokens at a time.
pub fn token_logps_in_parts(
    model: &Decoder,
    trees: &[&TokenTree],
    max_tokens: NonZeroUsize,
) -> Vec<Vec<Vec<f32>>> {
    token_logps_unless(model, trees, max_tokens, &|| false).unwrap_or_default()
}

/// As [`token_logps_in_parts`]; `None` when `stop` said so between parts.
pub(crate) fn token_logps_unless(
    model: &Decoder,
    trees: &[&TokenTree],
    max_tokens: NonZeroUsize,
    stop: &dyn Fn() -> bool,
) -> Option<Vec<Vec<Vec<f32>>>> {
    let micro = micro_batches(trees, max_tokens);
    let mut logps = Vec::with_capacity(trees.len());
    for indices in &micro {
        if stop() {
            return None;
        }
        logps.extend(token_logps(model, &indices.iter().map(|idx| trees[*idx]).collect::<Vec<_>>()));
    }
    Some(placed(logps, &micro.concat()))
}

/// Log-probs of every scored token of each tree's completions; `model` is on a plain device.
pub fn token_logps(model: &Decoder, trees: &[&TokenTree]) -> Vec<Vec<Vec<f32>>> {
    let batch = DeviceBatch::of_trees(trees, model);
    let values = host_f32(batch.token_logps(model));
    let mut rest = values.as_slice();
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at(n);
        rest = tail;
        head.to_vec()
    };
    trees.iter().map(|tree| scored_tokens(tree).into_iter().map(&mut take).collect()).collect()
}

/// NaN in a model is met here first; all rows of the batch that have it are named.
fn refuse_not_finite(trees: &[&TokenTree], logps: &[Vec<Vec<f32>>]) -> Result<(), TrainError> {
    let is_bad = |row: &&Vec<Vec<f32>>| row.iter().flatten().any(|logp| !logp.is_finite());
    let bad = trees.iter().zip(logps).filter(|(_, row)| is_bad(row));
    let rows: Vec<RowId> = bad.map(|(tree, _)| tree.row).collect();
    if rows.is_empty() { Ok(()) } else { Err(TrainError::ReferenceRowsNotFinite { rows }) }
}

fn host_f32(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
