use burn::backend::Flex;

use super::*;
use crate::{Activation, FusedPrimitives, Precision, backend::Rotation, portable, saved::LayerNormSaved};

const ACTIVATIONS: [Activation; 4] =
    [Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu];
const SILU: Activation = Activation::Silu;
const SIZES: [[usize; 2]; 7] = [[1, 2], [2, 16], [15, 6], [17, 64], [33, 10], [100, 190], [0, 4]];

/// Numbers between −9 and 9.
fn spread(dims: [usize; 2], seed: u64) -> FlexTensor {
    matrix(&numbers(dims[0] * dims[1], seed).iter().map(|x| 9.0 * x).collect::<Vec<_>>(), dims)
}

/// All gradients that were asked for.
fn every<const N: usize>(grads: [Option<FlexTensor>; N]) -> [FlexTensor; N] {
    grads.map(Option::unwrap)
}

#[test]
fn gated_agrees_with_the_portable_body_in_f64() {
    for (activation, dims) in ACTIVATIONS.iter().flat_map(|a| SIZES.map(|dims| (*a, dims))) {
        let [gate, up, grad] = [1, 2, 3].map(|seed| spread(dims, seed));
        let found = Flex::gated_forward(gate.clone(), up.clone(), activation);
        let expected = portable::activation::gated::<Flex>(wide(&gate), wide(&up), activation);
        assert_close(&found, &expected, 1e-6, &format!("{activation:?}"));
        let inputs = [wide(&gate), wide(&up)];
        let found = every(Flex::gated_backward([gate, up], grad.clone(), activation, [true; 2]));
        let grad = wide(&grad);
        let expected =
            every(portable::activation::gated_backward::<Flex>(inputs, grad, activation, [true; 2]));
        for ((found, expected), name) in found.iter().zip(&expected).zip(["dgate", "dup"]) {
            assert_close(found, expected, 1e-6, &format!("{name} of {activation:?}"));
        }
    }
}

#[test]
fn activate_agrees_with_the_portable_body_in_f64() {
    for (activation, dims) in ACTIVATIONS.iter().flat_map(|a| SIZES.map(|dims| (*a, dims))) {
        let [x, grad] = [1, 2].map(|seed| spread(dims, seed));
        let found = Flex::activate_forward(x.clone(), activation);
        let expected = portable::activation::forward::<Flex>(wide(&x), activation);
        assert_close(&found, &expected, 1e-6, &format!("{activation:?}"));
        let found = Flex::activate_backward(x.clone(), grad.clone(), activation);
        let expected = portable::activation::backward::<Flex>(wide(&x), wide(&grad), activation);
        assert_close(&found, &expected, 1e-6, &format!("slope of {activation:?}"));
    }
}

/// Far from 0 an activation is 0 or its argument, its slope 0 or 1; NaN stays NaN.
#[test]
fn activations_are_right_far_from_0() {
    let x = matrix(&[-200.0, 200.0, -1e30, 1e30, f32::INFINITY, f32::NAN], [1, 6]);
    let ones = matrix(&[1.0; 6], [1, 6]);
    for activation in ACTIVATIONS {
        let output = floats(&Flex::activate_forward(x.clone(), activation));
        assert_eq!(output[..5], [0.0, 200.0, 0.0, 1e30, f32::INFINITY], "{activation:?}");
        let slope = floats(&Flex::activate_backward(x.clone(), ones.clone(), activation));
        assert!(output[5].is_nan(), "{activation:?}");
        // The slope of SiLU has the factor x·(1 − σ(x)), which is ∞ − ∞ at the very end.
        let n_slopes = if activation == SILU { 4 } else { 5 };
        assert_eq!(slope[..n_slopes], [0.0, 1.0, 0.0, 1.0, 1.0][..n_slopes], "{activation:?}");
    }
}

/// `silu(−200) = −200·e⁻²⁰⁰`, below the smallest number; `silu(200) = 200`; the slopes there are 0 and 1.
#[test]
fn gated_silu_is_right_far_from_0() {
    let gate = matrix(&[-200.0, 200.0, f32::NAN, 1.0], [1, 4]);
    let ones = matrix(&[1.0; 4], [1, 4]);
    let output = floats(&Flex::gated_forward(gate.clone(), ones.clone(), SILU));
    assert_eq!((output[0].abs(), output[1]), (0.0, 200.0));
    assert!(output[2].is_nan() && output[3].is_finite());
    let [dgate, _] = every(Flex::gated_backward([gate, ones.clone()], ones, SILU, [true; 2]));
    assert_eq!((floats(&dgate)[0].abs(), floats(&dgate)[1]), (0.0, 1.0));
}

