//! The `dpo` program: tunes language models on human preferences.

mod adapters;
mod bench;
mod check;
mod columns;
mod compare;
mod data;
mod default_loss;
mod device;
mod divergence;
mod eval;
mod experiment;
mod explain;
mod export;
mod generate;
mod gguf;
mod hub;
mod model_source;
mod report;
mod round;
mod run_file;
mod score;
mod table;
mod terminal;
mod train;
mod variants;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use dpo_train::TrainError;

/// Pooled pages: the system's allocator gives memory back and takes it again at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tunes language models on human preferences with Direct Preference Optimization.
#[derive(Debug, Parser)]
#[command(name = "dpo", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model on preference pairs; without a model and data, the built-in experiment
    Train(Box<run_file::TrainArgs>),
    /// Train several adapters on one base, and measure each on everybody's held-out pairs
    Variants(variants::VariantsArgs),
    /// Go on with a trained model on new pairs, and see what it forgets
    Round(Box<round::RoundArgs>),
    /// Look at preference data before training on it
    Check(check::CheckArgs),
    /// Write the log-probability of every completion, a JSON line a row
    Score(score::ScoreArgs),
    /// Measure a model against its reference on preference pairs
    Eval(eval::EvalArgs),
    /// Answer prompts
    Generate(generate::GenerateArgs),
    /// Answer the same prompts with several models, and put the answers side by side
    Compare(compare::CompareArgs),
    /// Write a model or an adapter for other tools
    Export(export::ExportArgs),
    /// List what can compute here
    Devices(device::DevicesArgs),
    /// Time training steps
    Bench(bench::BenchArgs),
    /// Compare ways to use the same judgments, against a reward that is known exactly or on real votes
    Experiment(experiment::ExperimentArgs),
    /// Make what the built-in experiment starts from: corpus, tokenizer, model and pairs
    #[command(hide = true)]
    Assets(experiment::AssetsArgs),
    /// Print a run file with every key, its default and what it means, or what a run file minimises
    Config(explain::ConfigArgs),
}

fn main() -> ExitCode {
    dpo_kernels::keep_freed_memory();
    let cli = Cli::parse();
    quiet_panics();
    match run(cli) {
        Ok(code) => code,
        Err(error) if error.is::<terminal::ReaderLeft>() => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(&format!("error: {error:#}"));
            exit_code(&error)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Variants(args) => variants::run(&args),
        Command::Round(args) => round::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Devices(args) => device::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Experiment(args) => experiment::run_study(&args),
        Command::Assets(args) => experiment::make_assets(&args),
        Command::Config(args) => {
            explain::run(&args)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// 2 where the command or the run file is at fault, 130 where somebody stopped it, 1 for everything else.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<run_file::InvalidRunFile>() || error.is::<terminal::WrongUsage>() {
        return ExitCode::from(2);
    }
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::Stopped) => ExitCode::from(130),
        _ => ExitCode::FAILURE,
    }
}

/// A panic is a bug of this program: say so, and where to look.
fn quiet_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // The reader of damaged Parquet files catches what its library throws, and reports it as an error.
        let is_caught = info.location().is_some_and(|location| location.file().contains("parquet"));
        if !is_caught {
            default(info);
            terminal::note("error: this is a bug of dpo; nothing that was saved is lost");
        }
    }));
}
