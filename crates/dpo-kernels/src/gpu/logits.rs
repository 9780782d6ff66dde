//! Launches of the kernels on rows of logits.

use burn::{backend::TensorMetadata, tensor::DType};
use burn_cubecl::{
    kernel::{cast, into_contiguous},
    tensor::CubeTensor,
};
use cubecl::prelude::*;

use super::{
    logit_kernels::{
        UNITS, WORDS, divergence_kernel, gradient_kernel, kl_gradient_kernel, row_numbers_kernel,
    },
    tensors::{empty, own},
};

/// `[3, rows]`, see [`GpuOps::row_numbers`](super::ops::GpuOps::row_numbers).
pub(super) fn row_numbers(logits: CubeTensor, targets: CubeTensor, softcap: Option<f64>) -> CubeTensor {
    let logits = into_contiguous(logits);
    let targets = into_contiguous(cast(targets, DType::I32));
    let (n_rows, vocab) = (logits.shape()[0], logits.shape()[1]);
    let output = empty(&logits, [3, n_rows]);
    row_numbers_kernel::launch(
        &output.client,
        CubeCount::Static(n_rows as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        logits.into_tensor_arg(),
        targets.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        vocab as u32,
        n_rows as u32,
        softcap.unwrap_or(1.0) as f32,
        softcap.is_some(),
    );
    output
}

/// `[rows]`, see [`GpuOps::divergences`](super::ops::GpuOps::divergences).
pub(super) fn divergences(
    logits: [CubeTensor; 2],
    log_sum_exps: [CubeTensor; 2],
    softcaps: [Option<f64>; 2],
) -> CubeTensor {
    let [logits, reference] = logits.map(into_contiguous);
    let [log_sum_exp, reference_log_sum_exp] = log_sum_exps.map(into_contiguous);
    let (n_rows, vocab) = (logits.shape()[0], logits.shape()[1]);
    let output = empty(&logits, [n_rows]);
    divergence_kernel::launch(
        &output.client,
        CubeCount::Static(n_rows as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        logits.into_tensor_arg(),
        reference.into_tensor_arg(),
        log_sum_exp.into_tensor_arg(),
        reference_log_sum_exp.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        vocab as u32,
        softcaps[0].unwrap_or(1.0) as f32,
        softcaps[1].unwrap_or(1.0) as f32,
        softcaps[0].is_some(),
        softcaps[1].is_some(),
    );
    output
}

/// `[rows, vocab]`, see [`GpuOps::gradient_of_logits`](super::ops::GpuOps::gradient_of_logits).
pub(super) fn gradient(
    logits: CubeTensor,
    targets: CubeTensor,
    row_numbers: [CubeTensor; 2],
    softcap: Option<f64>,
) -> CubeTensor {
    let logits = own(logits);
    let targets = into_contiguous(cast(targets, DType::I32));
    let [log_sum_exp, grad] = row_numbers.map(into_contiguous);
    let (n_rows, vocab) = (logits.shape()[0], logits.shape()[1]);
    gradient_kernel::launch(
        &logits.client,
        CubeCount::Static(vocab.div_ceil(UNITS * WORDS) as u32, n_rows as u32, 1),
        CubeDim::new_1d(UNITS as u32),
        logits.clone().into_tensor_arg(),
        targets.into_tensor_arg(),
        log_sum_exp.into_tensor_arg(),
        grad.into_tensor_arg(),
        vocab as u32,
        softcap.unwrap_or(1.0) as f32,
        softcap.is_some(),
    );
    logits
}

/// `[rows, vocab]`, see [`GpuOps::kl_gradient_of_logits`](super::ops::GpuOps::kl_gradient_of_logits); `of_rows` are both log-sum-exps and both
/// gradients.
pub(super) fn kl_gradient(
    [logits, reference]: [CubeTensor; 2],
    targets: CubeTensor,
    of_rows: [CubeTensor; 4],
    softcaps: [Option<f64>; 2],
) -> CubeTensor {
    let (logits, reference) = (own(logits), into_contiguous(reference));
    let targets = into_contiguous(cast(targets, DType::I32));
    let [log_sum_exp, reference_log_sum_exp, logp_grad, kl_grad] = of_rows.map(into_contiguous);
    let (n_rows, vocab) = (logits.shape()[0], logits.shape()[1]);
    kl_gradient_kernel::launch(
        &logits.client,
        CubeCount::Static(vocab.div_ceil(UNITS * WORDS) as u32, n_rows as u32, 1),
        CubeDim::new_1d(UNITS as u32),
        logits.clone().into_tensor_arg(),
        reference.into_tensor_arg(),
        targets.into_tensor_arg(),
        log_sum_exp.into_tensor_arg(),
        reference_log_sum_exp.into_tensor_arg(),
        logp_grad.into_tensor_arg(),
        kl_grad.into_tensor_arg(),
        vocab as u32,
        softcaps[0].unwrap_or(1.0) as f32,
        softcaps[1].unwrap_or(1.0) as f32,
        softcaps[0].is_some(),
        softcaps[1].is_some(),
    );
    logits
}
