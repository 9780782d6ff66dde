//! `dpo generate`: what a model answers.

use std::{fs::File, io::Read, num::NonZeroUsize, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use dpo_data::{Clock, Message, SpecialText, Text, TextEncoder};
use dpo_model::{GenerateConfig, SampleConfig, Sampling, generate::Next};
use serde_json::{Map, Value, json};

use crate::{
    adapters::AdapterArgs,
    device,
    hub::Hub,
    model_source::ModelSource,
    run_file::choices::Backend,
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
    #[arg(long, default_value = "256")]
    max_new_tokens: NonZeroUsize,
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

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode> {
    args.refuse_unread()?;
    let device = device::open(args.backend)?;
    device::set_threads(args.threads)?;
    let hub = Hub::from_env(true)?;
    let source = ModelSource::open(&args.model, &hub, Clock::now())?.with_adapters(args.adapters.read(&hub)?);
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
            print(&format!("{line}\n"))?;
        } else {
            print(&format!("{}\n", printable(&completion)))?;
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
            max_new_tokens: self.max_new_tokens.get(),
            sampling,
            repetition_penalty: self.repetition_penalty,
            stop_ids: source.stop_ids(),
            ..GenerateConfig::default()
        }
    }

    /// What narrows the draw does nothing where nothing is drawn.
    fn refuse_unread(&self) -> Result<(), WrongUsage> {
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

    fn read_prompts(&self, encoder: &TextEncoder) -> Result<Vec<Text>> {
        let is_chat = encoder.chat_template().is_some() && !self.plain;
        let text = |content: String| match is_chat {
            true => Text::Messages(vec![user(content)]),
            false => Text::Plain(content),
        };
        if let Some(path) = &self.prompts {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            let content = read_text(file, &path.display().to_string())?;
            let lines = content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let place = |idx: usize| format!("{}:{}", path.display(), idx + 1);
            let prompts: Result<Vec<Text>> =
                lines.map(|(idx, line)| prompt_of(line, text).with_context(|| place(idx))).collect();
            let prompts = prompts?;
            if prompts.is_empty() {
                bail!("{}: no prompt in it; write one a line", path.display());
            }
            return Ok(prompts);
        }
        if self.prompt.is_empty() {
            return Err(WrongUsage("no prompt; give --prompt TEXT, or --prompts FILE".to_owned()).into());
        }
        self.prompt
            .iter()
            .map(|prompt| {
                Ok(text(if prompt == "-" {
                    read_text(std::io::stdin(), "standard input")?
                } else {
                    prompt.clone()
                }))
            })
            .collect()
    }
}

/// No more than this is read as prompts.
const MAX_PROMPTS_BYTES: u64 = 64 << 20;

fn read_text(source: impl Read, name: &str) -> Result<String> {
    let mut content = Vec::new();
    source
        .take(MAX_PROMPTS_BYTES + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("cannot read {name}"))?;
    if content.len() as u64 > MAX_PROMPTS_BYTES {
        bail!("{name}: larger than 64 MiB; are these prompts? split them");
    }
    String::from_utf8(content).map_err(|error| {
        anyhow!("{name}: byte {} is not UTF-8; save it as UTF-8", error.utf8_error().valid_up_to() + 1)
    })
}

/// A line of a file of prompts: an object with a `prompt`, or the prompt itself.
fn prompt_of(line: &str, text: impl Fn(String) -> Text) -> Result<Text> {
    if !line.trim_start().starts_with('{') {
        return Ok(text(line.to_owned()));
    }
    let row: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
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
