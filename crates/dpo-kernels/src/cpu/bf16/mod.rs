//! Products of bfloat16 operands on the processor's matrix unit.
//!
//! Operands are rounded and packed into tiles, then multiplied 32 × 32 numbers of the product at a time. Each of these is
//! added up along the depth in one order, so that it has the same bits whatever the other rows are and however many threads
//! there are. Without a matrix unit products are [`gemm`](super::gemm)'s, of rounded operands.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(any(test, target_arch = "x86_64"))]
mod pack;
#[cfg(any(test, target_arch = "x86_64"))]
mod product;
#[cfg(any(test, target_arch = "x86_64"))]
mod tile;

use super::gemm::{self, Matrix, Target};
#[cfg(target_arch = "x86_64")]
use product::Packed;

/// Whether this processor has a matrix unit for bfloat16 that this program may use.
pub(crate) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return amx::is_usable();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `lhs · rhs`, `[lhs.rows, rhs.cols]`, of operands that are rounded on the way, on all threads of a processor that
/// [`is_fast`].
pub(super) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>) -> Vec<f32> {
    #[cfg(target_arch = "x86_64")]
    return product::on_all_threads::<amx::Amx>(&Packed::left(lhs), &Packed::right(rhs));
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("{:?} and {:?} for a matrix unit that is not there", lhs.dims(), rhs.dims())
}

/// As [`gemm::multiply`]; a processor that [`is_fast`] rounds the operands on the way, elsewhere they are rounded already.
pub(super) fn multiply(target: Target<'_>, lhs: Matrix<'_>, rhs: Matrix<'_>) {
    #[cfg(target_arch = "x86_64")]
    if amx::is_usable() {
        return product::on_this_thread::<amx::Amx>(target, lhs, rhs);
    }
    gemm::multiply(target, lhs, rhs);
}
