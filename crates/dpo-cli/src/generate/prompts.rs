//! Prompts as a user gives them: on the command line, from standard input, or in a file.

use std::{fmt, fs::File, io::Read, path::PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use dpo_data::{Message, Text, TextEncoder};
use serde_json::{Map, Value};

use crate::terminal::WrongUsage;

/// Where prompts come from, and how they are put to a model.
#[derive(Debug, Args)]
pub(crate) struct PromptArgs {
    /// Texts to answer; `-` reads one from standard input
    #[arg(long, num_args = 1.., conflicts_with = "prompts")]
    pub(super) prompt: Vec<String>,
    /// A file of prompts: JSON lines with a `prompt` (text or messages), or a prompt a line
    #[arg(long, value_name = "FILE")]
    pub(super) prompts: Option<PathBuf>,
    /// Give the prompt to the model as it stands, without its chat template
    #[arg(long)]
    pub(super) plain: bool,
    /// The system message that comes before each prompt
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
}

/// A prompt as it was written.
#[derive(Debug, Clone)]
pub(crate) enum Prompt {
    /// What a user says, or the beginning of a text.
    Text(String),
    /// A conversation.
    Messages(Vec<Message>),
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Messages(messages) => {
                let line = |message: &Message| format!("{}: {}", message.role, message.content);
                f.write_str(&messages.iter().map(line).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

impl PromptArgs {
    /// The system message is a part of the chat template.
    pub(crate) fn refuse_unread(&self) -> Result<(), WrongUsage> {
        match self.plain && self.system.is_some() {
            true => Err(WrongUsage(
                "--system does nothing with --plain, which has no messages; remove one of them".to_owned(),
            )),
            false => Ok(()),
        }
    }

    /// Reads all prompts.
    pub(crate) fn read(&self) -> Result<Vec<Prompt>> {
        if self.prompts.is_some() {
            return self.read_file();
        }
        if self.prompt.is_empty() {
            return Err(WrongUsage("no prompt; give --prompt TEXT, or --prompts FILE".to_owned()).into());
        }
        let read = |prompt: &String| match prompt.as_str() {
            "-" => read_text(std::io::stdin(), "standard input"),
            prompt => Ok(prompt.to_owned()),
        };
        self.prompt.iter().map(|prompt| read(prompt).map(Prompt::Text)).collect()
    }

    fn read_file(&self) -> Result<Vec<Prompt>> {
        let Some(path) = &self.prompts else { return Ok(Vec::new()) };
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let content = read_text(file, &path.display().to_string())?;
        let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let place = |idx: usize| format!("{}:{}", path.display(), idx + 1);
        let read = |line| self.check(prompt_of(line)?);
        let prompts: Result<Vec<_>> =
            lines.map(|(idx, line)| read(line).with_context(|| place(idx))).collect();
        let prompts = prompts?;
        if prompts.is_empty() {
            bail!("{}: no prompt in it; write one a line", path.display());
        }
        Ok(prompts)
    }

    /// A conversation has one system message at most.
    fn check(&self, prompt: Prompt) -> Result<Prompt> {
        let has_system = match &prompt {
            Prompt::Text(_) => false,
            Prompt::Messages(messages) => messages.iter().any(|message| message.role == "system"),
        };
        if has_system && self.system.is_some() {
            bail!("a system message of its own, beside --system; remove one of them");
        }
        Ok(prompt)
    }

    /// A prompt as the model behind `encoder` gets it: a user's message where there is a chat template.
    pub(crate) fn text(&self, prompt: &Prompt, encoder: &TextEncoder) -> Result<Text> {
        let is_chat = encoder.chat_template().is_some() && !self.plain;
        if self.system.is_some() && !is_chat {
            bail!(
                "--system: no chat template in {}, and so no place for a system message; remove --system",
                encoder.path().display()
            );
        }
        let system = self.system.iter().map(|system| message("system", system));
        Ok(match prompt {
            Prompt::Text(content) if !is_chat => Text::Plain(content.clone()),
            Prompt::Text(content) => Text::Messages(system.chain([message("user", content)]).collect()),
            Prompt::Messages(messages) => Text::Messages(system.chain(messages.iter().cloned()).collect()),
        })
    }
}

/// A message without any other field.
pub(super) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), extra: Map::new() }
}

/// No more than this is read as prompts.
pub(super) const MAX_PROMPTS_BYTES: u64 = 64 << 20;

fn read_text(source: impl Read, name: &str) -> Result<String> {
    let mut content = Vec::new();
    source
        .take(MAX_PROMPTS_BYTES + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("cannot read {name}"))?;
    if content.len() as u64 > MAX_PROMPTS_BYTES {
        bail!("{name}: larger than 64 MiB; are these prompts? split them");
    }
    as_utf8(content, name)
}

/// Bytes that have to be text.
pub(super) fn as_utf8(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        anyhow!("{name}: byte {} is not UTF-8; save it as UTF-8", error.utf8_error().valid_up_to() + 1)
    })
}

/// A line of a file of prompts: an object with a `prompt`, or the prompt itself.
fn prompt_of(line: &str) -> Result<Prompt> {
    if !line.trim_start().starts_with('{') {
        return Ok(Prompt::Text(line.to_owned()));
    }
    let row: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
    match row.get("prompt") {
        Some(Value::String(prompt)) => Ok(Prompt::Text(prompt.clone())),
        Some(messages @ Value::Array(_)) => Ok(Prompt::Messages(serde_json::from_value(messages.clone())?)),
        Some(other) => bail!("`prompt` is {other}; expected a text or a list of messages"),
        None => {
            let found: Vec<&str> = row.keys().map(String::as_str).collect();
            bail!("no `prompt`; found {}", found.join(", "))
        }
    }
}
