//! Kernels for GPUs, one source for WebGPU and CUDA.
//!
//! Everything but these operations is the portable body, whose element-wise parts burn fuses. A kernel here takes f32;
//! tensors of other types go to the portable bodies.
//!
//! Matrix products are burn's, in the form it takes for best without trying others out: to try them, each compiled and
//! timed, took minutes before the first step on an H100.

mod attention;
mod attention_kernels;
mod blocks;
mod logit_kernels;
mod logits;
mod ops;
mod rotary;
#[cfg(test)]
mod tests;

use burn::{
    backend::{
        Backend, Cube, TensorMetadata,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::DType,
};

use crate::{
    AttentionSpec, FusedPrimitives, Precision,
    backend::Rotation,
    portable::{self, dims2, reshape, row_of, slice},
    saved::{AttentionSaved, LogpsOutput},
};
use ops::GpuOps;

/// Numbers of a vector load; widths of heads are multiples of it, or the portable body attends.
const VECTOR: usize = 4;

fn is_f32(x: &FloatTensor<Cube>) -> bool {
    x.dtype() == DType::F32
}

fn can_attend(query: &FloatTensor<Cube>, spec: &AttentionSpec) -> bool {
    is_f32(query) && spec.head_dim.is_multiple_of(VECTOR) && spec.layout.shared().is_empty()
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
    let stats = statistics::<B>(output, log_sum_exp, &grad, spec);
    let [n, width] = dims2::<B>(&key);
    let dquery = query_wanted.then(|| {
        B::query_gradient(
            query.clone(),
            key.clone(),
            value.clone(),
            grad.clone(),
            stats.clone(),
            spec.clone(),
        )
    });
    if !key_wanted && !value_wanted {
        return [dquery, None, None];
    }
    let both = B::key_and_value_gradients(query, key, value, grad, stats, spec.clone());
    let part = |idx: usize| {
        let part = B::float_slice(both.clone(), &[slice(idx..idx + 1), slice(0..n), slice(0..width)]);
        reshape::<B, 2>(part, [n, width])
    };
    [dquery, key_wanted.then(|| part(0)), value_wanted.then(|| part(1))]
}

/// Of each row and head the log-sum-exp, then `Σ_d g·out`: `[n, 2·n_heads]`.
fn statistics<B: Backend>(
    output: FloatTensor<B>,
    log_sum_exp: FloatTensor<B>,
    grad: &FloatTensor<B>,
    spec: &AttentionSpec,
) -> FloatTensor<B> {
    let [n, _] = dims2::<B>(&output);
    let products = B::float_mul(output, grad.clone());
    let products = reshape::<B, 3>(products, [n, spec.n_heads, spec.head_dim]);
    let dots = reshape::<B, 2>(B::float_sum_dim(products, 2), [n, spec.n_heads]);
    B::float_cat(vec![log_sum_exp, dots], 1)
}
