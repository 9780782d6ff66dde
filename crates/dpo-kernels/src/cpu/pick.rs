//! Rows of a matrix by their numbers, and back.

use rayon::prelude::*;

use super::buffer::{filled, no_sides};

/// Rows a task.
const ROWS: usize = 64;

/// The rows `picked` of a matrix with rows of `width`.
pub(super) fn forward(matrix: &[f32], picked: &[usize], width: usize) -> Vec<f32> {
    if width == 0 {
        return Vec::new();
    }
    filled(
        picked.len() * width,
        ROWS * width,
        no_sides(picked.len() * width, ROWS * width),
        |idx, (), rows| {
            for (row, &number) in rows.chunks_exact_mut(width).zip(&picked[idx * ROWS..]) {
                row.copy_from_slice(&matrix[number * width..][..width]);
            }
        },
    )
}

/// Adds the rows of the gradient to the rows `picked` of a matrix: to each the sum, in order, of those that are its.
pub(super) fn add(matrix: &mut [f32], picked: &[usize], grad: &[f32], width: usize) {
    for rows in by_number(picked, grad, width).chunk_by(|(a, _), (b, _)| a == b) {
        let (number, mut sum) = (rows[0].0, rows[0].1.to_vec());
        for (_, row) in &rows[1..] {
            sum.iter_mut().zip(*row).for_each(|(sum, value)| *sum += value);
        }
        matrix[number * width..][..width].iter_mut().zip(&sum).for_each(|(value, sum)| *value += sum);
    }
}

/// Rows of the gradient with the numbers of the rows they go to, ascending; those of one number in order.
fn by_number<'a>(picked: &[usize], grad: &'a [f32], width: usize) -> Vec<(usize, &'a [f32])> {
    let mut rows: Vec<(usize, &[f32])> = picked.iter().copied().zip(grad.chunks_exact(width)).collect();
    rows.par_sort_by_key(|(number, _)| *number);
    rows
}

/// A matrix of zeros to whose rows `picked` those of the gradient are added, in order.
pub(super) fn backward(picked: &[usize], grad: &[f32], [n_rows, width]: [usize; 2]) -> Vec<f32> {
    if width == 0 {
        return Vec::new();
    }
    let by_number = by_number(picked, grad, width);
    let (len, chunk) = (n_rows * width, ROWS * width);
    filled(len, chunk, no_sides(len, chunk), |idx, (), rows| {
        let start = by_number.partition_point(|(number, _)| *number < idx * ROWS);
        for (number, grad) in &by_number[start..] {
            let Some(row) = rows.get_mut((number - idx * ROWS) * width..).filter(|row| !row.is_empty())
            else {
                break;
            };
            row[..width].iter_mut().zip(*grad).for_each(|(sum, grad)| *sum += grad);
        }
    })
}
