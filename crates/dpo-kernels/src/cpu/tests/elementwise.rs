use burn::backend::Flex;

use super::*;
use crate::{Activation, FusedPrimitives, backend::Rotation, portable};

const SILU: Activation = Activation::Silu;
const SIZES: [[usize; 2]; 7] = [[1, 2], [2, 16], [15, 6], [17, 64], [33, 10], [100, 190], [0, 4]];

#[test]
fn gated_silu_agrees_with_the_portable_body_in_f64() {
    for dims in SIZES {
        let scaled = |seed| {
            matrix(&numbers(dims[0] * dims[1], seed).iter().map(|x| 9.0 * x).collect::<Vec<_>>(), dims)
        };
        let [gate, up, grad] = [1, 2, 3].map(scaled);
        let found = Flex::gated_forward(gate.clone(), up.clone(), SILU);
        let expected = portable::activation::gated::<Flex>(wide(&gate), wide(&up), SILU);
        assert_close(&found, &expected, 1e-6, "output");
        let found = Flex::gated_backward([gate.clone(), up.clone()], grad.clone(), SILU, [true; 2]);
        let inputs = [wide(&gate), wide(&up)];
        let expected = portable::activation::gated_backward::<Flex>(inputs, wide(&grad), SILU, [true; 2]);
        for ((found, expected), name) in found.into_iter().zip(expected).zip(["dgate", "dup"]) {
            assert_close(&found.unwrap(), &expected.unwrap(), 1e-6, name);
        }
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
    let [dgate, _] = Flex::gated_backward([gate, ones.clone()], ones, SILU, [true; 2]).map(Option::unwrap);
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
        for ((found, expected), name) in found.into_iter().zip(expected).zip(["dx", "dweight"]) {
            assert_close(&found.unwrap(), &expected.unwrap(), 2e-6, name);
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

#[test]
fn threads_change_nothing() {
    let dims = [100, 190];
    let [x, y, grad] = [1, 2, 3].map(|seed| random(dims, seed));
    let weight = vector(&numbers(dims[1], 4));
    assert_same_on_any_number_of_threads(|| {
        let (output, inv_rms) = Flex::rms_norm_forward(x.clone(), weight.clone(), 1e-5);
        let norm = Flex::rms_norm_backward([x.clone(), weight.clone(), inv_rms], grad.clone(), [true; 2]);
        let gated = Flex::gated_backward([x.clone(), y.clone()], grad.clone(), SILU, [true; 2]);
        std::iter::once(output).chain(norm.into_iter().chain(gated).map(Option::unwrap)).collect()
    });
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
        let all = Flex::linear_forward(x.clone(), weight.clone());
        for range in [0..2, 3..10, 150..280] {
            let part = Flex::linear_forward(rows(&x, range.clone()), weight.clone());
            assert_eq!(bits(&part), bits(&rows(&all, range.clone())), "{range:?}, {d_in} → {d_out}");
        }
    }
}
