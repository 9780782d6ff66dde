//! Launches of norms, of sums over rows and of updates.

use burn::backend::TensorMetadata;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use super::{
    VECTOR,
    row_kernels::{
        NumbersLaunch, ROWS, UNITS, adamw_kernel, head_products_kernel, rms_norm_input_gradient_kernel,
        rms_norm_kernel, rms_norm_weight_gradient_kernel, span_sums_kernel, sum_of_squares_kernel,
    },
    sums::sum_of_parts,
    tensors::{Rows, empty, numbers, own},
};
use crate::AdamWStep;

/// Numbers that a part of [`sum_of_squares`] goes through, and the most parts there are.
const NUMBERS_OF_A_PART: usize = 1 << 15;
const MOST_PARTS: usize = 512;

/// Sums that [`sum_of_squares`] gives for so many numbers.
pub(super) fn n_parts(n_numbers: usize) -> usize {
    n_numbers.div_ceil(NUMBERS_OF_A_PART).clamp(1, MOST_PARTS)
}

/// Cubes of a dimension that every device launches.
pub(super) const MOST_CUBES: usize = 65_535;

/// A cube for each row, at least: those beyond the last do as it does.
fn row_cubes(n_rows: usize) -> CubeCount {
    let across = n_rows.min(MOST_CUBES);
    CubeCount::Static(across as u32, n_rows.div_ceil(across.max(1)) as u32, 1)
}

fn units() -> CubeDim {
    CubeDim::new_1d(UNITS as u32)
}

/// Output, and `1/rms` of each row, `[n, 1]`.
pub(super) fn rms_norm(x: CubeTensor, weight: CubeTensor, epsilon: f64) -> (CubeTensor, CubeTensor) {
    let x = Rows::of(x);
    let [n_rows, width] = [x.tensor.shape()[0], x.tensor.shape()[1]];
    let vector = x.vector();
    let output = empty(&x.tensor, [n_rows, width]);
    let inv_rms = empty(&x.tensor, [n_rows, 1]);
    #[allow(unsafe_code)]
    // SAFETY: units read and write whole rows of the tensors' own widths; cubes beyond the last row have that one.
    unsafe {
        rms_norm_kernel::launch_unchecked(
            &output.client,
            row_cubes(n_rows),
            units(),
            vector,
            x.tensor.into_tensor_arg(),
            into_contiguous(weight).into_tensor_arg(),
            output.clone().into_tensor_arg(),
            inv_rms.clone().into_tensor_arg(),
            n_rows as u32,
            (x.pitch / vector) as u32,
            epsilon as f32,
            width / vector,
        );
    }
    (output, inv_rms)
}

/// Numbers that can be read at a time from both.
fn vector_of(x: &Rows, grad: &Rows) -> usize {
    x.vector().min(grad.vector())
}

pub(super) fn rms_norm_input_gradient(
    x: CubeTensor,
    weight: CubeTensor,
    inv_rms: CubeTensor,
    grad: CubeTensor,
) -> CubeTensor {
    let (x, grad) = (Rows::of(x), Rows::of(grad));
    let [n_rows, width] = [x.tensor.shape()[0], x.tensor.shape()[1]];
    let vector = vector_of(&x, &grad);
    let output = empty(&x.tensor, [n_rows, width]);
    #[allow(unsafe_code)]
    // SAFETY: as in `rms_norm`.
    unsafe {
        rms_norm_input_gradient_kernel::launch_unchecked(
            &output.client,
            row_cubes(n_rows),
            units(),
            vector,
            x.tensor.into_tensor_arg(),
            into_contiguous(weight).into_tensor_arg(),
            into_contiguous(inv_rms).into_tensor_arg(),
            grad.tensor.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            n_rows as u32,
            (x.pitch / vector) as u32,
            (grad.pitch / vector) as u32,
            width / vector,
        );
    }
    output
}

/// `[width]`.
pub(super) fn rms_norm_weight_gradient(x: CubeTensor, inv_rms: CubeTensor, grad: CubeTensor) -> CubeTensor {
    let (x, grad) = (Rows::of(x), Rows::of(grad));
    let [n_rows, width] = [x.tensor.shape()[0], x.tensor.shape()[1]];
    let vector = vector_of(&x, &grad);
    let n_parts = n_rows.div_ceil(ROWS);
    let parts = empty(&x.tensor, [n_parts * width]);
    #[allow(unsafe_code)]
    // SAFETY: units beyond the width do nothing, and rows end where the tensors' do.
    unsafe {
        rms_norm_weight_gradient_kernel::launch_unchecked(
            &parts.client,
            CubeCount::Static((width / vector).div_ceil(UNITS) as u32, n_parts as u32, 1),
            units(),
            vector,
            x.tensor.into_tensor_arg(),
            into_contiguous(inv_rms).into_tensor_arg(),
            grad.tensor.into_tensor_arg(),
            parts.clone().into_tensor_arg(),
            (x.pitch / vector) as u32,
            (grad.pitch / vector) as u32,
            n_rows as u32,
            width / vector,
        );
    }
    sum_of_parts(parts, [width], n_parts)
}

