//! The loss of rows.

mod of_rows;

use std::num::NonZeroUsize;

use burn::tensor::{Device, Tensor, TensorData};
use dpo_core::{BatchScale, Objective, RowSize, sft_loss};
use dpo_data::TokenTree;
use dpo_model::{Decoder, Distributions, ScoredTokens, TokenOutputs};

use crate::{
    Activations, BatchScores, DeviceBatch, MicroBatching,
    batch::packed,
    composite::{self, Said},
    mismatched::drift,
    scores::{RowLosses, RowScores, Sums},
};

pub(crate) use of_rows::{label, pair_gaps, pair_votes};

/// A row and what the reference says of it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Prompt and completions.
    pub tree: &'a TokenTree,
    /// Log-prob of every scored token under the reference, completion after completion; empty without a reference.
    pub reference: &'a [f32],
    /// Its prompt before another completion, see [`mismatched`](crate::mismatched), and what the reference says of that; where
    /// the objective asks how far the policy has drifted.
    pub mismatched: Option<(&'a TokenTree, &'a [f32])>,
    /// What it counts in the sum that the batch's loss is, see [`GroupShares`](crate::GroupShares); `None` where that is a mean by
    /// weights.
    pub share: Option<f64>,
}

impl Row<'_> {
    /// What its loss is multiplied by.
    pub(crate) fn factor(&self) -> f64 {
        self.share.unwrap_or(self.tree.weight)
    }
}

/// What the rows of a batch have in common, however it is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchWide {
    /// The denominator of its mean.
    pub(crate) scale: BatchScale,
    /// [`kto_drift`](dpo_core::kto_drift); 0 where the objective does not read it.
    pub(crate) drift: f64,
}

/// The objective, and how it and its gradient are computed.
#[derive(Debug, Clone)]
pub struct LossSpec {
    /// What is minimised.
    pub objective: Objective,
    /// A token through which no gradient reaches the embedding, see
    /// [`PackedInput::with_constant_token`](dpo_model::PackedInput::with_constant_token).
    pub constant_token: Option<u32>,
    /// What is kept for the gradient.
    pub activations: Activations,
    /// The reference itself, on a plain device; where the objective [reads its distributions](Objective::reads_distributions).
    pub reference_model: Option<Decoder>,
    /// Moving average of the batches' mean margins before this step, for a loss that follows it; `None` before the first.
    pub moving_margin: Option<f64>,
}

impl LossSpec {
    /// All of a token counts, and activations are kept.
    pub fn new(objective: Objective) -> Self {
        Self {
            objective,
            constant_token: None,
            activations: Activations::Keep,
            reference_model: None,
            moving_margin: None,
        }
    }

