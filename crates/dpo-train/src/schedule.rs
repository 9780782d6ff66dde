//! The learning rate of each step, number for number that of Hugging Face's schedulers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// In a straight line to 0, which the step after the last would have.
    #[default]
    Linear,
    /// Along half a cosine to 0, which the step after the last would have.
    Cosine,
    /// Not at all.
    Constant,
}

/// The rate as a function of the step.
///
/// During `warmup_steps` it rises in a straight line from 0, so that with a warm-up the first step has rate 0 and
/// changes nothing, as in the Python trainers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    decay: Decay,
    peak: f64,
    warmup_steps: u64,
    total_steps: u64,
}

impl Schedule {
    /// Checks the numbers: the peak must be positive and finite.
    pub fn new(decay: Decay, peak: f64, warmup_steps: u64, total_steps: u64) -> Result<Self, TrainError> {
        if peak > 0.0 && peak.is_finite() {
            return Ok(Self { decay, peak, warmup_steps, total_steps });
        }
        let help = "give a number above 0, such as 1e-6";
        Err(TrainError::InvalidSchedule { field: "learning_rate", found: peak.to_string(), help })
    }

    /// Steps of warm-up that are this share of all steps, rounded up.
    pub fn warmup_share(share: f64, total_steps: u64) -> Result<u64, TrainError> {
        if (0.0..=1.0).contains(&share) {
            return Ok((total_steps as f64 * share).ceil() as u64);
        }
        let help = "give a share of all steps, from 0 to 1";
        Err(TrainError::InvalidSchedule { field: "warmup_ratio", found: share.to_string(), help })
    }

    /// Rate of optimizer step `step`, counted from 1.
    pub fn rate(&self, step: u64) -> f64 {
        let done = step.saturating_sub(1);
        self.peak * self.factor(done)
    }

    /// Optimizer steps of the run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    fn factor(&self, done: u64) -> f64 {
        if done < self.warmup_steps {
            return done as f64 / self.warmup_steps as f64;
        }
        let left = self.total_steps.saturating_sub(done) as f64;
        let falling = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => left / falling,
            Decay::Cosine => {
                let progress = (done - self.warmup_steps) as f64 / falling;
                (0.5 * (1.0 + (PI * 0.5 * 2.0 * progress).cos())).max(0.0)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rates(decay: Decay, peak: f64, warmup: u64, total: u64) -> Vec<f64> {
        let schedule = Schedule::new(decay, peak, warmup, total).unwrap();
        (1..=total).map(|step| schedule.rate(step)).collect()
    }

    /// Logged by transformers 5.23 for `linear`, learning rate 1e-3, 3 of 10 steps of warm-up.
    #[test]
    fn linear_is_that_of_hugging_face() {
        let expected = [
            0.0,
            0.000_333_333_333_333_333_3,
            0.000_666_666_666_666_666_6,
            0.001,
            0.000_857_142_857_142_857_1,
            0.000_714_285_714_285_714_3,
            0.000_571_428_571_428_571_4,
            0.000_428_571_428_571_428_55,
            0.000_285_714_285_714_285_7,
            0.000_142_857_142_857_142_84,
        ];
        assert_eq!(rates(Decay::Linear, 1e-3, 3, 10), expected);
    }

    /// Logged by transformers 5.23 for `cosine`, learning rate 1e-3, 2 of 10 steps of warm-up.
    #[test]
    fn cosine_is_that_of_hugging_face() {
        let expected = [
            0.0,
            0.000_5,
            0.001,
            0.000_961_939_766_255_643_4,
            0.000_853_553_390_593_273_7,
            0.000_691_341_716_182_545,
            0.000_5,
            0.000_308_658_283_817_455_1,
            0.000_146_446_609_406_726_28,
            0.000_038_060_233_744_356_65,
        ];
        for (found, expected) in rates(Decay::Cosine, 1e-3, 2, 10).into_iter().zip(expected) {
            // The last bits are the system's cosine.
            assert!((found - expected).abs() <= 4.0 * f64::EPSILON * 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn constant_stays_after_the_warm_up() {
        assert_eq!(rates(Decay::Constant, 2.0, 2, 5), [0.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(rates(Decay::Constant, 2.0, 0, 2), [2.0, 2.0]);
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_peak_and_steps_beyond_the_last_have_0() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let schedule = Schedule::new(decay, 0.5, 0, 4).unwrap();
            assert_eq!(schedule.rate(1).to_bits(), 0.5f64.to_bits());
            assert!(schedule.rate(5) < 1e-16);
        }
        let schedule = Schedule::new(Decay::Linear, 0.5, 9, 4).unwrap();
        assert!(schedule.rate(u64::MAX).abs() < 1e-16);
    }

    #[test]
    fn a_share_of_warm_up_is_rounded_up() {
        assert_eq!(Schedule::warmup_share(0.1, 25).unwrap(), 3);
        assert_eq!(Schedule::warmup_share(0.0, 25).unwrap(), 0);
        assert!(Schedule::warmup_share(1.5, 25).is_err());
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for peak in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Schedule::new(Decay::Linear, peak, 0, 1).is_err());
        }
    }
}
