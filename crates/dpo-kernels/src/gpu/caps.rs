//! Scores and logits that are capped: `c·tanh(s/c)`.

use cubecl::prelude::*;

/// `c·tanh(s/c)` where there is a cap.
#[cube]
pub(super) fn capped(score: f32, softcap: f32, #[comptime] is_capped: bool) -> f32 {
    if comptime!(is_capped) { (score / softcap).tanh() * softcap } else { score }
}

/// Slope of the cap, `1 − (y/c)²`, from the capped score.
#[cube]
pub(super) fn cap_slope(score: f32, softcap: f32, #[comptime] is_capped: bool) -> f32 {
    let mut slope = 1.0f32;
    if comptime!(is_capped) {
        let tanh = score / softcap;
        slope -= tanh * tanh;
    }
    slope
}
