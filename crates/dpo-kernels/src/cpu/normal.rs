//! The standard normal distribution in f32, written so that a loop over it vectorises.

use super::{exp::exp, simd::Arith};

/// Below this `Φ(x) ≈ ½ + x·P(x²)`, highest power first; minimax, error 10⁻⁹.
const SMALL: f32 = 1.0;
const MIDDLE: [f32; 6] =
    [-7.654_208e-6, 1.134_863_7e-4, -1.186_33e-3, 9.973_323e-3, -6.649_036e-2, 0.398_942_3];
/// Above, `Φ(−z) ≈ e^{−z²/2}·r·P(w)` with `r = 1/(z + k)` and `w = (z − k)·r`, highest power first; minimax in relative
/// terms over all `z` for which the result is not 0, error 10⁻⁸.
const CENTRE: f32 = 3.0;
const TAIL: [f32; 8] = [
    -1.022_209_2e-3,
    9.093_167e-4,
    6.983_300_7e-3,
    -1.044_430_2e-2,
    -4.726_516e-2,
    0.230_016_75,
    -0.509_331_9,
    0.729_083_7,
];
/// `φ(0) = 1/√(2π)`.
const PEAK: f32 = 0.398_942_3;
/// Beyond this both tails are 0.
const FAR: f32 = 20.0;

/// Probability below a point, and the density there.
#[derive(Clone, Copy)]
pub(crate) struct Normal {
    /// `Φ(x)` within 6 units in the last place, and 2 where it is at least a half.
    pub(crate) below: f32,
    /// `φ(x) = e^{−x²/2}/√(2π)`.
    pub(crate) density: f32,
}

impl Normal {
    /// At `x`; NaN gives NaN.
    #[inline(always)]
    pub(crate) fn at<A: Arith>(x: f32) -> Self {
        let z = if x.abs() > FAR { FAR } else { x.abs() };
        let fall = exp_of_half_square::<A>(z);
        let middle = A::mul_add(x, polynomial::<A>(&MIDDLE, x * x), 0.5);
        let r = 1.0 / (z + CENTRE);
        let tail = fall * r * polynomial::<A>(&TAIL, (z - CENTRE) * r);
        let outer = if x < 0.0 { tail } else { 1.0 - tail };
        let below = if z < SMALL { middle } else { outer };
        Self { below, density: fall * PEAK }
    }
}

/// `e^{−z²/2}`: the square is cut in two so that its rounding does not grow with it.
#[inline(always)]
fn exp_of_half_square<A: Arith>(z: f32) -> f32 {
    let high = f32::from_bits(z.to_bits() & 0xFFFF_F000); // 12 significant bits: its square is exact.
    let low = (z - high) * (z + high);
    exp::<A>(-0.5 * high * high) * exp::<A>(-0.5 * low)
}

#[inline(always)]
fn polynomial<A: Arith>(coefficients: &[f32], x: f32) -> f32 {
    coefficients.iter().fold(0.0, |sum, coefficient| A::mul_add(sum, x, *coefficient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{
        simd::{Baseline, simd},
        tests::error_in_ulp,
    };

    #[inline(always)]
    fn below_all_body<A: Arith>(values: &mut [f32]) {
        for value in values {
            *value = Normal::at::<A>(*value).below;
        }
    }
    simd! {
        fn below_all(values: &mut [f32]) = below_all_body;
    }

    fn density(x: f64) -> f64 {
        (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    /// `Φ` in f64: the series `½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …)` in the middle, Laplace's continued fraction
    /// `Φ(−z) = φ(z)/(z + 1/(z + 2/(z + 3/…)))` in the tails.
    fn expected(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for i in 1..100 {
                term *= x * x / f64::from(2 * i + 1);
                sum += term;
            }
            return 0.5 + density(x) * sum;
        }
        let z = x.abs();
        let tail = density(z) / (1..200).rev().fold(z, |rest, i| z + f64::from(i) / rest);
        if x < 0.0 { tail } else { 1.0 - tail }
    }

    /// Every 1009th f32 of either sign up to 13.
    #[test]
    fn the_distribution_is_within_6_ulp() {
        let inputs: Vec<f32> =
            (0..13_f32.to_bits()).step_by(1009).map(f32::from_bits).flat_map(|x| [x, -x]).collect();
        let mut outputs = inputs.clone();
        below_all(&mut outputs);
        for (&x, &found) in inputs.iter().zip(&outputs) {
            let expected = expected(f64::from(x));
            let limit = if x > 0.0 { 2.0 } else { 6.0 };
            assert!(error_in_ulp(expected, found) <= limit, "Φ({x}) = {found}, not {expected}");
            let portable = Normal::at::<Baseline>(x).below;
            assert!(error_in_ulp(expected, portable) <= limit, "Φ({x}) = {portable} on any processor");
        }
    }

    /// From tables: `Φ(0) = ½`, `Φ(1) = 0.8413447`, `Φ(−5) = 2.866516·10⁻⁷`, `φ(1) = 0.2419707`.
    #[test]
    fn the_distribution_is_that_of_the_tables() {
        let at = Normal::at::<Baseline>;
        assert_eq!(at(0.0).below, 0.5);
        assert!((at(1.0).below - 0.841_344_7).abs() < 1e-7);
        assert!((at(-5.0).below - 2.866_516e-7).abs() < 1e-12);
        assert!((at(1.0).density - 0.241_970_72).abs() < 1e-7);
    }

    #[test]
    fn the_distribution_keeps_the_limits() {
        let mut values =
            [f32::INFINITY, 1e30, f32::NEG_INFINITY, -1e30, f32::NAN, f32::from_bits(0x7F80_0001)];
        below_all(&mut values);
        assert_eq!(values[..4], [1.0, 1.0, 0.0, 0.0]);
        assert!(values[4].is_nan() && values[5].is_nan());
    }
}
