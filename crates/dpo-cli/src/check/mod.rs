//! `dpo check`: a look at preference data before training on it.

mod advice;
mod bars;
mod checked;
mod json;
mod model;
mod opinions;
mod own;
mod page;
mod text;
mod tokens;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{
    device,
    run_file::{RowArgs, choices::Backend},
    terminal::print,
};
use checked::Checked;
pub(crate) use checked::{Entry, entries_of};

/// Arguments of `dpo check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files or hub data sets with the rows to train on
    #[arg(required = true, value_name = "DATA")]
    data: Vec<String>,
    /// A file or hub data set with rows that will be measured on; may be given several times
    #[arg(long, value_name = "DATA")]
    eval_data: Vec<String>,
    /// A model that the rows are for: a folder, a hub id or a .gguf file
    #[arg(long)]
    model: Option<String>,
    /// Pairs that the model reads, evenly spread over all; 0 looks at their tokens only
    #[arg(long, value_name = "N", default_value_t = 200, requires = "model")]
    read: usize,
    /// Prompts that the model answers itself, so that the completions to learn can be held against what it says; 0 for none,
    /// 16 by default where it reads pairs
    #[arg(long, value_name = "N", requires = "model")]
    own: Option<usize>,
    /// What computes
    #[arg(long, value_enum, default_value_t = Backend::Cpu)]
    backend: Backend,
    #[command(flatten)]
    rows: RowArgs,
    /// Look at the rows of this group alone; the column `group` has to be named, or `--annotators` be each
    #[arg(long, value_name = "GROUP")]
    only_group: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also write a page with plots to this file
    #[arg(long, value_name = "F.html")]
    html: Option<PathBuf>,
    /// Exit with 1 if something serious is found
    #[arg(long)]
    strict: bool,
    /// Threads; 0 takes one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode> {
    device::set_threads(args.threads)?;
    let checked = Checked::new(args)?;
    if let Some(path) = &args.html {
        page::write(&checked, path)?;
    }
    print(&if args.json { format!("{}\n", json::object(&checked)) } else { text::report(&checked) })?;
    let is_serious = checked.entries().iter().any(Entry::is_serious);
    Ok(if args.strict && is_serious { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
