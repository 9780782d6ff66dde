//! Kernels for GPUs, one source for WebGPU and CUDA.
//!
//! Everything but these operations is the portable body, whose element-wise parts burn fuses. A kernel here takes f32;
//! tensors of other types go to the portable bodies.
//!
//! Matrix products are our own where there are tensor cores for them, and else burn's, in the form it takes for best without trying others
//! out: to try them, each compiled and timed, took minutes before the first step on an H100.

// What a kernel is written in needs its indices and references, and to be in one piece.
#![allow(
    clippy::needless_range_loop,
    clippy::too_many_arguments,
    clippy::too_many_lines,
    clippy::assign_op_pattern,
    clippy::trivially_copy_pass_by_ref,
    clippy::duplicate_underscore_argument,
    clippy::used_underscore_binding,
    clippy::type_complexity
)]

mod attention;
mod attention_backward;
mod attention_forward;
mod attention_rows;
mod blocks;
mod caps;
mod logit_kernels;
mod logits;
mod ops;
mod product_kernels;
mod products;
mod ranges;
mod rotary;
mod row_kernels;
mod rows;
mod sums;
mod tensors;
#[cfg(test)]
mod tests;
mod tiles;

use burn::{
    backend::{
        Cube, TensorMetadata,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::DType,
};

use crate::{
    AdamWStep, AttentionSpec, FusedPrimitives, Precision,
    backend::Rotation,
    portable::{self, dims2, reshape, row_of, slice},
    saved::{AttentionSaved, LogpsOutput, RowGradients},
};
use ops::GpuOps;

/// Numbers of a vector load; widths of heads are multiples of it, or the portable body attends.
const VECTOR: usize = 4;

/// Logits that exist at a time on a device with room for them: 256 MiB.
const MOST_LOGITS: usize = 1 << 26;

fn is_f32(x: &FloatTensor<Cube>) -> bool {
    x.dtype() == DType::F32
}

fn can_attend(query: &FloatTensor<Cube>, spec: &AttentionSpec) -> bool {
    is_f32(query) && spec.head_dim.is_multiple_of(VECTOR)
}

impl FusedPrimitives for Cube {
    fn product(lhs: FloatTensor<Self>, rhs: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        if is_f32(&lhs) {
            return Self::matrix_product(lhs, rhs, precision);
        }
        portable::linear::product::<Self>(lhs, rhs, precision)
    }

    fn rotate(
        x: FloatTensor<Self>,
        [cos, sin]: [FloatTensor<Self>; 2],
        head_dim: usize,
        direction: Rotation,
    ) -> FloatTensor<Self> {
        if !is_f32(&x) {
            return portable::rotary::rotate::<Self>(x, [cos, sin], head_dim, direction);
        }
        let sign = match direction {
            Rotation::Forward => 1.0,
            Rotation::Backward => -1.0,
        };
        Self::turned(x, cos, sin, head_dim, sign)
    }

    fn spans_forward(x: FloatTensor<Self>, lengths: &[usize]) -> FloatTensor<Self> {
        if !is_f32(&x) || lengths.is_empty() {
            return portable::spans::forward::<Self>(x, lengths);
        }
        Self::sums_of_spans(x, lengths.to_vec())
    }

    fn rms_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !is_f32(&x) {
            return portable::norm::forward::<Self>(x, weight, epsilon);
        }
        Self::rms_norm_of(x, weight, epsilon)
    }

    fn rms_norm_backward(
        saved: [FloatTensor<Self>; 3],
        grad: FloatTensor<Self>,
        [x_wanted, weight_wanted]: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        if !is_f32(&grad) {
            return portable::norm::backward::<Self>(saved, grad, [x_wanted, weight_wanted]);
        }
        let [x, weight, inv_rms] = saved;
        let dweight =
            weight_wanted.then(|| Self::rms_norm_weight_gradient(x.clone(), inv_rms.clone(), grad.clone()));
        let dx = x_wanted.then(|| Self::rms_norm_input_gradient(x, weight, inv_rms, grad));
        [dx, dweight]
    }

    fn adamw_update(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        [first, second]: [FloatTensor<Self>; 2],
        step: &AdamWStep,
    ) -> [FloatTensor<Self>; 3] {
        if !is_f32(&param) {
            return portable::adamw::update::<Self>(param, grad, [first, second], step);
        }
        let (param, first, second) = Self::adamw_of(param, grad, first, second, *step);
        [param, first, second]
    }

    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if is_f32(&x) { Self::sums_of_squares(x) } else { portable::adamw::sum_of_squares::<Self>(x) }
    }

    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: &AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !can_attend(&query, spec) {
            return portable::attention::forward::<Self>(query, key, value, spec);
        }
        Self::attention(query, key, value, spec.clone())
    }

    fn attention_backward(
        saved: AttentionSaved<Self>,
        grad: FloatTensor<Self>,
        spec: &AttentionSpec,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3] {
        if !can_attend(&saved.query, spec) {
            return portable::attention::backward::<Self>(saved, grad, spec, wanted);
        }
        attention_gradients(saved, grad, spec, wanted)
    }

    fn rows_at_a_time(like: &FloatTensor<Self>, vocab: usize) -> usize {
        // Half of what the device gives at once, and as much as keeps it busy.
        let most = like.device().client().properties().memory.max_page_size / 8;
        let n_logits = (most as usize).clamp(portable::logps::CHUNK, MOST_LOGITS);
        (n_logits / vocab).clamp(1, rows::MOST_CUBES)
    }

    fn logit_rows(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        softcap: Option<f64>,
        has_squares: bool,
    ) -> LogpsOutput<Self> {
        if !is_f32(&logits) {
            return portable::logps::logit_rows::<Self>(logits, targets, softcap, has_squares);
        }
        let numbers = Self::row_numbers(logits, targets, softcap);
        let row = |idx| row_of::<Self>(&numbers, idx);
        LogpsOutput { logps: row(0), log_sum_exp: row(1), log_sum_squares: has_squares.then(|| row(2)) }
    }

    fn logit_divergences(
        [logits, reference]: [FloatTensor<Self>; 2],
        [log_sum_exp, reference_log_sum_exp]: [FloatTensor<Self>; 2],
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self> {
        if !is_f32(&logits) || !is_f32(&reference) {
            let log_sum_exps = [log_sum_exp, reference_log_sum_exp];
            return portable::divergence::of_logits::<Self>([logits, reference], log_sum_exps, softcaps);
        }
        Self::divergences(logits, reference, log_sum_exp, reference_log_sum_exp, softcaps)
    }

    fn logit_kl_gradient(
        [logits, reference]: [FloatTensor<Self>; 2],
        targets: IntTensor<Self>,
        rows: RowGradients<Self>,
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self> {
        if !is_f32(&logits) || !is_f32(&reference) {
            let logits = [logits, reference];
            return portable::divergence::gradient_of_logits::<Self>(logits, targets, rows, softcaps);
        }
        let RowGradients { log_sum_exp, reference_log_sum_exp, logp_grad, kl_grad } = rows;
        Self::kl_gradient_of_logits(
            logits,
            reference,
            targets,
            log_sum_exp,
            reference_log_sum_exp,
            logp_grad,
            kl_grad,
            softcaps,
        )
    }

    fn logit_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        [log_sum_exp, grad]: [FloatTensor<Self>; 2],
        softcap: Option<f64>,
    ) -> FloatTensor<Self> {
        if !is_f32(&logits) {
            return portable::logps::logit_gradient::<Self>(logits, targets, [log_sum_exp, grad], softcap);
        }
        Self::gradient_of_logits(logits, targets, log_sum_exp, grad, softcap)
    }
}

