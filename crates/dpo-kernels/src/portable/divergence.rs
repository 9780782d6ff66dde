//! Log-probabilities of targets, and how far a reference's distributions are from those that they come from, a chunk of rows
//! at a time.

use burn::backend::{
    TensorMetadata,
    tensor::{FloatTensor, IntTensor},
};

use super::{
    dims2,
    logps::{OfLogits, capped, chunks, targets_of},
    reshape, row_of, slice, softcap,
};
use crate::{
    DivergenceSpec, FusedPrimitives, LogitSpec,
    saved::{KlOutput, KlSaved, LogpsSaved, ReferenceHead, RowGradients},
};

/// Numbers of rows, `[n]` each, as `[2, n]`.
pub(crate) fn stacked<B: FusedPrimitives>(numbers: [FloatTensor<B>; 2]) -> FloatTensor<B> {
    let row = |x: FloatTensor<B>| {
        let n = x.shape()[0];
        reshape::<B, 2>(x, [1, n])
    };
    B::float_cat(numbers.map(row).to_vec(), 0)
}

/// What was [`stacked`].
pub(crate) fn unstacked<B: FusedPrimitives>(both: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    [0, 1].map(|idx| row_of::<B>(&both, idx))
}

/// Logits of some rows before the cap, `[rows, vocab]`.
fn logits<B: FusedPrimitives>(
    hidden: &FloatTensor<B>,
    head: &FloatTensor<B>,
    rows: &std::ops::Range<usize>,
    spec: LogitSpec,
) -> FloatTensor<B> {
    let hidden = B::float_slice(hidden.clone(), &[slice(rows.clone())]);
    B::product(hidden, B::float_transpose(head.clone()), spec.precision)
}

/// `logits − log_sum_exp`, of `[rows, vocab]` and `[rows]`.
fn log_softmax<B: FusedPrimitives>(logits: FloatTensor<B>, log_sum_exp: FloatTensor<B>) -> FloatTensor<B> {
    let [n, _] = dims2::<B>(&logits);
    B::float_sub(logits, reshape::<B, 2>(log_sum_exp, [n, 1]))
}

/// `Σ_v p_ref·(ln p_ref − ln p)` of each row.
pub(crate) fn of_logits<B: FusedPrimitives>(
    [policy, reference]: [FloatTensor<B>; 2],
    [log_sum_exp, reference_log_sum_exp]: [FloatTensor<B>; 2],
    [softcap, reference_softcap]: [Option<f64>; 2],
) -> FloatTensor<B> {
    let [n, _] = dims2::<B>(&policy);
    let policy = log_softmax::<B>(capped::<B>(policy, softcap), log_sum_exp);
    let reference = log_softmax::<B>(capped::<B>(reference, reference_softcap), reference_log_sum_exp);
    let terms = B::float_mul(B::float_exp(reference.clone()), B::float_sub(reference, policy));
    reshape::<B, 1>(B::float_sum_dim(terms, 1), [n])
}

pub(crate) fn forward<B: FusedPrimitives>(
    hidden: FloatTensor<B>,
    head: FloatTensor<B>,
    reference: ReferenceHead<B>,
    targets: IntTensor<B>,
    spec: DivergenceSpec,
) -> KlOutput<B> {
    let vocab = head.shape()[0];
    let (mut logps, mut sums, mut kls, mut reference_sums) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for rows in chunks::<B>(&hidden, vocab) {
        let targets = targets_of::<B>(&targets, &rows);
        let policy = logits::<B>(&hidden, &head, &rows, spec.logits);
        let held_against = logits::<B>(&reference.hidden, &reference.head, &rows, spec.reference());
        let said = B::logit_rows(policy.clone(), targets.clone(), spec.logits.softcap, false);
        let by_reference = B::logit_rows(held_against.clone(), targets, spec.reference_softcap, false);
        kls.push(B::logit_divergences(
            [policy, held_against],
            [said.log_sum_exp.clone(), by_reference.log_sum_exp.clone()],
            [spec.logits.softcap, spec.reference_softcap],
        ));
        logps.push(said.logps);
        sums.push(said.log_sum_exp);
        reference_sums.push(by_reference.log_sum_exp);
    }
    KlOutput {
        logps: B::float_cat(logps, 0),
        log_sum_exp: B::float_cat(sums, 0),
        kl: B::float_cat(kls, 0),
        reference_log_sum_exp: B::float_cat(reference_sums, 0),
    }
}

/// Gradient of log-probabilities and divergences for logits, `[rows, vocab]` before the cap: of the former
/// `onehot − softmax`, and `d KL(p_ref ‖ p) / d logits = p − p_ref`, times the gradient that each row got and the slope of the cap.
pub(crate) fn gradient_of_logits<B: FusedPrimitives>(
    [policy, reference]: [FloatTensor<B>; 2],
    targets: IntTensor<B>,
    rows: RowGradients<B>,
    [softcap, reference_softcap]: [Option<f64>; 2],
) -> FloatTensor<B> {
    let RowGradients { log_sum_exp, reference_log_sum_exp, logp_grad, kl_grad } = rows;
    let [n, _] = dims2::<B>(&policy);
    let of_logps = B::logit_gradient(policy.clone(), targets, [log_sum_exp.clone(), logp_grad], softcap);
    let policy = capped::<B>(policy, softcap);
    let slope = softcap.map(|softcap| softcap::slope::<B>(policy.clone(), softcap));
    let p = B::float_exp(log_softmax::<B>(policy, log_sum_exp));
    let reference = capped::<B>(reference, reference_softcap);
    let p_ref = B::float_exp(log_softmax::<B>(reference, reference_log_sum_exp));
    let of_kl = B::float_mul(B::float_sub(p, p_ref), reshape::<B, 2>(kl_grad, [n, 1]));
    let of_kl = match slope {
        Some(slope) => B::float_mul(of_kl, slope),
        None => of_kl,
    };
    B::float_add(of_logps, of_kl)
}

/// A chunk's logits are made again and turned into their gradient.
pub(crate) fn backward<B: FusedPrimitives>(
    saved: KlSaved<B>,
    [logp_grad, kl_grad]: [FloatTensor<B>; 2],
    wanted: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let KlSaved { logps, reference, reference_log_sum_exp, reference_softcap } = saved;
    let LogpsSaved { hidden, head, targets, log_sum_exp, spec } = logps;
    let vocab = head.shape()[0];
    let mut gradients = OfLogits::<B>::wanted(wanted);
    for rows in chunks::<B>(&hidden, vocab) {
        let of_rows = |x: &FloatTensor<B>| B::float_slice(x.clone(), &[slice(rows.clone())]);
        let policy = logits::<B>(&hidden, &head, &rows, spec);
        let held_against =
            logits::<B>(&reference.hidden, &reference.head, &rows, LogitSpec { softcap: None, ..spec });
        let of_chunk = RowGradients {
            log_sum_exp: of_rows(&log_sum_exp),
            reference_log_sum_exp: of_rows(&reference_log_sum_exp),
            logp_grad: of_rows(&logp_grad),
            kl_grad: of_rows(&kl_grad),
        };
        let targets = targets_of::<B>(&targets, &rows);
        let softcaps = [spec.softcap, reference_softcap];
        let of_logits = B::logit_kl_gradient([policy, held_against], targets, of_chunk, softcaps);
        gradients.add(of_logits, of_rows(&hidden), &head, spec.precision);
    }
    gradients.into_gradients()
}
