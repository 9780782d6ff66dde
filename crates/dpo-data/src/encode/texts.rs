//! The texts of a row as token ids: the prompt alone, and the prompt with each completion.

use minijinja::value::Serde;
use serde_json::{Map, Value};

use super::SpecialText;
use crate::template::ChatTemplate;
use crate::tokenizer::{SpecialTokens, Surroundings, TextEncoder};
use crate::{Message, PreferenceExample, Text};

/// What TRL hands to the template apart from these, a row may not set.
const RESERVED: [&str; 3] = ["messages", "add_generation_prompt", "chat_template"];

/// A row, tokenised.
#[derive(Debug)]
pub(super) struct RowTokens {
    /// The prompt alone.
    pub(super) prompt: Vec<u32>,
    /// The prompt and each completion.
    pub(super) texts: Vec<Vec<u32>>,
    /// Whether the row has a special token written out.
    pub(super) special_in_text: bool,
}

/// Why a row has no tokens.
#[derive(Debug)]
pub(super) enum RowProblem {
    /// The chat template failed with this.
    Template(String),
    /// There is something wrong with the row.
    Text(String),
    /// It is a conversation, and there is no chat template.
    NoTemplate,
    /// It is plain text, and nothing is known to end it with.
    NoEos,
}

impl TextEncoder {
    pub(super) fn row_tokens(
        &self,
        example: &PreferenceExample,
        special_text: SpecialText,
    ) -> Result<RowTokens, RowProblem> {
        match &example.prompt {
            Text::Plain(prompt) => {
                let completions: Option<Vec<&str>> = example.completions.iter().map(plain).collect();
                self.plain_tokens(prompt, &completions.ok_or_else(mixed)?, special_text)
            }
            Text::Messages(prompt) => {
                let completions: Option<Vec<&[Message]>> = example.completions.iter().map(messages).collect();
                let row = Conversation::new(self, prompt, &example.template_kwargs, special_text)?;
                row.tokens(&completions.ok_or_else(mixed)?)
            }
        }
    }

    pub(super) fn prompt_tokens(
        &self,
        prompt: &Text,
        kwargs: &Map<String, Value>,
        special_text: SpecialText,
    ) -> Result<Vec<u32>, RowProblem> {
        match prompt {
            Text::Plain(prompt) => {
                let plain = PlainRow::new(self, prompt, &[], special_text);
                plain.encode(plain.prompt, "")
            }
            Text::Messages(prompt) => {
                Conversation::new(self, prompt, kwargs, special_text)?.tokens(&[]).map(|row| row.prompt)
            }
        }
    }

    fn plain_tokens(
        &self,
        prompt: &str,
        completions: &[&str],
        special_text: SpecialText,
    ) -> Result<RowTokens, RowProblem> {
        let eos = self.named_tokens().get("eos_token").ok_or(RowProblem::NoEos)?;
        // A completion that ends with the token already does not get another.
        let completions: Vec<&str> =
            completions.iter().map(|text| text.strip_suffix(eos.as_str()).unwrap_or(text)).collect();
        let row = PlainRow::new(self, prompt, &completions, special_text);
        let text = |completion: &&str| row.encode(&format!("{}{completion}", row.prompt), eos);
        Ok(RowTokens {
            prompt: row.encode(row.prompt, "")?,
            texts: completions.iter().map(text).collect::<Result<_, _>>()?,
            special_in_text: row.special_in_text,
        })
    }
}

/// A row of plain strings.
struct PlainRow<'a> {
    encoder: &'a TextEncoder,
    prompt: &'a str,
    special_in_text: bool,
    special_text: SpecialText,
}

impl<'a> PlainRow<'a> {
    fn new(
        encoder: &'a TextEncoder,
        prompt: &'a str,
        completions: &[&str],
        special_text: SpecialText,
    ) -> Self {
        // A text that starts with the token already does not get another.
        let bos = encoder.named_tokens().get("bos_token").filter(|_| encoder.adds_bos());
        let prompt = bos.and_then(|bos| prompt.strip_prefix(bos.as_str())).unwrap_or(prompt);
        let special = encoder.special_tokens();
        // The two are looked at together: a special token may lie across the boundary.
        let with_completion =
            completions.iter().any(|completion| special.occur_in(&format!("{prompt}{completion}")));
        let special_in_text = with_completion || special.occur_in(prompt);
        Self { encoder, prompt, special_in_text, special_text }
    }

    /// Ids of what a person wrote and the token that we put after it.
    fn encode(&self, written: &str, end: &str) -> Result<Vec<u32>, RowProblem> {
        let ids = if self.special_in_text && self.special_text == SpecialText::Literal {
            let marked = self.encoder.special_tokens().mark(written) + end;
            self.encoder.encode_marked(&marked, Surroundings::Added)
        } else {
            self.encoder.encode_parsed(&format!("{written}{end}"), Surroundings::Added)
        };
        ids.map_err(RowProblem::Text)
    }
}

