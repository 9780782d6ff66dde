//! Which unit a test runs on, and whether its products are right.

use std::cell::Cell;

use super::{
    Operand, Packed, Side, UNITS, Unit, multiply,
    tile::{Multiplier, Plain, SQUARE, Square, Start, Tile, is_right},
};
use crate::{
    Precision,
    cpu::{
        gemm::{Matrix, Target, Write},
        round::rounded,
        tests::numbers,
    },
};

/// What lies around a unit is tested on every machine.
static PLAIN: Unit = Unit::of::<Plain>();

thread_local! {
    static ALLOWED: Cell<Option<&'static [Unit]>> = const { Cell::new(None) };
}

/// The units that the test on this thread allows, if it says so.
pub(super) fn allowed() -> Option<&'static [Unit]> {
    ALLOWED.get()
}

/// Runs operations that begin on this thread on that unit, or without one.
pub(in crate::cpu) fn on<R>(unit: Option<&'static Unit>, work: impl FnOnce() -> R) -> R {
    ALLOWED.set(Some(unit.map_or(&[], std::slice::from_ref)));
    let result = work();
    ALLOWED.set(None);
    result
}

/// Every unit that can be used here, and plain Rust; what is left out is said aloud, since most machines have neither.
pub(in crate::cpu) fn units() -> Vec<&'static Unit> {
    let (usable, others): (Vec<_>, Vec<_>) = UNITS.iter().partition(|unit| (unit.is_usable)());
    others.iter().for_each(|unit| eprintln!("skipped: {} is not here", unit.name));
    usable.into_iter().chain([&PLAIN]).collect()
}

fn product(unit: &Unit, left: Matrix<'_>, right: Matrix<'_>) -> Vec<f32> {
    let packed = Packed::on_all_threads(&[(left, Side::Left), (right, Side::Right)]);
    unit.product(&[[&packed[0], &packed[1]]])
}

fn on_this_thread(unit: &Unit, target: Target<'_>, left: Matrix<'_>, right: Matrix<'_>) {
    let (left, right) =
        (Operand::new(Some(unit), left, Side::Left), Operand::new(Some(unit), right, Side::Right));
    multiply(Some(unit), target, left.whole(), right.whole());
}

/// A matrix in memory, with NaN wherever it is not.
struct Stored {
    memory: Vec<f32>,
    start: usize,
    stride: usize,
    /// Of what is stored: columns and rows of a matrix that is stored column by column.
    dims: [usize; 2],
    by_column: bool,
}

impl Stored {
    /// From the elements row by row: begins `start` numbers behind an aligned place, `gap` numbers between lines.
    fn new(values: &[f32], [rows, cols]: [usize; 2], by_column: bool, [start, gap]: [usize; 2]) -> Self {
        let dims = if by_column { [cols, rows] } else { [rows, cols] };
        let stride = dims[1] + gap;
        let mut memory = vec![f32::NAN; start + dims[0] * stride];
        for (idx, value) in values.iter().enumerate() {
            let (row, col) = (idx / cols, idx % cols);
            let (line, place) = if by_column { (col, row) } else { (row, col) };
            memory[start + line * stride + place] = *value;
        }
        Self { memory, start, stride, dims, by_column }
    }

    fn matrix(&self) -> Matrix<'_> {
        let matrix = Matrix::new(&self.memory[self.start..], self.dims, self.stride);
        if self.by_column { matrix.transposed() } else { matrix }
    }
}

/// Row by row and column by column, packed and aligned, then neither.
fn layouts(values: &[f32], dims: [usize; 2]) -> [Stored; 4] {
    [(false, [0, 0]), (true, [0, 0]), (false, [1, 3]), (true, [3, 5])]
        .map(|(by_column, place)| Stored::new(values, dims, by_column, place))
}

