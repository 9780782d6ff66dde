//! Which values a parameter may have.

use super::{InvalidLoss, LossConfig, LossKind};

impl LossConfig {
    /// β must survive in `f32`, where tensors live: neither it nor 1/(2β) may become 0 or infinite there, nor the square
    /// of the latter where there is one.
    pub(super) fn beta(&self, default: f64) -> Result<f64, InvalidLoss> {
        let beta = self.beta.unwrap_or(default);
        let target = (0.5 / beta) as f32;
        let has_square = matches!(self.kind, LossKind::Ipo | LossKind::SppoHard | LossKind::CalDpo);
        let largest = if has_square { target * target } else { target };
        let is_usable = (beta as f32) > 0.0 && (beta as f32).is_finite() && largest.is_finite();
        in_range("beta", beta, is_usable, "a number above 0, such as 0.1")
    }

    pub(super) fn smoothing(&self, default: f64) -> Result<f64, InvalidLoss> {
        let found = self.label_smoothing.unwrap_or(default);
        let expected = "a number from 0 to below 0.5";
        in_range("label_smoothing", found, (0.0..0.5).contains(&found), expected)
    }

    /// `ln ε` has to be a number.
    pub(super) fn exo_smoothing(&self) -> Result<f64, InvalidLoss> {
        let found = self.smoothing(1e-3)?;
        in_range("label_smoothing", found, found > 0.0, "a number between 0 and 0.5, such as 0.001")
    }

    pub(super) fn bco_delta(&self) -> Result<f64, InvalidLoss> {
        let found = self.bco_delta.unwrap_or(0.0);
        in_range("bco_delta", found, (found as f32).is_finite(), "a number")
    }

    pub(super) fn simpo_alpha(&self) -> Result<f64, InvalidLoss> {
        let found = self.simpo_alpha.unwrap_or(0.0);
        let is_usable = found == 0.0 || (found as f32).is_finite() && found.abs() >= LEAST_EXPONENT;
        in_range("simpo_alpha", found, is_usable, "0, or a number that is at least 0.001 away from it")
    }

    /// Above 1 the loss would grow exponentially with a margin that falls.
    pub(super) fn discopop_tau(&self) -> Result<f64, InvalidLoss> {
        let found = self.discopop_tau.unwrap_or(0.05);
        let is_usable = (found as f32) > 0.0 && found <= 1.0;
        in_range("discopop_tau", found, is_usable, "a number above 0 and not above 1, such as 0.05")
    }
}

/// `(e^{ax} − 1)/a` has no digits left in `f32` for a smaller `a`.
pub(super) const LEAST_EXPONENT: f64 = 1e-3;

pub(super) fn not_negative(parameter: &'static str, found: f64) -> Result<f64, InvalidLoss> {
    in_range(parameter, found, found >= 0.0 && (found as f32).is_finite(), "a number that is not negative")
}

pub(super) fn in_range(
    parameter: &'static str,
    found: f64,
    is_usable: bool,
    expected: &'static str,
) -> Result<f64, InvalidLoss> {
    if is_usable { Ok(found) } else { Err(InvalidLoss::Value { parameter, found, expected }) }
}
