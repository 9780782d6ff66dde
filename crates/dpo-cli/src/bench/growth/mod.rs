//! `dpo bench growth`: a step against the size of its batch, of its texts and of the model.
//!
//! Every point is measured in a process of its own, whose largest resident size is therefore its own too.

mod panel;
mod plot;
mod point;
mod shape;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use dpo_train::write_atomically;
use serde::Serialize;

use point::{Point, Setting, length};
pub(crate) use point::{PointArgs, run as run_point};
use shape::Shape;

use super::{at_least_one, steps::gib};
use crate::{device, run_file::choices::Backend, table::aligned, terminal::print, train::note};

/// Arguments of `dpo bench growth`.
#[derive(Debug, Args)]
pub(crate) struct GrowthArgs {
    /// Sizes of a batch in pairs
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = at_least_one,
          default_value = "1,2,4,8,16")]
    pairs: Vec<NonZeroUsize>,
    /// Lengths of the one pair of a batch, in tokens: its prompt and both its answers
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = length,
          default_value = "512,1024,2048,4096")]
    lengths: Vec<usize>,
    /// Sizes of the model, which has random weights
    #[arg(
        long,
        value_name = "SIZE,…",
        value_delimiter = ',',
        value_enum,
        default_value = "260K,15M,42M,135M,360M"
    )]
    models: Vec<Shape>,
    /// Size of the model where the batch and the length grow
    #[arg(long, value_enum, default_value_t = Shape::M135)]
    model: Shape,
    /// Length of a pair where the batch and the model grow
    #[arg(long, value_name = "N", value_parser = length, default_value = "256")]
    pair_length: usize,
    /// Pairs a batch where the model grows
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "4")]
    model_pairs: NonZeroUsize,
    #[command(flatten)]
    setting: Setting,
    /// Folder for growth.json and growth.svg, which are written over; without it, the table is all
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Growth {
    /// Instruction set and processor.
    arithmetic: String,
    setting: Setting,
    /// Against pairs a batch.
    pairs: Vec<Point>,
    /// Against the length of a pair.
    lengths: Vec<Point>,
    /// Against the size of the model.
    models: Vec<Point>,
}

/// Runs the command.
pub(crate) fn run(args: &GrowthArgs) -> Result<ExitCode> {
    let precision = device::precision(&device::open(Backend::Cpu)?, args.setting.dtype)?;
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut growth = Growth {
        arithmetic: dpo_kernels::arithmetic(precision),
        setting: args.setting.clone(),
        pairs: Vec::new(),
        lengths: Vec::new(),
        models: Vec::new(),
    };
    let one = NonZeroUsize::MIN;
    for pairs in &args.pairs {
        let point = args.measured(args.model, *pairs, args.pair_length)?;
        growth.pairs.push(point);
        growth.write(args.out.as_deref())?;
    }
    for length in &args.lengths {
        growth.lengths.push(args.measured(args.model, one, *length)?);
        growth.write(args.out.as_deref())?;
    }
    for model in &args.models {
        growth.models.push(args.measured(*model, args.model_pairs, args.pair_length)?);
        growth.write(args.out.as_deref())?;
    }
    print(&growth.table())?;
    if let Some(folder) = &args.out {
        note(&format!("{} and growth.json", folder.join("growth.svg").display()));
    }
    Ok(ExitCode::SUCCESS)
}

impl GrowthArgs {
    /// What a process that measures this point alone prints.
    fn measured(&self, model: Shape, pairs: NonZeroUsize, length: usize) -> Result<Point> {
        let args = PointArgs { model, pairs, length, setting: self.setting.clone() };
        let program = std::env::current_exe().context("cannot tell where this program lies")?;
        let mut command = Command::new(program);
        command.args(["bench", "point"]).args(args.words());
        let output = command.output().context("cannot start a process to measure in")?;
        if !output.status.success() {
            bail!(
                "a model of {} on {pairs} pairs of {length} tokens: {}{}; if it asks for more memory than there is, \
                 leave it out with --models, --pairs or --lengths",
                model.name(),
                output.status,
                reason(&output.stderr)
            );
        }
        let point: Point = serde_json::from_slice(&output.stdout).context("a point is no JSON")?;
        note(&format!(
            "{}, {pairs} × {length} tokens: {:.3} s a step, {:.0} tokens/s, {}",
            point.model,
            point.step_seconds.median,
            point.tokens_per_second,
            point.memory()
        ));
        Ok(point)
    }
}

/// `, ` and why a process failed, if it could tell.
fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let is_reason = |line: &&str| line.starts_with("error: ") || line.starts_with("memory allocation");
    let reason = text.lines().find(is_reason);
    reason.map_or_else(String::new, |line| format!(", {}", line.trim_start_matches("error: ")))
}

impl Growth {
    /// After every point, so that who stops keeps what was measured.
    fn write(&self, folder: Option<&Path>) -> Result<()> {
        let Some(folder) = folder else { return Ok(()) };
        write_atomically(&folder.join("growth.json"), &serde_json::to_vec_pretty(self)?)?;
        write_atomically(&folder.join("growth.svg"), plot::svg(self).as_bytes())?;
        Ok(())
    }

    fn table(&self) -> String {
        let heading = ["model", "pairs", "tokens", "s a step", "tokens/s", "peak memory"];
        let mut grid = vec![heading.map(str::to_owned).to_vec()];
        for point in self.pairs.iter().chain(&self.lengths).chain(&self.models) {
            grid.push(vec![
                point.model.clone(),
                point.pairs.to_string(),
                point.tokens.to_string(),
                format!("{:.3}", point.step_seconds.median),
                format!("{:.0}", point.tokens_per_second),
                point.memory(),
            ]);
        }
        aligned(&grid)
    }
}

impl Point {
    fn memory(&self) -> String {
        self.peak_memory_bytes.map_or_else(|| "—".to_owned(), gib)
    }
}
