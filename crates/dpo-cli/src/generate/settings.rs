//! How answers are made: the flags of every command that makes some.

use std::num::NonZeroUsize;

use anyhow::Result;
use burn::tensor::Device;
use clap::{Args, builder::NonEmptyStringValueParser};
use dpo_model::{GenerateConfig, SampleConfig, Sampling};

use crate::{device, model_source::ModelSource, run_file::choices::Backend, terminal::WrongUsage};

/// Length, randomness, end, and what computes.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// Longest answer, in tokens
    #[arg(long, default_value = "256")]
    pub(super) max_new_tokens: NonZeroUsize,
    /// Text that ends an answer, and is not part of it; may be given several times
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
    /// Randomness: 0 takes the likeliest token always, 1 draws from the model's own distribution
    #[arg(long, default_value_t = 0.0, value_parser = not_negative, allow_negative_numbers = true)]
    temperature: f64,
    /// Draw from so many likeliest tokens only
    #[arg(long)]
    top_k: Option<NonZeroUsize>,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, default_value_t = 1.0, value_parser = share_above_0)]
    top_p: f64,
    /// Draw from tokens at least this likely, relative to the likeliest
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    min_p: f64,
    /// Make tokens that were there before less likely; 1 does nothing
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    repetition_penalty: f64,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What computes
    #[arg(long, value_enum, default_value_t = Backend::Cpu)]
    backend: Backend,
    /// Threads; 0 takes one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl AnswerArgs {
    /// What narrows the draw does nothing where nothing is drawn.
    pub(crate) fn refuse_unread(&self) -> Result<(), WrongUsage> {
        let settings = [
            ("--top-k", self.top_k.is_some()),
            ("--top-p", self.top_p < 1.0),
            ("--min-p", self.min_p > 0.0),
            ("--seed", self.seed != 0),
        ];
        match settings.iter().find(|(_, is_set)| *is_set && self.temperature <= 0.0) {
            None => Ok(()),
            Some((flag, _)) => Err(WrongUsage(format!(
                "{flag} does nothing at temperature 0, where the likeliest token is taken; set --temperature above 0 \
                 or remove it"
            ))),
        }
    }

    /// The device, with its threads.
    pub(crate) fn open_device(&self) -> Result<Device> {
        let device = device::open(self.backend)?;
        device::set_threads(self.threads)?;
        Ok(device)
    }

    /// What the decoder is told; stop strings are not its business.
    pub(crate) fn config(&self, source: &ModelSource) -> GenerateConfig {
        let sampling = if self.temperature > 0.0 {
            Sampling::Sample(SampleConfig {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                min_p: self.min_p,
                seed: self.seed,
            })
        } else {
            Sampling::Greedy
        };
        GenerateConfig {
            max_new_tokens: self.max_new_tokens.get(),
            sampling,
            repetition_penalty: self.repetition_penalty,
            stop_ids: source.stop_ids(),
            ..GenerateConfig::default()
        }
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "of at least 0", |x| x >= 0.0)
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, "above 0", |x| x > 0.0)
}

fn share(text: &str) -> Result<f64, String> {
    number(text, "from 0 to 1", |x| (0.0..=1.0).contains(&x))
}

fn share_above_0(text: &str) -> Result<f64, String> {
    number(text, "above 0 and at most 1", |x| x > 0.0 && x <= 1.0)
}

fn number(text: &str, expected: &str, holds: impl Fn(f64) -> bool) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|x: &f64| x.is_finite() && holds(*x));
    number.ok_or_else(|| format!("expected a number {expected}"))
}