/// Gradients of attention: one pass over the blocks of queries, one over the blocks of keys.
fn attention_gradients<B: GpuOps>(
    saved: AttentionSaved<B>,
    grad: FloatTensor<B>,
    spec: &AttentionSpec,
    [query_wanted, key_wanted, value_wanted]: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let AttentionSaved { query, key, value, output, log_sum_exp } = saved;
    let shares = B::head_products(output, grad.clone(), spec.n_heads);
    let dquery = query_wanted.then(|| {
        let [query, key, value, grad] = [&query, &key, &value, &grad].map(Clone::clone);
        B::query_gradient(query, key, value, grad, log_sum_exp.clone(), shares.clone(), spec.clone())
    });
    if !key_wanted && !value_wanted {
        return [dquery, None, None];
    }
    let (dkey, dvalue) =
        B::key_and_value_gradients(query, key, value, grad, log_sum_exp, shares, spec.clone());
    let whole = |gradient| with_start::<B>(gradient, spec);
    [dquery, key_wanted.then(|| whole(dkey)), value_wanted.then(|| whole(dvalue))]
}

/// Adds what lies behind the rows of the batch to its start, see [`attention::rows_of_gradients`].
fn with_start<B: GpuOps>(gradient: FloatTensor<B>, spec: &AttentionSpec) -> FloatTensor<B> {
    let (n_shared, n) = (spec.layout.shared().len(), spec.layout.n_rows());
    let [n_out, width] = dims2::<B>(&gradient);
    if n_out == n {
        return gradient;
    }
    let rows = |rows| B::float_slice(gradient.clone(), &[slice(rows), slice(0..width)]);
    let more = reshape::<B, 3>(rows(n..n_out), [(n_out - n) / n_shared, n_shared, width]);
    let more = reshape::<B, 2>(B::float_sum_dim(more, 0), [n_shared, width]);
    let start = B::float_add(rows(0..n_shared), more);
    B::float_slice_assign(rows(0..n), &[slice(0..n_shared), slice(0..width)], start)
}