/// `Σ_d a·b` of each row and head, `[n, n_heads]`.
pub(super) fn head_products(a: CubeTensor, b: CubeTensor, n_heads: usize) -> CubeTensor {
    let [a, b] = [a, b].map(into_contiguous);
    let [n_rows, width] = [a.shape()[0], a.shape()[1]];
    let n_products = n_rows * n_heads;
    let output = empty(&a, [n_rows, n_heads]);
    let cube_dim = CubeDim::new(&output.client, n_products);
    #[allow(unsafe_code)]
    // SAFETY: a unit beyond the last row and head does nothing.
    unsafe {
        head_products_kernel::launch_unchecked(
            &output.client,
            calculate_cube_count_elemwise(&output.client, n_products, cube_dim),
            cube_dim,
            VECTOR,
            a.into_tensor_arg(),
            b.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            n_products as u32,
            width / n_heads / VECTOR,
        );
    }
    output
}

/// `[n_spans]`.
pub(super) fn sums_of_spans(x: CubeTensor, lengths: &[usize]) -> CubeTensor {
    let x = into_contiguous(x);
    let mut end = 0;
    let ends = lengths.iter().map(|&length| {
        end += length;
        end as u32
    });
    let ends = numbers(&x, &ends.collect::<Vec<_>>());
    let output = empty(&x, [lengths.len()]);
    #[allow(unsafe_code)]
    // SAFETY: the spans end where the tensor does, and a cube writes its own sum.
    unsafe {
        span_sums_kernel::launch_unchecked(
            &output.client,
            CubeCount::Static(lengths.len() as u32, 1, 1),
            units(),
            x.into_tensor_arg(),
            ends.into_tensor_arg(),
            output.clone().into_tensor_arg(),
        );
    }
    output
}

/// Vectors of a tensor, and numbers of each.
fn vectors(x: &CubeTensor) -> (usize, usize) {
    let n_numbers = x.shape().num_elements();
    let vector = if n_numbers.is_multiple_of(VECTOR) { VECTOR } else { 1 };
    (n_numbers / vector, vector)
}

/// Sums of squares whose sum is that of all numbers, [`n_parts`] of them.
pub(super) fn sum_of_squares(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let (n_vectors, vector) = vectors(&x);
    let n_parts = n_parts(n_vectors * vector);
    let parts = empty(&x, [n_parts]);
    #[allow(unsafe_code)]
    // SAFETY: units stop at the last vector; each cube writes its own part.
    unsafe {
        sum_of_squares_kernel::launch_unchecked(
            &parts.client,
            CubeCount::Static(n_parts as u32, 1, 1),
            units(),
            vector,
            x.into_tensor_arg(),
            parts.clone().into_tensor_arg(),
            n_vectors as u32,
            n_parts as u32,
        );
    }
    parts
}

/// As [`own`], a copy made to last, apart from tensors that come and go.
fn lasting(tensor: CubeTensor) -> CubeTensor {
    if tensor.is_contiguous() && tensor.can_mut() {
        return tensor;
    }
    let client = tensor.client.clone();
    client.memory_persistent_allocation(tensor, own)
}

/// Parameter, first and second moment after the step.
pub(super) fn adamw(
    param: CubeTensor,
    grad: CubeTensor,
    moments: [CubeTensor; 2],
    step: &AdamWStep,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let grad = into_contiguous(grad);
    let param = lasting(param);
    let [first, second] = moments.map(lasting);
    let (n_vectors, vector) = vectors(&param);
    let cube_dim = CubeDim::new(&param.client, n_vectors);
    let of_step = step.numbers();
    #[allow(unsafe_code)]
    // SAFETY: a unit beyond the last vector does nothing.
    unsafe {
        adamw_kernel::launch_unchecked(
            &param.client,
            calculate_cube_count_elemwise(&param.client, n_vectors, cube_dim),
            cube_dim,
            vector,
            param.clone().into_tensor_arg(),
            grad.into_tensor_arg(),
            first.clone().into_tensor_arg(),
            second.clone().into_tensor_arg(),
            n_vectors as u32,
            NumbersLaunch::new(
                step.grad_scale as f32,
                step.beta1 as f32,
                (1.0 - step.beta1) as f32,
                step.beta2 as f32,
                (1.0 - step.beta2) as f32,
                of_step.second_correction_root as f32,
                step.epsilon as f32,
                of_step.decay_factor as f32,
                of_step.step_size as f32,
            ),
        );
    }
    (param, first, second)
}