    /// Scores of `rows` without a gradient; `model` is on a plain device.
    ///
    /// # Panics
    /// If the objective reads the reference's distributions and there is no [`reference_model`](Self::reference_model).
    pub fn scores(&self, model: &Decoder, rows: &[Row<'_>], max_tokens: NonZeroUsize) -> BatchScores {
        self.scores_unless(model, rows, max_tokens, &|| false).unwrap_or_default()
    }

    /// As [`scores`](Self::scores); `None` when `stop` said so between micro-batches.
    pub fn scores_unless(
        &self,
        model: &Decoder,
        rows: &[Row<'_>],
        max_tokens: NonZeroUsize,
        stop: &dyn Fn() -> bool,
    ) -> Option<BatchScores> {
        let wide = self.batch_wide(&|| model.clone(), rows, max_tokens, stop)?;
        let micro = sorted(rows, MicroBatching::Tokens(max_tokens));
        if let Objective::Composite(composite) = &self.objective
            && composite.couples_batch()
        {
            return self.scores_of_one_batch(composite, model, rows, &micro, wide, stop);
        }
        let mut total = RowScores::default();
        for indices in &micro {
            if stop() {
                return None;
            }
            let rows = chosen(rows, indices);
            let batch = self.on_device(&rows, model, model.shares_starts());
            let distributions = self.distributions(&batch);
            let said = batch.scored_tokens(model, self.outputs(distributions.as_ref()));
            total.extend(self.of_rows(&rows, &batch, said, wide).read().0);
        }
        Some(total.of_batch(self, rows, &micro.concat(), wide))
    }

    /// What the losses of `rows` as one batch have in common; `model` gives one on a plain device, and is asked
    /// only by some objectives. `None` when `stop` said so.
    pub(crate) fn batch_wide(
        &self,
        model: &dyn Fn() -> Decoder,
        rows: &[Row<'_>],
        max_tokens: NonZeroUsize,
        stop: &dyn Fn() -> bool,
    ) -> Option<BatchWide> {
        let drift = match self.objective {
            Objective::Unpaired(_) => drift(&model(), rows, max_tokens, stop)?,
            _ => 0.0,
        };
        Some(BatchWide { scale: self.scale(rows), drift })
    }

    /// What the reference says of every word at the tokens of a micro-batch, where the objective reads it.
    pub(crate) fn distributions(&self, batch: &DeviceBatch) -> Option<Distributions> {
        self.objective.reads_distributions().then(|| {
            let reference = self.reference_model.as_ref();
            batch.distributions(reference.expect("an objective that reads its distributions has a reference"))
        })
    }

    /// What the loss reads of each token.
    pub(crate) fn outputs<'a>(&self, divergence_from: Option<&'a Distributions>) -> TokenOutputs<'a> {
        TokenOutputs { squares: self.objective.modifiers().wpo, divergence_from }
    }

    /// The denominator of the loss of `rows` as one batch.
    fn scale(&self, rows: &[Row<'_>]) -> BatchScale {
        if rows.iter().any(|row| row.share.is_some()) {
            return BatchScale::of_shares();
        }
        let size =
            |row: &Row<'_>| RowSize { weight: row.tree.weight, chosen_tokens: scored_tokens(row.tree)[0] };
        BatchScale::new(&self.objective, rows.iter().map(size))
    }

    /// The rows of a micro-batch on the device of `model`; what their prompts begin with once, if it may be.
    pub(crate) fn on_device(&self, rows: &[Row<'_>], model: &Decoder, shares_start: bool) -> DeviceBatch {
        let packed = packed(&rows.iter().map(|row| row.tree).collect::<Vec<_>>(), shares_start);
        let batch = DeviceBatch::new(&packed, &model.device());
        match self.constant_token {
            Some(id) => batch.with_constant_token(&packed, id),
            None => batch,
        }
    }

    /// Losses of the rows of a micro-batch, of whose scored tokens the policy says `said`; `wide` is the batch's.
    pub(crate) fn of_rows(
        &self,
        rows: &[Row<'_>],
        batch: &DeviceBatch,
        said: ScoredTokens,
        wide: BatchWide,
    ) -> RowLosses {
        if let Objective::Composite(composite) = &self.objective {
            let policy = batch.tokens(said.logps);
            let said = Said {
                policy: &policy,
                log_sum_squares: said.log_sum_squares.as_ref(),
                kl: said.kl.as_ref(),
            };
            return composite::of_rows(composite, rows, said, self.moving_margin, wide.scale);
        }
        let policy = batch.completion_logps(said.logps);
        if self.objective == Objective::Sft {
            return RowLosses::new(rows, sft_loss(&policy), None, wide.scale);
        }
        let reference = batch.completion_logps(reference_logps(rows, &policy.token_counts.device()));
        let sums = Sums {
            policy: policy.sums.clone().inner(),
            reference: Some(reference.sums.clone()),
            divergences: None,
        };
        let losses = of_rows::losses(&self.objective, rows, policy, reference, wide.drift);
        RowLosses::new(rows, losses, Some(sums), wide.scale)
    }
}

/// What the losses of rows are multiplied by, `[n_rows]`.
pub(crate) fn weights(rows: &[Row<'_>], device: &Device) -> Tensor<1> {
    let weights: Vec<f32> = rows.iter().map(|row| row.factor() as f32).collect();
    Tensor::from_data(weights.as_slice(), device)
}

/// What the reference says of the scored tokens of rows, `[n_scored]`.
pub(crate) fn reference_logps(rows: &[Row<'_>], device: &Device) -> Tensor<1> {
    let logps: Vec<f32> = rows.iter().flat_map(|row| row.reference.iter().copied()).collect();
    let n = logps.len();
    Tensor::from_data(TensorData::new(logps, [n]), device)
}

/// Tokens of each completion that have a log-prob.
pub(crate) fn scored_tokens(tree: &TokenTree) -> Vec<usize> {
    let unscored = usize::from(tree.prompt.is_empty());
    tree.completions.iter().map(|completion| completion.len() - unscored).collect()
}

/// Indices of the rows of each micro-batch.
pub(crate) fn sorted(rows: &[Row<'_>], micro: MicroBatching) -> Vec<Vec<usize>> {
    micro.sorted(&rows.iter().map(|row| row.tree).collect::<Vec<_>>())
}

/// These of the rows.
pub(crate) fn chosen<'a>(rows: &[Row<'a>], indices: &[usize]) -> Vec<Row<'a>> {
    indices.iter().map(|row_idx| rows[*row_idx]).collect()
}
