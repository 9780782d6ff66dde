//! The loss of rows.

use std::num::NonZeroUsize;

use burn::tensor::{Device, Tensor, TensorData};
use dpo_core::{BatchScale, LogRatios, Objective, RowSize, sft_loss};
use dpo_data::{TokenTree, pack};
use dpo_model::{Decoder, ScoredTokens, TokenOutputs};

use crate::{
    Activations, BatchScores, DeviceBatch, MicroBatching,
    composite::{self, Said},
    scores::{RowLosses, RowScores},
};

/// A row and what the reference says of it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Prompt and completions.
    pub tree: &'a TokenTree,
    /// Log-prob of every scored token under the reference, completion after completion; empty without a reference.
    pub reference: &'a [f32],
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
    /// Moving average of the batches' mean margins before this step, for a loss that follows it; `None` before the first.
    pub moving_margin: Option<f64>,
}

impl LossSpec {
    /// All of a token counts, and activations are kept.
    pub fn new(objective: Objective) -> Self {
        Self { objective, constant_token: None, activations: Activations::Keep, moving_margin: None }
    }

    /// Scores of `rows` without a gradient; `model` is on a plain device.
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
        let scale = self.scale(rows);
        let micro = sorted(rows, MicroBatching::Tokens(max_tokens));
        if let Objective::Composite(composite) = &self.objective
            && composite.couples_batch()
        {
            return self.scores_of_one_batch(composite, model, rows, &micro, stop);
        }
        let mut total = RowScores::default();
        for indices in &micro {
            if stop() {
                return None;
            }
            let rows = chosen(rows, indices);
            let batch = self.on_device(&rows, model);
            let said = batch.scored_tokens(model, self.outputs());
            total.extend(self.of_rows(&rows, &batch, said, scale).read().0);
        }
        Some(total.of_batch(rows, &micro.concat(), scale))
    }

    /// What the loss reads of each token.
    pub(crate) fn outputs(&self) -> TokenOutputs {
        match self.objective.modifiers().wpo {
            true => TokenOutputs::LogpsAndSquares,
            false => TokenOutputs::Logps,
        }
    }

    /// The denominator of the loss of `rows` as one batch.
    pub(crate) fn scale(&self, rows: &[Row<'_>]) -> BatchScale {
        let size =
            |row: &Row<'_>| RowSize { weight: row.tree.weight, chosen_tokens: scored_tokens(row.tree)[0] };
        BatchScale::new(&self.objective, rows.iter().map(size))
    }

    /// The rows of a micro-batch on the device of `model`.
    pub(crate) fn on_device(&self, rows: &[Row<'_>], model: &Decoder) -> DeviceBatch {
        let packed = pack(&rows.iter().map(|row| row.tree).collect::<Vec<_>>());
        let batch = DeviceBatch::new(&packed, &model.device());
        match self.constant_token {
            Some(id) => batch.with_constant_token(&packed, id),
            None => batch,
        }
    }

    /// Losses of the rows of a micro-batch, of whose scored tokens the policy says `said`; `scale` is the batch's.
    pub(crate) fn of_rows(
        &self,
        rows: &[Row<'_>],
        batch: &DeviceBatch,
        said: ScoredTokens,
        scale: BatchScale,
    ) -> RowLosses {
        let n_tokens = rows.iter().map(|row| row.tree.n_tokens()).sum();
        let policy = batch.completion_logps(said.logps.clone());
        let device = policy.token_counts.device();
        let weights = weights(rows, &device);
        match &self.objective {
            Objective::Sft => {
                let losses = sft_loss(&policy);
                let loss = scale.reduce(losses.clone(), weights);
                RowLosses { loss, losses, sums: None, lengths: Vec::new(), n_tokens }
            }
            Objective::Pairwise(pairwise) => {
                let reference = batch.completion_logps(reference_logps(rows, &device));
                let sums = Some((policy.sums.clone().inner(), Some(reference.sums.clone())));
                let losses = pairwise.loss(&LogRatios::new(policy.into_pairs(), reference.into_pairs()));
                let loss = scale.reduce(losses.clone(), weights);
                RowLosses { loss, losses, sums, lengths: Vec::new(), n_tokens }
            }
            Objective::Composite(composite) => {
                let policy = batch.tokens(said.logps);
                let said = Said { policy: &policy, log_sum_squares: said.log_sum_squares.as_ref() };
                composite::of_rows(composite, rows, said, self.moving_margin, scale)
            }
        }
    }
}

/// Weights of rows, `[n_rows]`.
pub(crate) fn weights(rows: &[Row<'_>], device: &Device) -> Tensor<1> {
    let weights: Vec<f32> = rows.iter().map(|row| row.tree.weight as f32).collect();
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
