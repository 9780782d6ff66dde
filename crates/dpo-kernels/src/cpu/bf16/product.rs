//! Whole products out of squares.

use std::{cell::Cell, mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

use super::{
    EachSquare,
    packed::{Packed, PackedPart},
    tile::{Multiplier, SQUARE, Square, Start},
};
use crate::cpu::{
    buffer::Scattered,
    gemm::{Target, Write},
};

/// Bytes of the left operand that every strip of the right one is multiplied with while they stay in the second cache.
const LEFT_BYTES: usize = 512 << 10;
/// Tasks a thread, about: a thread that was held up leaves some to the others.
const TASKS: usize = 4;

/// `Σ lhs · rhs` of factors whose products have one size, row by row, on all threads.
pub(super) fn on_all_threads<M: Multiplier>(factors: &[[&Packed; 2]]) -> Vec<f32> {
    let factors: Vec<[PackedPart<'_>; 2]> = factors.iter().map(|sides| sides.map(Packed::whole)).collect();
    let factors = &factors[..];
    let [lines, width] = size(factors);
    let mut product: Vec<f32> = Vec::with_capacity(lines * width);
    let whole = Shared::new(&mut product.spare_capacity_mut()[..lines * width], width);
    tasks(factors).into_par_iter().with_max_len(1).for_each(|task| {
        let first_row = task.left.start * SQUARE;
        multiply(&M::new(), factors, task, |[row, col], square| {
            #[allow(unsafe_code)]
            // SAFETY: each square is of one task, which hands it over once.
            unsafe {
                whole.set([first_row + row, col], square);
            }
        });
    });
    #[allow(unsafe_code)]
    // SAFETY: the tasks have each square of the product, and each square was set where it is.
    unsafe {
        product.set_len(lines * width);
    }
    product
}

/// Strips of both operands whose squares are one task.
#[derive(Debug, Clone)]
struct Task {
    left: Range<usize>,
    right: Range<usize>,
}

/// Each square of the product in one task. The left operand is cut no finer than the second cache asks for, since every
/// part of it is a pass over the right one, which comes from afar; the right one as the threads ask for.
fn tasks(factors: &[[PackedPart<'_>; 2]]) -> Vec<Task> {
    let [n_left, n_right] =
        factors.first().map_or([0, 0], |[left, right]| [left.n_strips(), right.n_strips()]);
    let bytes_of_strip: usize = factors.iter().map(|[left, _]| left.bytes_of_strip()).sum();
    let n_groups = (n_left * bytes_of_strip).div_ceil(LEFT_BYTES).max(1);
    let n_cuts = (TASKS * rayon::current_num_threads()).div_ceil(n_groups);
    let groups = ranges(n_left, n_groups);
    groups
        .flat_map(|left| ranges(n_right, n_cuts).map(move |right| Task { left: left.clone(), right }))
        .collect()
}

/// `0..len` cut into at most `n` nearly equal ranges, none of them empty.
fn ranges(len: usize, n: usize) -> impl Iterator<Item = Range<usize>> {
    let n = n.min(len);
    (0..n).map(move |idx| len * idx / n..len * (idx + 1) / n)
}

/// Rows and columns of a product.
fn size(factors: &[[PackedPart<'_>; 2]]) -> [usize; 2] {
    let [left, right] = factors.first().expect("factors of a product");
    for [lhs, rhs] in factors {
        assert_eq!(lhs.depth(), rhs.depth(), "inner dimensions of a product");
        assert_eq!([lhs.lines(), rhs.lines()], [left.lines(), right.lines()], "sizes of products");
    }
    [left.lines(), right.lines()]
}

/// `lhs · rhs` to a target, on the calling thread.
pub(super) fn on_this_thread<M: Multiplier>(target: Target<'_>, lhs: PackedPart<'_>, rhs: PackedPart<'_>) {
    let Target { data, stride, write } = target;
    let (rows, cols) = (lhs.lines(), rhs.lines());
    assert_eq!(lhs.depth(), rhs.depth(), "inner dimensions of a product");
    if rows == 0 || cols == 0 {
        return;
    }
    assert!(stride >= cols && (rows - 1) * stride + cols <= data.len(), "target of a product");
    let task = Task { left: 0..lhs.n_strips(), right: 0..rhs.n_strips() };
    multiply(&M::new(), &[[lhs, rhs]], task, |[row, col], square| {
        let width = SQUARE.min(cols - col);
        for (line, row) in square.lines().take(rows - row).zip(row..) {
            let target = &mut data[row * stride + col..][..width];
            match (write, target.as_chunks_mut()) {
                (Write::Replace, ([whole], [])) => *whole = *line,
                (Write::Replace, _) => target.copy_from_slice(&line[..width]),
                (Write::Add, _) => target.iter_mut().zip(line).for_each(|(sum, number)| *sum += number),
            }
        }
    });
}

thread_local! {
    static SQUARES: Cell<Vec<Square>> = const { Cell::new(Vec::new()) };
}

/// The squares of a task, each once, with the row, counted from the task's first, and the column where it begins. What lies
/// beyond the product is 0.
fn multiply<M: Multiplier>(
    multiplier: &M,
    factors: &[[PackedPart<'_>; 2]],
    task: Task,
    mut hand_over: impl FnMut([usize; 2], &Square),
) {
    with_squares(task.left.len(), |squares| {
        for column in task.right {
            add_column(multiplier, factors, (&task.left, column), squares, [0, 1]);
            for (strip, square) in squares.iter().enumerate() {
                hand_over([strip * SQUARE, column * SQUARE], square);
            }
        }
    });
}

/// Lends that many squares of any content.
fn with_squares(n: usize, work: impl FnOnce(&mut [Square])) {
    let mut squares = SQUARES.take();
    squares.resize(n.max(squares.len()), Square::ZERO);
    work(&mut squares[..n]);
    SQUARES.set(squares);
}

/// Strips of the left operands with one of the right ones: their squares, one in `step` from `first` on.
fn add_column<M: Multiplier>(
    multiplier: &M,
    factors: &[[PackedPart<'_>; 2]],
    (strips, column): (&Range<usize>, usize),
    squares: &mut [Square],
    [first, step]: [usize; 2],
) {
    let mut start = Start::Zeros;
    for [left, right] in factors {
        for block in 0..left.n_blocks() {
            let of_right = right.strip(block, column);
            for (strip, square) in strips.clone().zip(squares.iter_mut().skip(first).step_by(step)) {
                multiplier.add(left.strip(block, strip), of_right, square, start);
            }
            start = Start::Square;
        }
    }
    if start == Start::Zeros {
        squares.iter_mut().skip(first).step_by(step).for_each(|square| *square = Square::ZERO);
    }
}

/// The squares of products of one size, on all threads: `each` gets those of one place, of each product one, with the strips
/// of both operands that they come from. What lies beyond the products is 0.
pub(super) fn on_squares<M: Multiplier>(products: &[[&Packed; 2]], each: &EachSquare<'_>) {
    let products: Vec<[PackedPart<'_>; 2]> = products.iter().map(|sides| sides.map(Packed::whole)).collect();
    let n = products.len();
    tasks(&products[..n.min(1)]).into_par_iter().with_max_len(1).for_each(|task| {
        let multiplier = M::new();
        with_squares(n * task.left.len(), |squares| {
            for column in task.right {
                for (idx, product) in products.iter().enumerate() {
                    add_column(&multiplier, &[*product], (&task.left, column), squares, [idx, n]);
                }
                for (strip, squares) in task.left.clone().zip(squares.chunks_exact(n)) {
                    each([strip, column], squares);
                }
            }
        });
    });
}

/// A product that tasks write to, each other squares of it.
struct Shared<'a> {
    numbers: Scattered<'a, MaybeUninit<f32>>,
    lines: usize,
    width: usize,
}

impl<'a> Shared<'a> {
    fn new(product: &'a mut [MaybeUninit<f32>], width: usize) -> Self {
        let lines = product.len().checked_div(width).unwrap_or(0);
        Self { numbers: Scattered::new(product), lines, width }
    }

    /// Sets what of a square lies in the product.
    ///
    /// # Safety
    /// No other thread sets the same square.
    #[allow(unsafe_code)]
    unsafe fn set(&self, [row, col]: [usize; 2], square: &Square) {
        assert!(row < self.lines && col < self.width, "a square that begins in the product");
        let width = SQUARE.min(self.width - col);
        for (line, row) in square.lines().zip(row..self.lines) {
            let start = row * self.width + col;
            // SAFETY: they belong to one square, which the caller sets alone.
            let target = unsafe { self.numbers.part(start..start + width) };
            match target.as_chunks_mut::<{ SQUARE / 2 }>().0 {
                // Copies of known length are some instructions, not a call.
                [first, second] => {
                    let (left, right) = line.split_at(SQUARE / 2);
                    first.write_copy_of_slice(left);
                    second.write_copy_of_slice(right);
                }
                _ => drop(target.write_copy_of_slice(&line[..width])),
            }
        }
    }
}
