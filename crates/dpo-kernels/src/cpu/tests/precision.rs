//! Linear layers in each precision and, of rounded operands, on each unit.

use burn::backend::Flex;

use super::*;
use crate::{
    FusedPrimitives, Precision,
    cpu::bf16::{
        Unit,
        tests::{on, units},
    },
    portable,
};

/// In f32; with rounded operands and no unit, and on each unit.
pub(super) fn settings() -> Vec<(Precision, Option<&'static Unit>)> {
    let on_units = units().into_iter().map(|unit| (Precision::Bf16, Some(unit)));
    let on_none = [Precision::F32, Precision::Bf16, Precision::F16].map(|precision| (precision, None));
    on_none.into_iter().chain(on_units).collect()
}

pub(super) fn name((precision, unit): (Precision, Option<&'static Unit>)) -> String {
    format!("{precision:?} on {}", unit.map_or("no unit", |unit| unit.name))
}

/// Output and gradients: of the input alone, of both.
fn run([x, weight, grad]: [FlexTensor; 3], precision: Precision) -> Vec<FlexTensor> {
    let output = Flex::linear_forward(x.clone(), weight.clone(), precision);
    let into_x = Flex::linear_input_backward(weight.clone(), grad.clone(), precision);
    let grads = Flex::linear_backward(x, weight, grad, precision, [true, true]).map(Option::unwrap);
    [output, into_x].into_iter().chain(grads).collect()
}

fn expected(inputs: &[FlexTensor; 3], precision: Precision) -> Vec<FlexTensor> {
    let [x, weight, grad] = inputs.each_ref().map(wide);
    let output = portable::linear::forward::<Flex>(x.clone(), weight.clone(), precision);
    let into_x = portable::linear::input_backward::<Flex>(weight.clone(), grad.clone(), precision);
    let grads = portable::linear::backward::<Flex>(x, weight, grad, precision, [true, true]);
    [output, into_x].into_iter().chain(grads.map(Option::unwrap)).collect()
}

fn inputs([n, d_in, d_out]: [usize; 3]) -> [FlexTensor; 3] {
    [random([n, d_in], 1), random([d_out, d_in], 2), random([n, d_out], 3)]
}

const NAMES: [&str; 4] = ["output", "dx alone", "dx", "dweight"];

#[test]
fn agrees_with_the_portable_body_in_f64() {
    let sizes = [
        [1, 1, 1],
        [1, 33, 17],
        [15, 15, 15],
        [17, 33, 1],
        [32, 32, 32],
        [33, 17, 31],
        [64, 64, 64],
        [65, 100, 33],
        [130, 7, 129],
        [0, 5, 3],
    ];
    for (setting, size) in settings().into_iter().flat_map(|setting| sizes.map(|size| (setting, size))) {
        let (inputs, (precision, unit)) = (inputs(size), setting);
        let expected = expected(&inputs, precision);
        let found = on(unit, || run(inputs, precision));
        for ((found, expected), what) in found.iter().zip(&expected).zip(NAMES) {
            assert_close(found, expected, 2e-6, &format!("{what} of {size:?} in {}", name(setting)));
        }
    }
}

/// Operands that lie column by column, as a transposed weight does, and rows out of a larger matrix.
#[test]
fn a_view_is_read_by_its_layout() {
    let [x, weight, grad] = inputs([33, 17, 31]);
    let turned =
        |tensor: &FlexTensor| Flex::float_transpose(Flex::float_transpose(tensor.clone()).to_contiguous());
    let part = |tensor: &FlexTensor| {
        let n = dims2(tensor)[0];
        let more = Flex::float_cat(vec![tensor.clone(), tensor.clone(), tensor.clone()], 0);
        rows(&more, n..2 * n)
    };
    for setting @ (precision, unit) in settings() {
        let plain = on(unit, || run([&x, &weight, &grad].map(Clone::clone), precision));
        let views = on(unit, || run([turned(&x), turned(&weight), turned(&grad)], precision));
        let parts = on(unit, || run([part(&x), part(&weight), part(&grad)], precision));
        for (((plain, view), part), what) in plain.iter().zip(&views).zip(&parts).zip(NAMES) {
            assert_eq!(bits(view), bits(plain), "{what} of transposed operands in {}", name(setting));
            assert_eq!(bits(part), bits(plain), "{what} of rows of a larger matrix in {}", name(setting));
        }
    }
}

/// What was packed of a tensor is not taken for what it holds since.
#[test]
fn a_tensor_that_was_changed_is_packed_again() {
    for setting @ (precision, unit) in settings() {
        on(unit, || {
            let [mut x, weight, _] = inputs([33, 17, 31]);
            let before = Flex::linear_forward(x.clone(), weight.clone(), precision);
            x.storage_mut::<f32>().fill(0.5);
            let after = Flex::linear_forward(x.clone(), weight.clone(), precision);
            let fresh = Flex::linear_forward(matrix(&[0.5; 33 * 17], [33, 17]), weight, precision);
            assert_eq!(bits(&after), bits(&fresh), "{}", name(setting));
            assert_ne!(bits(&after), bits(&before), "{}", name(setting));
        });
    }
}

#[test]
fn threads_change_nothing() {
    for (precision, unit) in settings() {
        assert_same_on_any_number_of_threads(|| on(unit, || run(inputs([150, 70, 90]), precision)));
    }
}
