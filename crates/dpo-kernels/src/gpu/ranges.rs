//! Operands in the range of half precision: times a power of two that brings the largest of them to 2¹⁴.
//!
//! Gradients lie far below the least number that half precision has, and some activations above the largest. So each operand has a
//! power of its own, and the product is divided by both: exact, with no steps that overflow and are left out.

use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use super::{
    row_kernels::UNITS,
    rows::n_parts,
    tensors::{Rows, empty, lies_by_columns},
};

/// Where the exponent of an f32 begins, what is added to it, and the exponent of the largest number of a scaled operand.
const MANTISSA_DIGITS: u32 = 23;
const BIAS: u32 = 127;
const LARGEST: u32 = 14;
/// The largest exponent of a power whose inverse has all its digits too.
const MOST: u32 = 253;

/// The largest of what the units of a cube have, which each of them is given.
#[cube]
fn largest_of_cube(own: f32, sizes: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sizes[unit] = own;
    sync_cube();
    let mut half = CUBE_DIM as usize / 2;
    while half > 0 {
        if unit < half && sizes[unit + half] > sizes[unit] {
            sizes[unit] = sizes[unit + half];
        }
        sync_cube();
        half = half / 2;
    }
    sizes[0]
}

/// A part a cube: the largest size of the numbers that are its turn, of rows of `width` numbers that begin `pitch` apart.
#[cube(launch_unchecked)]
fn largest_kernel(
    x: &Tensor<f32>,
    parts: &mut Tensor<f32>,
    width: u32,
    pitch: u32,
    n_numbers: u32,
    n_parts: u32,
) {
    let mut largest = 0.0f32;
    let mut idx = CUBE_POS_X as usize * comptime!(UNITS) + UNIT_POS as usize;
    while idx < n_numbers as usize {
        let size = x[idx / width as usize * pitch as usize + idx % width as usize].abs();
        if size > largest {
            largest = size;
        }
        idx += n_parts as usize * comptime!(UNITS);
    }
    let mut sizes = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let largest = largest_of_cube(largest, &mut sizes);
    if UNIT_POS == 0 {
        parts[CUBE_POS_X as usize] = largest;
    }
}

/// One cube: the power of two that brings the largest of `parts` to 2¹⁴, and its inverse.
#[cube(launch_unchecked)]
fn powers_kernel(parts: &Tensor<f32>, powers: &mut Tensor<f32>, n_parts: u32) {
    let mut largest = 0.0f32;
    let mut idx = UNIT_POS as usize;
    while idx < n_parts as usize {
        if parts[idx] > largest {
            largest = parts[idx];
        }
        idx += comptime!(UNITS);
    }
    let mut sizes = Shared::<[f32]>::new_slice(comptime!(UNITS));
    let largest = largest_of_cube(largest, &mut sizes);
    if UNIT_POS == 0 {
        let exponent = u32::reinterpret(largest) >> comptime!(MANTISSA_DIGITS);
        let mut power = comptime!(2 * BIAS + LARGEST) - exponent;
        if power > comptime!(MOST) {
            power = comptime!(MOST).runtime();
        }
        powers[0] = f32::reinterpret(power << comptime!(MANTISSA_DIGITS));
        powers[1] = f32::reinterpret((comptime!(2 * BIAS) - power) << comptime!(MANTISSA_DIGITS));
    }
}

/// `output = x · powers[0]`, the rows side by side.
#[cube(launch_unchecked)]
fn scale_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    powers: &Tensor<f32>,
    output: &mut Tensor<Vector<f32, N>>,
    vectors: u32,
    pitch: u32,
    n_vectors: u32,
) {
    let at = ABSOLUTE_POS;
    if at < n_vectors as usize {
        let vector = x[at / vectors as usize * pitch as usize + at % vectors as usize];
        output[at] = vector * Vector::<f32, N>::new(powers[0]);
    }
}

