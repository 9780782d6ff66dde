//! Loss and gradient of one optimizer step's rows, micro-batch by micro-batch.

use std::{num::NonZeroUsize, time::Duration, time::Instant};

use burn::tensor::{Tensor, TensorData};
use dpo_core::{BatchScale, LogRatios, Objective, PairScore, RowSize, sft_loss};
use dpo_data::{PackedBatch, RowId, TokenTree, pack};
use dpo_model::{Decoder, GradientList};

use crate::{DeviceBatch, MicroBatching, micro::placed, optimizer::host_values};

/// A row and what the reference says of it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Prompt and completions.
    pub tree: &'a TokenTree,
    /// Log-prob of every scored token under the reference, completion after completion; empty without a reference.
    pub reference: &'a [f32],
}

/// What an adapter's dropout is drawn from: the run's seed and the step.
///
/// Which numbers a row drops depends on these and on the row alone, so that it is the same however a batch is cut, and
/// again after a resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutSeed {
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step, counted from 1.
    pub step: u64,
}

impl DropoutSeed {
    fn of_row(self, row: RowId) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for number in [self.seed, self.step, u64::from(row.file), row.row] {
            hasher.update(&number.to_le_bytes());
        }
        let bytes = hasher.finalize();
        u64::from_le_bytes(bytes.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

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

/// Loss and gradient of a batch.
#[derive(Debug)]
pub struct BatchGradient {
    /// What the rows came to.
    pub scores: BatchScores,
    /// Gradient of the loss, a list in the order of the parameters.
    pub gradients: GradientList,
    /// Where the time went.
    pub times: PassTimes,
}

/// Time spent in the passes of a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct PassTimes {
    /// Forward, with the loss.
    pub forward: Duration,
    /// Backward, with the sum over micro-batches.
    pub backward: Duration,
}

/// The objective, and what it needs to know of the model.
#[derive(Debug, Clone, Copy)]
pub struct LossSpec {
    /// What is minimised.
    pub objective: Objective,
    /// A token through which no gradient reaches the embedding, see
    /// [`PackedInput::with_constant_token`](dpo_model::PackedInput::with_constant_token).
    pub constant_token: Option<u32>,
}

impl LossSpec {
    /// Loss and gradient of `rows` as one batch; `None` when `stop` said so between micro-batches.
    pub fn gradient(
        &self,
        policy: &Decoder,
        rows: &[Row<'_>],
        micro: MicroBatching,
        dropout: Option<DropoutSeed>,
        stop: &dyn Fn() -> bool,
    ) -> Option<BatchGradient> {
        let scale = self.scale(rows);
        let micro = sorted(rows, micro);
        let mut total: Option<BatchGradient> = None;
        for indices in &micro {
            if stop() {
                return None;
            }
            let start = Instant::now();
            let part = self.forward(policy, &chosen(rows, indices), scale, dropout);
            let (scores, loss) = part.read();
            let forward = start.elapsed();
            let mut gradients = loss.backward();
            let gradients = policy.take_gradients(&mut gradients);
            add(&mut total, scores, gradients);
            if let Some(total) = &mut total {
                total.times.forward += forward;
                total.times.backward += start.elapsed().saturating_sub(forward);
            }
        }
        total.map(|total| BatchGradient { scores: total.scores.placed(&micro.concat()), ..total })
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
        let mut total = BatchScores::default();
        for indices in &micro {
            if stop() {
                return None;
            }
            total.extend(self.forward(model, &chosen(rows, indices), scale, None).read().0);
        }
        Some(total.placed(&micro.concat()))
    }

    fn scale(&self, rows: &[Row<'_>]) -> BatchScale {
        let size =
            |row: &Row<'_>| RowSize { weight: row.tree.weight, chosen_tokens: scored_tokens(row.tree)[0] };
        BatchScale::new(&self.objective, rows.iter().map(size))
    }

    fn forward(
        &self,
        model: &Decoder,
        rows: &[Row<'_>],
        scale: BatchScale,
        dropout: Option<DropoutSeed>,
    ) -> Forward {
        let packed = pack(&rows.iter().map(|row| row.tree).collect::<Vec<_>>());
        let mut batch = self.on_device(&packed, model);
        if let Some(seed) = dropout {
            let keys: Vec<u64> = rows.iter().map(|row| seed.of_row(row.tree.row)).collect();
            batch = batch.with_dropout(keys);
        }
        let policy = batch.completion_logps(batch.token_logps(model));
        let weights: Vec<f32> = rows.iter().map(|row| row.tree.weight as f32).collect();
        let device = policy.token_counts.device();
        let weights = Tensor::from_data(weights.as_slice(), &device);
        match self.objective {
            Objective::Sft => {
                let losses = sft_loss(&policy);
                let loss = scale.reduce(losses.clone(), weights);
                Forward { loss, losses, sums: None, n_tokens: packed.n_tokens() }
            }
            Objective::Pairwise(pairwise) => {
                let reference =
                    rows.iter().flat_map(|row| row.reference.iter().copied()).collect::<Vec<f32>>();
                let n = reference.len();
                let reference = Tensor::from_data(TensorData::new(reference, [n]), &device);
                let reference = batch.completion_logps(reference);
                let sums = [policy.sums.clone().inner(), reference.sums.clone()];
                let losses = pairwise.loss(&LogRatios::new(policy.into_pairs(), reference.into_pairs()));
                let loss = scale.reduce(losses.clone(), weights);
                Forward { loss, losses, sums: Some(sums), n_tokens: packed.n_tokens() }
            }
        }
    }

    fn on_device(&self, packed: &PackedBatch, model: &Decoder) -> DeviceBatch {
        let batch = DeviceBatch::new(packed, &model.device());
        match self.constant_token {
            Some(id) => batch.with_constant_token(packed, id),
            None => batch,
        }
    }
}

/// Tokens of each completion that have a log-prob.
pub(crate) fn scored_tokens(tree: &TokenTree) -> Vec<usize> {
    let unscored = usize::from(tree.prompt.is_empty());
    tree.completions.iter().map(|completion| completion.len() - unscored).collect()
}

/// A micro-batch after its forward pass, still on the device.
struct Forward {
    loss: Tensor<1>,
    losses: Tensor<1>,
    /// Summed log-probs of policy and reference, chosen and rejected in turn.
    sums: Option<[Tensor<1>; 2]>,
    n_tokens: usize,
}

impl Forward {
    /// Everything of interest in one transfer, and the loss to go backward from.
    fn read(self) -> (BatchScores, Tensor<1>) {
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

impl BatchScores {
    fn extend(&mut self, part: Self) {
        self.loss += part.loss;
        self.row_losses.extend(part.row_losses);
        self.pairs.extend(part.pairs);
        self.n_tokens += part.n_tokens;
    }

    /// In the order of the rows, from that in which they were computed.
    fn placed(self, places: &[usize]) -> Self {
        let (row_losses, pairs) = (placed(self.row_losses, places), placed(self.pairs, places));
        Self { row_losses, pairs, ..self }
    }

    /// Rows whose loss is not a number.
    pub(crate) fn bad_rows(&self, rows: &[Row<'_>]) -> Vec<RowId> {
        let bad = self.row_losses.iter().zip(rows).filter(|(loss, _)| !loss.is_finite());
        bad.map(|(_, row)| row.tree.row).collect()
    }
}

fn sorted(rows: &[Row<'_>], micro: MicroBatching) -> Vec<Vec<usize>> {
    micro.sorted(&rows.iter().map(|row| row.tree).collect::<Vec<_>>())
}

fn chosen<'a>(rows: &[Row<'a>], indices: &[usize]) -> Vec<Row<'a>> {
    indices.iter().map(|row_idx| rows[*row_idx]).collect()
}

fn add(total: &mut Option<BatchGradient>, scores: BatchScores, gradients: GradientList) {
    match total {
        None => *total = Some(BatchGradient { scores, gradients, times: PassTimes::default() }),
        Some(total) => {
            total.scores.extend(scores);
            let sums = std::mem::take(&mut total.gradients).into_iter().zip(gradients);
            total.gradients = sums.map(|(sum, part)| sum + part).collect();
        }
    }
}
