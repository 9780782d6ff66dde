//! `dpo compare`: the same prompts answered by several models, side by side.

mod diff;
mod labels;
mod page;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use dpo_data::Clock;
use dpo_model::generate::Finish;
use dpo_train::write_atomically;
use serde_json::{Value, json};

use crate::{
    columns::{self, Column, side_by_side},
    generate::{AnswerArgs, Completion, Prompt, PromptArgs, Writer, ids},
    hub::Hub,
    model_source::ModelSource,
    terminal::{note, print},
    train::duration,
};

/// Arguments of `dpo compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Models to compare, two or more: folders, hub ids, .gguf files, or folders of adapters
    #[arg(long, required = true, num_args = 1..)]
    model: Vec<String>,
    #[command(flatten)]
    prompts: PromptArgs,
    #[command(flatten)]
    answers: AnswerArgs,
    /// Folder for compare.jsonl and compare.html; without it, the answers go to the terminal
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What every model answered to every prompt.
struct Comparison {
    system: Option<String>,
    prompts: Vec<Prompt>,
    models: Vec<Answers>,
}

/// What one model answered.
struct Answers {
    /// As the user named it.
    model: String,
    /// Short, and no other model's.
    label: String,
    /// One a prompt.
    completions: Vec<Completion>,
}

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    args.answers.refuse_unread()?;
    args.prompts.refuse_unread()?;
    let labels = labels::of(&args.model)?;
    if let Some(folder) = &args.out {
        refuse_existing(folder)?;
    }
    let comparison = args.answer(labels)?;
    match &args.out {
        Some(folder) => write(folder, &comparison)?,
        None => print(&comparison.text())?,
    }
    Ok(ExitCode::SUCCESS)
}

impl CompareArgs {
    /// All models are opened and all prompts are encoded first, so that a mistake is found at once; the weights of one
    /// model at a time are in memory.
    fn answer(&self, labels: Vec<String>) -> Result<Comparison> {
        let prompts = self.prompts.read()?;
        let device = self.answers.open_device()?;
        let hub = Hub::from_env(true)?;
        let open = |model: &String| -> Result<(ModelSource, Vec<Vec<u32>>)> {
            let source = ModelSource::open(model, &hub, Clock::now())?;
            let encode = |prompt| ids(&source.encoder, &self.prompts.text(prompt, &source.encoder)?);
            let prompt_ids = prompts.iter().map(encode).collect::<Result<_>>()?;
            Ok((source, prompt_ids))
        };
        let opened = self.model.iter().map(open).collect::<Result<Vec<_>>>()?;
        let mut models = Vec::new();
        for ((model, label), (source, prompt_ids)) in self.model.iter().zip(labels).zip(opened) {
            let start = Instant::now();
            let decoder = source.load(&device)?;
            let config = self.answers.config(&source);
            let writer =
                Writer { model: &decoder, encoder: &source.encoder, config, stops: &self.answers.stop };
            let completions = writer.answer_all(&prompt_ids)?;
            let n_tokens: usize = completions.iter().map(|completion| completion.n_tokens).sum();
            let time = duration(start.elapsed().as_secs_f64());
            note(&format!("answered   {label}: {n_tokens} tokens in {time}"));
            models.push(Answers { model: model.clone(), label, completions });
        }
        Ok(Comparison { system: self.prompts.system.clone(), prompts, models })
    }
}

impl Comparison {
    /// For the terminal.
    fn text(&self) -> String {
        let block = |(idx, prompt): (usize, &Prompt)| {
            let column = |answers: &Answers| column(answers, &answers.completions[idx]);
            let columns: Vec<Column> = self.models.iter().map(column).collect();
            side_by_side(&prompt.to_string(), &columns, columns::width(), columns::style())
        };
        self.prompts.iter().enumerate().map(block).collect::<Vec<_>>().join("\n")
    }

    /// `{"prompt":…,"answers":[{"model":…,"completion":…,"tokens":n,"finish":…},…]}`
    fn line(&self, prompt_idx: usize) -> Value {
        let answer = |answers: &Answers| {
            let completion = &answers.completions[prompt_idx];
            json!({
                "model": answers.model,
                "completion": completion.text,
                "tokens": completion.n_tokens,
                "finish": match completion.finish { Finish::Stop => "stop", Finish::Length => "length" },
            })
        };
        let answers: Vec<Value> = self.models.iter().map(answer).collect();
        let prompt = match &self.prompts[prompt_idx] {
            Prompt::Text(text) => json!(text),
            Prompt::Messages(messages) => json!(messages),
        };
        match &self.system {
            Some(system) => json!({ "system": system, "prompt": prompt, "answers": answers }),
            None => json!({ "prompt": prompt, "answers": answers }),
        }
    }
}

fn column(answers: &Answers, completion: &Completion) -> Column {
    let text = match completion.text.trim() {
        "" => "(nothing)".to_owned(),
        text => text.to_owned(),
    };
    Column { title: format!("{} ({})", answers.label, tokens(completion)), text }
}

/// `3 tokens`, and whether the answer was cut.
fn tokens(completion: &Completion) -> String {
    let n = completion.n_tokens;
    let plural = if n == 1 { "" } else { "s" };
    let cut = if completion.finish == Finish::Length { ", cut off" } else { "" };
    format!("{n} token{plural}{cut}")
}

const LINES: &str = "compare.jsonl";
const PAGE: &str = "compare.html";

/// Answers that are there are not written over.
fn refuse_existing(folder: &Path) -> Result<()> {
    for name in [LINES, PAGE] {
        let path = folder.join(name);
        if path.exists() {
            bail!("{} is there already; choose another folder with --out, or remove it", path.display());
        }
    }
    Ok(())
}

fn write(folder: &Path, comparison: &Comparison) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let line = |prompt_idx| comparison.line(prompt_idx).to_string() + "\n";
    let lines = (0..comparison.prompts.len()).map(line).collect();
    for (name, content) in [(LINES, lines), (PAGE, page::page(comparison))] {
        let path = folder.join(name);
        write_atomically(&path, content.as_bytes())?;
        note(&format!("written    {}", path.display()));
    }
    Ok(())
}
