//! What rows came to.

use burn::tensor::Tensor;
use dpo_core::{CompletionScore, Label, Objective, PairScore};
use dpo_data::RowId;

use crate::{
    LossSpec, Row,
    loss::{BatchWide, label},
    micro::placed,
    optimizer::host_values,
};

/// What a batch of rows came to.
#[derive(Debug, Clone, Default)]
pub struct BatchScores {
    /// Loss of the batch: the weighted mean over its rows.
    pub loss: f64,
    /// Loss of each row, not reduced.
    pub row_losses: Vec<f64>,
    /// Summed log-probs of each row's completions; empty without a reference.
    pub completions: Vec<Vec<CompletionScore>>,
    /// Summed log-probs of each pair of which one completion is preferred; a ranked list has all its pairs.
    pub pairs: Vec<PairScore>,
    /// Labels of single completions, with their scores.
    pub labelled: Vec<(Label, CompletionScore)>,
    /// How far the policy has drifted from its reference, `z₀`; where the objective reads it.
    pub drift: Option<f64>,
    /// Tokens that went through the model.
    pub n_tokens: usize,
}

impl BatchScores {
    /// Rows whose loss is not a number.
    pub(crate) fn bad_rows(&self, rows: &[Row<'_>]) -> Vec<RowId> {
        let bad = self.row_losses.iter().zip(rows).filter(|(loss, _)| !loss.is_finite());
        bad.map(|(_, row)| row.tree.row).collect()
    }

    fn add_row(&mut self, objective: &Objective, row: &Row<'_>, completions: &[CompletionScore]) {
        let preferences = match objective {
            Objective::Pairwise(_) | Objective::GroupRobust(_) => vec![(0, 1)],
            Objective::Unpaired(_) => {
                self.labelled.extend(completions.iter().map(|score| (label(row.tree), *score)));
                Vec::new()
            }
            _ => row.tree.relation.preferences(),
        };
        let pair = |(first, second): (usize, usize)| PairScore {
            policy_chosen: completions[first].policy,
            policy_rejected: completions[second].policy,
            reference_chosen: completions[first].reference,
            reference_rejected: completions[second].reference,
        };
        self.pairs.extend(preferences.into_iter().map(pair));
    }
}

/// What rows came to, in the order in which they were computed.
#[derive(Debug, Default)]
pub(crate) struct RowScores {
    losses: Vec<f64>,
    completions: Vec<Vec<CompletionScore>>,
    n_tokens: usize,
}

impl RowScores {
    /// Adds the next micro-batch.
    pub(crate) fn extend(&mut self, part: Self) {
        self.losses.extend(part.losses);
        self.completions.extend(part.completions);
        self.n_tokens += part.n_tokens;
    }

    /// As one batch: row `i` here is row `places[i]` there. The loss is the same to the last bit however rows were cut.
    pub(crate) fn of_batch(
        self,
        spec: &LossSpec,
        rows: &[Row<'_>],
        places: &[usize],
        wide: BatchWide,
    ) -> BatchScores {
        let row_losses = placed(self.losses, places);
        let sum: f64 = rows.iter().zip(&row_losses).map(|(row, loss)| row.factor() * loss).sum();
        let scale = wide.scale;
        let loss = if scale.denominator() > 0.0 { sum / scale.denominator() } else { sum * 0.0 };
        let completions = placed(self.completions, places);
        let mut scores = BatchScores { loss, row_losses, n_tokens: self.n_tokens, ..BatchScores::default() };
        for (row, completions) in rows.iter().zip(&completions) {
            scores.add_row(&spec.objective, row, completions);
        }
        scores.drift = matches!(spec.objective, Objective::Unpaired(_)).then_some(wide.drift);
        scores.completions = completions;
        scores
    }
}

/// A micro-batch after its forward pass, still on the device.
pub(crate) struct RowLosses {
    /// Its part of the batch's loss.
    pub(crate) loss: Tensor<1>,
    /// Loss of each row.
    pub(crate) losses: Tensor<1>,
    /// Summed log-probs of policy and reference, completion after completion.
    pub(crate) sums: Option<[Tensor<1>; 2]>,
    /// Completions of each row.
    pub(crate) n_completions: Vec<usize>,
    pub(crate) n_tokens: usize,
}

impl RowLosses {
    /// Everything of interest in one transfer, and the loss to go backward from.
    pub(crate) fn read(self) -> (RowScores, Tensor<1>) {
        let n_rows = self.losses.dims()[0];
        let mut parts = vec![self.losses.inner()];
        parts.extend(self.sums.into_iter().flatten());
        let values = host_values(Tensor::cat(parts, 0));
        let (losses, sums) = values.split_at(n_rows);
        let (policy, reference) = sums.split_at(sums.len() / 2);
        let score =
            |(policy, reference): (&f64, &f64)| CompletionScore { policy: *policy, reference: *reference };
        let mut all = policy.iter().zip(reference).map(score);
        let has_scores = !policy.is_empty();
        let of_row = |n: &usize| all.by_ref().take(*n).collect();
        let completions =
            if has_scores { self.n_completions.iter().map(of_row).collect() } else { Vec::new() };
        (RowScores { losses: losses.to_vec(), completions, n_tokens: self.n_tokens }, self.loss)
    }
}
