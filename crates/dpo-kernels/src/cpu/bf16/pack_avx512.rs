//! Rounded pairs of a matrix in tiles, sixteen at a time.

use std::{
    arch::x86_64::{
        __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_cvtne2ps_pbh, _mm512_permutexvar_epi16,
        _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
        _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    },
    mem::transmute,
};

use super::{
    pack::{Part, Side},
    tile::{DEPTH, LINES, PAIRS, Tile},
};
use crate::cpu::gemm::Matrix;

pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// As [`fill_plain`](super::pack::fill_plain), but that numbers below the normal ones become 0, which is what products make
/// of them.
pub(super) fn fill(tiles: &mut [Tile], part: Part<'_>) {
    assert!(is_there(), "AVX-512-BF16 where there is none");
    #[allow(unsafe_code)] // SAFETY: safe functions but for the features they need, which were found.
    unsafe {
        if part.matrix.has_contiguous_rows() { along(tiles, part) } else { across(tiles, part) }
    }
}

/// Numbers that are neighbours along the depth are neighbours in memory, which is read in its order.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn along(tiles: &mut [Tile], part: Part<'_>) {
    for (strip, tiles) in tiles.chunks_exact_mut(2 * part.n_steps).enumerate() {
        for line in 0..2 * LINES {
            let (half, of_line) = (line / LINES, line % LINES);
            for (step, tiles) in tiles.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let [line, depth] = part.place(strip, step, half);
                // Not in a closure: it would be compiled without the features, and called.
                let first = numbers(part.matrix, line + of_line, depth);
                let second = numbers(part.matrix, line + of_line, depth + PAIRS);
                tiles[half].0.as_chunks_mut().0[of_line] = stored(rounded(first, second));
            }
        }
        if part.side == Side::Right {
            for tile in tiles {
                store(tile, &transposed(&lines_of(tile)));
            }
        }
    }
}

/// The same place in neighbouring lines is neighbours in memory: step by step.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn across(tiles: &mut [Tile], part: Part<'_>) {
    let by_depth = part.matrix.transposed();
    let strip_len = 2 * part.n_steps;
    for step in 0..part.n_steps {
        for strip in 0..tiles.len() / strip_len {
            for half in 0..2 {
                let [line, depth] = part.place(strip, step, half);
                let mut rows = [_mm512_setzero_si512(); PAIRS];
                for (pair, pairs) in rows.iter_mut().enumerate() {
                    let depth = depth + 2 * pair;
                    fetch(by_depth, depth + DEPTH, line);
                    fetch(by_depth, depth + DEPTH + 1, line);
                    *pairs = interleaved(rounded(
                        numbers(by_depth, depth, line),
                        numbers(by_depth, depth + 1, line),
                    ));
                }
                let tile = &mut tiles[strip * strip_len + 2 * step + half];
                store(tile, &if part.side == Side::Right { rows } else { transposed(&rows) });
            }
        }
    }
}

/// Lets the processor fetch an element that will be read soon: rows that lie far apart are no pattern to it.
#[target_feature(enable = "avx512f")]
fn fetch(matrix: Matrix<'_>, row: usize, col: usize) {
    if let Some(element) = matrix.rest_of_row(row, col).first() {
        _mm_prefetch::<_MM_HINT_T0>((&raw const *element).cast());
    }
}

/// Sixteen neighbours in a row; zeros where the matrix has none.
#[target_feature(enable = "avx512f")]
fn numbers(matrix: Matrix<'_>, row: usize, col: usize) -> __m512 {
    let rest = matrix.rest_of_row(row, col);
    match rest.first_chunk() {
        Some(numbers) => load(numbers),
        None => at_the_edge(rest),
    }
}

#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f")]
fn at_the_edge(rest: &[f32]) -> __m512 {
    let mut numbers = [0.0; LINES];
    numbers[..rest.len()].copy_from_slice(rest);
    load(&numbers)
}

/// The first numbers, then the second ones.
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded(first: __m512, second: __m512) -> __m512i {
    #[allow(unsafe_code)] // SAFETY: both are 512 bits, and any bits are whole numbers.
    unsafe {
        transmute(_mm512_cvtne2ps_pbh(second, first))
    }
}

