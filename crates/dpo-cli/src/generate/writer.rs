//! A model that writes answers: tokens in, texts out.

use anyhow::{Error, Result};
use dpo_data::{SpecialText, Text, TextEncoder};
use dpo_model::{
    Decoder, GenerateConfig,
    generate::{Finish, Generation, NewToken, Next},
};
use serde_json::Map;

use super::answer::Answer;

/// What answers a prompt, and how.
pub(crate) struct Writer<'a> {
    /// Chooses the tokens.
    pub(crate) model: &'a Decoder,
    /// Turns them into text.
    pub(crate) encoder: &'a TextEncoder,
    /// How they are chosen.
    pub(crate) config: GenerateConfig,
    /// Strings that end an answer, none of them empty.
    pub(crate) stops: &'a [String],
}

/// An answer that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completion {
    /// What it says, up to a stop string.
    pub(crate) text: String,
    /// Tokens that were generated, with those that ended it.
    pub(crate) n_tokens: usize,
    /// Why there are no more.
    pub(crate) finish: Finish,
}

impl Writer<'_> {
    /// Answers all prompts.
    pub(crate) fn answer_all(&self, prompts: &[Vec<u32>]) -> Result<Vec<Completion>> {
        let answered = self.answer_each(prompts, |_| Ok(Next::Continue))?;
        Ok(answered.into_iter().map(|(completion, _)| completion).collect())
    }

    /// Answers one prompt. `on_text` is given each piece of text as soon as it is certain, which is nothing for some
    /// tokens, and may end the answer.
    pub(crate) fn answer(
        &self,
        prompt: &[u32],
        mut on_text: impl FnMut(&str) -> Result<Next> + Send,
    ) -> Result<Completion> {
        let mut answered = self.answer_each(&[prompt.to_vec()], &mut on_text)?;
        let (completion, rest) = answered.remove(0);
        on_text(&rest)?;
        Ok(completion)
    }

    /// All answers, each with the text of it that `on_text` was not given.
    fn answer_each(
        &self,
        prompts: &[Vec<u32>],
        mut on_text: impl FnMut(&str) -> Result<Next> + Send,
    ) -> Result<Vec<(Completion, String)>> {
        let mut answers: Vec<Answer> =
            prompts.iter().map(|_| Answer::new(self.encoder, self.stops)).collect();
        let mut failed: Option<Error> = None;
        let mut push = |new: NewToken| -> Result<Next> {
            let answer = &mut answers[new.sequence];
            let next = answer.push(new.token)?;
            let wanted = on_text(answer.fresh())?;
            Ok(if wanted == Next::Stop { wanted } else { next })
        };
        let on_token = |new: NewToken| {
            if failed.is_none() {
                return push(new).unwrap_or_else(|error| {
                    failed = Some(error);
                    Next::Stop
                });
            }
            Next::Stop
        };
        let generations = self.model.generate(prompts, &self.config, on_token)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let completion = |(answer, generation): (Answer, Generation)| {
            let (text, rest) = answer.finish()?;
            Ok((Completion { text, n_tokens: generation.tokens.len(), finish: generation.finish }, rest))
        };
        answers.into_iter().zip(generations).map(completion).collect()
    }
}

/// Ids of what a model is given to answer; special tokens that are written out are text.
pub(crate) fn ids(encoder: &TextEncoder, prompt: &Text) -> Result<Vec<u32>> {
    Ok(encoder.encode_prompt(prompt, &Map::new(), SpecialText::Literal)?)
}
