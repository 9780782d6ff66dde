//! Products of bfloat16 operands on what the processor has for them.
//!
//! Operands are rounded and packed into tiles, then multiplied 32 × 32 numbers of the product at a time. Each of these is
//! added up along the depth in one order, so that it has the same bits whatever the other rows are and however many threads
//! there are. Where a processor has nothing for them, products are [`gemm`]'s, of rounded operands.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(test, target_arch = "x86_64"))]
mod pack;
#[cfg(any(test, target_arch = "x86_64"))]
mod product;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(any(test, target_arch = "x86_64"))]
mod tile;

use super::gemm::{self, Matrix, Target};

/// What multiplies bfloat16 operands, and rounds them on the way.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Another one where the last bits of products may be others.
    pub(crate) name: &'static str,
    is_usable: fn() -> bool,
    on_all_threads: fn(Matrix<'_>, Matrix<'_>) -> Vec<f32>,
    on_this_thread: fn(Target<'_>, Matrix<'_>, Matrix<'_>),
}

/// The fastest first.
static UNITS: &[Unit] = &[
    #[cfg(target_arch = "x86_64")]
    Unit::of::<amx::Amx>(),
    #[cfg(target_arch = "x86_64")]
    Unit::of::<avx512::Avx512>(),
];

impl Unit {
    #[cfg(any(test, target_arch = "x86_64"))]
    const fn of<M: tile::Multiplier>() -> Self {
        Self {
            name: M::NAME,
            is_usable: M::is_usable,
            on_all_threads: product::on_all_threads::<M>,
            on_this_thread: product::on_this_thread::<M>,
        }
    }

    /// The fastest one that the processor has, that this program may use, and that was found to compute right.
    pub(crate) fn here() -> Option<&'static Self> {
        let units = UNITS;
        #[cfg(test)]
        let units = tests::allowed().unwrap_or(units);
        units.iter().find(|unit| (unit.is_usable)())
    }
}

/// Whether there is a unit for bfloat16 [here](Unit::here).
pub(crate) fn is_fast() -> bool {
    Unit::here().is_some()
}

/// `lhs · rhs`, `[lhs.rows, rhs.cols]`, of operands that are rounded on the way, on all threads of a processor that
/// [`is_fast`].
pub(super) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    let unit = Unit::here().expect("a unit for bfloat16");
    (unit.on_all_threads)(lhs, rhs)
}

/// As [`gemm::multiply`]; a unit rounds the operands on the way, without one they are taken as they are.
pub(super) fn multiply(unit: Option<&Unit>, target: Target<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    match unit {
        Some(unit) => (unit.on_this_thread)(target, lhs, rhs),
        None => gemm::multiply(target, lhs, rhs),
    }
}