/// Asserts that `found[row][col]`, rows `stride` apart, is `add` and the product of rounded operands, within half a last
/// place for each addition.
fn assert_product(
    found: &[f32],
    stride: usize,
    add: f32,
    [a, b]: [&[f32]; 2],
    [m, k, n]: [usize; 3],
    what: &str,
) {
    let [a, b] = [a, b].map(|operand| rounded(operand, Precision::Bf16.dropped_digits()));
    for (row, col) in (0..m).flat_map(|row| (0..n).map(move |col| (row, col))) {
        let products = (0..k).map(|idx| f64::from(a[row * k + idx]) * f64::from(b[idx * n + col]));
        let (sum, size) = products.fold((f64::from(add), f64::from(add.abs())), |(sum, size), product| {
            (sum + product, size + product.abs())
        });
        let (found, bound) = (f64::from(found[row * stride + col]), (k + 1) as f64 * size / (1 << 24) as f64);
        assert!((found - sum).abs() <= bound, "{what}, ({row}, {col}): {found} is not {sum} ± {bound:e}");
    }
}

const SIZES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [15, 15, 15],
    [16, 16, 16],
    [17, 17, 17],
    [31, 33, 32],
    [32, 32, 32],
    [33, 31, 65],
    [64, 64, 64],
    [1, 100, 33],
    [160, 70, 40],
    [7, 100, 300],
    [129, 2, 31],
];

/// Whatever way the operands lie in memory, and whatever is left over at the edges.
#[test]
fn a_product_is_that_of_rounded_operands() {
    for (unit, [m, k, n]) in units().into_iter().flat_map(|unit| SIZES.map(|size| (unit, size))) {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        for (idx, (left, right)) in layouts(&a, [m, k])
            .iter()
            .flat_map(|left| layouts(&b, [k, n]).map(|right| (left, right)))
            .enumerate()
        {
            let what = format!("{}, {m} × {k} × {n}, layouts {idx}", unit.name);
            let found = product(unit, left.matrix(), right.matrix());
            assert_product(&found, n, 0.0, [&a, &b], [m, k, n], &what);
        }
    }
}

/// Over what was there and onto it, in rows with gaps that stay as they are, from a place that is not aligned.
#[test]
fn a_product_is_written_over_a_target_or_added_to_it() {
    for (unit, [m, k, n]) in units().into_iter().flat_map(|unit| SIZES.map(|size| (unit, size))) {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let (left, right) = (Matrix::new(&a, [m, k], k), Matrix::new(&b, [k, n], n));
        for (write, there) in [(Write::Replace, f32::NAN), (Write::Add, 3.0)] {
            let what = format!("{}, {m} × {k} × {n}", unit.name);
            let (stride, add) = (n + 3, if write == Write::Add { there } else { 0.0 });
            let mut memory = vec![there; 1 + m * stride];
            let target = Target { data: &mut memory[1..], stride, write };
            on_this_thread(unit, target, left, right);
            assert_product(&memory[1..], stride, add, [&a, &b], [m, k, n], &what);
            let untouched = |row: &[f32]| row[n..].iter().all(|number| number.to_bits() == there.to_bits());
            assert!(memory[1..].chunks(stride).all(untouched), "{what}: nothing is written beside it");
        }
    }
}

/// A product of factors side by side is the sum of their products.
#[test]
fn factors_are_added_up() {
    let ([m, n], depths) = ([70, 45], [90, 16, 1]);
    for unit in units() {
        let (mut a, mut b) = (vec![Vec::new(); m], Vec::new());
        let mut packed = Vec::new();
        for (idx, k) in depths.into_iter().enumerate() {
            let (left, right) = (numbers(m * k, idx as u64), numbers(k * n, 7 + idx as u64));
            let sides =
                [(Matrix::new(&left, [m, k], k), Side::Left), (Matrix::new(&right, [k, n], n), Side::Right)];
            packed.push(Packed::on_all_threads(&sides));
            a.iter_mut().zip(left.chunks(k)).for_each(|(row, part)| row.extend_from_slice(part));
            b.extend_from_slice(&right);
        }
        let factors: Vec<[&Packed; 2]> = packed.iter().map(|sides| [&sides[0], &sides[1]]).collect();
        assert_product(&unit.product(&factors), n, 0.0, [&a.concat(), &b], [m, 107, n], unit.name);
    }
}

