//! Operations that are kernels of their own, laid into burn's stream of fused operations.

use burn::{
    backend::{
        Backend, backend_extension,
        fusion::custom::TensorSpec,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Shape},
};
use burn_cubecl::{
    CubeBackend,
    kernel::{
        cast,
        matmul::{MatmulStrategy, matmul},
    },
};

use super::{attention, logits, rotary};
use crate::{AttentionSpec, Precision};

/// `[n, n_heads]` beside `[n, n_heads · head_dim]`.
fn of_heads(query: &TensorSpec, spec: &AttentionSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([query.shape[0], spec.n_heads]), query.dtype)
}

/// Two of `key`, one above the other.
fn both(key: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([2, key.shape[0], key.shape[1]]), key.dtype)
}

fn three_a_row(logits: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([3, logits.shape[0]]), logits.dtype)
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

    /// Gradient for the queries; `stats` is `[n, 2·n_heads]`.
    #[fusion(meta = |query, _key, _value, _grad, _stats, _spec| query.clone())]
    fn query_gradient(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self>;

    /// Gradients for keys and values, `[2, n, n_kv_heads · head_dim]`.
    #[fusion(meta = |_query, key, _value, _grad, _stats, _spec| both(key))]
    fn key_and_value_gradients(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self>;

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
        stats: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        attention::query_gradient([query, key, value, grad, stats], &spec)
    }

    fn key_and_value_gradients(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        stats: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        attention::key_and_value_gradients([query, key, value, grad, stats], &spec)
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

    fn matrix_product(
        lhs: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [lhs, rhs] = match precision {
            Precision::F32 => [lhs, rhs],
            Precision::Bf16 => [lhs, rhs].map(|operand| cast(operand, DType::BF16)),
        };
        let product = |strategy| matmul(lhs.clone(), rhs.clone(), None, strategy, DType::F32);
        product(MatmulStrategy::Cube)
            .or_else(|_| product(MatmulStrategy::Autotune))
            .unwrap_or_else(|error| panic!("a product of matrices: {error:?}"))
    }
}
