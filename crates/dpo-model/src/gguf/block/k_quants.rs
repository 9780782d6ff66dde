//! Super-blocks of 256 values: scales of 4, 6 or 8 bits for groups of 16 or 32, themselves scaled by one `d`.
//!
//! Low and high bits of a value lie in different bytes; each function goes through the values in their order.

use super::half_at;

/// Groups of 16 in a super-block.
const N_GROUPS: usize = 16;

/// The two bits at `shift` of each byte.
fn two_bits(bytes: &[u8], shift: usize) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(move |byte| byte >> shift & 3)
}

/// Of 2-bit values, four groups of 32 share the same 32 bytes: the bytes and shift of the `group`th group of 16.
fn place_of_two_bits(group: usize) -> (std::ops::Range<usize>, usize) {
    let (half, within) = (group / 8, group % 8);
    let start = half * 32 + within % 2 * 16;
    (start..start + 16, within / 2 * 2)
}

/// 16 pairs of a scale and an offset, four bits each; 64 bytes of 2-bit values; `d` and `dmin`.
pub(super) fn q2_k(block: &[u8; 84], values: &mut Vec<f32>) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, min) = (half_at(block, 80), half_at(block, 82));
    for (group, scale) in scales.iter().enumerate() {
        let (scale, offset) = (d * f32::from(scale & 15), min * f32::from(scale >> 4));
        let (bytes, shift) = place_of_two_bits(group);
        values.extend(two_bits(&quants[bytes], shift).map(|q| scale * f32::from(q) - offset));
    }
}

/// 32 bytes of the third bits, unset for 4 less; 64 bytes of the lower two; 16 scales of six bits; `d`.
pub(super) fn q3_k(block: &[u8; 110], values: &mut Vec<f32>) {
    let (third, quants) = (&block[..32], &block[32..96]);
    let (scales, d) = (q3_k_scales(&block[96..108]), half_at(block, 108));
    for (group, scale) in scales.into_iter().enumerate() {
        let scale = d * f32::from(scale);
        let (bytes, shift) = place_of_two_bits(group);
        let third = third[group % 2 * 16..].iter().map(|byte| byte >> (group / 2) & 1);
        let quants = two_bits(&quants[bytes], shift).zip(third);
        values
            .extend(quants.map(|(low, third)| scale * (f32::from(low) - if third == 1 { 0.0 } else { 4.0 })));
    }
}

/// Low halves are four bits in each half of the first eight bytes, high ones two bits in each quarter of the last four.
fn q3_k_scales(bytes: &[u8]) -> [i8; N_GROUPS] {
    std::array::from_fn(|group| {
        let low = bytes[group % 8] >> (group / 8 * 4) & 15;
        let high = bytes[8 + group % 4] >> (group / 4 * 2) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// `d` and `dmin`, eight pairs of a scale and an offset of six bits, 128 bytes of 4-bit values.
pub(super) fn q4_k(block: &[u8; 144], values: &mut Vec<f32>) {
    let (d, min, quants) = (half_at(block, 0), half_at(block, 2), &block[16..]);
    for (group, (scale, offset)) in scales_and_offsets(&block[4..16]).into_iter().enumerate() {
        let (scale, offset) = (d * f32::from(scale), min * f32::from(offset));
        let low = four_bits(quants, group);
        values.extend(low.map(|q| scale * f32::from(q) - offset));
    }
}

/// As [`q4_k`], with 32 bytes of the fifth bits before the values.
pub(super) fn q5_k(block: &[u8; 176], values: &mut Vec<f32>) {
    let (d, min) = (half_at(block, 0), half_at(block, 2));
    let (fifth, quants) = (&block[16..48], &block[48..]);
    for (group, (scale, offset)) in scales_and_offsets(&block[4..16]).into_iter().enumerate() {
        let (scale, offset) = (d * f32::from(scale), min * f32::from(offset));
        let quants = four_bits(quants, group).zip(fifth).map(|(low, fifth)| low | (fifth >> group & 1) << 4);
        values.extend(quants.map(|q| scale * f32::from(q) - offset));
    }
}

/// The `group`th 32 values: two groups share 32 bytes, the first in their low halves.
fn four_bits(bytes: &[u8], group: usize) -> impl Iterator<Item = u8> + '_ {
    let shift = group % 2 * 4;
    bytes[group / 2 * 32..][..32].iter().map(move |byte| byte >> shift & 15)
}

/// Eight scales and eight offsets of six bits: the first four of each whole, the others' upper two bits above those.
fn scales_and_offsets(bytes: &[u8]) -> [(u8, u8); 8] {
    std::array::from_fn(|group| {
        if group < 4 {
            return (bytes[group] & 63, bytes[group + 4] & 63);
        }
        let (low, above) = (bytes[group + 4], |at: usize| bytes[at] >> 6 << 4);
        (low & 15 | above(group - 4), low >> 4 | above(group))
    })
}

/// 128 bytes of the lower four bits, 64 of the upper two, 16 scales of eight bits, `d`.
pub(super) fn q6_k(block: &[u8; 210], values: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (group, &scale) in scales.iter().enumerate() {
        let scale = d * f32::from(scale as i8);
        let (half, within) = (group / 8, group % 8);
        let low = low[half * 64 + within % 4 * 16..].iter().map(|byte| byte >> (within / 4 * 4) & 15);
        let (bytes, shift) = place_of_two_bits(group);
        let quants = two_bits(&high[bytes], shift).zip(low).map(|(high, low)| low | high << 4);
        values.extend(quants.map(|q| scale * (f32::from(q) - 32.0)));
    }
}
