//! A reference that follows the policy, as a run has it.

use dpo_model::Decoder;

use super::Trainer;
use crate::{DisplacementWatch, LossSpec, MovingReference, ReferenceLogps, Row};

/// Where what a reference says of rows comes from.
pub(super) enum Said {
    /// It is what it was before the run: the rows have it.
    BeforeTheRun,
    /// It has moved, and was asked again.
    Anew(ReferenceLogps),
}

impl Trainer {
    /// How often the reference has followed the policy after `step`.
    pub(super) fn reference_updates(&self, step: u64) -> u64 {
        self.data.moving.as_ref().map_or(0, |moving| moving.updates().made(step, self.total_steps()))
    }

    /// What the reference says of `rows` now; `None` when `stop` said so.
    pub(super) fn said_now(&self, rows: &[Row<'_>], stop: &dyn Fn() -> bool) -> Option<Said> {
        match &self.data.moving {
            Some(moving) if self.reference_updates(self.progress.step) > 0 => {
                moving.says(rows, stop).map(Said::Anew)
            }
            _ => Some(Said::BeforeTheRun),
        }
    }

    /// The loss with the reference as it is now, where it is asked for more than log-probs.
    pub(super) fn loss_now(&self) -> LossSpec {
        let loss = self.config.loss.clone();
        if !loss.objective.reads_distributions() {
            return loss;
        }
        let moving = self.data.moving.as_ref().map(MovingReference::model);
        LossSpec { reference_model: moving.or(self.data.reference_model.as_ref()).cloned(), ..loss }
    }

    /// Lets the reference follow where that is due. The chosen completions are watched anew: their log-ratios are others.
    pub(super) fn move_reference(&mut self, policy: &Decoder) {
        let (step, total) = (self.progress.step, self.total_steps());
        if let Some(moving) = self.data.moving.take() {
            let is_due = moving.updates().is_due(step, total);
            self.data.moving = Some(if is_due { moving.follow(policy) } else { moving });
            if is_due {
                self.progress.displacement = DisplacementWatch::default();
            }
        }
    }

    /// The reference as a checkpoint has it, once it has moved.
    pub(super) fn moved_reference(&self) -> Option<&Decoder> {
        let moved = self.data.moving.as_ref().filter(|_| self.reference_updates(self.progress.step) > 0);
        moved.map(MovingReference::model)
    }
}
