//! A matrix and its adapter, in each precision and on each unit.

use burn::backend::Flex;

use super::{
    precision::{name, settings},
    *,
};
use crate::{FusedPrimitives, LoraSpec, Precision, cpu::bf16::tests::on, portable, saved::LoraSaved};

const SCALE: f64 = 1.7;
const NAMES: [&str; 5] = ["output", "narrow", "dx", "ddown", "dup"];

/// `x`, the matrix, `down`, `up` and the output's gradient.
fn inputs([n, d_in, d_out, rank]: [usize; 4]) -> [FlexTensor; 5] {
    let shapes = [[n, d_in], [d_out, d_in], [rank, d_in], [d_out, rank], [n, d_out]];
    [0, 1, 2, 3, 4].map(|idx| random(shapes[idx], idx as u64))
}

fn run([x, weight, down, up, grad]: [FlexTensor; 5], precision: Precision) -> Vec<FlexTensor> {
    let spec = LoraSpec { scale: SCALE, precision };
    let (output, narrow) = Flex::lora_forward(x.clone(), weight.clone(), [down.clone(), up.clone()], spec);
    let saved = LoraSaved { x, narrow: narrow.clone(), down, up, spec };
    let grads = Flex::lora_backward(saved, weight, grad, [true; 3]).map(Option::unwrap);
    [output, narrow].into_iter().chain(grads).collect()
}

fn expected(inputs: &[FlexTensor; 5], precision: Precision) -> Vec<FlexTensor> {
    let [x, weight, down, up, grad] = inputs.each_ref().map(wide);
    let spec = LoraSpec { scale: SCALE, precision };
    let adapter = [down.clone(), up.clone()];
    let (output, narrow) = portable::lora::forward::<Flex>(x.clone(), weight.clone(), adapter, spec);
    let saved = LoraSaved { x, narrow: narrow.clone(), down, up, spec };
    let grads = portable::lora::backward::<Flex>(saved, weight, grad, [true; 3]).map(Option::unwrap);
    [output, narrow].into_iter().chain(grads).collect()
}

/// In bfloat16 what lies between the matrices is rounded, so that a last bit of a sum can become one of 256.
#[test]
fn agrees_with_the_portable_body_in_f64() {
    for setting @ (precision, unit) in settings() {
        let tolerance = if precision == Precision::F32 { 4e-6 } else { 4e-3 };
        for size in [[1, 1, 1, 1], [17, 33, 15, 2], [65, 100, 33, 8], [130, 64, 129, 16], [70, 40, 50, 33]] {
            let inputs = inputs(size);
            let expected = expected(&inputs, precision);
            let found = on(unit, || run(inputs, precision));
            for ((found, expected), what) in found.iter().zip(&expected).zip(NAMES) {
                assert_close(found, expected, tolerance, &format!("{what} of {size:?} in {}", name(setting)));
            }
        }
    }
}

/// Nothing is computed for what is not tracked, and what is has the same bits.
#[test]
fn gradients_are_those_that_are_wanted() {
    let [x, weight, down, up, grad] = inputs([65, 33, 20, 4]);
    for (precision, unit) in settings() {
        on(unit, || {
            let spec = LoraSpec { scale: SCALE, precision };
            let adapter = [down.clone(), up.clone()];
            let (_, narrow) = Flex::lora_forward(x.clone(), weight.clone(), adapter, spec);
            let backward = |wanted| {
                let (x, narrow, down, up) = (x.clone(), narrow.clone(), down.clone(), up.clone());
                let saved = LoraSaved { x, narrow, down, up, spec };
                let grads = Flex::lora_backward(saved, weight.clone(), grad.clone(), wanted);
                grads.map(|grad| grad.as_ref().map(bits))
            };
            let all = backward([true; 3]);
            for wanted in (0..8).map(|bits| [bits & 1 > 0, bits & 2 > 0, bits & 4 > 0]) {
                let expected = [0, 1, 2].map(|idx| wanted[idx].then(|| all[idx].clone()).flatten());
                assert_eq!(backward(wanted), expected, "{wanted:?}");
            }
        });
    }
}

#[test]
fn threads_change_nothing() {
    for (precision, unit) in settings() {
        assert_same_on_any_number_of_threads(|| on(unit, || run(inputs([150, 70, 90, 8]), precision)));
    }
}
