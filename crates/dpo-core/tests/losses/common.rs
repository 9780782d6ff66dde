//! What the tests of dpo-core share.

use burn::tensor::{DType, Device, Tensor};
use dpo_core::{CompletionLogps, LogRatios, PairLogps};

/// A constant of the given kind.
pub(crate) fn tensor(values: &[f64], dtype: DType) -> Tensor<1> {
    Tensor::from_data(values, (&Device::flex(), dtype))
}

/// A leaf whose gradient is wanted.
pub(crate) fn leaf(values: &[f64], dtype: DType) -> Tensor<1> {
    Tensor::from_data(values, (&Device::flex().autodiff(), dtype)).require_grad()
}

/// The numbers of a tensor.
pub(crate) fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Log-ratios of pairs whose policy is `chosen` and `rejected` and whose reference is 0.
pub(crate) fn ratios(chosen: Tensor<1>, rejected: Tensor<1>, lengths: (&[f64], &[f64])) -> LogRatios {
    let dtype = chosen.dtype();
    let zeros = || tensor(&vec![0.0; lengths.0.len()], dtype);
    let of = |sums, counts| CompletionLogps::new(sums, tensor(counts, dtype));
    LogRatios::new(
        PairLogps { chosen: of(chosen, lengths.0), rejected: of(rejected, lengths.1) },
        PairLogps { chosen: of(zeros(), lengths.0), rejected: of(zeros(), lengths.1) },
    )
}

/// Panics unless both lists agree within an absolute and a relative tolerance.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance * e.abs().max(1.0), "at {at}: found {f}, expected {e}");
    }
}
