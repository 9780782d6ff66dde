//! Launches of products: our own on tensor cores, burn's elsewhere.

use burn::{
    backend::TensorMetadata,
    tensor::{DType, bf16, f16},
};
use burn_cubecl::{
    CubeDevice,
    kernel::{
        cast, into_contiguous,
        matmul::{MatmulStrategy, matmul},
    },
    tensor::CubeTensor,
};
use cubecl::{client::Client, features::MmaConfig, prelude::*, zspace::metadata::Metadata};

use super::{
    VECTOR,
    product_kernels::{Form, TILE, UNITS, product_kernel},
    ranges::{scaled, unscaled},
    sums::sum_of_parts,
    tensors::{Rows, empty, lies_by_columns},
};
use crate::Precision;

/// Tiles of depth that a part has at least.
const LEAST_TILES: usize = 8;

/// Cubes of burn's product that a large GPU computes at a time, and about how many rows and columns of the results one has.
const MANY_CUBES: usize = 256;
const RESULTS_OF_A_CUBE: usize = 64;
/// Depth that a part of burn's product has at least, and of what it is a multiple: parts of f16 then begin where buffers may.
const LEAST_DEPTH: usize = 512;
const STEP_OF_DEPTH: usize = 128;

/// An operand as it lies in memory.
struct Operand {
    tensor: CubeTensor,
    /// Whether its rows are numbers side by side; else its columns are.
    is_row_major: bool,
    /// Numbers from a row (or column) to the next.
    pitch: usize,
}

impl Operand {
    /// `tensor` as it lies, or a copy if neither its rows nor its columns are numbers side by side.
    fn of(tensor: CubeTensor) -> Self {
        let (height, pitch) = (tensor.shape()[0], tensor.meta.strides()[1]);
        if tensor.meta.strides()[0] == 1 && pitch >= height && pitch > 1 {
            return Self { tensor, is_row_major: false, pitch };
        }
        let Rows { tensor, pitch } = Rows::of(tensor);
        Self { tensor, is_row_major: true, pitch }
    }

    /// Whether its numbers can be read [`VECTOR`] at a time.
    fn has_vectors(&self) -> bool {
        let run = self.tensor.shape()[usize::from(self.is_row_major)];
        run.is_multiple_of(VECTOR) && self.pitch.is_multiple_of(VECTOR)
    }
}

/// `lhs · rhs` of f32 matrices, their numbers rounded to `precision`, or to TF32 where tensor cores multiply f32.
pub(super) fn product(lhs: CubeTensor, rhs: CubeTensor, precision: Precision) -> CubeTensor {
    let [m, k, n] = [lhs.shape()[0], lhs.shape()[1], rhs.shape()[1]];
    if m * k * n == 0 {
        return product_of_burn(lhs, rhs, Precision::F32);
    }
    if precision != Precision::F16 {
        return of_ranged(lhs, rhs, precision);
    }
    let [(lhs, lhs_powers), (rhs, rhs_powers)] = [lhs, rhs].map(scaled);
    unscaled(of_ranged(lhs, rhs, precision), [lhs_powers, rhs_powers])
}

/// Of operands in the range of `precision`.
fn of_ranged(lhs: CubeTensor, rhs: CubeTensor, precision: Precision) -> CubeTensor {
    if !has_tensor_cores(&lhs, precision) {
        return product_of_burn(lhs, rhs, precision);
    }
    let (lhs, rhs) = (Operand::of(lhs), Operand::of(rhs));
    if !lhs.has_vectors() || !rhs.has_vectors() {
        return product_of_burn(lhs.tensor, rhs.tensor, precision);
    }
    on_tensor_cores(lhs, rhs, precision)
}