/// A row of messages.
struct Conversation<'a> {
    encoder: &'a TextEncoder,
    template: &'a ChatTemplate,
    prompt: Vec<Value>,
    kwargs: Map<String, Value>,
    special_text: SpecialText,
}

impl<'a> Conversation<'a> {
    fn new(
        encoder: &'a TextEncoder,
        prompt: &[Message],
        kwargs: &Map<String, Value>,
        special_text: SpecialText,
    ) -> Result<Self, RowProblem> {
        let template = encoder.chat_template().ok_or(RowProblem::NoTemplate)?;
        Ok(Self {
            encoder,
            template,
            prompt: to_json(prompt)?,
            kwargs: template_kwargs(kwargs)?,
            special_text,
        })
    }

    fn tokens(mut self, completions: &[&[Message]]) -> Result<RowTokens, RowProblem> {
        let special = self.encoder.special_tokens();
        let mut completions: Vec<Vec<Value>> =
            completions.iter().map(|messages| to_json(messages)).collect::<Result<_, _>>()?;
        let turns = self.prompt.iter().chain(completions.iter().flatten());
        let special_in_text =
            turns.chain(self.kwargs.values()).any(|written| special.occur_in_value(written));
        let literal = special_in_text && self.special_text == SpecialText::Literal;
        if literal {
            self.mark(special, &mut completions);
        }
        let mut texts = vec![self.render(&[], Turn::Open)?];
        for turns in &completions {
            texts.push(self.render(turns, Turn::Closed)?);
        }
        let ids = if literal {
            let encode = |text: &String| self.encoder.encode_marked(text, Surroundings::Rendered);
            texts.iter().map(encode).collect()
        } else {
            self.encoder.encode_together(&texts)
        };
        let mut ids = ids.map_err(RowProblem::Text)?.into_iter();
        Ok(RowTokens { prompt: ids.next().unwrap_or_default(), texts: ids.collect(), special_in_text })
    }

    fn mark(&mut self, special: &SpecialTokens, completions: &mut [Vec<Value>]) {
        let turns = self.prompt.iter_mut().chain(completions.iter_mut().flatten());
        turns.chain(self.kwargs.values_mut()).for_each(|written| special.mark_value(written));
    }

    fn render(&self, completion: &[Value], turn: Turn) -> Result<String, RowProblem> {
        let mut context = Map::new();
        context.insert("tools".to_owned(), Value::Null);
        context.insert("documents".to_owned(), Value::Null);
        let named = self.encoder.named_tokens().iter();
        context.extend(named.map(|(name, token)| (name.clone(), Value::from(token.as_str()))));
        context.extend(self.kwargs.clone());
        let turns = self.prompt.iter().chain(completion).cloned().collect();
        context.insert("messages".to_owned(), Value::Array(turns));
        context.insert("add_generation_prompt".to_owned(), (turn == Turn::Open).into());
        self.template.render(Serde(context).into()).map_err(RowProblem::Template)
    }
}

/// Whether the text of a conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It ends where the assistant is to speak: `add_generation_prompt`.
    Open,
    /// All has been said.
    Closed,
}

fn to_json(messages: &[Message]) -> Result<Vec<Value>, RowProblem> {
    let json = messages.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    json.map_err(|error| RowProblem::Text(error.to_string()))
}

/// The template's arguments: `tools`, a list or the JSON text of one; the entries of `chat_template_kwargs`; all others
/// as they are.
fn template_kwargs(given: &Map<String, Value>) -> Result<Map<String, Value>, RowProblem> {
    let mut kwargs = Map::new();
    for (name, value) in given {
        match (name.as_str(), value) {
            ("tools", Value::String(json)) => {
                let tools = serde_json::from_str(json);
                let tools =
                    tools.map_err(|error| RowProblem::Text(format!("`tools` is no JSON: {error}")))?;
                kwargs.insert(name.clone(), tools);
            }
            ("chat_template_kwargs", Value::Object(entries)) => kwargs.extend(entries.clone()),
            ("chat_template_kwargs", Value::Null) => {}
            _ => drop(kwargs.insert(name.clone(), value.clone())),
        }
    }
    match RESERVED.iter().find(|name| kwargs.contains_key(**name)) {
        Some(name) => {
            Err(RowProblem::Text(format!("`{name}` cannot be set by a row's chat_template_kwargs")))
        }
        None => Ok(kwargs),
    }
}

fn plain(text: &Text) -> Option<&str> {
    match text {
        Text::Plain(text) => Some(text),
        Text::Messages(_) => None,
    }
}

fn messages(text: &Text) -> Option<&[Message]> {
    match text {
        Text::Messages(messages) => Some(messages),
        Text::Plain(_) => None,
    }
}

fn mixed() -> RowProblem {
    RowProblem::Text(
        "prompt and completions must be plain texts all of them, or messages all of them".to_owned(),
    )
}
