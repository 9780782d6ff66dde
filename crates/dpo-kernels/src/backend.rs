//! What a backend has to offer.

mod ops;
mod primitives;

use burn::backend::Dispatch;

pub use ops::FusedOps;
pub use primitives::FusedPrimitives;

/// Which way [`FusedPrimitives::rotate`] turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// By the position's angle.
    Forward,
    /// Back again: the transpose of the rotation.
    Backward,
}

// The run-time dispatcher only routes `FusedOps`; these bodies are never reached through it.
impl FusedPrimitives for Dispatch {}

#[cfg(feature = "gpu")]
impl FusedOps for burn::backend::Cube {}
#[cfg(feature = "cpu")]
impl FusedOps for burn::backend::Flex {}
