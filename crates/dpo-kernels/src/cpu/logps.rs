//! The head on tensors: what is not in f32 is left to the portable bodies.

use burn::backend::{Flex, flex::FlexTensor};

use super::{
    buffer::{all_f32, contiguous, dims2, row_numbers, tensor, values},
    divergence, head, head_backward,
};
use crate::{
    DivergenceSpec, FusedPrimitives, LogitSpec, portable,
    saved::{KlOutput, KlSaved, LogpsOutput, LogpsSaved, ReferenceHead},
};

/// What a head reads, and the head, ready to be multiplied.
struct HeadTensors {
    hidden: FlexTensor,
    weight: FlexTensor,
    spec: LogitSpec,
}

impl HeadTensors {
    fn new(hidden: FlexTensor, weight: FlexTensor, spec: LogitSpec) -> Self {
        let hidden = contiguous(Flex::rounded(hidden, spec.precision));
        Self { hidden, weight: contiguous(weight), spec }
    }

    /// With the words that are picked of its logits.
    fn rows<'a>(&'a self, targets: &'a [usize]) -> head::Head<'a> {
        let operands = [values(&self.hidden), values(&self.weight)];
        head::Head::new(operands, targets, dims2(&self.weight), self.spec)
    }
}

/// Log-probabilities and the log-sum-exp of each row.
pub(super) fn forward(
    hidden: FlexTensor,
    head: FlexTensor,
    targets: FlexTensor,
    spec: LogitSpec,
) -> (FlexTensor, FlexTensor) {
    let (n, vocab) = (dims2(&hidden)[0], dims2(&head)[0]);
    let Some(ids) = row_numbers(&targets, vocab).filter(|_| all_f32([&hidden, &head])) else {
        return portable::logps::forward::<Flex>(hidden, head, targets, spec);
    };
    let said = head::forward(&HeadTensors::new(hidden, head, spec).rows(&ids), head::Squares::Leave);
    (tensor(said.logps, [n]), tensor(said.log_sum_exp, [n]))
}

/// As [`forward`], with `ln Σ p²`.
pub(super) fn forward_with_squares(
    hidden: FlexTensor,
    head: FlexTensor,
    targets: FlexTensor,
    spec: LogitSpec,
) -> LogpsOutput<Flex> {
    let (n, vocab) = (dims2(&hidden)[0], dims2(&head)[0]);
    let Some(ids) = row_numbers(&targets, vocab).filter(|_| all_f32([&hidden, &head])) else {
        return portable::logps::forward_with_squares::<Flex>(hidden, head, targets, spec);
    };
    let said = head::forward(&HeadTensors::new(hidden, head, spec).rows(&ids), head::Squares::Sum);
    LogpsOutput {
        logps: tensor(said.logps, [n]),
        log_sum_exp: tensor(said.log_sum_exp, [n]),
        log_sum_squares: Some(tensor(said.log_sum_squares, [n])),
    }
}

/// Of the hidden rows and of the head, as tensors.
fn gradients(
    of: &head_backward::Rows<'_>,
    against: Option<&head_backward::Rows<'_>>,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let (n, d_model, vocab) = (of.head.targets.len(), of.head.d_model, of.head.vocab);
    let [dhidden, dhead] = head_backward::backward(of, against, wanted);
    [dhidden.map(|grad| tensor(grad, [n, d_model])), dhead.map(|grad| tensor(grad, [vocab, d_model]))]
}

/// Gradients of [`forward`] for the hidden rows and the head, where wanted.
pub(super) fn backward(
    saved: LogpsSaved<Flex>,
    grad: FlexTensor,
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let vocab = dims2(&saved.head)[0];
    let f32 = all_f32([&saved.hidden, &saved.head, &saved.log_sum_exp, &grad]);
    let Some(ids) = row_numbers(&saved.targets, vocab).filter(|_| f32) else {
        return portable::logps::backward::<Flex>(saved, grad, wanted);
    };
    let head = HeadTensors::new(saved.hidden, saved.head, saved.spec);
    let [log_sum_exp, grad] = [saved.log_sum_exp, grad].map(contiguous);
    let rows =
        head_backward::Rows { head: head.rows(&ids), log_sum_exp: values(&log_sum_exp), grad: values(&grad) };
    gradients(&rows, None, wanted)
}

/// As [`forward`], with the divergence from what a reference says.
pub(super) fn forward_with_kl(
    hidden: FlexTensor,
    head: FlexTensor,
    reference: ReferenceHead<Flex>,
    targets: FlexTensor,
    spec: DivergenceSpec,
) -> KlOutput<Flex> {
    let (n, vocab) = (dims2(&hidden)[0], dims2(&head)[0]);
    let f32 = all_f32([&hidden, &head, &reference.hidden, &reference.head]);
    let Some(ids) = row_numbers(&targets, vocab).filter(|_| f32) else {
        return portable::divergence::forward::<Flex>(hidden, head, reference, targets, spec);
    };
    let policy = HeadTensors::new(hidden, head, spec.logits);
    let reference = HeadTensors::new(reference.hidden, reference.head, spec.reference());
    let compared = divergence::forward(&policy.rows(&ids), &reference.rows(&ids));
    KlOutput {
        logps: tensor(compared.said.logps, [n]),
        log_sum_exp: tensor(compared.said.log_sum_exp, [n]),
        kl: tensor(compared.kl, [n]),
        reference_log_sum_exp: tensor(compared.reference_log_sum_exp, [n]),
    }
}

/// Gradients of [`forward_with_kl`] for the hidden rows and the head, where wanted.
pub(super) fn backward_with_kl(
    saved: KlSaved<Flex>,
    grads: [FlexTensor; 2],
    wanted: [bool; 2],
) -> [Option<FlexTensor>; 2] {
    let vocab = dims2(&saved.logps.head)[0];
    let f32 = all_f32([&saved.logps.hidden, &saved.logps.head, &saved.reference.hidden])
        && all_f32([&saved.reference.head, &grads[0], &grads[1]]);
    let Some(ids) = row_numbers(&saved.logps.targets, vocab).filter(|_| f32) else {
        return portable::divergence::backward::<Flex>(saved, grads, wanted);
    };
    let spec = DivergenceSpec { logits: saved.logps.spec, reference_softcap: saved.reference_softcap };
    let policy = HeadTensors::new(saved.logps.hidden, saved.logps.head, spec.logits);
    let reference = HeadTensors::new(saved.reference.hidden, saved.reference.head, spec.reference());
    let [logp_grad, kl_grad] = grads.map(contiguous);
    let sums = [saved.logps.log_sum_exp, saved.reference_log_sum_exp].map(contiguous);
    let of = head_backward::Rows {
        head: policy.rows(&ids),
        log_sum_exp: values(&sums[0]),
        grad: values(&logp_grad),
    };
    let against = head_backward::Rows {
        head: reference.rows(&ids),
        log_sum_exp: values(&sums[1]),
        grad: values(&kl_grad),
    };
    gradients(&of, Some(&against), wanted)
}
