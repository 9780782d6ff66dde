//! Rounding to fewer digits.

use super::{
    buffer::{filled, no_sides},
    simd::{Arith, simd},
};

/// Numbers a task.
const CHUNK: usize = 1 << 14;

/// The nearest number without the last `dropped` digits, for each.
pub(super) fn rounded(values: &[f32], dropped: u32) -> Vec<f32> {
    filled(values.len(), CHUNK, no_sides(values.len(), CHUNK), |idx, (), elements| {
        round_into(elements, &values[idx * CHUNK..][..elements.len()], dropped);
    })
}

simd! {
    /// As [`rounded`], on the calling thread.
    fn round_into(target: &mut [f32], source: &[f32], dropped: u32) = round_into_body;
}

#[inline(always)]
fn round_into_body<A: Arith>(target: &mut [f32], source: &[f32], dropped: u32) {
    for (target, &value) in target.iter_mut().zip(source) {
        *target = nearest(value, dropped);
    }
}

simd! {
    /// As [`rounded`], in place, on the calling thread.
    fn round(values: &mut [f32], dropped: u32) = round_body;
}

#[inline(always)]
fn round_body<A: Arith>(values: &mut [f32], dropped: u32) {
    for value in values {
        *value = nearest(*value, dropped);
    }
}

/// Half of the last place is added, less one bit where the last place is even; what is not a number stays so.
#[inline(always)]
pub(super) fn nearest(value: f32, dropped: u32) -> f32 {
    let (bits, below_half, kept) = (value.to_bits(), (1 << (dropped - 1)) - 1, u32::MAX << dropped);
    let rounded = bits.wrapping_add(below_half + (bits >> dropped & 1)) & kept;
    let quiet = (bits | 0x0040_0000) & kept;
    f32::from_bits(if value.is_nan() { quiet } else { rounded })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{bf16, f16};

    use super::*;
    use crate::Precision;

    const BF16: u32 = Precision::Bf16.dropped_digits();

    /// As `half` rounds: every upper half with lower halves around its middle.
    #[test]
    fn every_bfloat16_is_rounded_to_from_both_sides() {
        let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let values: Vec<f32> = (0..=u16::MAX)
            .flat_map(|upper| lower.map(|lower| f32::from_bits(u32::from(upper) << 16 | lower)))
            .collect();
        let expected = |value: &f32| bf16::from_f32(*value).to_f32().to_bits();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let found = rounded(&values, BF16);
        let mut in_place = values.clone();
        round(&mut in_place, BF16);
        assert_eq!(bits(&found), values.iter().map(expected).collect::<Vec<_>>());
        assert_eq!(bits(&in_place), bits(&found));
    }

    /// 1 + 2⁻⁸ lies in the middle of 1 and 1 + 2⁻⁷, and 1 is even; 1 + 3·2⁻⁸ is next to 1 + 2⁻⁶, which is even.
    #[test]
    fn ties_go_to_the_even_neighbour() {
        assert_eq!(rounded(&[1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0], BF16), [1.0, 1.0 + 1.0 / 64.0]);
    }

    /// As `half` rounds, where half precision has all its digits, and beyond.
    #[test]
    fn f16_has_its_digits_at_every_size() {
        let dropped = Precision::F16.dropped_digits();
        let halves = (0x0400..0x7bff).map(|bits| f16::from_bits(bits).to_f32());
        for scale in [1.0, 2f32.powi(-100), 2f32.powi(100)] {
            let between: Vec<f32> = halves
                .clone()
                .flat_map(|half| {
                    [half, half * (1.0 + 1.0 / 2048.0), half * (1.0 + 1.0 / 4096.0), -half * 1.000_7]
                })
                .collect();
            let expected: Vec<f32> =
                between.iter().map(|&value| f16::from_f32(value).to_f32() * scale).collect();
            let scaled: Vec<f32> = between.iter().map(|value| value * scale).collect();
            assert_eq!(rounded(&scaled, dropped), expected, "times {scale}");
        }
        assert_eq!(rounded(&[0.0, f32::INFINITY, 1e-42], dropped)[..2], [0.0, f32::INFINITY]);
        assert!(rounded(&[f32::NAN], dropped)[0].is_nan());
    }
}
