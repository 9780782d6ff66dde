//! Products of bfloat16 operands on what the processor has for them.
//!
//! Operands are rounded and packed into tiles, then multiplied 32 × 32 numbers of the product at a time. Each of these is
//! added up along the depth in one order, so that it has the same bits whatever the other rows are and however many threads
//! there are. Where a processor has nothing for them, products are [`gemm`]'s, of rounded operands.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pack_avx512;
mod packed;
#[cfg(any(test, target_arch = "x86_64"))]
mod product;
#[cfg(test)]
pub(crate) mod tests;
mod tile;

pub(crate) use self::{
    pack::Side,
    packed::{Packed, PackedPart, TilePlaces},
    tile::{SQUARE, Square},
};
use super::gemm::{self, Matrix, Target};
use crate::Precision;

/// What multiplies bfloat16 operands, and rounds them on the way.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Another one where the last bits of products may be others.
    pub(crate) name: &'static str,
    is_usable: fn() -> bool,
    on_all_threads: fn(&[[&Packed; 2]]) -> Vec<f32>,
    on_this_thread: fn(Target<'_>, PackedPart<'_>, PackedPart<'_>),
    on_squares: fn(&[[&Packed; 2]], &EachSquare<'_>),
}

/// What is done with the squares of a place, see [`Unit::each_square`].
type EachSquare<'a> = dyn Fn([usize; 2], &[Square]) + Sync + 'a;

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
            on_squares: product::on_squares::<M>,
        }
    }

    /// The fastest one that the processor has, that this program may use, and that was found to compute right.
    pub(crate) fn here() -> Option<&'static Self> {
        let units = UNITS;
        #[cfg(test)]
        let units = tests::allowed().unwrap_or(units);
        units.iter().find(|unit| (unit.is_usable)())
    }

    /// What multiplies operands in this precision, and rounds them on the way: [`here`](Self::here), for `Precision::Bf16`.
    pub(super) fn for_precision(precision: Precision) -> Option<&'static Self> {
        Self::here().filter(|_| precision == Precision::Bf16)
    }

    /// `Σ lhs · rhs`, `[lhs.rows, rhs.cols]`, of factors `[lhs, rhs]`, on all threads.
    pub(super) fn product(&self, factors: &[[&Packed; 2]]) -> Vec<f32> {
        (self.on_all_threads)(factors)
    }

    /// Products `lhs · rhs` of one size, 32 × 32 numbers at a time, on all threads: `each` gets these of each product, and which
    /// strip of rows and which of columns they are. What lies beyond the products is 0.
    pub(super) fn each_square(&self, products: &[[&Packed; 2]], each: &EachSquare<'_>) {
        (self.on_squares)(products, each);
    }
}

/// An operand of products that run on one thread each: packed for a unit, or as it is.
#[derive(Debug)]
pub(super) enum Operand<'a> {
    Packed(Packed),
    Plain(Matrix<'a>),
}

impl<'a> Operand<'a> {
    /// Rounded and packed, where there is a unit, on the calling thread.
    pub(super) fn new(unit: Option<&Unit>, matrix: Matrix<'a>, side: Side) -> Self {
        match unit {
            Some(_) => Self::Packed(Packed::on_this_thread(matrix, side)),
            None => Self::Plain(matrix),
        }
    }
}

impl Operand<'_> {
    /// All of it.
    pub(super) fn whole(&self) -> Part<'_> {
        match self {
            Self::Packed(packed) => Part::Packed(packed.whole()),
            Self::Plain(matrix) => Part::Plain(*matrix),
        }
    }
}

/// An operand, or some of it, as a product reads it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    Packed(PackedPart<'a>),
    Plain(Matrix<'a>),
}

/// As [`gemm::multiply`], of operands that were made for this unit.
pub(super) fn multiply(unit: Option<&Unit>, target: Target<'_>, lhs: Part<'_>, rhs: Part<'_>) {
    match (unit, lhs, rhs) {
        (Some(unit), Part::Packed(lhs), Part::Packed(rhs)) => (unit.on_this_thread)(target, lhs, rhs),
        (None, Part::Plain(lhs), Part::Plain(rhs)) => gemm::multiply(target, lhs, rhs),
        _ => unreachable!("operands of a product are made for what multiplies them"),
    }
}
