//! What was said so far, and how much of it a model can read.

use anyhow::{Context, Result, bail};
use dpo_data::{Message, Text, TextEncoder};

use super::{prompts::message, writer::ids};
use crate::model_source::ModelSource;

/// Messages of a user and answers of a model, by turns.
pub(super) struct Conversation<'a> {
    encoder: &'a TextEncoder,
    system: Option<String>,
    turns: Vec<Message>,
    /// Tokens that the model reads at most.
    limit: usize,
    /// Tokens of them that are kept for an answer.
    reserve: usize,
}

/// A conversation as the model is given it.
pub(super) struct Question {
    pub(super) ids: Vec<u32>,
    /// Messages that had to be left out for good, the oldest ones.
    pub(super) n_forgotten: usize,
}

impl<'a> Conversation<'a> {
    /// Nothing was said but the system message.
    pub(super) fn new(
        source: &'a ModelSource,
        system: Option<String>,
        max_new_tokens: usize,
    ) -> Result<Self> {
        if source.encoder.chat_template().is_none() {
            bail!(
                "{}: no chat template, so this model does not know what a conversation is; take one that was made for \
                 instructions, or let this one continue a text: --prompt TEXT without --chat",
                source.path.display()
            );
        }
        let limit = source.config().max_position_embeddings;
        let reserve = max_new_tokens.min(limit / 4);
        let mut conversation =
            Self { encoder: &source.encoder, system: None, turns: Vec::new(), limit, reserve };
        conversation.set_system(system)?;
        Ok(conversation)
    }

    /// Puts another system message at the beginning, or none. One that the template refuses changes nothing.
    pub(super) fn set_system(&mut self, system: Option<String>) -> Result<()> {
        let before = std::mem::replace(&mut self.system, system);
        let trial = self.encode(&[message("user", "Hello")]);
        if trial.is_err() {
            self.system = before;
        }
        trial.context("the chat template cannot put this").map(drop)
    }

    /// Forgets everything but the system message.
    pub(super) fn reset(&mut self) {
        self.turns.clear();
    }

    /// Adds a user's message. The oldest messages are left out where the model could not read all, or would have no
    /// room to answer; a message that is too long by itself changes nothing.
    pub(super) fn ask(&mut self, content: &str) -> Result<Question> {
        let mut turns = self.turns.clone();
        turns.push(message("user", content));
        let mut n_forgotten = 0;
        loop {
            let ids = self.encode(&turns)?;
            if ids.len() + self.reserve <= self.limit {
                self.turns = turns;
                return Ok(Question { ids, n_forgotten });
            }
            if turns.len() == 1 {
                bail!(
                    "this message makes {} tokens, and the model reads {}, of which {} are kept for its answer; say it \
                     in fewer words",
                    ids.len(),
                    self.limit,
                    self.reserve
                );
            }
            // A question with its answer: templates want the user to begin.
            n_forgotten += turns.drain(..2).count();
        }
    }

    /// Adds what the model said.
    pub(super) fn answered(&mut self, text: String) {
        self.turns.push(message("assistant", &text));
    }

    /// Takes back the last message, which was not answered.
    pub(super) fn unask(&mut self) {
        self.turns.pop();
    }

    fn encode(&self, turns: &[Message]) -> Result<Vec<u32>> {
        let system = self.system.iter().map(|system| message("system", system));
        ids(self.encoder, &Text::Messages(system.chain(turns.iter().cloned()).collect()))
    }
}
