//! `eˣ` in f32, written so that a loop over it vectorises.

use super::simd::Arith;

/// `ln 2` in two parts; the first has 9 significant bits, so that its product with an exponent is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// `1.5 · 2²³`: adding it rounds to an integer, which is then found in the low bits.
const ROUND: f32 = 12_582_912.0;
/// `eʳ ≈ 1 + r + r²·P(r)` for `|r| ≤ ln 2 / 2`, highest power first (Cephes, `expf`).
const POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];

/// `eˣ` within 2 units in the last place; +∞ → +∞, −∞ → 0, NaN → NaN, gradual underflow below −87.3.
#[inline(always)]
pub(crate) fn exp<A: Arith>(x: f32) -> f32 {
    // Beyond these the result is +∞ and 0; comparisons with NaN are false, so that NaN stays. What is masked is not computed
    // down to 0: a product that falls below the normal numbers takes the processor a hundred times as long.
    let is_zero = x < -104.0;
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if is_zero { 0.0 } else { x };
    let shifted = A::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = A::mul_add(n, -LN_2_HIGH, x);
    let r = A::mul_add(n, -LN_2_LOW, r);
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = A::mul_add(p, r, *coefficient);
    }
    let p = A::mul_add(p, r * r, r) + 1.0;
    // Two factors: one alone cannot hold 2¹²⁸ or 2⁻¹⁵⁰, and only the second rounds.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = exponent >> 1;
    let value = p * power_of_2(half) * power_of_2(exponent.wrapping_sub(half));
    if is_zero { 0.0 } else { value }
}

#[inline(always)]
fn power_of_2(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{
        simd::{Baseline, simd},
        tests::error_in_ulp,
    };

    #[inline(always)]
    fn exp_all_body<A: Arith>(values: &mut [f32]) {
        for value in values {
            *value = exp::<A>(*value);
        }
    }
    simd! {
        fn exp_all(values: &mut [f32]) = exp_all_body;
    }

    /// Every 509th f32 between −104 and 88.72, in whichever instruction set this machine has, and in the portable one.
    #[test]
    fn exp_is_within_2_ulp() {
        let positive = (0..88.72_f32.to_bits()).step_by(509).map(f32::from_bits);
        let negative = (0..104.0_f32.to_bits()).step_by(509).map(|bits| -f32::from_bits(bits));
        let inputs: Vec<f32> = positive.chain(negative).collect();
        let mut outputs = inputs.clone();
        exp_all(&mut outputs);
        for (&x, &y) in inputs.iter().zip(&outputs) {
            assert!(error_in_ulp(f64::from(x).exp(), y) <= 2.0, "exp({x}) = {y}");
            let portable = exp::<Baseline>(x);
            let error = error_in_ulp(f64::from(x).exp(), portable);
            assert!(error <= 2.0, "exp({x}) = {portable} on any processor of the target");
        }
    }

    #[test]
    fn exp_keeps_the_limits() {
        let mut values =
            [f32::INFINITY, 1e30, 88.73, f32::NEG_INFINITY, -1e30, -104.0, 0.0, -0.0, f32::NAN, -f32::NAN];
        exp_all(&mut values);
        assert_eq!(values[..8], [f32::INFINITY, f32::INFINITY, f32::INFINITY, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert!(values[8].is_nan() && values[9].is_nan());
    }
}
