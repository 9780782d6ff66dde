//! What rows came to.

use burn::tensor::Tensor;
use dpo_core::{BatchScale, CompletionScore, Label, Objective, PairScore, PolicyScore};
use dpo_data::RowId;

use crate::{
    LossSpec, MeanDivergences, Row,
    loss::{BatchWide, label, weights},
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
    /// Summed log-probs of each pair of which one completion is preferred; a ranked list has all its pairs. Empty without a
    /// reference.
    pub pairs: Vec<PairScore>,
    /// The same of pairs that have no reference.
    pub policy_pairs: Vec<PolicyScore>,
    /// Labels of single completions, with their scores.
    pub labelled: Vec<(Label, CompletionScore)>,
    /// How far the policy has drifted from its reference, `z₀`; where the objective reads it.
    pub drift: Option<f64>,
    /// `D_w` and `D_l` of each pair, see [`tdpo_loss`](dpo_core::tdpo_loss); where the objective reads them.
    pub divergences: Vec<[f64; 2]>,
    /// Tokens that went through the model.
    pub n_tokens: usize,
}

impl BatchScores {
    /// Mean divergences of the pairs; `None` where the objective reads none.
    pub(crate) fn mean_divergences(&self) -> Option<MeanDivergences> {
        let n = self.divergences.len();
        let mean = |side: usize| self.divergences.iter().map(|pair| pair[side]).sum::<f64>() / n as f64;
        (n > 0).then(|| MeanDivergences { chosen: mean(0), rejected: mean(1) })
    }

    /// Rows whose loss is not a number.
    pub(crate) fn bad_rows(&self, rows: &[Row<'_>]) -> Vec<RowId> {
        let bad = self.row_losses.iter().zip(rows).filter(|(loss, _)| !loss.is_finite());
        bad.map(|(_, row)| row.tree.row).collect()
    }

    fn add_row(&mut self, objective: &Objective, row: &Row<'_>, completions: &[CompletionScore]) {
        let preferences = match objective {
            Objective::GroupRobust(_) => vec![(0, 1)],
            Objective::Unpaired(_) => {
                self.labelled.extend(completions.iter().map(|score| (label(row.tree), *score)));
                Vec::new()
            }
            _ if objective.is_of_plain_pairs() => vec![(0, 1)],
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

    /// Adds a pair that has no reference.
    fn add_policy_row(&mut self, row: &Row<'_>, sums: &[f64]) {
        let n_tokens = |idx: usize| row.tree.completions[idx].len();
        self.policy_pairs.push(PolicyScore {
            chosen: sums[0],
            rejected: sums[1],
            chosen_tokens: n_tokens(0),
            rejected_tokens: n_tokens(1),
        });
    }
}

/// What rows came to, in the order in which they were computed.
#[derive(Debug, Default)]
pub(crate) struct RowScores {
    losses: Vec<f64>,
    completions: Vec<Vec<CompletionScore>>,
    /// Summed log-probs of each row's completions where there is no reference.
    policy: Vec<Vec<f64>>,
    /// Summed divergences of each row's completions, where they are read.
    divergences: Vec<Vec<f64>>,
    n_tokens: usize,
}

impl RowScores {
    /// Adds the next micro-batch.
    pub(crate) fn extend(&mut self, part: Self) {
        self.losses.extend(part.losses);
        self.completions.extend(part.completions);
        self.policy.extend(part.policy);
        self.divergences.extend(part.divergences);
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
        for (row, sums) in rows.iter().zip(&placed(self.policy, places)) {
            scores.add_policy_row(row, sums);
        }
        let divergences = placed(self.divergences, places);
        scores.divergences.extend(divergences.iter().map(|of_row| [of_row[0], of_row[1]]));
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
    /// Summed log-probs of policy and reference, completion after completion; none where the loss is of the chosen one alone.
    sums: Option<Sums>,
    /// Completions of each row.
    n_completions: Vec<usize>,
    n_tokens: usize,
}

/// Sums over all completions, without a gradient.
pub(crate) struct Sums {
    /// Log-probs under the policy.
    pub(crate) policy: Tensor<1>,
    /// Log-probs under the reference, where there is one.
    pub(crate) reference: Option<Tensor<1>>,
    /// Divergences from it, where they are read.
    pub(crate) divergences: Option<Tensor<1>>,
}

impl RowLosses {
    /// Rows with their losses, `[n_rows]`, as a part of the batch that has this scale.
    pub(crate) fn new(rows: &[Row<'_>], losses: Tensor<1>, sums: Option<Sums>, scale: BatchScale) -> Self {
        let loss = scale.reduce(losses.clone(), weights(rows, &losses.device().inner()));
        let n_completions = rows.iter().map(|row| row.tree.completions.len()).collect();
        let n_tokens = rows.iter().map(|row| row.tree.n_tokens()).sum();
        Self { loss, losses, sums, n_completions, n_tokens }
    }

    /// Everything of interest in one transfer, and the loss to go backward from.
    pub(crate) fn read(self) -> (RowScores, Tensor<1>) {
        let (n_rows, n_sums) = (self.losses.dims()[0], self.n_completions.iter().sum::<usize>());
        let mut parts = vec![self.losses.inner()];
        let (mut has_reference, mut has_divergences) = (false, false);
        if let Some(Sums { policy, reference, divergences }) = self.sums {
            (has_reference, has_divergences) = (reference.is_some(), divergences.is_some());
            parts.push(policy);
            parts.extend(reference.into_iter().chain(divergences));
        }
        let values = host_values(Tensor::cat(parts, 0));
        let (losses, sums) = values.split_at(n_rows);
        let mut scores =
            RowScores { losses: losses.to_vec(), n_tokens: self.n_tokens, ..RowScores::default() };
        let mut sums = sums.chunks_exact(n_sums.max(1));
        let policy = sums.next().unwrap_or_default();
        let reference = if has_reference { sums.next().unwrap_or_default() } else { &[] };
        if has_divergences {
            let divergences = sums.next().unwrap_or_default();
            scores.divergences = by_row(divergences.iter().copied(), &self.n_completions);
        }
        if has_reference {
            let score = |(policy, reference): (&f64, &f64)| CompletionScore {
                policy: *policy,
                reference: *reference,
            };
            scores.completions = by_row(policy.iter().zip(reference).map(score), &self.n_completions);
        } else if !policy.is_empty() {
            scores.policy = by_row(policy.iter().copied(), &self.n_completions);
        }
        (scores, self.loss)
    }
}

/// Numbers of completions, which lie row after row.
fn by_row<T>(mut all: impl Iterator<Item = T>, n_completions: &[usize]) -> Vec<Vec<T>> {
    n_completions.iter().map(|n| all.by_ref().take(*n).collect()).collect()
}
