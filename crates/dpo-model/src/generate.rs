//! Generation: continuations of many prompts at once, with a cache of keys and values.

mod batch;
mod config;
mod plan;
mod random;
pub(crate) use random::SplitMix64;
mod sampler;
mod workers;

pub use config::{GenerateConfig, SampleConfig, Sampling};

use burn::module::Module;

use crate::{Decoder, DecoderConfig, ModelError};

/// What was generated after one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens, with the stop token at the end if there was one.
    pub tokens: Vec<u32>,
    /// Why there are no more.
    pub finish: Finish,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// A stop token, or [`Next::Stop`].
    Stop,
    /// `max_new_tokens`, or the longest text that the model was made for.
    Length,
}

/// A token, handed out as soon as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken {
    /// Index of the prompt that it continues.
    pub sequence: usize,
    /// The token.
    pub token: u32,
    /// Set when it is the last of its sequence.
    pub finish: Option<Finish>,
}

/// What to do with a sequence after a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on, unless it has ended.
    Continue,
    /// End it here with [`Finish::Stop`], for instance because its text holds a stop string.
    Stop,
}

impl Decoder {
    /// Continues every prompt and gives the results in the order of the prompts.
    ///
    /// `on_token` sees each token when it is chosen; tokens of different sequences come interleaved. What a sequence
    /// becomes depends on its prompt, its index and `config`, not on what it is batched with (as far as the last bits
    /// of its scores do not decide), and not on the number of threads.
    ///
    /// A decoder on an autodiff device is run without autodiff.
    pub fn generate(
        &self,
        prompts: &[Vec<u32>],
        config: &GenerateConfig,
        on_token: impl FnMut(NewToken) -> Next + Send,
    ) -> Result<Vec<Generation>, ModelError> {
        config.check()?;
        check(prompts, self.config())?;
        let batches = plan::batches(prompts, config, self.config().max_position_embeddings);
        let nothing = Generation { tokens: Vec::new(), finish: Finish::Length };
        let mut generations = vec![nothing; prompts.len()];
        for (sequence, generation) in workers::run(&self.valid(), prompts, batches, config, on_token)? {
            generations[sequence] = generation;
        }
        Ok(generations)
    }
}

/// Every prompt has a token to predict from, and only tokens that the model knows.
fn check(prompts: &[Vec<u32>], config: &DecoderConfig) -> Result<(), ModelError> {
    let (vocab, longest) = (config.vocab_size, config.max_position_embeddings);
    for (prompt, ids) in prompts.iter().enumerate() {
        let bad = |problem| Err(ModelError::BadPrompt { prompt, problem });
        if ids.is_empty() {
            return bad("no tokens; begin it with the token that begins a text".to_owned());
        }
        if ids.len() > longest {
            return bad(format!("{} tokens, the model reads at most {longest}; shorten it", ids.len()));
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab) {
            return bad(format!("token {id}, the model knows 0 to {}; is this its tokenizer?", vocab - 1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
