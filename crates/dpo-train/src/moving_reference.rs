//! A reference that follows the policy, TR-DPO: <https://arxiv.org/abs/2404.09656>.

use std::num::NonZeroU64;

use burn::tensor::Tensor;
use dpo_data::TokenTree;
use dpo_model::Decoder;

use crate::{INFERENCE_TOKENS, ReferenceLogps, Row, TrainError, reference::token_logps_unless};

/// How a reference follows the policy: `θ_ref ← α·θ + (1 − α)·θ_ref` after every `τ` optimizer steps.
///
/// `θ` is what is trained: all weights, or the matrices of an adapter, which are mixed as they are. There is no update
/// after the last step, which would serve no other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReferenceUpdates {
    /// `τ`, in optimizer steps.
    pub every: NonZeroU64,
    /// `α`, above 0 and at most 1, which puts the policy in the reference's place.
    pub mix: f64,
}

impl ReferenceUpdates {
    /// Updates that have been made after `step` of `total` steps.
    pub fn made(self, step: u64, total: u64) -> u64 {
        step.min(total.saturating_sub(1)) / self.every
    }

    /// Whether there is one after `step`, of `total`.
    pub(crate) fn is_due(self, step: u64, total: u64) -> bool {
        step > 0 && step < total && step.is_multiple_of(self.every.get())
    }
}

/// The reference itself, which is needed where it does not stay what it was.
#[derive(Debug, Clone)]
pub struct MovingReference {
    updates: ReferenceUpdates,
    model: Decoder,
}

impl MovingReference {
    /// Starts at `model`, which is on a plain device and has the parameters of `policy`, with other values perhaps.
    pub fn new(updates: ReferenceUpdates, model: Decoder, policy: &Decoder) -> Result<Self, TrainError> {
        let (found, wanted) = (model.parameters(), policy.parameters());
        if let Some(wanted) = wanted.iter().find(|info| !found.contains(info)) {
            return Err(TrainError::OtherReference { parameter: wanted.name.clone() });
        }
        if found.len() != wanted.len() {
            let extra = found.iter().find(|info| !wanted.contains(info));
            let parameter = extra.map(|info| info.name.clone()).unwrap_or_default();
            return Err(TrainError::OtherReference { parameter });
        }
        Ok(Self { updates, model })
    }

    /// When it moves, and how far.
    pub fn updates(&self) -> ReferenceUpdates {
        self.updates
    }

    pub(crate) fn model(&self) -> &Decoder {
        &self.model
    }

    /// The same with a model out of a checkpoint.
    pub(crate) fn at(self, model: Decoder) -> Self {
        Self { model, ..self }
    }

    /// Moves towards `policy`.
    pub(crate) fn follow(self, policy: &Decoder) -> Self {
        let mut values = Vec::new();
        policy.for_each_parameter(|_, tensor| values.push(tensor));
        let mut values = values.into_iter();
        let mix = self.updates.mix;
        let model = self.model.map_parameters(|_, reference| {
            let Some(policy) = values.next() else { unreachable!("the policy has the same parameters") };
            mixed(policy, reference, mix)
        });
        Self { model, ..self }
    }

    /// What it says of these rows now, in their order; `None` when `stop` said so.
    pub(crate) fn says(&self, rows: &[Row<'_>], stop: &dyn Fn() -> bool) -> Option<ReferenceLogps> {
        let of = |trees: &[&TokenTree]| {
            let logps = token_logps_unless(&self.model, trees, INFERENCE_TOKENS, stop)?;
            Some(ReferenceLogps::of_rows(logps))
        };
        let logps = of(&rows.iter().map(|row| row.tree).collect::<Vec<_>>())?;
        let others: Vec<&TokenTree> =
            rows.iter().filter_map(|row| row.mismatched).map(|(tree, _)| tree).collect();
        if others.is_empty() {
            return Some(logps);
        }
        let of_others = of(&others)?;
        Some(logps.with_mismatched(others.into_iter().cloned().collect(), of_others))
    }
}

/// `α·θ + (1 − α)·θ_ref`; the policy itself for `α = 1`, in which NaN times 0 would leave traces.
fn mixed(policy: Tensor<1>, reference: Tensor<1>, mix: f64) -> Tensor<1> {
    if mix == 1.0 {
        return policy;
    }
    policy * mix + reference * (1.0 - mix)
}

/// These rows, held against what a reference says of them now.
pub(crate) fn held_against<'a>(rows: &[Row<'a>], logps: &'a ReferenceLogps) -> Vec<Row<'a>> {
    let of = |(idx, row): (usize, &Row<'a>)| Row {
        reference: logps.row(idx),
        mismatched: logps.mismatched(idx),
        ..*row
    };
    rows.iter().enumerate().map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn every(every: u64) -> ReferenceUpdates {
        ReferenceUpdates { every: NonZeroU64::new(every).unwrap(), mix: 0.6 }
    }

    /// After steps 4 and 8 of 12 steps; the one after step 12 would serve no step.
    #[test]
    fn the_last_step_moves_nothing() {
        let due: Vec<u64> = (0..=12).filter(|step| every(4).is_due(*step, 12)).collect();
        assert_eq!(due, [4, 8]);
        let made: Vec<u64> = [0, 3, 4, 8, 11, 12].map(|step| every(4).made(step, 12)).to_vec();
        assert_eq!(made, [0, 0, 1, 2, 2, 2]);
        assert_eq!(every(10).made(10, 10), 0);
    }

    /// 0.25·8 + 0.75·4 = 5; with α = 1 nothing of the reference is left, be it no number.
    #[test]
    fn parameters_are_mixed() {
        let device = Device::flex();
        let tensor = |value: f32| Tensor::<1>::from_floats([value], &device);
        let value = |tensor: Tensor<1>| tensor.into_scalar::<f32>();
        assert_eq!(value(mixed(tensor(8.0), tensor(4.0), 0.25)), 5.0);
        assert_eq!(value(mixed(tensor(8.0), tensor(f32::NAN), 1.0)), 8.0);
    }
}
