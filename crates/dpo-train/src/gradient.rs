//! Loss and gradient of one optimizer step's rows, micro-batch by micro-batch.

use std::time::{Duration, Instant};

use burn::module::Module;
use dpo_data::RowId;
use dpo_model::{Decoder, GradientList, GradientSums};

use crate::{
    BatchScores, DeviceBatch, INFERENCE_TOKENS, LossSpec, MicroBatching, Row,
    loss::{BatchWide, chosen, sorted},
    scores::RowScores,
};

/// What becomes of what blocks compute on the way forward and need on the way back. The gradient is the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Activations {
    /// It is kept.
    #[default]
    Keep,
    /// What each block reads is kept, and the rest is computed again, one block at a time: less memory, about a third more
    /// arithmetic. See [`RecomputedLogps`](dpo_model::RecomputedLogps).
    Recompute,
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
    /// Backward, with the sum over micro-batches and with what is computed again.
    pub backward: Duration,
}

impl LossSpec {
    /// Loss and gradient of `rows` as one batch; `None` when `stop` said so between micro-batches.
    ///
    /// # Panics
    /// If the objective reads the reference's distributions and there is no [`reference_model`](Self::reference_model).
    pub fn gradient(
        &self,
        policy: &Decoder,
        rows: &[Row<'_>],
        micro: MicroBatching,
        dropout: Option<DropoutSeed>,
        stop: &dyn Fn() -> bool,
    ) -> Option<BatchGradient> {
        let wide = self.batch_wide(&|| policy.valid(), rows, INFERENCE_TOKENS, stop)?;
        let pass = Pass { spec: self, policy, wide, dropout };
        let micro = sorted(rows, micro);
        let mut scores = RowScores::default();
        let mut times = PassTimes::default();
        let mut sums = GradientSums::default();
        for indices in &micro {
            if stop() {
                return None;
            }
            scores.extend(pass.add(&chosen(rows, indices), &mut sums, &mut times));
        }
        let scores = scores.of_batch(self, rows, &micro.concat(), pass.wide);
        Some(BatchGradient { scores, gradients: sums.into_list(policy), times })
    }
}

/// What all micro-batches of a step have in common.
struct Pass<'a> {
    spec: &'a LossSpec,
    policy: &'a Decoder,
    wide: BatchWide,
    dropout: Option<DropoutSeed>,
}

impl Pass<'_> {
    /// Forward and backward of one micro-batch.
    fn add(&self, rows: &[Row<'_>], sums: &mut GradientSums, times: &mut PassTimes) -> RowScores {
        let start = Instant::now();
        let batch = self.batch(rows);
        let distributions = self.spec.distributions(&batch);
        let outputs = self.spec.outputs(distributions.as_ref());
        let scored = |said| self.spec.of_rows(rows, &batch, said, self.wide).read();
        let (scores, forward) = match self.spec.activations {
            Activations::Keep => {
                let (scores, loss) = scored(batch.scored_tokens(self.policy, outputs));
                let forward = start.elapsed();
                sums.add(self.policy, &mut loss.backward());
                (scores, forward)
            }
            Activations::Recompute => {
                let logps = batch.recomputed_logps(self.policy, outputs);
                let (scores, loss) = scored(logps.said());
                let forward = start.elapsed();
                logps.backward(loss, sums);
                (scores, forward)
            }
        };
        times.forward += forward;
        times.backward += start.elapsed().saturating_sub(forward);
        scores
    }

    fn batch(&self, rows: &[Row<'_>]) -> DeviceBatch {
        // What is dropped is drawn for each tree, also where their prompts begin.
        let shares_start = self.dropout.is_none() && self.policy.shares_starts();
        let batch = self.spec.on_device(rows, self.policy, shares_start);
        match self.dropout {
            Some(seed) => batch.with_dropout(rows.iter().map(|row| seed.of_row(row.tree.row)).collect()),
            None => batch,
        }
    }
}