fn product_of_burn(lhs: CubeTensor, rhs: CubeTensor, precision: Precision) -> CubeTensor {
    // Rows (or columns) that lie further apart than they are long are read beyond their ends where vectors do not divide them.
    let [lhs, rhs] = [lhs, rhs].map(|operand| {
        let side_by_side = usize::from(operand.meta.strides()[1] == 1);
        let is_divided = operand.shape()[side_by_side].is_multiple_of(VECTOR);
        if is_divided { operand } else { into_contiguous(operand) }
    });
    let [lhs, rhs] = match precision {
        Precision::F32 => [lhs, rhs],
        Precision::Bf16 => [lhs, rhs].map(|operand| cast_as_it_lies(operand, DType::BF16)),
        Precision::F16 => [lhs, rhs].map(|operand| cast_as_it_lies(operand, DType::F16)),
    };
    match depth_of_part(&lhs, &rhs) {
        Some(depth) => in_parts(&lhs, &rhs, depth),
        None => burns(lhs, rhs, None),
    }
}

/// Burn's product, into what is given.
fn burns(lhs: CubeTensor, rhs: CubeTensor, output: Option<CubeTensor>) -> CubeTensor {
    matmul(lhs, rhs, output, MatmulStrategy::Cube, DType::F32)
        .unwrap_or_else(|error| panic!("a product of matrices: {error:?}"))
}

/// An operand in other numbers, by columns if it lies so.
fn cast_as_it_lies(mut operand: CubeTensor, dtype: DType) -> CubeTensor {
    if !lies_by_columns(&operand) {
        return cast(operand, dtype);
    }
    operand.meta.swap(0, 1);
    let mut rounded = cast(operand, dtype);
    rounded.meta.swap(0, 1);
    rounded
}

/// Depth of a part of burn's product, where it falls into several: few results and much depth, as gradients of weights have, would leave
/// most of a GPU waiting. What lies side by side must not be the depth, and parts must begin where a buffer may.
fn depth_of_part(lhs: &CubeTensor, rhs: &CubeTensor) -> Option<usize> {
    let [m, k, n] = [lhs.shape()[0], lhs.shape()[1], rhs.shape()[1]];
    let is_outermost = lies_by_columns(lhs) && rhs.meta.strides()[1] == 1;
    let n_results = m.div_ceil(RESULTS_OF_A_CUBE) * n.div_ceil(RESULTS_OF_A_CUBE);
    let n_parts = (MANY_CUBES / n_results.max(1)).min(k / LEAST_DEPTH);
    let alignment = lhs.client.properties().memory.alignment as usize;
    let can_begin = (m * n * size_of::<f32>()).is_multiple_of(alignment);
    (is_outermost && can_begin && n_parts > 1).then(|| k.div_ceil(n_parts).next_multiple_of(STEP_OF_DEPTH))
}

/// As [`burns`], of so much depth at a time, all at once but for what is left at the end; their sums are added in their order.
fn in_parts(lhs: &CubeTensor, rhs: &CubeTensor, depth: usize) -> CubeTensor {
    let [m, k, n] = [lhs.shape()[0], lhs.shape()[1], rhs.shape()[1]];
    let [down, deep] = [0, 1].map(|axis| lhs.meta.strides()[axis]);
    let [rhs_deep, across] = [0, 1].map(|axis| rhs.meta.strides()[axis]);
    let (n_whole, rest) = (k / depth, k % depth);
    let n_parts = n_whole + usize::from(rest > 0);
    let output = empty(lhs, [n_parts * m, n]);
    burns(
        view(lhs, 0, [n_whole, m, depth], [depth * deep, down, deep]),
        view(rhs, 0, [n_whole, depth, n], [depth * rhs_deep, rhs_deep, across]),
        Some(view(&output, 0, [n_whole, m, n], [m * n, n, 1])),
    );
    if rest > 0 {
        let begin = n_whole * depth;
        burns(
            view(lhs, begin * deep, [m, rest], [down, deep]),
            view(rhs, begin * rhs_deep, [rest, n], [rhs_deep, across]),
            Some(view(&output, n_whole * m * n, [m, n], [n, 1])),
        );
    }
    sum_of_parts(output, [m, n], n_parts)
}

