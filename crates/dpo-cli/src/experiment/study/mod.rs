//! `dpo experiment NAME`: the same judgments put to use in several ways, at equal budgets, against the true reward.
//!
//! `docs/experiments.md` says what came out.

mod arms;
mod frontier;
mod judgments;
mod measure;
mod plot;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use dpo_data::Clock;
use dpo_train::write_atomically;
use serde::Serialize;

use self::{
    arms::Arm,
    frontier::{Frontier, frontiers},
    judgments::Pool,
    measure::{Bench, Point},
};
pub(super) use self::{frontier::Spread, plot::framed};
use super::bundle::Bundle;
use crate::{
    device,
    hub::Hub,
    model_source::ModelSource,
    run_file::choices::{Backend, Dtype},
    terminal::print,
    train::{cache_root, note},
};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Study {
    /// Ranked and scored lists, as lists and as pairs.
    Graded,
    /// Five annotators who disagree: soft labels, and what most of them say.
    Votes,
    /// A fifth of the labels flipped.
    Flips,
    /// What an excellent answer is compared with: a poor one, or a mediocre one.
    Contrast,
}

/// Flags of `dpo experiment NAME` against the true reward.
#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// Runs of each way, with judgments, order and samples of their own
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Optimizer steps of the runs, each a point of the frontier
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "25,50,100")]
    steps: Vec<u64>,
    /// Prompts that judgments are made on
    #[arg(long, default_value_t = 1200)]
    prompts: usize,
    /// Prompts that the true reward is measured on
    #[arg(long, default_value_t = 400)]
    measured: usize,
    /// Operands of matrix products
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Folder for the figures, as JSON and SVG
    #[arg(long, default_value = "target/experiments")]
    out: PathBuf,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    study: Study,
    seeds: u64,
    prompts: usize,
    measured: usize,
    /// What each seed's judgments came to.
    judgments: Vec<String>,
    frontiers: Vec<Frontier>,
    points: Vec<Point>,
}

/// Runs the command.
pub(crate) fn run(study: Study, args: &StudyArgs) -> Result<()> {
    check(args)?;
    let bundle = Bundle::unpack(&cache_root()?)?;
    let source =
        ModelSource::open(&bundle.model().display().to_string(), &Hub::from_env(false)?, Clock::now())?;
    let base = source.load(&device::open(Backend::Cpu)?)?;
    let arms = study.arms();
    note(&format!("sampling {} completions for each of {} prompts", Pool::SAMPLES, args.prompts));
    let pool = Pool::sampled(&base, &source, args.prompts)?;
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let bench = Bench { bundle: &bundle, source: &source, base: &base, work: work.path(), args };
    let mut report = Report {
        study,
        seeds: args.seeds,
        prompts: args.prompts,
        measured: args.measured,
        judgments: Vec::new(),
        frontiers: Vec::new(),
        points: vec![bench.start()?],
    };
    for seed in 1..=args.seeds {
        for arm in &arms {
            let rows = arm.rows(&pool, seed);
            report.judgments.push(format!("seed {seed}, {}: {} rows", arm.name, rows.len()));
            for &steps in &args.steps {
                let point = bench.point(arm, &rows, seed, steps)?;
                note(&point.line());
                report.points.push(point);
            }
        }
        report.frontiers = frontiers(&arms, &report.points);
        write(&args.out, &report)?;
    }
    print(&frontier::table(&report.frontiers))
}

fn check(args: &StudyArgs) -> Result<()> {
    let is_rising = args.steps.is_sorted_by(|a, b| a < b) && args.steps.first() > Some(&0);
    if !is_rising {
        bail!("--steps are to rise from at least 1; they are {:?}", args.steps);
    }
    if args.seeds == 0 || args.prompts == 0 || args.measured == 0 {
        bail!("--seeds, --prompts and --measured are to be at least 1");
    }
    Ok(())
}

fn write(folder: &Path, report: &Report) -> Result<()> {
    let picture = plot::svg(report.study.title(), &report.frontiers);
    write_figures(folder, report.study.name(), report, &picture)
}

/// `NAME.json` and `NAME.svg`.
pub(super) fn write_figures(folder: &Path, name: &str, report: &impl Serialize, picture: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write_atomically(&folder.join(format!("{name}.json")), &serde_json::to_vec_pretty(report)?)?;
    Ok(write_atomically(&folder.join(format!("{name}.svg")), picture.as_bytes())?)
}
