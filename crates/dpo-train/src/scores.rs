//! What rows came to.

use burn::tensor::Tensor;
use dpo_core::{BatchScale, PairScore, PolicyScore};
use dpo_data::RowId;

use crate::{Row, micro::placed, optimizer::host_values};

/// What a batch of rows came to.
#[derive(Debug, Clone, Default)]
pub struct BatchScores {
    /// Loss of the batch: the weighted mean over its rows.
    pub loss: f64,
    /// Loss of each row, not reduced.
    pub row_losses: Vec<f64>,
    /// Summed log-probs of each pair; empty where there are no pairs, or no reference.
    pub pairs: Vec<PairScore>,
    /// The same of pairs that have no reference.
    pub policy_pairs: Vec<PolicyScore>,
    /// Tokens that went through the model.
    pub n_tokens: usize,
}

impl BatchScores {
    /// Rows whose loss is not a number.
    pub(crate) fn bad_rows(&self, rows: &[Row<'_>]) -> Vec<RowId> {
        let bad = self.row_losses.iter().zip(rows).filter(|(loss, _)| !loss.is_finite());
        bad.map(|(_, row)| row.tree.row).collect()
    }
}

/// What rows came to, in the order in which they were computed.
#[derive(Debug, Default)]
pub(crate) struct RowScores {
    losses: Vec<f64>,
    pairs: Vec<PairScore>,
    policy_pairs: Vec<PolicyScore>,
    n_tokens: usize,
}

impl RowScores {
    /// Adds the next micro-batch.
    pub(crate) fn extend(&mut self, part: Self) {
        self.losses.extend(part.losses);
        self.pairs.extend(part.pairs);
        self.policy_pairs.extend(part.policy_pairs);
        self.n_tokens += part.n_tokens;
    }

    /// As one batch: row `i` here is row `places[i]` there. The loss is the same to the last bit however rows were cut.
    pub(crate) fn of_batch(self, rows: &[Row<'_>], places: &[usize], scale: BatchScale) -> BatchScores {
        let row_losses = placed(self.losses, places);
        let sum: f64 = rows.iter().zip(&row_losses).map(|(row, loss)| row.tree.weight * loss).sum();
        let loss = if scale.denominator() > 0.0 { sum / scale.denominator() } else { sum * 0.0 };
        BatchScores {
            loss,
            row_losses,
            pairs: placed(self.pairs, places),
            policy_pairs: placed(self.policy_pairs, places),
            n_tokens: self.n_tokens,
        }
    }
}

/// A micro-batch after its forward pass, still on the device.
pub(crate) struct RowLosses {
    /// Its part of the batch's loss.
    pub(crate) loss: Tensor<1>,
    /// Loss of each row.
    pub(crate) losses: Tensor<1>,
    /// Summed log-probs of policy and reference, chosen and rejected in turn.
    pub(crate) sums: Option<(Tensor<1>, Option<Tensor<1>>)>,
    /// Tokens of each pair's completions; needed where there is no reference.
    pub(crate) lengths: Vec<[usize; 2]>,
    pub(crate) n_tokens: usize,
}

impl RowLosses {
    /// Everything of interest in one transfer, and the loss to go backward from.
    pub(crate) fn read(self) -> (RowScores, Tensor<1>) {
        let n_rows = self.losses.dims()[0];
        let mut parts = vec![self.losses.inner()];
        let mut has_reference = false;
        if let Some((policy, reference)) = self.sums {
            has_reference = reference.is_some();
            parts.push(policy);
            parts.extend(reference);
        }
        let values = host_values(Tensor::cat(parts, 0));
        let (losses, sums) = values.split_at(n_rows);
        let mut scores =
            RowScores { losses: losses.to_vec(), n_tokens: self.n_tokens, ..RowScores::default() };
        if has_reference {
            let (policy, reference) = sums.split_at(sums.len() / 2);
            let pair = |(policy, reference): (&[f64], &[f64])| PairScore {
                policy_chosen: policy[0],
                policy_rejected: policy[1],
                reference_chosen: reference[0],
                reference_rejected: reference[1],
            };
            scores.pairs = policy.chunks_exact(2).zip(reference.chunks_exact(2)).map(pair).collect();
        } else {
            let pair = |(sums, tokens): (&[f64], &[usize; 2])| PolicyScore {
                chosen: sums[0],
                rejected: sums[1],
                chosen_tokens: tokens[0],
                rejected_tokens: tokens[1],
            };
            scores.policy_pairs = sums.chunks_exact(2).zip(&self.lengths).map(pair).collect();
        }
        (scores, self.loss)
    }
}
