//! Rotary position embedding, a few rows a task.

use super::{
    buffer::{filled, no_sides},
    simd::{Arith, simd},
};
use crate::backend::Rotation;

/// Rows a task.
const ROWS: usize = 16;

/// What a row consists of.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Numbers of a row.
    pub(super) width: usize,
    /// Numbers of a head.
    pub(super) head_dim: usize,
    /// Angles of a row; twice that many numbers of a head turn.
    pub(super) half: usize,
}

/// `x` is `[n, width]`, the angles `[n, half]`.
pub(super) fn rotate(x: &[f32], [cos, sin]: [&[f32]; 2], sizes: Sizes, direction: Rotation) -> Vec<f32> {
    let sign = match direction {
        Rotation::Forward => 1.0,
        Rotation::Backward => -1.0,
    };
    let (chunk, angles) = (ROWS * sizes.width, ROWS * sizes.half);
    filled(x.len(), chunk, no_sides(x.len(), chunk), |index, (), output| {
        turn(&x[index * chunk..], [&cos[index * angles..], &sin[index * angles..]], sizes, sign, output);
    })
}

simd! {
    /// Rows of `output`.
    fn turn(x: &[f32], angles: [&[f32]; 2], sizes: Sizes, sign: f32, output: &mut [f32]) = turn_body;
}

#[inline(always)]
fn turn_body<A: Arith>(x: &[f32], [cos, sin]: [&[f32]; 2], sizes: Sizes, sign: f32, output: &mut [f32]) {
    let Sizes { width, head_dim, half } = sizes;
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for ((output, x), (cos, sin)) in output.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(angles) {
        for (output, x) in output.chunks_exact_mut(head_dim).zip(x.chunks_exact(head_dim)) {
            let ((turned, passed), (x, rest)) = (output.split_at_mut(2 * half), x.split_at(2 * half));
            if !rest.is_empty() {
                passed.copy_from_slice(rest);
            }
            let ((out_first, out_second), (first, second)) = (turned.split_at_mut(half), x.split_at(half));
            let pairs = first.iter().zip(second).zip(cos.iter().zip(sin));
            for (((&a, &b), (&cos, &sin)), (x, y)) in pairs.zip(out_first.iter_mut().zip(out_second)) {
                let sin = sign * sin;
                *x = a * cos - b * sin;
                *y = b * cos + a * sin;
            }
        }
    }
}
