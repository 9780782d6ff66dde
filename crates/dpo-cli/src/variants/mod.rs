//! `dpo variants`: one base, several adapters, and each of them measured on everybody's held-out pairs.

mod heatmap;
mod matrix;
mod page;
mod plan;
mod settings;
mod table;
mod train;

use std::{path::PathBuf, process::ExitCode, rc::Rc};

use anyhow::Result;
use clap::Args;
use dpo_train::Ending;

use crate::{
    run_file::{
        RunFile,
        values::Resume,
        variants::{Layer, VariantsFile},
    },
    terminal::{WrongUsage, print},
    train::{Workshop, holds_run, note, past_clock},
};

use plan::Plan;
use settings::Settings;

/// Arguments of `dpo variants`.
#[derive(Debug, Args)]
pub(crate) struct VariantsArgs {
    /// The variants file: the tables of a run file, and `[variants]` or `[[variant]]` (docs/variants.md)
    #[arg(long, value_name = "VARIANTS.TOML")]
    config: PathBuf,
    /// Directory of the variants, a run directory each; without it, runs/<model>-variants
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
    /// `auto` goes on with variants that were stopped and leaves finished ones alone
    #[arg(long, value_name = "no|auto")]
    resume: Option<Resume>,
    /// Check everything, say what would be trained, and stop
    #[arg(long)]
    dry_run: bool,
}

impl VariantsArgs {
    fn layer(&self) -> Layer {
        let mut file = RunFile::default();
        file.run.out.clone_from(&self.out);
        file.run.resume.clone_from(&self.resume);
        Layer::of(file)
    }
}

/// Runs the command.
pub(crate) fn run(args: &VariantsArgs) -> Result<ExitCode> {
    let file = VariantsFile::read(&args.config)?;
    let settings = Settings::new(&file, &file.shared.apply(&args.layer()))?;
    if settings.first().data.stream.is_some() {
        let problem = "variants share their rows, which are read once: leave `data.stream` out";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    let clock = settings.directories().find_map(|dir| past_clock(&dir));
    let workshop = Rc::new(Workshop::open(settings.first(), clock.unwrap_or_else(dpo_data::Clock::now))?);
    if workshop.base.n_adapters() > 0 {
        let problem = "`model.base` is an adapter; variants start from one base: name it, or merge the adapter \
                       into it with `dpo export --merge`";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    let plan = Plan::new(settings, &workshop)?;
    plan.introduce(&workshop)?;
    if args.dry_run {
        note("dry run: nothing was computed and nothing written");
        return Ok(ExitCode::SUCCESS);
    }
    refuse_taken(&plan)?;
    workshop.keep_weights()?;
    if train::all(&plan, file.order, &workshop)? == Ending::Stopped {
        return Ok(stopped(&plan));
    }
    let Some(matrix) = matrix::measure(&plan, file.kl_samples, &workshop)? else {
        return Ok(stopped(&plan));
    };
    matrix.write(&plan.out)?;
    print(&table::text(&matrix))?;
    note(&format!("matrix     {}", plan.out.join("variants.html").display()));
    Ok(ExitCode::SUCCESS)
}

fn stopped(plan: &Plan) -> ExitCode {
    note(&format!("{} is not finished; go on with the same command and `--resume auto`", plan.out.display()));
    ExitCode::from(130)
}

/// A run is never overwritten.
fn refuse_taken(plan: &Plan) -> Result<()> {
    let is_taken = |config: &crate::run_file::RunConfig| {
        config.run.resume == Resume::No && config.run.out.join("config.toml").exists()
    };
    match plan.variants.iter().find(|variant| is_taken(&variant.config)) {
        Some(variant) => Err(holds_run(&variant.config.run.out)),
        None => Ok(()),
    }
}
