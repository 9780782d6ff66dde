//! Blocks of 32 values: one scale `d` and, for the `_1` types, one offset `m`, then 4, 5 or 8 bits a value.

use super::{half_at, nibbles};

/// As [`nibbles`], with a fifth bit for each value from a word of 32.
fn five_bits<'a>(word: &[u8], bytes: &'a [u8]) -> impl Iterator<Item = u8> + use<'a> {
    let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
    nibbles(bytes).enumerate().map(move |(i, low)| low | ((word >> i) as u8 & 1) << 4)
}

pub(super) fn q4_0(block: &[u8; 18], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    values.extend(nibbles(&block[2..]).map(|q| d * (f32::from(q) - 8.0)));
}

pub(super) fn q4_1(block: &[u8; 20], values: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    values.extend(nibbles(&block[4..]).map(|q| d * f32::from(q) + m));
}

pub(super) fn q5_0(block: &[u8; 22], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    values.extend(five_bits(&block[2..6], &block[6..]).map(|q| d * (f32::from(q) - 16.0)));
}

pub(super) fn q5_1(block: &[u8; 24], values: &mut Vec<f32>) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    values.extend(five_bits(&block[4..8], &block[8..]).map(|q| d * f32::from(q) + m));
}

pub(super) fn q8_0(block: &[u8; 34], values: &mut Vec<f32>) {
    let d = half_at(block, 0);
    values.extend(block[2..].iter().map(|&byte| d * f32::from(byte as i8)));
}
