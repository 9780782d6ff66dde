use burn::backend::Flex;

use super::*;
use crate::{
    Activation, FeedForwardSpec, FusedPrimitives, Precision,
    cpu::bf16::tests::{on, units},
    saved::{FeedForwardSaved, FeedForwardWeights},
};

const SIZES: [[usize; 3]; 6] =
    [[1, 1, 1], [17, 33, 5], [32, 32, 32], [70, 40, 100], [65, 31, 64], [600, 96, 130]];
const ACTIVATIONS: [Activation; 4] =
    [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu];

/// Input, gate, up, down and the output's gradient, of `[n, d_model, d_ff]`.
fn inputs([n, d_model, d_ff]: [usize; 3]) -> [FlexTensor; 5] {
    [[n, d_model], [d_ff, d_model], [d_ff, d_model], [d_model, d_ff], [n, d_model]]
        .map(|dims| random(dims, (dims[0] + 7 * dims[1]) as u64))
}

fn weights(gate: FlexTensor, up: FlexTensor, down: FlexTensor) -> FeedForwardWeights<Flex> {
    FeedForwardWeights { gate, up, down }
}

/// Output, then the gradients that are wanted.
fn run(
    [x, gate, up, down, grad]: [FlexTensor; 5],
    spec: FeedForwardSpec,
    wanted: [bool; 4],
) -> Vec<Option<FlexTensor>> {
    let weights = weights(gate, up, down);
    let (output, kept) = Flex::feed_forward(x.clone(), weights.clone(), spec, true);
    let saved = FeedForwardSaved { x, weights, kept: kept.unwrap(), spec };
    let grads = Flex::feed_forward_backward(saved, grad, wanted);
    std::iter::once(Some(output)).chain(grads).collect()
}

/// The layer made of the operations that it stands for.
fn made_of_parts(
    [x, gate, up, down, grad]: [FlexTensor; 5],
    FeedForwardSpec { activation, precision }: FeedForwardSpec,
) -> Vec<FlexTensor> {
    let gated_by = |weight: &FlexTensor| Flex::linear_forward(x.clone(), weight.clone(), precision);
    let middle = [gated_by(&gate), gated_by(&up)];
    let inner = Flex::gated_forward(middle[0].clone(), middle[1].clone(), activation);
    let output = Flex::linear_forward(inner.clone(), down.clone(), precision);
    let [dinner, ddown] = Flex::linear_backward(inner, down, grad, precision, [true; 2]);
    let [dgate, dup] = Flex::gated_backward(middle, dinner.unwrap(), activation, [true; 2]);
    let [dx, dgate] = Flex::linear_backward(x.clone(), gate, dgate.unwrap(), precision, [true; 2]);
    let [of_up, dup] = Flex::linear_backward(x, up, dup.unwrap(), precision, [true; 2]);
    let dx = Flex::float_add(dx.unwrap(), of_up.unwrap());
    vec![output, dx, dgate.unwrap(), dup.unwrap(), ddown.unwrap()]
}

const NAMES: [&str; 5] = ["output", "dx", "dgate", "dup", "ddown"];

/// In f32 it is the portable body, here in f64.
#[test]
fn agrees_with_f64() {
    for (size, activation) in SIZES.into_iter().zip(ACTIVATIONS.into_iter().cycle()) {
        let spec = FeedForwardSpec { activation, precision: Precision::F32 };
        let expected = run(inputs(size).each_ref().map(wide), spec, [true; 4]);
        for ((found, expected), name) in run(inputs(size), spec, [true; 4]).iter().zip(&expected).zip(NAMES) {
            let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
            assert_close(found, expected, 5e-6, &format!("{name}, {size:?}, {activation:?}"));
        }
    }
}

/// On every unit for bfloat16: the bits of the operations it is made of; the input's gradient is one sum, and not two.
#[test]
fn squares_give_the_bits_of_whole_tensors() {
    for unit in units() {
        for (size, activation) in SIZES.into_iter().zip(ACTIVATIONS.into_iter().cycle()) {
            let spec = FeedForwardSpec { activation, precision: Precision::Bf16 };
            let (found, expected) =
                on(Some(unit), || (run(inputs(size), spec, [true; 4]), made_of_parts(inputs(size), spec)));
            for ((found, expected), name) in found.into_iter().flatten().zip(&expected).zip(NAMES) {
                let what = format!("{name}, {size:?}, {activation:?}, {}", unit.name);
                match name {
                    "dx" => assert_close(&found, expected, 2e-6, &what),
                    _ => assert_eq!(bits(&found), bits(expected), "{what}"),
                }
            }
        }
    }
}

/// What is not asked for is not there, and the rest is the same bits; so is the output when nothing is kept.
#[test]
fn a_gradient_does_not_depend_on_which_others_are_wanted() {
    let size = [70, 40, 100];
    for (unit, precision) in
        units().into_iter().flat_map(|unit| [(unit, Precision::F32), (unit, Precision::Bf16)])
    {
        let spec = FeedForwardSpec { activation: Activation::Silu, precision };
        on(Some(unit), || {
            let all = run(inputs(size), spec, [true; 4]);
            for mask in 0..16 {
                let wanted = [0, 1, 2, 3].map(|input| mask >> input & 1 == 1);
                let found = run(inputs(size), spec, wanted);
                for (idx, (found, all)) in found[1..].iter().zip(&all[1..]).enumerate() {
                    let expected = all.as_ref().filter(|_| wanted[idx]).map(bits);
                    assert_eq!(found.as_ref().map(bits), expected, "{}, {wanted:?}", NAMES[idx + 1]);
                }
            }
            let [x, gate, up, down, _] = inputs(size);
            let (output, kept) = Flex::feed_forward(x, weights(gate, up, down), spec, false);
            assert!(kept.is_none());
            assert_eq!(Some(bits(&output)), all[0].as_ref().map(bits));
        });
    }
}

#[test]
fn threads_change_nothing() {
    let spec = FeedForwardSpec { activation: Activation::Silu, precision: Precision::Bf16 };
    assert_same_on_any_number_of_threads(|| {
        run(inputs([600, 96, 130]), spec, [true; 4]).into_iter().flatten().collect()
    });
}

/// Weights as they lie in a larger tensor, and the other way round.
#[test]
fn weights_may_lie_anywhere() {
    let turned = |tensor: &FlexTensor| {
        let copy = Flex::float_swap_dims(tensor.clone(), 0, 1).to_contiguous();
        Flex::float_swap_dims(copy, 0, 1)
    };
    for unit in units() {
        let spec = FeedForwardSpec { activation: Activation::GeluTanh, precision: Precision::Bf16 };
        on(Some(unit), || {
            let inputs = inputs([70, 40, 100]);
            let expected = run(inputs.clone(), spec, [true; 4]);
            let found = run(inputs.each_ref().map(turned), spec, [true; 4]);
            for ((found, expected), name) in found.iter().zip(&expected).zip(NAMES) {
                assert_eq!(found.as_ref().map(bits), expected.as_ref().map(bits), "{name}, {}", unit.name);
            }
        });
    }
}
