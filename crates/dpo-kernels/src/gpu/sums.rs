//! Sums of what the units of a cube have, and of what cubes have left.

use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use super::tensors::empty;

/// The sum of what the units of a cube have, which each of them is given.
#[cube]
pub(super) fn sum_of_cube(own: f32, sums: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sums[unit] = own;
    sync_cube();
    let mut half = CUBE_DIM as usize / 2;
    while half > 0 {
        if unit < half {
            sums[unit] = sums[unit] + sums[unit + half];
        }
        sync_cube();
        half = half / 2;
    }
    sums[0]
}

/// The sum of a vector's numbers.
#[cube]
pub(super) fn sum_of_vector<N: Size>(vector: Vector<f32, N>) -> f32 {
    let mut sum = vector.extract(0usize);
    #[unroll]
    for number in 1..N::value() {
        sum += vector.extract(number);
    }
    sum
}

/// `output = Σ_z parts[z]`, of `n_numbers` each.
#[cube(launch_unchecked)]
fn add_parts_kernel(parts: &Tensor<f32>, output: &mut Tensor<f32>, n_numbers: u32, n_parts: u32) {
    let at = ABSOLUTE_POS;
    let n = n_numbers as usize;
    if at < n {
        let mut sum = 0.0f32;
        for part in 0..n_parts as usize {
            sum += parts[part * n + at];
        }
        output[at] = sum;
    }
}

/// `Σ_i parts[i]` of `n_parts`, each of `dims`.
pub(super) fn sum_of_parts<const D: usize>(
    parts: CubeTensor,
    dims: [usize; D],
    n_parts: usize,
) -> CubeTensor {
    let sum = empty(&parts, dims);
    let n_numbers = dims.iter().product();
    let cube_dim = CubeDim::new(&sum.client, n_numbers);
    #[allow(unsafe_code)]
    // SAFETY: a unit beyond the last number does nothing.
    unsafe {
        add_parts_kernel::launch_unchecked(
            &sum.client,
            calculate_cube_count_elemwise(&sum.client, n_numbers, cube_dim),
            cube_dim,
            parts.into_tensor_arg(),
            sum.clone().into_tensor_arg(),
            n_numbers as u32,
            n_parts as u32,
        );
    }
    sum
}
