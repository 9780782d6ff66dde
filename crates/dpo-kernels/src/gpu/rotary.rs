//! Rotary position embedding in one pass.

use burn::backend::TensorMetadata;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use super::tensors::empty;

/// `sign` is 1, or −1 to turn back.
#[cube(launch)]
fn rotate_kernel(
    x: &Tensor<f32>,
    cos: &Tensor<f32>,
    sin: &Tensor<f32>,
    output: &mut Tensor<f32>,
    n_numbers: u32,
    width: u32,
    sign: f32,
    #[comptime] head_dim: usize,
    #[comptime] half: usize,
) {
    let at = ABSOLUTE_POS;
    if at < n_numbers as usize {
        // Rows are whole heads.
        let place = at % head_dim;
        let angles = at / width as usize * half;
        let mut turned = x[at];
        if place < half {
            turned = turned * cos[angles + place] - sign * x[at + half] * sin[angles + place];
        } else if place < comptime!(2 * half) {
            let angle = angles + place - half;
            turned = turned * cos[angle] + sign * x[at - half] * sin[angle];
        }
        output[at] = turned;
    }
}

/// `[n, n_heads · head_dim]` turned by angles `[n, half]`.
pub(super) fn rotate(inputs: [CubeTensor; 3], head_dim: usize, sign: f32) -> CubeTensor {
    let [x, cos, sin] = inputs.map(into_contiguous);
    let (n_numbers, width, half) = (x.shape().num_elements(), x.shape()[1], cos.shape()[1]);
    let output = empty(&x, [x.shape()[0], width]);
    let cube_dim = CubeDim::new(&x.client, n_numbers);
    let cube_count = calculate_cube_count_elemwise(&x.client, n_numbers, cube_dim);
    rotate_kernel::launch(
        &output.client,
        cube_count,
        cube_dim,
        x.into_tensor_arg(),
        cos.into_tensor_arg(),
        sin.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        n_numbers as u32,
        width as u32,
        sign,
        head_dim,
        half,
    );
    output
}
