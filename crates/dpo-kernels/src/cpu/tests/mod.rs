//! Each body against the portable one in f64, on the same backend.
#![allow(clippy::unwrap_used)]

mod attention;
mod divergence;
mod edges;
mod elementwise;
mod feed_forward;
mod head;
mod linear;
mod lora;
mod optimizer;
mod precision;
mod rows;

use burn::{
    backend::{
        Flex, TensorMetadata,
        flex::{FlexDevice, FlexTensor},
        ops::{FloatTensorOps, IntTensorOps},
    },
    tensor::{DType, TensorData},
};

pub(super) use crate::fixtures::numbers;

pub(super) fn matrix(values: &[f32], dims: [usize; 2]) -> FlexTensor {
    Flex::float_from_data(TensorData::new(values.to_vec(), dims), &FlexDevice)
}

pub(super) fn random(dims: [usize; 2], seed: u64) -> FlexTensor {
    matrix(&numbers(dims[0] * dims[1], seed), dims)
}

pub(super) fn dims2(tensor: &FlexTensor) -> [usize; 2] {
    crate::cpu::buffer::dims2(tensor)
}

pub(super) fn vector(values: &[f32]) -> FlexTensor {
    Flex::float_from_data(TensorData::new(values.to_vec(), [values.len()]), &FlexDevice)
}

pub(super) fn ids(values: &[i32]) -> FlexTensor {
    Flex::int_from_data(TensorData::new(values.to_vec(), [values.len()]), &FlexDevice)
}

/// The same numbers in f64, which the bodies here leave to the portable ones.
pub(super) fn wide(tensor: &FlexTensor) -> FlexTensor {
    Flex::float_cast(tensor.clone(), DType::F64.into())
}

pub(super) fn floats(tensor: &FlexTensor) -> Vec<f32> {
    tensor.to_contiguous().into_data().convert::<f32>().try_to_vec().unwrap()
}

pub(super) fn bits(tensor: &FlexTensor) -> Vec<u32> {
    floats(tensor).into_iter().map(f32::to_bits).collect()
}

/// `found` equals `expected` within `tolerance` of the largest element, or of 0.1 where all are smaller.
pub(super) fn assert_close(found: &FlexTensor, expected: &FlexTensor, tolerance: f32, what: &str) {
    let (found, expected) = (floats(found), floats(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.1_f32, |max, x| max.max(x.abs()));
    for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * largest,
            "{what}, element {i}: {a} is not {b}, largest {largest}"
        );
    }
}

/// Runs `work` on pools of several sizes and asserts that it gives the same bits.
pub(super) fn assert_same_on_any_number_of_threads(work: impl Fn() -> Vec<FlexTensor> + Send + Sync) {
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| work().iter().map(bits).collect::<Vec<_>>())
    };
    let one = on(1);
    for n_threads in [2, 3, 5] {
        assert_eq!(one, on(n_threads), "{n_threads} threads");
    }
}

/// Distance from the true value in units in the last place of the f32 nearest to it.
pub(super) fn error_in_ulp(expected: f64, found: f32) -> f64 {
    let nearest = (expected as f32).abs();
    let ulp = if nearest < f32::MIN_POSITIVE {
        f64::from(f32::from_bits(1))
    } else {
        f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest)
    };
    (f64::from(found) - expected).abs() / ulp
}

pub(super) fn rows(tensor: &FlexTensor, range: std::ops::Range<usize>) -> FlexTensor {
    <Flex as FloatTensorOps<Flex>>::float_slice(tensor.clone(), &[crate::portable::slice(range)])
}
