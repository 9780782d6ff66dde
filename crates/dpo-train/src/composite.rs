//! Losses of rows under an objective of several parts, of modified ones, or of a batch as a whole.

use burn::tensor::{Tensor, TensorData};
use dpo_core::{BatchScale, Composite, Objective, PairTokens, TokenLogps};
use dpo_data::TokenTree;
use dpo_model::Decoder;

use crate::{
    BatchScores, LossSpec, Row, TrainError,
    loss::{BatchWide, chosen, pair_gaps, pair_votes, reference_logps, scored_tokens},
    micro::placed,
    reference::token_logps,
    scores::{RowLosses, RowScores, Sums},
};

/// What the policy says of the scored tokens of rows.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) policy: &'a TokenLogps,
    /// `ln Σ_v p(v)²`, where the objective reads it.
    pub(crate) log_sum_squares: Option<&'a Tensor<1>>,
    /// `KL(π_ref ‖ π_θ)` over all words, where the objective reads it.
    pub(crate) kl: Option<&'a Tensor<1>>,
}

/// Losses of rows of which the policy says `said`.
pub(crate) fn of_rows(
    composite: &Composite,
    rows: &[Row<'_>],
    Said { policy, log_sum_squares, kl }: Said<'_>,
    moving_margin: Option<f64>,
    scale: BatchScale,
) -> RowLosses {
    let device = &policy.device();
    let reference = composite.needs_reference().then(|| tokens(rows, reference_logps(rows, device)));
    let (votes, gaps) = (&pair_votes(rows)[..], &pair_gaps(rows)[..]);
    let pairs =
        PairTokens { policy, reference: reference.as_ref(), log_sum_squares, kl, moving_margin, votes, gaps };
    let losses = composite.losses(pairs, &scale);
    let sums = |tokens: &TokenLogps| composite.compared(tokens).sums.inner();
    let sums = Sums {
        policy: sums(policy),
        reference: reference.as_ref().map(sums),
        divergences: kl.map(|kl| policy.sums_of(kl.clone()).inner()),
    };
    RowLosses::new(rows, losses, Some(sums), scale)
}

/// Token log-probs that lie row after row, with the completions that they belong to.
fn tokens(rows: &[Row<'_>], per_token: Tensor<1>) -> TokenLogps {
    let n_scored: Vec<usize> = rows.iter().flat_map(|row| scored_tokens(row.tree)).collect();
    let n_tokens: Vec<usize> =
        rows.iter().flat_map(|row| row.tree.completions.iter().map(Vec::len)).collect();
    TokenLogps::new(per_token, &n_scored, &n_tokens)
}

impl LossSpec {
    /// See [`Composite::margin_momentum`].
    pub(crate) fn margin_momentum(&self) -> Option<f64> {
        match &self.objective {
            Objective::Composite(composite) => composite.margin_momentum(),
            _ => None,
        }
    }

    /// Refuses rows that are weighed apart, where the loss puts one in the place of another.
    pub fn check_weights(&self, trees: &[TokenTree]) -> Result<(), TrainError> {
        match trees.iter().find(|tree| tree.weight != 1.0) {
            Some(tree) if self.objective.couples_batch() => {
                let (row, weight, loss) = (tree.row, tree.weight, self.objective.name());
                Err(TrainError::CoupledWeight { row, weight, loss })
            }
            _ => Ok(()),
        }
    }

    /// Scores of `rows`, whose losses depend on one another: what the model says of them is computed in these
    /// micro-batches, and the loss of all of them together.
    pub(crate) fn scores_of_one_batch(
        &self,
        composite: &Composite,
        model: &Decoder,
        rows: &[Row<'_>],
        micro: &[Vec<usize>],
        wide: BatchWide,
        stop: &dyn Fn() -> bool,
    ) -> Option<BatchScores> {
        let mut logps = Vec::with_capacity(rows.len());
        for indices in micro {
            if stop() {
                return None;
            }
            let trees: Vec<_> = chosen(rows, indices).iter().map(|row| row.tree).collect();
            logps.extend(token_logps(model, &trees).into_iter().map(|completions| completions.concat()));
        }
        let logps: Vec<f32> = placed(logps, &micro.concat()).concat();
        let device = model.device();
        let n = logps.len();
        let policy = tokens(rows, Tensor::from_data(TensorData::new(logps, [n]), &device));
        // A set is measured with the strength that training started with.
        let said = Said { policy: &policy, log_sum_squares: None, kl: None };
        let scores: RowScores = of_rows(composite, rows, said, None, wide.scale).read().0;
        Some(scores.of_batch(self, rows, &(0..rows.len()).collect::<Vec<_>>(), wide))
    }
}
