//! Operations that are kernels of their own, laid into burn's stream of fused operations.

use burn::{
    backend::{
        Backend, backend_extension,
        fusion::custom::TensorSpec,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Shape},
};
use burn_cubecl::CubeBackend;

use super::{attention, logits, products, rotary, rows};
use crate::{AdamWStep, AttentionSpec, Precision};

/// `[n, n_heads]` beside `[n, n_heads · head_dim]`.
fn of_heads(query: &TensorSpec, spec: &AttentionSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([query.shape[0], spec.n_heads]), query.dtype)
}

/// As `key`, with what later parts add to the start of the batch.
fn with_parts(key: &TensorSpec, spec: &AttentionSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([attention::rows_of_gradients(&spec.layout), key.shape[1]]), key.dtype)
}

fn three_a_row(logits: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([3, logits.shape[0]]), logits.dtype)
}

fn one_a_row(x: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([x.shape[0], 1]), x.dtype)
}

fn of_product(lhs: &TensorSpec, rhs: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([lhs.shape[0], rhs.shape[1]]), DType::F32)
}

/// All tensors are f32; the shapes are those of `tree_attention` and of a chunk of logits.
#[backend_extension(Cube, Fusion)]
pub(super) trait GpuOps: Backend {
    /// Output and log-sum-exp, `[n, n_heads]`.
    #[fusion(meta = |query, _key, _value, spec| (query.clone(), of_heads(query, spec)))]
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient for the queries; `log_sums` and `shares` are `[n, n_heads]`.
    #[fusion(meta = |query, _key, _value, _grad, _log_sums, _shares, _spec| query.clone())]
    fn query_gradient(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        shares: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self>;

    /// Gradients for keys and values, of as many rows as [`attention::rows_of_gradients`].
    #[fusion(meta = |_query, key, value, _grad, _log_sums, _shares, spec| (with_parts(key, spec), with_parts(value, spec)))]
    fn key_and_value_gradients(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        shares: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Heads turned by angles of which `cos` and `sin`, `[n, half]`, are given; `sign` is 1, or −1 to turn back.
    #[fusion(meta = |x, _cos, _sin, _head_dim, _sign| x.clone())]
    fn turned(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        head_dim: usize,
        sign: f32,
    ) -> FloatTensor<Self>;

    /// Log-probability of the target, log-sum-exp and `ln Σ p²` of each row: `[3, rows]`.
    #[fusion(meta = |logits, _targets, _softcap| three_a_row(logits))]
    fn row_numbers(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        softcap: Option<f64>,
    ) -> FloatTensor<Self>;

    /// `KL(p_ref ‖ p)` of each row of logits and the reference's.
    #[fusion(meta = |_logits, _reference, log_sum_exp, _reference_log_sum_exp, _softcaps| log_sum_exp.clone())]
    fn divergences(
        logits: FloatTensor<Self>,
        reference: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        reference_log_sum_exp: FloatTensor<Self>,
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self>;

    /// `grad·(onehot − softmax)`, times the slope of the cap: `[rows, vocab]`, where the logits were.
    #[fusion(meta = |logits, _targets, _log_sum_exp, _grad, _softcap| logits.clone())]
    fn gradient_of_logits(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        softcap: Option<f64>,
    ) -> FloatTensor<Self>;

    /// `g·(onehot − p) + h·(p − p_ref)`, times the slope of the cap: `[rows, vocab]`, where the logits were.
    #[fusion(meta = |logits, _reference, _targets, _sums, _reference_sums, _logp_grad, _kl_grad, _softcaps| logits.clone())]
    #[allow(clippy::too_many_arguments)] // The stream of fused operations takes no tensors in arrays.
    fn kl_gradient_of_logits(
        logits: FloatTensor<Self>,
        reference: FloatTensor<Self>,
        targets: IntTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        reference_log_sum_exp: FloatTensor<Self>,
        logp_grad: FloatTensor<Self>,
        kl_grad: FloatTensor<Self>,
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self>;

    /// Sums over spans, `[n_spans]`.
    #[fusion(meta = |x, lengths| TensorSpec::new(Shape::new([lengths.len()]), x.dtype))]
    fn sums_of_spans(x: FloatTensor<Self>, lengths: Vec<usize>) -> FloatTensor<Self>;

    /// Output, and `1/rms` of each row, `[n, 1]`.
    #[fusion(meta = |x, _weight, _epsilon| (x.clone(), one_a_row(x)))]
    fn rms_norm_of(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Gradient of the norm for its input.
    #[fusion(meta = |x, _weight, _inv_rms, _grad| x.clone())]
    fn rms_norm_input_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        inv_rms: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradient of the norm for its weight, `[width]`.
    #[fusion(meta = |x, _inv_rms, _grad| TensorSpec::new(Shape::new([x.shape[1]]), x.dtype))]
    fn rms_norm_weight_gradient(
        x: FloatTensor<Self>,
        inv_rms: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `Σ_d a·b` of each row and head, `[n, n_heads]`.
    #[fusion(meta = |a, _b, n_heads| TensorSpec::new(Shape::new([a.shape[0], *n_heads]), a.dtype))]
    fn head_products(a: FloatTensor<Self>, b: FloatTensor<Self>, n_heads: usize) -> FloatTensor<Self>;

    /// Some sums of squares whose sum is that of all numbers.
    #[fusion(meta = |x| TensorSpec::new(Shape::new([rows::n_parts(x.shape.num_elements())]), x.dtype))]
    fn sums_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Parameter, first and second moment after the step.
    #[fusion(meta = |param, _grad, first, second, _step| (param.clone(), first.clone(), second.clone()))]
    fn adamw_of(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `lhs · rhs` of operands in `precision`, added up and given in f32.
    #[fusion(meta = |lhs, rhs, _precision| of_product(lhs, rhs))]
    fn matrix_product(
        lhs: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;
}

impl GpuOps for CubeBackend {
    fn attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::forward([query, key, value], &spec)
    }

    fn query_gradient(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        shares: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        attention::query_gradient([query, key, value, grad, log_sums, shares], &spec)
    }

    fn key_and_value_gradients(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        shares: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::key_and_value_gradients([query, key, value, grad, log_sums, shares], &spec)
    }

    fn turned(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        head_dim: usize,
        sign: f32,
    ) -> FloatTensor<Self> {
        rotary::rotate([x, cos, sin], head_dim, sign)
    }

    fn row_numbers(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        softcap: Option<f64>,
    ) -> FloatTensor<Self> {
        logits::row_numbers(logits, targets, softcap)
    }

    fn divergences(
        logits: FloatTensor<Self>,
        reference: FloatTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        reference_log_sum_exp: FloatTensor<Self>,
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self> {
        logits::divergences([logits, reference], [log_sum_exp, reference_log_sum_exp], softcaps)
    }

    fn gradient_of_logits(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        softcap: Option<f64>,
    ) -> FloatTensor<Self> {
        logits::gradient(logits, targets, [log_sum_exp, grad], softcap)
    }

    fn kl_gradient_of_logits(
        logits: FloatTensor<Self>,
        reference: FloatTensor<Self>,
        targets: IntTensor<Self>,
        log_sum_exp: FloatTensor<Self>,
        reference_log_sum_exp: FloatTensor<Self>,
        logp_grad: FloatTensor<Self>,
        kl_grad: FloatTensor<Self>,
        softcaps: [Option<f64>; 2],
    ) -> FloatTensor<Self> {
        let of_rows = [log_sum_exp, reference_log_sum_exp, logp_grad, kl_grad];
        logits::kl_gradient([logits, reference], targets, of_rows, softcaps)
    }

    fn sums_of_spans(x: FloatTensor<Self>, lengths: Vec<usize>) -> FloatTensor<Self> {
        rows::sums_of_spans(x, &lengths)
    }

    fn rms_norm_of(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        rows::rms_norm(x, weight, epsilon)
    }

    fn rms_norm_input_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        inv_rms: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        rows::rms_norm_input_gradient(x, weight, inv_rms, grad)
    }

    fn rms_norm_weight_gradient(
        x: FloatTensor<Self>,
        inv_rms: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        rows::rms_norm_weight_gradient(x, inv_rms, grad)
    }

    fn head_products(a: FloatTensor<Self>, b: FloatTensor<Self>, n_heads: usize) -> FloatTensor<Self> {
        rows::head_products(a, b, n_heads)
    }

    fn sums_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        rows::sum_of_squares(x)
    }

    fn adamw_of(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        rows::adamw(param, grad, [first, second], &step)
    }

    fn matrix_product(
        lhs: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        products::product(lhs, rhs, precision)
    }
}
