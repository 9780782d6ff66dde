//! What rows came to.

use burn::tensor::Tensor;
use dpo_core::PairScore;
use dpo_data::RowId;

use crate::{Row, micro::placed, optimizer::host_values};

/// What a batch of rows came to.
#[derive(Debug, Clone, Default)]
pub struct BatchScores {
    /// Loss of the batch: the weighted mean over its rows.
    pub loss: f64,
    /// Loss of each row, not reduced.
    pub row_losses: Vec<f64>,
    /// Summed log-probs of each pair; empty where there are no pairs.
    pub pairs: Vec<PairScore>,
    /// Tokens that went through the model.
    pub n_tokens: usize,
}

impl BatchScores {
    /// Adds the next micro-batch.
    pub(crate) fn extend(&mut self, part: Self) {
        self.loss += part.loss;
        self.row_losses.extend(part.row_losses);
        self.pairs.extend(part.pairs);
        self.n_tokens += part.n_tokens;
    }

    /// In the order of the rows, from that in which they were computed.
    pub(crate) fn placed(self, places: &[usize]) -> Self {
        let (row_losses, pairs) = (placed(self.row_losses, places), placed(self.pairs, places));
        Self { row_losses, pairs, ..self }
    }

    /// Rows whose loss is not a number.
    pub(crate) fn bad_rows(&self, rows: &[Row<'_>]) -> Vec<RowId> {
        let bad = self.row_losses.iter().zip(rows).filter(|(loss, _)| !loss.is_finite());
        bad.map(|(_, row)| row.tree.row).collect()
    }
}

/// A micro-batch after its forward pass, still on the device.
pub(crate) struct RowLosses {
    /// Its part of the batch's loss.
    pub(crate) loss: Tensor<1>,
    /// Loss of each row.
    pub(crate) losses: Tensor<1>,
    /// Summed log-probs of policy and reference, chosen and rejected in turn.
    pub(crate) sums: Option<[Tensor<1>; 2]>,
    pub(crate) n_tokens: usize,
}

impl RowLosses {
    /// Everything of interest in one transfer, and the loss to go backward from.
    pub(crate) fn read(self) -> (BatchScores, Tensor<1>) {
        let n_rows = self.losses.dims()[0];
        let mut parts = vec![self.loss.clone().inner(), self.losses.inner()];
        parts.extend(self.sums.into_iter().flatten());
        let values = host_values(Tensor::cat(parts, 0));
        let (row_losses, sums) = values[1..].split_at(n_rows);
        let (policy, reference) = sums.split_at(sums.len() / 2);
        let pair = |(policy, reference): (&[f64], &[f64])| PairScore {
            policy_chosen: policy[0],
            policy_rejected: policy[1],
            reference_chosen: reference[0],
            reference_rejected: reference[1],
        };
        let pairs = policy.chunks_exact(2).zip(reference.chunks_exact(2)).map(pair).collect();
        let scores =
            BatchScores { loss: values[0], row_losses: row_losses.to_vec(), pairs, n_tokens: self.n_tokens };
        (scores, self.loss)
    }
}
