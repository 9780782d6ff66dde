//! Launches of products: our own on tensor cores, burn's elsewhere.

use burn::{
    backend::TensorMetadata,
    tensor::{DType, bf16},
};
use burn_cubecl::{
    CubeDevice,
    kernel::{
        cast, into_contiguous,
        matmul::{MatmulStrategy, matmul},
    },
    tensor::CubeTensor,
};
use cubecl::{client::Client, features::MmaConfig, prelude::*};

use super::{
    VECTOR,
    product_kernels::{Form, TILE, UNITS, product_kernel},
    sums::sum_of_parts,
    tensors::{Rows, empty},
};
use crate::Precision;

/// Tiles of depth that a part has at least.
const LEAST_TILES: usize = 8;

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
    if m * k * n == 0 || !has_tensor_cores(&lhs, precision) {
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
        Precision::Bf16 => [lhs, rhs].map(|operand| cast(operand, DType::BF16)),
    };
    matmul(lhs, rhs, None, MatmulStrategy::Cube, DType::F32)
        .unwrap_or_else(|error| panic!("a product of matrices: {error:?}"))
}

/// Depth of an instruction and of a tile, and the numbers in 16 bytes.
fn form(precision: Precision, [lhs_is_deep, rhs_is_deep]: [bool; 2]) -> Form {
    match precision {
        Precision::F32 => Form { lhs_is_deep, rhs_is_deep, depth: 16, step: 8, pad: 4 },
        Precision::Bf16 => Form { lhs_is_deep, rhs_is_deep, depth: 32, step: 16, pad: 8 },
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
    };
    let Form { step, .. } = form(precision, [true; 2]);
    let config = MmaConfig {
        a_type: number.into(),
        b_type: number.into(),
        cd_type: f32::elem_type_native().into(),
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