/// `x` by both powers, where its numbers are.
#[cube(launch_unchecked)]
fn unscale_kernel<N: Size>(
    x: &mut Tensor<Vector<f32, N>>,
    lhs: &Tensor<f32>,
    rhs: &Tensor<f32>,
    vectors: u32,
    pitch: u32,
    n_vectors: u32,
) {
    let at = ABSOLUTE_POS;
    if at < n_vectors as usize {
        let place = at / vectors as usize * pitch as usize + at % vectors as usize;
        // One after the other: their product may be beyond what f32 has.
        x[place] = x[place] * Vector::<f32, N>::new(lhs[1]) * Vector::<f32, N>::new(rhs[1]);
    }
}

/// The power of two of an operand and its inverse, `[2]`.
fn powers(x: &Rows) -> CubeTensor {
    let [n_rows, width] = x.dims();
    let n_parts = n_parts(n_rows * width);
    let (parts, powers) = (empty(&x.tensor, [n_parts]), empty(&x.tensor, [2]));
    let units = CubeDim::new_1d(UNITS as u32);
    #[allow(unsafe_code)]
    // SAFETY: units stop at the last number; each cube writes its own part, and the one cube of the second its two numbers.
    unsafe {
        largest_kernel::launch_unchecked(
            &parts.client,
            CubeCount::Static(n_parts as u32, 1, 1),
            units,
            x.tensor.clone().into_tensor_arg(),
            parts.clone().into_tensor_arg(),
            width as u32,
            x.pitch as u32,
            (n_rows * width) as u32,
            n_parts as u32,
        );
        powers_kernel::launch_unchecked(
            &powers.client,
            CubeCount::Static(1, 1, 1),
            units,
            parts.clone().into_tensor_arg(),
            powers.clone().into_tensor_arg(),
            n_parts as u32,
        );
    }
    powers
}

/// An operand in the range of half precision, still in f32, and what [`unscaled`] divides by.
pub(super) fn scaled(mut operand: CubeTensor) -> (CubeTensor, CubeTensor) {
    let is_transposed = lies_by_columns(&operand);
    if is_transposed {
        operand.meta.swap(0, 1);
    }
    let x = Rows::of(operand);
    let powers = powers(&x);
    let [n_rows, width] = x.dims();
    let mut output = empty(&x.tensor, [n_rows, width]);
    let vector = x.vector();
    let n_vectors = n_rows * width / vector;
    let cube_dim = CubeDim::new(&output.client, n_vectors);
    #[allow(unsafe_code)]
    // SAFETY: a unit beyond the last vector does nothing.
    unsafe {
        scale_kernel::launch_unchecked(
            &output.client,
            calculate_cube_count_elemwise(&output.client, n_vectors, cube_dim),
            cube_dim,
            vector,
            x.tensor.into_tensor_arg(),
            powers.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            (width / vector) as u32,
            (x.pitch / vector) as u32,
            n_vectors as u32,
        );
    }
    if is_transposed {
        output.meta.swap(0, 1);
    }
    (output, powers)
}

/// The product of operands, of that of what [`scaled`] made of them.
pub(super) fn unscaled(product: CubeTensor, [lhs, rhs]: [CubeTensor; 2]) -> CubeTensor {
    let x = Rows::of(product);
    let [n_rows, width] = x.dims();
    let vector = x.vector();
    let n_vectors = n_rows * width / vector;
    let cube_dim = CubeDim::new(&x.tensor.client, n_vectors);
    #[allow(unsafe_code)]
    // SAFETY: a unit beyond the last vector does nothing; no one else has the product yet.
    unsafe {
        unscale_kernel::launch_unchecked(
            &x.tensor.client,
            calculate_cube_count_elemwise(&x.tensor.client, n_vectors, cube_dim),
            cube_dim,
            vector,
            x.tensor.clone().into_tensor_arg(),
            lhs.into_tensor_arg(),
            rhs.into_tensor_arg(),
            (width / vector) as u32,
            (x.pitch / vector) as u32,
            n_vectors as u32,
        );
    }
    x.tensor
}