/// Alone or among others, in a whole square or at an edge, a row has the same bits: new and added to what is there.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let [m, k, n] = [70, 90, 50];
    let (a, b, there) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
    let right = Matrix::new(&b, [k, n], n);
    for unit in units() {
        let run = |rows: std::ops::Range<usize>| {
            let left = Matrix::new(&a[rows.start * k..], [rows.len(), k], k);
            let mut sum = there[rows.start * n..rows.end * n].to_vec();
            let target = Target { data: &mut sum, stride: n, write: Write::Add };
            on_this_thread(unit, target, left, right);
            [product(unit, left, right), sum]
        };
        let all = run(0..m);
        for rows in [0..1, 31..32, 32..33, 69..70, 5..40, 20..70] {
            let expected = all.each_ref().map(|all| all[rows.start * n..rows.end * n].to_vec());
            assert_eq!(run(rows.clone()), expected, "{}, rows {rows:?}", unit.name);
        }
    }
}

/// A number that is none, or no end, reaches its row of the product or its column, and nothing else.
#[test]
fn nan_and_infinity_stay_in_their_lines() {
    let [m, k, n] = [35, 40, 33];
    for unit in units() {
        for special in [f32::NAN, f32::INFINITY] {
            let [mut a, mut b] = [vec![1.0; m * k], vec![1.0; k * n]];
            let product =
                |a: &[f32], b: &[f32]| product(unit, Matrix::new(a, [m, k], k), Matrix::new(b, [k, n], n));
            let places = |found: &[f32]| -> Vec<usize> {
                let same = |value: f32| value.is_nan() == special.is_nan() && !value.is_finite();
                (0..m * n).filter(|&idx| same(found[idx])).collect()
            };
            a[34 * k + 39] = special;
            assert_eq!(places(&product(&a, &b)), (34 * n..35 * n).collect::<Vec<_>>(), "{}", unit.name);
            a[34 * k + 39] = 1.0;
            b[32] = special;
            let column: Vec<usize> = (0..m).map(|row| row * n + 32).collect();
            assert_eq!(places(&product(&a, &b)), column, "{}", unit.name);
        }
    }
}

#[test]
fn an_empty_product_is_empty_and_one_without_depth_is_zero() {
    let right = Matrix::new(&[], [0, 3], 3);
    for unit in units() {
        assert_eq!(product(unit, Matrix::new(&[], [0, 0], 0), right), [0.0; 0]);
        assert_eq!(product(unit, Matrix::new(&[], [2, 0], 0), right), [0.0; 6]);
        let mut there = [7.0; 6];
        for (write, expected) in [(Write::Add, [7.0; 6]), (Write::Replace, [0.0; 6])] {
            let target = Target { data: &mut there, stride: 3, write };
            on_this_thread(unit, target, Matrix::new(&[], [2, 0], 0), right);
            assert_eq!(there, expected);
        }
    }
}

/// Names tell kept results apart.
#[test]
fn units_have_different_names() {
    let names: std::collections::HashSet<&str> = UNITS.iter().map(|unit| unit.name).collect();
    assert_eq!(names.len(), UNITS.len());
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_is_there_computes_what_it_should() {
    use super::{amx::Amx, avx512::Avx512};
    assert_eq!(Amx::is_usable(), Amx::is_there());
    assert_eq!(Avx512::is_usable(), Avx512::is_there());
}

/// One number of a square is another.
struct Wrong;

impl Multiplier for Wrong {
    const NAME: &str = "wrong";

    fn is_there() -> bool {
        true
    }

    fn is_usable() -> bool {
        is_right::<Self>()
    }

    fn new() -> Self {
        Self
    }

    fn add(&self, left: &[Tile], right: &[Tile], square: &mut Square, start: Start) {
        Plain.add(left, right, square, start);
        square.0[17 * SQUARE + 5] += 1.0;
    }
}

#[test]
fn a_unit_that_computes_something_else_is_left_alone() {
    assert!(!Wrong::is_usable());
    assert!(Plain::is_usable() && is_right::<Plain>());
}
