//! Rounding to bfloat16.

use super::{
    buffer::{filled, no_sides},
    simd::{Arith, simd},
};

/// Numbers a task.
const CHUNK: usize = 1 << 14;

/// The nearest bfloat16 of each number, as f32.
pub(super) fn rounded(values: &[f32]) -> Vec<f32> {
    filled(values.len(), CHUNK, no_sides(values.len(), CHUNK), |idx, (), elements| {
        round_into(elements, &values[idx * CHUNK..][..elements.len()]);
    })
}

simd! {
    /// As [`rounded`], on the calling thread.
    fn round_into(target: &mut [f32], source: &[f32]) = round_into_body;
}

#[inline(always)]
fn round_into_body<A: Arith>(target: &mut [f32], source: &[f32]) {
    for (target, &value) in target.iter_mut().zip(source) {
        *target = nearest(value);
    }
}

simd! {
    /// As [`rounded`], in place, on the calling thread.
    fn round(values: &mut [f32]) = round_body;
}

#[inline(always)]
fn round_body<A: Arith>(values: &mut [f32]) {
    for value in values {
        *value = nearest(*value);
    }
}

/// Half of the last place is added, less one bit where the last place is even; what is not a number stays so.
#[inline(always)]
pub(super) fn nearest(value: f32) -> f32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    let quiet = (bits | 0x0040_0000) & 0xffff_0000;
    f32::from_bits(if value.is_nan() { quiet } else { rounded })
}

#[cfg(test)]
mod tests {
    use burn::tensor::bf16;

    use super::*;

    /// As `half` rounds: every upper half with lower halves around its middle.
    #[test]
    fn every_bfloat16_is_rounded_to_from_both_sides() {
        let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let values: Vec<f32> = (0..=u16::MAX)
            .flat_map(|upper| lower.map(|lower| f32::from_bits(u32::from(upper) << 16 | lower)))
            .collect();
        let expected = |value: &f32| bf16::from_f32(*value).to_f32().to_bits();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let found = rounded(&values);
        let mut in_place = values.clone();
        round(&mut in_place);
        assert_eq!(bits(&found), values.iter().map(expected).collect::<Vec<_>>());
        assert_eq!(bits(&in_place), bits(&found));
    }

    /// 1 + 2⁻⁸ lies in the middle of 1 and 1 + 2⁻⁷, and 1 is even; 1 + 3·2⁻⁸ is next to 1 + 2⁻⁶, which is even.
    #[test]
    fn ties_go_to_the_even_neighbour() {
        assert_eq!(rounded(&[1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0]), [1.0, 1.0 + 1.0 / 64.0]);
    }
}
