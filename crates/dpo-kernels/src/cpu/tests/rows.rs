use burn::backend::Flex;

use super::*;
use crate::{FusedPrimitives, portable};

/// Rows taken more than once, from the ends and from the middle of tasks; against burn's own in f64.
#[test]
fn rows_and_their_gradient_are_those_of_burn() {
    for [n_rows, width] in [[1, 1], [5, 3], [64, 16], [200, 33]] {
        let matrix = random([n_rows, width], 1);
        let picked: Vec<i32> = (0..150).map(|i| (i * i + 3 * i) % n_rows as i32).collect();
        let grad = random([picked.len(), width], 2);
        let picked = ids(&picked);
        assert_eq!(
            bits(&Flex::rows_forward(matrix.clone(), picked.clone())),
            bits(&portable::rows::forward::<Flex>(matrix, picked.clone()))
        );
        let expected = portable::rows::backward::<Flex>(picked.clone(), wide(&grad), n_rows);
        assert_close(&Flex::rows_backward(picked.clone(), grad.clone(), n_rows), &expected, 1e-6, "gradient");
        let (there, of_rows) = (random([n_rows, width], 3), wide(&expected));
        let expected = Flex::float_add(wide(&there), of_rows);
        let held = there.clone();
        assert_close(&Flex::add_rows(there, picked, grad), &expected, 1e-6, "sum");
        assert_eq!(bits(&held), bits(&random([n_rows, width], 3)), "what somebody else holds stays");
    }
}

#[test]
fn no_rows_are_an_empty_matrix_and_a_gradient_of_zeros() {
    let none = ids(&[]);
    assert_eq!(bits(&Flex::rows_forward(random([4, 3], 1), none.clone())), [0; 0]);
    assert_eq!(bits(&Flex::rows_backward(none, matrix(&[], [0, 3]), 4)), [0; 12]);
}

#[test]
fn threads_do_not_change_the_gradient_of_rows() {
    let picked = ids(&(0..500).map(|i| i * 7 % 100).collect::<Vec<_>>());
    let grad = random([500, 24], 3);
    assert_same_on_any_number_of_threads(|| vec![Flex::rows_backward(picked.clone(), grad.clone(), 100)]);
}

#[test]
#[should_panic(expected = "5 is not one of 5 rows")]
fn a_row_that_is_not_there_is_refused() {
    let _ = Flex::rows_forward(random([5, 3], 1), ids(&[0, 5]));
}
