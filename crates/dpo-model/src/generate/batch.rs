//! One batch of sequences from their prompts to their ends.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::{
    Finish, GenerateConfig, Generation, NewToken, Next, Sampling, plan::Job, random::SplitMix64, sampler,
};
use crate::{Decoder, DecoderConfig, ModelError};

/// A sequence that is being generated.
#[derive(Debug)]
pub(super) struct Sequence<'a> {
    prompt: &'a [u32],
    job: Job,
    random: SplitMix64,
    /// Tokens so far, each once; empty unless they are penalised.
    seen: BTreeSet<u32>,
    tokens: Vec<u32>,
    finish: Option<Finish>,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(prompt: &'a [u32], job: Job, config: &GenerateConfig) -> Self {
        let seed = match config.sampling {
            Sampling::Greedy => 0,
            Sampling::Sample(sample) => sample.seed,
        };
        let is_penalised = (config.repetition_penalty - 1.0).abs() > 0.0;
        Self {
            prompt,
            job,
            random: SplitMix64::of_sequence(seed, job.sequence),
            seen: prompt.iter().copied().filter(|_| is_penalised).collect(),
            tokens: Vec::new(),
            finish: None,
        }
    }

    /// Adds a token and decides whether it is the last.
    fn push(&mut self, token: u32, config: &GenerateConfig, on_token: &impl Fn(NewToken) -> Next) {
        self.tokens.push(token);
        if !self.seen.is_empty() {
            // There is a prompt, so it is empty only where nothing is penalised.
            self.seen.insert(token);
        }
        self.finish = match () {
            () if config.stop_ids.contains(&token) => Some(Finish::Stop),
            () if self.tokens.len() == self.job.room => Some(Finish::Length),
            () => None,
        };
        let new = NewToken { sequence: self.job.sequence, token, finish: self.finish };
        if on_token(new) == Next::Stop {
            self.finish = Some(Finish::Stop);
        }
    }
}

impl Sequence<'_> {
    /// Whether its last token makes it longer than the texts that some rotation has its short frequencies for.
    fn outgrows(&self, config: &DecoderConfig) -> bool {
        let len = self.prompt.len() + self.tokens.len();
        self.finish.is_none() && config.ropes.iter().any(|rope| rope.short_text_len() == Some(len - 1))
    }
}

/// The result of one sequence.
pub(super) type Done = (usize, Generation);

/// Generates all of `rows`.
pub(super) fn run(
    model: &Decoder,
    mut rows: Vec<Sequence>,
    config: &GenerateConfig,
    on_token: &impl Fn(NewToken) -> Next,
) -> Result<Vec<Done>, ModelError> {
    let mut done = Vec::with_capacity(rows.len());
    let prompts: Vec<&[u32]> = rows.iter().map(|row| row.prompt).collect();
    let room = rows.iter().map(|row| row.job.room).max().unwrap_or(0);
    let (mut logits, mut cache) = model.prefill(&prompts, room);
    loop {
        let tokens = pick_all(logits, &mut rows, config)?;
        for (row, token) in rows.iter_mut().zip(&tokens) {
            if row.finish.is_none() {
                row.push(*token, config, on_token);
            }
        }
        let live: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].finish.is_none()).collect();
        if live.is_empty() {
            break;
        }
        // Moving the cache costs about as much as a step: finished rows go along until they are a quarter.
        let mut next = tokens;
        if 4 * live.len() <= 3 * rows.len() {
            cache.keep(&live);
            next = live.iter().map(|row| next[*row]).collect();
            retire(&mut rows, &mut done);
        }
        if rows.iter().any(|row| row.outgrows(model.config())) {
            // Its frequencies are now those of long texts, for the tokens before it too.
            retire(&mut rows, &mut done);
            let texts: Vec<Vec<u32>> = rows.iter().map(|row| [row.prompt, &row.tokens].concat()).collect();
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            (logits, cache) = model.prefill(&texts, room);
        } else {
            logits = model.decode_step(&next, &mut cache);
        }
    }
    retire(&mut rows, &mut done);
    Ok(done)
}

/// Moves finished sequences to the results.
fn retire(rows: &mut Vec<Sequence>, done: &mut Vec<Done>) {
    rows.retain_mut(|row| {
        let Some(finish) = row.finish else { return true };
        done.push((row.job.sequence, Generation { tokens: std::mem::take(&mut row.tokens), finish }));
        false
    });
}

/// A token for every row from its scores, `[rows, vocab_size]`; any for a finished row.
fn pick_all(
    logits: Tensor<2>,
    rows: &mut [Sequence],
    config: &GenerateConfig,
) -> Result<Vec<u32>, ModelError> {
    let [_, vocab] = logits.dims();
    let data = logits.into_data().convert::<f32>();
    let logits = data.as_slice::<f32>().expect("converted to f32");
    let pick = |scratch: &mut sampler::Scratch, (row, logits): (&mut Sequence, &[f32])| {
        if row.finish.is_some() {
            return Ok(0);
        }
        let seen = row.seen.iter().copied();
        sampler::pick(logits, seen, config, &mut row.random, scratch).ok_or(ModelError::NotFinite {
            prompt: row.job.sequence,
            n_tokens: row.job.len + row.tokens.len(),
        })
    };
    rows.par_iter_mut().zip(logits.par_chunks(vocab)).map_init(sampler::Scratch::default, pick).collect()
}