/// Each of the first sixteen with its fellow of the second.
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(halves: __m512i) -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut idx = 0;
        while idx < 16 {
            (order[2 * idx], order[2 * idx + 1]) = (idx as u16, idx as u16 + 16);
            idx += 1;
        }
        order
    };
    #[allow(unsafe_code)] // SAFETY: both are 512 bits, and any bits are whole numbers.
    let order: __m512i = unsafe { transmute(ORDER) };
    _mm512_permutexvar_epi16(order, halves)
}

/// Rows and columns of sixteen rows of sixteen exchanged: within blocks of four by four, then the blocks.
#[target_feature(enable = "avx512f")]
fn transposed(rows: &[__m512i; LINES]) -> [__m512i; LINES] {
    let mut turned = [_mm512_setzero_si512(); LINES];
    for four in 0..4 {
        let (a, b, c, d) = (rows[4 * four], rows[4 * four + 1], rows[4 * four + 2], rows[4 * four + 3]);
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        turned[4 * four] = _mm512_unpacklo_epi64(ab_low, cd_low);
        turned[4 * four + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
        turned[4 * four + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        turned[4 * four + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    // `turned[4·four + k]` has, in its block `j`, column `4·j + k` of four rows.
    let mut columns = [_mm512_setzero_si512(); LINES];
    for k in 0..4 {
        let (a, b, c, d) = (turned[k], turned[4 + k], turned[8 + k], turned[12 + k]);
        let (ab_even, ab_odd) =
            (_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b));
        let (cd_even, cd_odd) =
            (_mm512_shuffle_i32x4::<0b10_00_10_00>(c, d), _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d));
        columns[k] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_even, cd_even);
        columns[8 + k] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_even, cd_even);
        columns[4 + k] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_odd, cd_odd);
        columns[12 + k] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_odd, cd_odd);
    }
    columns
}

#[target_feature(enable = "avx512f")]
fn load(numbers: &[f32; LINES]) -> __m512 {
    #[allow(unsafe_code)] // SAFETY: both are sixteen numbers, and any bits are one.
    unsafe {
        transmute(*numbers)
    }
}

#[target_feature(enable = "avx512f")]
fn stored(line: __m512i) -> [u32; PAIRS] {
    #[allow(unsafe_code)] // SAFETY: both are 512 bits, and any bits are whole numbers.
    unsafe {
        transmute(line)
    }
}

#[target_feature(enable = "avx512f")]
fn lines_of(tile: &Tile) -> [__m512i; LINES] {
    #[allow(unsafe_code)] // SAFETY: both are sixteen lines of 512 bits, and any bits are whole numbers.
    unsafe {
        transmute(tile.0)
    }
}

#[target_feature(enable = "avx512f")]
fn store(tile: &mut Tile, lines: &[__m512i; LINES]) {
    #[allow(unsafe_code)] // SAFETY: both are sixteen lines of 512 bits, and any bits are whole numbers.
    let lines: [u32; LINES * PAIRS] = unsafe { transmute(*lines) };
    tile.0 = lines;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{bf16::pack::fill_plain, tests::numbers as random};

    /// Odd sizes, both sides, rows or columns side by side, whole and from a strip on.
    #[test]
    fn tiles_are_those_of_any_processor() {
        if !is_there() {
            return eprintln!("skipped: AVX-512-BF16 is not here");
        }
        for [lines, depth] in [[1, 1], [15, 31], [16, 32], [33, 65], [64, 96], [70, 130]] {
            let values = random(lines * depth, 1);
            let along = Matrix::new(&values, [lines, depth], depth);
            let across = Matrix::new(&values, [depth, lines], lines).transposed();
            for (matrix, side) in
                [along, across].into_iter().flat_map(|m| [(m, Side::Left), (m, Side::Right)])
            {
                for first_strip in 0..2 {
                    let n_steps = depth.div_ceil(DEPTH);
                    let part = Part { matrix, side, first_strip, n_steps };
                    let [mut found, mut expected] = [(); 2].map(|()| vec![Tile::ZERO; 3 * 2 * n_steps]);
                    fill(&mut found, part);
                    fill_plain(&mut expected, part);
                    assert!(found == expected, "{lines} × {depth}, {side:?}, from {first_strip}");
                }
            }
        }
    }
}