#[test]
fn rms_norm_agrees_with_the_portable_body_in_f64() {
    for dims in SIZES {
        let (x, grad) = (random(dims, 1), random(dims, 2));
        let weight = vector(&numbers(dims[1], 3));
        let (output, inv_rms) = Flex::rms_norm_forward(x.clone(), weight.clone(), 1e-5);
        let expected = portable::norm::forward::<Flex>(wide(&x), wide(&weight), 1e-5);
        assert_close(&output, &expected.0, 1e-6, "output");
        assert_close(&inv_rms, &expected.1, 1e-6, "1/rms");
        let found = Flex::rms_norm_backward([x.clone(), weight.clone(), inv_rms], grad.clone(), [true; 2]);
        let saved = [wide(&x), wide(&weight), expected.1];
        let expected = portable::norm::backward::<Flex>(saved, wide(&grad), [true; 2]);
        for ((found, expected), name) in every(found).iter().zip(&every(expected)).zip(["dx", "dweight"]) {
            assert_close(found, expected, 2e-6, name);
        }
    }
}

#[test]
fn rotary_agrees_with_the_portable_body_in_f64() {
    for (n, n_heads, half) in [(1, 1, 1), (2, 3, 8), (17, 9, 32), (33, 2, 5)] {
        let x = random([n, n_heads * 2 * half], 1);
        let angles = numbers(n * half, 2);
        let cos = matrix(&angles.iter().map(|a| a.cos()).collect::<Vec<_>>(), [n, half]);
        let sin = matrix(&angles.iter().map(|a| a.sin()).collect::<Vec<_>>(), [n, half]);
        for direction in [Rotation::Forward, Rotation::Backward] {
            let found = Flex::rotate(x.clone(), [cos.clone(), sin.clone()], 2 * half, direction);
            let angles = [wide(&cos), wide(&sin)];
            let expected = portable::rotary::rotate::<Flex>(wide(&x), angles, 2 * half, direction);
            assert_close(&found, &expected, 1e-6, "rotated");
        }
    }
}

/// Only the first numbers of each head turn.
#[test]
fn partial_rotary_agrees_with_the_portable_body_in_f64() {
    for (n, n_heads, head_dim, half) in [(1, 1, 3, 1), (2, 3, 20, 8), (17, 9, 80, 16), (33, 2, 11, 5)] {
        let x = random([n, n_heads * head_dim], 1);
        let angles = [random([n, half], 2), random([n, half], 3)];
        for direction in [Rotation::Forward, Rotation::Backward] {
            let found = Flex::rotate(x.clone(), angles.clone(), head_dim, direction);
            let expected = angles.each_ref().map(wide);
            let expected = portable::rotary::rotate::<Flex>(wide(&x), expected, head_dim, direction);
            assert_close(&found, &expected, 1e-6, "rotated");
        }
    }
}

#[test]
fn layer_norm_agrees_with_the_portable_body_in_f64() {
    for dims in SIZES {
        let (x, grad) = (spread(dims, 1), random(dims, 2));
        let [weight, bias] = [3, 4].map(|seed| vector(&numbers(dims[1], seed)));
        let (output, statistics) = Flex::layer_norm_forward(x.clone(), weight.clone(), bias.clone(), 1e-5);
        let expected = portable::layer_norm::forward::<Flex>(wide(&x), wide(&weight), wide(&bias), 1e-5);
        assert_close(&output, &expected.0, 2e-6, "output");
        assert_close(&statistics.mean, &expected.1.mean, 1e-6, "mean");
        assert_close(&statistics.inv_std, &expected.1.inv_std, 2e-6, "1/std");
        let wide_saved = LayerNormSaved { x: wide(&x), weight: wide(&weight), statistics: expected.1 };
        let saved = LayerNormSaved { x, weight, statistics };
        let expected = every(portable::layer_norm::backward::<Flex>(wide_saved, wide(&grad), [true; 3]));
        let found = every(Flex::layer_norm_backward(saved, grad, [true; 3]));
        for ((found, expected), name) in found.iter().zip(&expected).zip(["dx", "dweight", "dbias"]) {
            assert_close(found, expected, 5e-6, name);
        }
    }
}

