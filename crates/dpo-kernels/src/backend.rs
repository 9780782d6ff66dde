//! What a backend has to offer: forward and backward of each fused operation, portable unless it knows better.

use burn::backend::{
    Backend, Dispatch, backend_extension,
    tensor::{FloatTensor, IntTensor},
};

use crate::{AdamWStep, AttentionSpec, portable};

/// Forward and backward halves on a plain backend. The defaults run anywhere.
///
/// Shapes are those of the public functions of the same name; `grad` has the shape of the output.
pub trait FusedPrimitives: Backend {
    /// `x · Wᵀ`.
    fn linear_forward(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::linear::forward::<Self>(x, weight)
    }

    /// Gradients of `linear` for its input and its weight, where wanted.
    fn linear_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::linear::backward::<Self>(x, weight, grad, wanted)
    }

    /// Output and `1/rms` of each row, `[n, 1]`.
    fn rms_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::norm::forward::<Self>(x, weight, epsilon)
    }

    /// Gradients of `rms_norm` for its input and its weight.
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        inv_rms: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::norm::backward::<Self>(x, weight, inv_rms, grad)
    }

    /// Rotation by the given angles; `inverse` turns the other way, which is also the backward.
    fn rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        direction: Rotation,
    ) -> FloatTensor<Self> {
        portable::rotary::rotate::<Self>(x, cos, sin, direction)
    }

    /// `silu(gate) · up`.
    fn swiglu_forward(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::swiglu::forward::<Self>(gate, up)
    }

    /// Gradients of `swiglu` for `gate` and `up`.
    fn swiglu_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::swiglu::backward::<Self>(gate, up, grad)
    }

    /// Output and the log-sum-exp of each row and head, `[n, n_heads]`.
    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: &AttentionSpec,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::attention::forward::<Self>(query, key, value, spec)
    }

    /// Gradients of `tree_attention` for query, key and value.
    fn attention_backward(
        saved: AttentionSaved<Self>,
        grad: FloatTensor<Self>,
        spec: &AttentionSpec,
    ) -> [FloatTensor<Self>; 3] {
        portable::attention::backward::<Self>(saved, grad, spec)
    }

    /// Log-probabilities `[n]` and the log-sum-exp of each row's logits, `[n]`.
    fn logps_forward(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::logps::forward::<Self>(hidden, head, targets)
    }

    /// Gradients of `completion_logps` for `hidden` and `head`, where wanted.
    fn logps_backward(
        saved: LogpsSaved<Self>,
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        portable::logps::backward::<Self>(saved, grad, wanted)
    }

    /// One AdamW update: parameter, first and second moment.
    fn adamw_update(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        moments: [FloatTensor<Self>; 2],
        step: &AdamWStep,
    ) -> [FloatTensor<Self>; 3] {
        portable::adamw::update::<Self>(param, grad, moments, step)
    }

    /// Sum of squares, `[1]`, in an order that does not depend on the number of threads.
    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::adamw::sum_of_squares::<Self>(x)
    }
}

/// Which way [`FusedPrimitives::rotate`] turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// By the position's angle.
    Forward,
    /// Back again: the transpose of the rotation.
    Backward,
}

/// What `tree_attention` keeps for its backward.
#[derive(Debug, Clone)]
pub struct AttentionSaved<B: Backend> {
    pub(crate) query: FloatTensor<B>,
    pub(crate) key: FloatTensor<B>,
    pub(crate) value: FloatTensor<B>,
    pub(crate) output: FloatTensor<B>,
    pub(crate) log_sum_exp: FloatTensor<B>,
}

/// What `completion_logps` keeps for its backward.
#[derive(Debug, Clone)]
pub struct LogpsSaved<B: Backend> {
    pub(crate) hidden: FloatTensor<B>,
    pub(crate) head: FloatTensor<B>,
    pub(crate) targets: IntTensor<B>,
    pub(crate) log_sum_exp: FloatTensor<B>,
}

// The run-time dispatcher only routes `FusedOps`; these bodies are never reached through it.
impl FusedPrimitives for Dispatch {}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl FusedPrimitives for burn::backend::Cube {}
#[cfg(any(feature = "wgpu", feature = "cuda"))]
impl FusedOps for burn::backend::Cube {}
#[cfg(feature = "cpu")]
impl FusedOps for burn::backend::Flex {}

/// The fused operations, routed at run time to the backend a tensor lives on; see the functions of the same names.
#[backend_extension(Autodiff, Flex: cfg(feature = "cpu"), Cube: cfg(any(feature = "wgpu", feature = "cuda")))]
pub trait FusedOps: FusedPrimitives {
    /// See [`crate::linear`].
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::linear_forward(x, weight)
    }

    /// See [`crate::rms_norm`].
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        Self::rms_norm_forward(x, weight, epsilon).0
    }

    /// See [`crate::rotary`].
    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::rotate(x, cos, sin, Rotation::Forward)
    }

    /// See [`crate::swiglu`].
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::swiglu_forward(gate, up)
    }

    /// See [`crate::tree_attention`].
    fn tree_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        spec: AttentionSpec,
    ) -> FloatTensor<Self> {
        Self::attention_forward(query, key, value, &spec).0
    }

    /// See [`crate::completion_logps`].
    fn completion_logps(
        hidden: FloatTensor<Self>,
        head: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::logps_forward(hidden, head, targets).0
    }

    /// See [`crate::adamw`].
    fn adamw(
        param: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [param, first, second] = Self::adamw_update(param, grad, [first, second], &step);
        (param, first, second)
    }

    /// See [`crate::squared_norm`].
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::sum_of_squares(x)
    }
}
