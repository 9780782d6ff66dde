//! From the losses of pairs to the loss of a batch.

use burn::tensor::Tensor;

use crate::Objective;

/// What one row brings into its batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowSize {
    /// Its share in the batch's weighted mean, ≥ 0; 1 unless the row says otherwise.
    pub weight: f64,
    /// Tokens of the chosen completion that have a log-prob.
    pub chosen_tokens: usize,
}

/// The denominator of a batch's mean, taken over the whole batch, so that the losses of its micro-batches add up
/// to the loss of the batch, and their gradients to its gradient.
///
/// For pairs, lists and labelled completions the loss of a batch is `Σ w·loss / Σ w`; for `sft` it is
/// `Σ w·(−Σ_t ℓ_t) / Σ w·|y_w|`, the mean over tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchScale {
    denominator: f64,
    rows: f64,
    tokens: f64,
}

impl BatchScale {
    /// The scale of the batch made of these rows, which are all of its micro-batches' rows.
    pub fn new(objective: &Objective, rows: impl IntoIterator<Item = RowSize>) -> Self {
        let (mut weights, mut tokens) = (0.0, 0.0);
        for row in rows {
            weights += row.weight;
            tokens += row.weight * row.chosen_tokens as f64;
        }
        let denominator = match objective {
            Objective::Sft => tokens,
            Objective::Pairwise(_)
            | Objective::Ranked(_)
            | Objective::Voted(_)
            | Objective::Scored(_)
            | Objective::Unpaired(_)
            | Objective::GroupRobust(_)
            | Objective::Composite(_) => weights,
        };
        Self { denominator, rows: weights, tokens }
    }

    /// The scale of a batch whose losses are a sum, each row's with its share as weight. It has no mean over tokens.
    pub fn of_shares() -> Self {
        Self { denominator: 1.0, rows: 0.0, tokens: 0.0 }
    }

    /// `Σ w`, or the number of tokens for `sft`.
    pub fn denominator(&self) -> f64 {
        self.denominator
    }

    /// `Σ w / Σ w·|y_w|`: what makes of a sum over a row's tokens its part of the batch's mean over tokens, where the mean is
    /// taken over rows. 0 for a batch without tokens.
    pub fn rows_per_token(&self) -> f64 {
        if self.tokens > 0.0 { self.rows / self.tokens } else { 0.0 }
    }

    /// A micro-batch's part of the batch's loss. Of a batch that weighs nothing every part is 0.
    ///
    /// # Shapes
    /// - `losses`: `[n_rows]`, as an objective gives them
    /// - `weights`: `[n_rows]`, without a gradient
    /// - output: `[1]`
    pub fn reduce(&self, losses: Tensor<1>, weights: Tensor<1>) -> Tensor<1> {
        assert_shape!(weights, losses.dims());
        let sum = (losses * weights).sum();
        if self.denominator > 0.0 { sum / self.denominator } else { sum * 0.0 }
    }
}
