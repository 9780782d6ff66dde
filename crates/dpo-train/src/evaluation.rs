//! A model measured on held-out rows.

use std::num::NonZeroUsize;

use dpo_core::{MetricMeans, Objective, PairMetrics, label_means};
use dpo_data::TokenTree;
use dpo_model::Decoder;

use crate::{BatchScores, EvalMetrics, INFERENCE_TOKENS, LossSpec, ReferenceLogps, Row};

/// A named set of held-out rows with their reference log-probs.
#[derive(Debug, Clone)]
pub struct EvalSet {
    /// Its name; empty for the only one.
    pub name: String,
    /// The rows.
    pub trees: Vec<TokenTree>,
    /// What the reference says of them; `None` where the objective has no reference.
    pub reference: Option<ReferenceLogps>,
}

impl EvalSet {
    /// Rows with their reference log-probs.
    pub fn rows(&self) -> Vec<Row<'_>> {
        rows_of(&self.trees, self.reference.as_ref())
    }
}

/// Rows with their reference log-probs.
pub fn rows_of<'a>(trees: &'a [TokenTree], reference: Option<&'a ReferenceLogps>) -> Vec<Row<'a>> {
    (0..trees.len()).map(|row_idx| row_of(trees, reference, row_idx)).collect()
}

/// One of these rows.
pub(crate) fn row_of<'a>(
    trees: &'a [TokenTree],
    reference: Option<&'a ReferenceLogps>,
    row_idx: usize,
) -> Row<'a> {
    Row {
        tree: &trees[row_idx],
        reference: reference.map_or(&[][..], |logps| logps.row(row_idx)),
        mismatched: reference.and_then(|logps| logps.mismatched(row_idx)),
        share: None,
    }
}

/// What an evaluation found: the means, and every pair's numbers.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The means that are logged.
    pub metrics: EvalMetrics,
    /// Each row's numbers, in the rows' order.
    pub scores: BatchScores,
}

/// Measures `model`, which is on a plain device, after `step` steps.
pub fn evaluate(
    model: &Decoder,
    set: &EvalSet,
    loss: &LossSpec,
    step: u64,
    max_tokens: NonZeroUsize,
) -> Evaluation {
    evaluation(set, loss, step, loss.scores(model, &set.rows(), max_tokens))
}

/// As [`evaluate`], of the set's `rows` as they are held against a reference; `None` when `stop` said so between
/// micro-batches.
pub(crate) fn evaluate_unless(
    model: &Decoder,
    set: &EvalSet,
    rows: &[Row<'_>],
    loss: &LossSpec,
    step: u64,
    stop: &dyn Fn() -> bool,
) -> Option<Evaluation> {
    let scores = loss.scores_unless(model, rows, INFERENCE_TOKENS, stop)?;
    Some(evaluation(set, loss, step, scores))
}

fn evaluation(set: &EvalSet, loss: &LossSpec, step: u64, scores: BatchScores) -> Evaluation {
    let metrics = EvalMetrics {
        step,
        set: set.name.clone(),
        loss: scores.loss,
        pairs: means(&scores, &loss.objective),
        divergences: scores.mean_divergences(),
    };
    Evaluation { metrics, scores }
}

/// Rewards and log-probs of a batch's pairs, or of its completions with a label.
pub(crate) fn means(scores: &BatchScores, objective: &Objective) -> Option<MetricMeans> {
    let mut metrics = PairMetrics::default();
    if let Some(loss) = objective.reference_free() {
        scores.policy_pairs.iter().for_each(|score| metrics.push_policy(score, &loss));
        return metrics.means();
    }
    let beta = objective.beta()?;
    if let Objective::Unpaired(_) = objective {
        return label_means(&scores.labelled, beta);
    }
    scores.pairs.iter().for_each(|score| metrics.push(score, beta));
    metrics.means()
}
