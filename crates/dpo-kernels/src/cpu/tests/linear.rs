use burn::backend::Flex;

use super::*;
use crate::{FusedPrimitives, Precision, cpu::buffer::values, portable};

/// From so many rows on, a row's product is the same bits whatever the others are: below, the matrix product takes
/// another path.
#[test]
fn a_row_does_not_depend_on_how_many_there_are() {
    for [d_in, d_out] in [[64, 64], [64, 32], [112, 64], [64, 112], [576, 192], [1536, 576], [33, 7]] {
        let (x, weight) = (random([400, d_in], 1), random([d_out, d_in], 2));
        let all = Flex::linear_forward(x.clone(), weight.clone(), Precision::F32);
        let differs = |n: &usize| {
            let part = Flex::linear_forward(rows(&x, 0..*n), weight.clone(), Precision::F32);
            bits(&part) != bits(&rows(&all, 0..*n))
        };
        let different: Vec<usize> = (crate::EXACT_ROWS..=200).step_by(3).filter(differs).collect();
        assert_eq!(different, [0; 0], "of {d_in} numbers to {d_out}");
    }
}

/// Products of rounded operands, forward and backward, whatever multiplies them: sums are in f32.
#[test]
fn operands_are_rounded_before_they_are_multiplied() {
    let inputs = || [random([70, 33], 1), random([20, 33], 2), random([70, 20], 3)];
    let run = |[x, weight, grad]: [FlexTensor; 3], precision| {
        let output = Flex::linear_forward(x.clone(), weight.clone(), precision);
        let into_x = Flex::linear_input_backward(weight.clone(), grad.clone(), precision);
        let grads = Flex::linear_backward(x, weight, grad, precision, [true, true]).map(Option::unwrap);
        [output, into_x].into_iter().chain(grads).collect::<Vec<_>>()
    };
    let exact = run(inputs(), Precision::F32);
    for precision in [Precision::Bf16, Precision::F16] {
        let found = run(inputs(), precision);
        let rounded = inputs().map(|x| portable::linear::rounded::<Flex>(x, precision));
        let expected = run(rounded, Precision::F32);
        for ((found, expected), exact) in found.iter().zip(&expected).zip(&exact) {
            assert_close(found, expected, 2e-6, &format!("{precision:?}"));
            assert_ne!(bits(found), bits(exact));
        }
    }
}

/// Up to the largest f32, and down to near where f32 itself runs out of digits.
#[test]
fn numbers_of_every_size_are_rounded_as_by_the_portable_body() {
    let digits = random([1, 300], 4);
    let of_sizes = (-100..127).flat_map(|exponent| {
        let size = 2f32.powi(exponent);
        values(&digits).iter().map(move |digits| digits * size).collect::<Vec<_>>()
    });
    let x: Vec<f32> = of_sizes.chain([0.0, f32::INFINITY, f32::NEG_INFINITY]).collect();
    let x = matrix(&x, [1, x.len()]);
    for precision in [Precision::Bf16, Precision::F16] {
        let found = Flex::rounded(x.clone(), precision);
        let expected = portable::linear::rounded::<Flex>(x.clone(), precision);
        assert_eq!(bits(&found), bits(&expected), "{precision:?}");
        assert_ne!(bits(&found), bits(&x), "{precision:?}");
    }
}

/// One sum over both products, in either precision, is that of two.
#[test]
fn the_gradient_of_an_input_is_the_sum_over_what_reads_it() {
    for precision in [Precision::F32, Precision::Bf16] {
        let products = [([40, 30], 1), ([25, 30], 2), ([1, 30], 3)]
            .map(|([d_out, d_in], seed)| (random([d_out, d_in], seed), random([70, d_out], seed + 10)));
        let parts =
            products.clone().map(|(weight, grad)| Flex::linear_input_backward(weight, grad, precision));
        let expected = parts.into_iter().reduce(Flex::float_add).unwrap();
        let found = Flex::linear_inputs_backward(products.to_vec(), precision);
        assert_close(&found, &expected, 1e-6, precision.name());
    }
}
