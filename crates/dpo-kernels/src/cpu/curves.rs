//! Activations of one number, with their slopes.

use super::{exp::exp, normal::Normal, simd::Arith};

/// `2√(2/π)`.
const FACTOR: f32 = 1.595_769_2;
/// Factor on `x³` in the approximation of GELU.
const CUBIC: f32 = 0.044_715;
/// Beyond ± this the slope of GELU is 1 and 0.
const FAR: f32 = 16.0;

/// An activation and its slope; a loop that reads one of them computes only that.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) value: f32,
    pub(super) slope: f32,
}

/// `σ(x) = 1 / (1 + e^{−x})`.
#[inline(always)]
fn logistic<A: Arith>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

/// With `s = σ(x)`: `x·s`, slope `s·(1 + x·(1 − s))`.
#[inline(always)]
pub(super) fn silu<A: Arith>(x: f32) -> Point {
    let s = logistic::<A>(x);
    let value = x * s;
    Point { value, slope: s * (1.0 + (x - value)) }
}

/// With `u = √(2/π)·(x + 0.044715·x³)` and `s = ½(1 + tanh u) = σ(2u)`: `x·s`, slope `s + x·s·(1 − s)·2u′`.
#[inline(always)]
pub(super) fn gelu_tanh<A: Arith>(x: f32) -> Point {
    let twice = FACTOR * x * A::mul_add(x * x, CUBIC, 1.0);
    let small = exp::<A>(-twice.abs());
    let large = 1.0 / (1.0 + small); // σ(|2u|); 1 less this would lose the bits that `small` has.
    let s = if twice < 0.0 { small * large } else { large };
    let near = near(x);
    let inner = FACTOR * A::mul_add(near * near, 3.0 * CUBIC, 1.0);
    Point { value: x * s, slope: A::mul_add(near * inner, small * large * large, s) }
}

/// `x·Φ(x)`, slope `Φ(x) + x·φ(x)`.
#[inline(always)]
pub(super) fn gelu_erf<A: Arith>(x: f32) -> Point {
    let Normal { below, density } = Normal::at::<A>(x);
    Point { value: x * below, slope: A::mul_add(near(x), density, below) }
}

/// `x` where the slope of GELU changes: what is left of it at the ends is 0, and 0 times ∞ is not a number.
#[inline(always)]
fn near(x: f32) -> f32 {
    let x = if x > FAR { FAR } else { x };
    if x < -FAR { -FAR } else { x }
}

/// `max(x, 0)`, which a comparison that keeps NaN makes; slope 0 at 0, as in PyTorch.
#[inline(always)]
pub(super) fn relu(x: f32) -> Point {
    if x <= 0.0 { Point { value: 0.0, slope: 0.0 } } else { Point { value: x, slope: 1.0 } }
}
