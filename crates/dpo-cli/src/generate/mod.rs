//! `dpo generate`: what a model answers.

mod answer;
mod chat;
mod conversation;
mod prompts;
mod settings;
mod writer;

pub(crate) use prompts::{Prompt, PromptArgs};
pub(crate) use settings::AnswerArgs;
pub(crate) use writer::{Completion, Writer, ids};

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Result;
use clap::Args;
use dpo_data::{Clock, Text};
use dpo_model::{Decoder, generate::Next};
use serde_json::{Value, json};

use crate::{
    adapters::AdapterArgs,
    hub::Hub,
    model_source::ModelSource,
    terminal::{WrongUsage, print},
    train::printable,
};

/// Arguments of `dpo generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// A folder, a hub id or a .gguf file
    #[arg(long)]
    model: String,
    #[command(flatten)]
    adapters: AdapterArgs,
    #[command(flatten)]
    prompts: PromptArgs,
    /// Hold a conversation: a message a line from standard input; `/reset`, `/system TEXT`, `/quit`
    #[arg(long)]
    chat: bool,
    #[command(flatten)]
    answers: AnswerArgs,
    /// Print a JSON object a line: prompt, completion, tokens
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    args.refuse_unread()?;
    let prompts = if args.chat { Vec::new() } else { args.prompts.read()? };
    let device = args.answers.open_device()?;
    let hub = Hub::from_env(true)?;
    let source = ModelSource::open(&args.model, &hub, Clock::now())?.with_adapters(args.adapters.read(&hub)?);
    if args.chat {
        let conversation = args.conversation(&source)?;
        let model = source.load(&device)?;
        chat::run(&args.writer(&model, &source), conversation)?;
        return Ok(ExitCode::SUCCESS);
    }
    let texts = prompts.iter().map(|prompt| args.prompts.text(prompt, &source.encoder));
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let prompt_ids = texts.iter().map(|text| ids(&source.encoder, text)).collect::<Result<Vec<_>>>()?;
    let model = source.load(&device)?;
    let writer = args.writer(&model, &source);
    match &prompt_ids[..] {
        [prompt] if !args.json && std::io::stdout().is_terminal() => stream(&writer, prompt)?,
        prompts => args.print_all(&texts, &writer.answer_all(prompts)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints an answer while it is written.
fn stream(writer: &Writer, prompt: &[u32]) -> Result<()> {
    writer.answer(prompt, |text| print(&printable(text)).map(|()| Next::Continue))?;
    print("\n")
}

impl GenerateArgs {
    fn writer<'a>(&'a self, model: &'a Decoder, source: &'a ModelSource) -> Writer<'a> {
        let config = self.answers.config(source);
        Writer { model, encoder: &source.encoder, config, stops: &self.answers.stop }
    }

    fn conversation<'a>(&self, source: &'a ModelSource) -> Result<conversation::Conversation<'a>> {
        let max_new_tokens = self.answers.max_new_tokens.get();
        conversation::Conversation::new(source, self.prompts.system.clone(), max_new_tokens)
    }

    fn print_all(&self, prompts: &[Text], completions: &[Completion]) -> Result<()> {
        for (prompt, completion) in prompts.iter().zip(completions) {
            let line = match self.json {
                true => json!({
                    "prompt": shown(prompt),
                    "completion": completion.text,
                    "tokens": completion.n_tokens,
                })
                .to_string(),
                false => printable(&completion.text),
            };
            print(&format!("{line}\n"))?;
        }
        Ok(())
    }

    /// A setting that changes nothing is a mistake.
    fn refuse_unread(&self) -> Result<(), WrongUsage> {
        self.answers.refuse_unread()?;
        self.prompts.refuse_unread()?;
        let not_in_a_chat = [
            ("--json", self.json),
            ("--prompt", !self.prompts.prompt.is_empty()),
            ("--prompts", self.prompts.prompts.is_some()),
            ("--plain", self.prompts.plain),
        ];
        match not_in_a_chat.iter().find(|(_, is_set)| *is_set && self.chat) {
            None => Ok(()),
            Some((flag, _)) => Err(WrongUsage(format!(
                "{flag} does nothing with --chat, whose messages come from standard input; remove one of them"
            ))),
        }
    }
}

fn shown(prompt: &Text) -> Value {
    match prompt {
        Text::Plain(text) => json!(text),
        Text::Messages(messages) => json!(messages),
    }
}