/// Numbers of a tensor from the `begin`-th of those in memory on.
fn view<const D: usize>(of: &CubeTensor, begin: usize, dims: [usize; D], strides: [usize; D]) -> CubeTensor {
    let bytes = begin * of.dtype.size();
    let handle = of.handle.clone().offset_start(bytes as u64);
    CubeTensor::new(of.client.clone(), handle, Metadata::new(dims, strides), of.device.clone(), of.dtype)
}

/// Depth of an instruction and of a tile, and the numbers in 16 bytes.
fn form(precision: Precision, [lhs_is_deep, rhs_is_deep]: [bool; 2]) -> Form {
    match precision {
        Precision::F32 => Form { lhs_is_deep, rhs_is_deep, depth: 16, step: 8, pad: 4 },
        Precision::Bf16 | Precision::F16 => Form { lhs_is_deep, rhs_is_deep, depth: 32, step: 16, pad: 8 },
    }
}

/// Whether the kernel's instructions are there: through CUDA, where it has been tested.
fn has_tensor_cores(operand: &CubeTensor, precision: Precision) -> bool {
    if !matches!(operand.device, CubeDevice::Cuda(_)) {
        return false;
    }
    let client = &operand.client;
    let number = match precision {
        Precision::F32 => tf32::elem_type_native(),
        Precision::Bf16 => bf16::elem_type_native(),
        Precision::F16 => f16::elem_type_native(),
    };
    let Form { step, .. } = form(precision, [true; 2]);
    let config = MmaConfig {
        a_type: number,
        b_type: number,
        cd_type: f32::elem_type_native(),
        m: 16,
        n: 16,
        k: step as u32,
    };
    let properties = client.properties();
    properties.features.matmul.cmma.contains(&config) && properties.hardware.plane_size_max == 32
}

/// Into how many parts the depth of a product falls, one cube for each of the device's processors or near it, and the depth of one.
fn parts(client: &Client, n_tiles: usize, k: usize, depth: usize) -> [usize; 2] {
    let n_processors = client.properties().hardware.num_streaming_multiprocessors.unwrap_or(1) as usize;
    let wanted = (n_processors / n_tiles).max(1);
    let n_parts = wanted.min(k.div_ceil(depth * LEAST_TILES)).max(1);
    let of_part = k.div_ceil(n_parts).next_multiple_of(depth);
    [k.div_ceil(of_part), of_part]
}

fn on_tensor_cores(lhs: Operand, rhs: Operand, precision: Precision) -> CubeTensor {
    let client = lhs.tensor.client.clone();
    let [m, k, n] = [lhs.tensor.shape()[0], lhs.tensor.shape()[1], rhs.tensor.shape()[1]];
    let form = form(precision, [lhs.is_row_major, !rhs.is_row_major]);
    let [rows, columns] = [m, n].map(|lines| lines.div_ceil(TILE));
    let [n_parts, of_part] = parts(&client, rows * columns, k, form.depth);
    let output = empty(&lhs.tensor, [n_parts * m, n]);
    let launch = match precision {
        Precision::F32 => product_kernel::launch_unchecked::<tf32>,
        Precision::Bf16 => product_kernel::launch_unchecked::<bf16>,
        Precision::F16 => product_kernel::launch_unchecked::<f16>,
    };
    #[allow(unsafe_code)]
    // SAFETY: the kernel reads and writes nothing beyond the lengths that it is given, which are those of the tensors, and ends.
    unsafe {
        launch(
            &client,
            CubeCount::Static(rows as u32, columns as u32, n_parts as u32),
            CubeDim::new_1d(UNITS as u32),
            VECTOR,
            lhs.tensor.into_tensor_arg(),
            rhs.tensor.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            m as u32,
            n as u32,
            k as u32,
            lhs.pitch as u32,
            rhs.pitch as u32,
            of_part as u32,
            form,
        );
    }
    if n_parts == 1 { output } else { sum_of_parts(output, [m, n], n_parts) }
}
