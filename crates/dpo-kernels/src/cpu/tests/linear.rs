use burn::backend::Flex;

use super::*;
use crate::FusedPrimitives;

/// From so many rows on, a row's product is the same bits whatever the others are: below, the matrix product takes
/// another path.
#[test]
fn a_row_does_not_depend_on_how_many_there_are() {
    for [d_in, d_out] in [[64, 64], [64, 32], [112, 64], [64, 112], [576, 192], [1536, 576], [33, 7]] {
        let (x, weight) = (random([400, d_in], 1), random([d_out, d_in], 2));
        let all = Flex::linear_forward(x.clone(), weight.clone());
        let differs = |n: &usize| {
            let part = Flex::linear_forward(rows(&x, 0..*n), weight.clone());
            bits(&part) != bits(&rows(&all, 0..*n))
        };
        let different: Vec<usize> = (crate::EXACT_ROWS..=200).step_by(3).filter(differs).collect();
        assert_eq!(different, [0; 0], "of {d_in} numbers to {d_out}");
    }
}
