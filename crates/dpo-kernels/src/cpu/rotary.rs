//! Rotary position embedding, a few rows a task.

use super::{
    buffer::{filled, no_sides},
    simd::{Arith, simd},
};
use crate::backend::Rotation;

/// Rows a task.
const ROWS: usize = 16;

/// `x` is `[n, width]`, the angles `[n, half]`.
pub(super) fn rotate(
    x: &[f32],
    [cos, sin]: [&[f32]; 2],
    [width, half]: [usize; 2],
    direction: Rotation,
) -> Vec<f32> {
    let sign = match direction {
        Rotation::Forward => 1.0,
        Rotation::Backward => -1.0,
    };
    let chunk = ROWS * width;
    filled(x.len(), chunk, no_sides(x.len(), chunk), |index, (), output| {
        let angles = [&cos[index * ROWS * half..], &sin[index * ROWS * half..]];
        turn(&x[index * chunk..], angles, [width, half], sign, output);
    })
}

simd! {
    /// Rows of `output`; `sizes` are the width of a row and half that of a head.
    fn turn(x: &[f32], angles: [&[f32]; 2], sizes: [usize; 2], sign: f32, output: &mut [f32]) = turn_body;
}

#[inline(always)]
fn turn_body<A: Arith>(
    x: &[f32],
    [cos, sin]: [&[f32]; 2],
    [width, half]: [usize; 2],
    sign: f32,
    output: &mut [f32],
) {
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for ((output, x), (cos, sin)) in output.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(angles) {
        for (output, x) in output.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
            let ((out_first, out_second), (first, second)) = (output.split_at_mut(half), x.split_at(half));
            let pairs = first.iter().zip(second).zip(cos.iter().zip(sin));
            for (((&a, &b), (&cos, &sin)), (x, y)) in pairs.zip(out_first.iter_mut().zip(out_second)) {
                let sin = sign * sin;
                *x = a * cos - b * sin;
                *y = b * cos + a * sin;
            }
        }
    }
}
