//! `tanh x` in f32, and the soft cap made of it, written so that a loop over them vectorises.

use super::{
    exp::exp,
    simd::{Arith, simd},
};

/// Below this `tanh x ≈ x + x³·P(x²)`, highest power first (Cephes, `tanhf`); above, the exponential loses no bits.
const SMALL: f32 = 0.625;
const POLYNOMIAL: [f32; 5] = [-5.704_988_7e-3, 2.063_908_8e-2, -5.373_971_5e-2, 0.133_314_42, -0.333_332_8];

/// `tanh x` within 2 units in the last place; ±∞ → ±1, NaN → NaN, −0 → −0.
#[inline(always)]
pub(crate) fn tanh<A: Arith>(x: f32) -> f32 {
    let size = x.abs();
    let square = x * x;
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = A::mul_add(p, square, *coefficient);
    }
    let small = A::mul_add(p * square, size, size);
    let large = 1.0 - 2.0 / (exp::<A>(2.0 * size) + 1.0);
    (if size < SMALL { small } else { large }).copysign(x)
}

simd! {
    /// Each score `x` becomes `c·tanh(x/c)`.
    fn cap(scores: &mut [f32], softcap: f32) = cap_body;
}

#[inline(always)]
fn cap_body<A: Arith>(scores: &mut [f32], softcap: f32) {
    for score in scores {
        *score = softcap * tanh::<A>(*score / softcap);
    }
}

/// `dy/dx = 1 − (y/c)²` of a capped score `y`; 0 where it was masked with −∞ afterwards.
#[inline(always)]
pub(crate) fn cap_slope(capped: f32, softcap: f32) -> f32 {
    let tanh = capped / softcap;
    let tanh = if tanh < -1.0 { -1.0 } else { tanh };
    1.0 - tanh * tanh
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{simd::Baseline, tests::error_in_ulp};

    #[inline(always)]
    fn tanh_all_body<A: Arith>(values: &mut [f32]) {
        for value in values {
            *value = tanh::<A>(*value);
        }
    }
    simd! {
        fn tanh_all(values: &mut [f32]) = tanh_all_body;
    }

    /// Every 509th f32 of either sign up to 10, where the result is 1.
    #[test]
    fn tanh_is_within_2_ulp() {
        let positive = (0..10_f32.to_bits()).step_by(509).map(f32::from_bits);
        let inputs: Vec<f32> = positive.flat_map(|x| [x, -x]).collect();
        let mut outputs = inputs.clone();
        tanh_all(&mut outputs);
        for (&x, &y) in inputs.iter().zip(&outputs) {
            let expected = f64::from(x).tanh();
            assert!(error_in_ulp(expected, y) <= 2.0, "tanh({x}) = {y}");
            let portable = tanh::<Baseline>(x);
            assert!(error_in_ulp(expected, portable) <= 2.0, "tanh({x}) = {portable} on any processor");
        }
    }

    #[test]
    fn tanh_keeps_the_limits() {
        let mut values = [f32::INFINITY, 1e30, f32::NEG_INFINITY, 0.0, -0.0, f32::NAN, -f32::NAN];
        tanh_all(&mut values);
        assert_eq!(values[..4], [1.0, 1.0, -1.0, 0.0]);
        assert!(values[4] == 0.0 && values[4].is_sign_negative());
        assert!(values[5].is_nan() && values[6].is_nan());
    }

    /// `50·tanh(50/50) = 38.0797`; what is small stays as it is; the slope there is `1 − tanh²(1) = 0.419974`.
    #[test]
    fn a_cap_bends_what_is_near_it() {
        let mut scores = [50.0, 1e-3, -1e6, f32::NAN];
        cap(&mut scores, 50.0);
        assert!((scores[0] - 38.079_71).abs() < 1e-5 && scores[1] == 1e-3 && scores[2] == -50.0);
        assert!(scores[3].is_nan());
        assert!((cap_slope(scores[0], 50.0) - 0.419_974_34).abs() < 1e-6);
        assert_eq!(cap_slope(f32::NEG_INFINITY, 50.0), 0.0);
    }
}
