//! `dpo generate`: what a model answers.

use std::{io::Read, num::NonZeroUsize, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use dpo_data::{Clock, Message, SpecialText, Text, TextEncoder};
use dpo_model::{GenerateConfig, SampleConfig, Sampling, generate::Next};
use serde_json::{Map, Value, json};

use crate::{device, hub::Hub, model_source::ModelSource, run_file::choices::Backend, train::printable};

/// Arguments of `dpo generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// A folder, a hub id or a .gguf file
    #[arg(long)]
    model: String,
    /// Texts to answer; `-` reads one from standard input
    #[arg(long, num_args = 1.., conflicts_with = "prompts")]
    prompt: Vec<String>,
    /// A file of prompts: JSON lines with a `prompt` (text or messages), or a prompt a line
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Give the prompt to the model as it stands, without its chat template
    #[arg(long)]
    plain: bool,
    /// Longest answer, in tokens
    #[arg(long, default_value_t = 256)]
    max_new_tokens: usize,
    /// Randomness: 0 takes the likeliest token always, 1 draws from the model's own distribution
    #[arg(long, default_value_t = 0.0, value_parser = not_negative)]
    temperature: f64,
    /// Draw from so many likeliest tokens only
    #[arg(long)]
    top_k: Option<NonZeroUsize>,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Draw from tokens at least this likely, relative to the likeliest
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Make tokens that were there before less likely; 1 does nothing
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Seed of the draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print a JSON object a line: prompt, completion, tokens
    #[arg(long)]
    json: bool,
    /// What computes
    #[arg(long, value_enum, default_value_t = Backend::Cpu)]
    backend: Backend,
    /// Threads; 0 takes one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number >= 0.0 && number.is_finite() { Ok(number) } else { Err("must be at least 0".to_owned()) }
}

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    let device = device::open(args.backend)?;
    device::set_threads(args.threads)?;
    let source = ModelSource::open(&args.model, &Hub::from_env(true)?, Clock::now())?;
    let prompts = args.read_prompts(&source.encoder)?;
    let encode = |prompt: &Text| source.encoder.encode_prompt(prompt, &Map::new(), SpecialText::Literal);
    let ids = prompts.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
    let model = source.load(&device)?;
    let generations = model.generate(&ids, &args.settings(&source), |_| Next::Continue)?;
    for (prompt, generation) in prompts.iter().zip(generations) {
        let completion = source.encoder.decode(&generation.tokens)?;
        if args.json {
            let line = json!({
                "prompt": shown(prompt),
                "completion": completion,
                "tokens": generation.tokens.len(),
            });
            println!("{line}");
        } else {
            println!("{}", printable(&completion));
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl GenerateArgs {
    fn settings(&self, source: &ModelSource) -> GenerateConfig {
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
            max_new_tokens: self.max_new_tokens,
            sampling,
            repetition_penalty: self.repetition_penalty,
            stop_ids: source.stop_ids(),
            ..GenerateConfig::default()
        }
    }

    fn read_prompts(&self, encoder: &TextEncoder) -> Result<Vec<Text>> {
        let is_chat = encoder.chat_template().is_some() && !self.plain;
        let text = |content: String| match is_chat {
            true => Text::Messages(vec![user(content)]),
            false => Text::Plain(content),
        };
        if let Some(path) = &self.prompts {
            let content =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let place = |idx: usize| format!("{}:{}", path.display(), idx + 1);
            let prompts: Result<Vec<Text>> =
                lines.map(|(idx, line)| prompt_of(line, &text).with_context(|| place(idx))).collect();
            return prompts;
        }
        if self.prompt.is_empty() {
            bail!("no prompt; give --prompt TEXT, or --prompts FILE");
        }
        self.prompt.iter().map(|prompt| Ok(text(if prompt == "-" { stdin()? } else { prompt.clone() }))).collect()
    }
}

fn stdin() -> Result<String> {
    let mut content = String::new();
    std::io::stdin().read_to_string(&mut content).context("cannot read standard input")?;
    Ok(content)
}

/// A line of a file of prompts: an object with a `prompt`, or the prompt itself.
fn prompt_of(line: &str, text: impl Fn(String) -> Text) -> Result<Text> {
    if !line.trim_start().starts_with('{') {
        return Ok(text(line.to_owned()));
    }
    let row: Map<String, Value> = serde_json::from_str(line)?;
    match row.get("prompt") {
        Some(Value::String(prompt)) => Ok(text(prompt.clone())),
        Some(messages @ Value::Array(_)) => Ok(Text::Messages(serde_json::from_value(messages.clone())?)),
        Some(other) => bail!("`prompt` is {other}; expected a text or a list of messages"),
        None => {
            let found: Vec<&str> = row.keys().map(String::as_str).collect();
            bail!("no `prompt`; found {}", found.join(", "))
        }
    }
}

fn user(content: String) -> Message {
    Message { role: "user".to_owned(), content, extra: Map::new() }
}

fn shown(prompt: &Text) -> Value {
    match prompt {
        Text::Plain(text) => json!(text),
        Text::Messages(messages) => json!(messages),
    }
}
