use burn::backend::Flex;

use super::*;
use crate::{AdamWStep, FusedPrimitives, portable};

const STEP: AdamWStep = AdamWStep {
    learning_rate: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
    time: 3,
    grad_scale: 0.5,
};

fn tensors(n: usize) -> [FlexTensor; 4] {
    let second: Vec<f32> = numbers(n, 4).iter().map(|x| x * x).collect();
    [random([n, 1], 1), random([n, 1], 2), random([n, 1], 3), matrix(&second, [n, 1])]
}

/// The same operations in the same order: the bits of the portable body in f32.
#[test]
fn adamw_gives_the_bits_of_the_portable_body() {
    for n in [1, 15, 17, 40_000] {
        let [param, grad, first, second] = tensors(n);
        let expected = portable::adamw::update::<Flex>(
            param.clone(),
            grad.clone(),
            [first.clone(), second.clone()],
            &STEP,
        );
        let found = Flex::adamw_update(param, grad, [first, second], &STEP);
        for ((found, expected), name) in found.iter().zip(&expected).zip(["param", "first", "second"]) {
            assert_eq!(bits(found), bits(expected), "{name} of {n}");
        }
    }
}

/// A tensor that is held elsewhere is copied; one that is not keeps its memory.
#[test]
fn adamw_writes_in_place_only_what_nobody_else_holds() {
    let [param, grad, first, second] = tensors(100);
    let (held, before) = (param.clone(), bits(&param));
    let place = first.bytes().as_ptr();
    let [_, first, _] = Flex::adamw_update(param, grad, [first, second], &STEP);
    assert_eq!(bits(&held), before);
    assert_eq!(first.bytes().as_ptr(), place);
}

/// A view of one row of a larger tensor: the rest stays out of it.
#[test]
fn adamw_updates_a_view() {
    let [param, grad, first, second] = tensors(100);
    let view = rows(&param, 10..20);
    let parts = [&grad, &first, &second].map(|tensor| rows(tensor, 10..20));
    let [grad_part, first_part, second_part] = parts;
    let found = Flex::adamw_update(view, grad_part, [first_part, second_part], &STEP);
    let expected = Flex::adamw_update(param, grad, [first, second], &STEP);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(bits(found), bits(&rows(expected, 10..20)));
    }
}

/// 100,000 times 0.1²: 1000.0000298 in exact arithmetic on the f32 nearest to 0.1.
#[test]
fn sum_of_squares_loses_no_bits() {
    let n = 100_000;
    let sum = floats(&Flex::sum_of_squares(vector(&vec![0.1; n])))[0];
    assert_eq!(sum, (f64::from(0.1_f32) * f64::from(0.1_f32) * n as f64) as f32);
    assert!(floats(&Flex::sum_of_squares(vector(&[1.0, f32::NAN])))[0].is_nan());
}

#[test]
fn threads_change_nothing() {
    let x = random([70_001, 1], 1);
    assert_same_on_any_number_of_threads(|| vec![Flex::sum_of_squares(x.clone())]);
}