/// What is not asked for is not there, and the rest is the same bits.
#[test]
fn a_gradient_does_not_depend_on_which_others_are_wanted() {
    let dims = [33, 50];
    let [x, y, grad] = [1, 2, 3].map(|seed| random(dims, seed));
    let [weight, bias] = [4, 5].map(|seed| vector(&numbers(dims[1], seed)));
    let (_, inv_rms) = Flex::rms_norm_forward(x.clone(), weight.clone(), 1e-5);
    let (_, statistics) = Flex::layer_norm_forward(x.clone(), weight.clone(), bias, 1e-5);
    let saved = LayerNormSaved { x: x.clone(), weight: weight.clone(), statistics };
    let gradients = |[first, second, third]: [bool; 3]| {
        let norm = [x.clone(), weight.clone(), inv_rms.clone()];
        let norm = Flex::rms_norm_backward(norm, grad.clone(), [first, second]);
        let gated = |activation| {
            Flex::gated_backward([x.clone(), y.clone()], grad.clone(), activation, [first, second])
        };
        let layer_norm = Flex::layer_norm_backward(saved.clone(), grad.clone(), [first, second, third]);
        let all = norm.into_iter().chain(ACTIVATIONS.into_iter().flat_map(gated)).chain(layer_norm);
        all.map(|grad| grad.as_ref().map(bits)).collect::<Vec<_>>()
    };
    let all = gradients([true; 3]);
    for wanted in [[true, false, true], [false, true, false], [false, false, true], [false, false, false]] {
        let asked = [wanted[0], wanted[1]].repeat(5).into_iter().chain(wanted);
        let expected: Vec<_> =
            all.iter().zip(asked).map(|(grad, asked)| grad.clone().filter(|_| asked)).collect();
        assert_eq!(gradients(wanted), expected, "{wanted:?}");
    }
}

#[test]
fn threads_change_nothing() {
    let dims = [100, 190];
    let [x, y, grad] = [1, 2, 3].map(|seed| random(dims, seed));
    let [weight, bias] = [4, 5].map(|seed| vector(&numbers(dims[1], seed)));
    assert_same_on_any_number_of_threads(|| {
        let (normed, inv_rms) = Flex::rms_norm_forward(x.clone(), weight.clone(), 1e-5);
        let saved = [x.clone(), weight.clone(), inv_rms];
        let norm = every(Flex::rms_norm_backward(saved, grad.clone(), [true; 2]));
        let (centred, statistics) = Flex::layer_norm_forward(x.clone(), weight.clone(), bias.clone(), 1e-5);
        let saved = LayerNormSaved { x: x.clone(), weight: weight.clone(), statistics };
        let layer_norm = every(Flex::layer_norm_backward(saved, grad.clone(), [true; 3]));
        let activated = ACTIVATIONS.into_iter().flat_map(|activation| {
            let [dgate, dup] =
                every(Flex::gated_backward([x.clone(), y.clone()], grad.clone(), activation, [true; 2]));
            [dgate, dup, Flex::activate_forward(x.clone(), activation)]
        });
        [normed, centred].into_iter().chain(norm).chain(layer_norm).chain(activated).collect()
    });
}

/// Among others, at any place: a row's output and its input's gradient are the same bits.
#[test]
fn a_row_of_layer_norm_does_not_depend_on_the_others() {
    let dims = [40, 70];
    let (x, grad) = (random(dims, 1), random(dims, 2));
    let [weight, bias] = [3, 4].map(|seed| vector(&numbers(dims[1], seed)));
    let run = |x: FlexTensor, grad: FlexTensor| {
        let (output, statistics) = Flex::layer_norm_forward(x.clone(), weight.clone(), bias.clone(), 1e-5);
        let saved = LayerNormSaved { x, weight: weight.clone(), statistics };
        let [dx, _, _] = Flex::layer_norm_backward(saved, grad, [true, false, false]);
        [output, dx.unwrap()]
    };
    let all = run(x.clone(), grad.clone());
    for range in [0..1, 15..18, 39..40] {
        let part = run(rows(&x, range.clone()), rows(&grad, range.clone()));
        for (part, all) in part.iter().zip(&all) {
            assert_eq!(bits(part), bits(&rows(all, range.clone())), "{range:?}");
        }
    }
}

/// A transposed and a broadcast tensor are read by their layout.
#[test]
fn a_view_is_read_by_its_layout() {
    let x = random([6, 4], 1);
    let turned = Flex::float_transpose(x.clone());
    let copied = turned.to_contiguous();
    let up = Flex::float_expand(random([1, 6], 2), burn::tensor::Shape::new([4, 6]));
    let found = Flex::gated_forward(turned, up.clone(), SILU);
    assert_eq!(bits(&found), bits(&Flex::gated_forward(copied, up.to_contiguous(), SILU)));
}

/// Among 2, 7 or 130, at any place: a row of a product with 192 or 576 outputs is the same bits, so that
/// log-probabilities do not depend on how examples are batched. (One row alone is summed in another order.)
#[test]
fn a_row_of_linear_does_not_depend_on_the_others() {
    for [d_in, d_out] in [[576, 192], [576, 576], [1536, 576]] {
        let (x, weight) = (random([300, d_in], 1), random([d_out, d_in], 2));
        let all = Flex::linear_forward(x.clone(), weight.clone(), Precision::F32);
        for range in [0..2, 3..10, 150..280] {
            let part = Flex::linear_forward(rows(&x, range.clone()), weight.clone(), Precision::F32);
            assert_eq!(bits(&part), bits(&rows(&all, range.clone())), "{range:?}, {d_in} → {d_out}");
        }
    }
}
