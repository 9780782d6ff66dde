//! Going on with a run: where it lies, and what it was told before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dpo_data::Clock;
use dpo_train::RunMode;

use crate::run_file::{RunConfig, values::Resume};

/// Whether this is the folder of a checkpoint.
pub(super) fn is_checkpoint(path: &Path) -> bool {
    path.join("MANIFEST.json").exists()
}

/// Settles where the run lies, and when its first sitting began.
pub(super) fn settle(config: &mut RunConfig) -> Result<(RunMode, Clock)> {
    let mode = match &config.run.resume {
        Resume::Auto if config.run.out.join("config.toml").exists() => RunMode::Resume,
        Resume::No | Resume::Auto => RunMode::Fresh,
        Resume::From(path) => {
            let path = PathBuf::from(path);
            let run =
                if is_checkpoint(&path) { path.ancestors().nth(2).map(Path::to_owned) } else { Some(path) };
            config.run.out = run.context("a checkpoint lies in RUN/checkpoints")?;
            RunMode::Resume
        }
    };
    if mode == RunMode::Fresh {
        return Ok((mode, Clock::now()));
    }
    let clock = past_clock(&config.run.out).unwrap_or_else(Clock::now);
    Ok((mode, clock))
}

/// When the first sitting of the run in this directory began.
pub(crate) fn past_clock(dir: &Path) -> Option<Clock> {
    record(dir)["clock"].as_i64().map(Clock::at_unix_seconds)
}

/// The settings that a run directory was started with.
pub(crate) fn old_config(dir: &Path) -> Result<RunConfig> {
    let path = dir.join("config.toml");
    let args = crate::run_file::TrainArgs { config: Some(path.clone()), ..Default::default() };
    let file = args
        .run_file()
        .with_context(|| format!("{} holds no run that could be gone on with", dir.display()))?;
    Ok(file.init()?)
}

/// Whether a run was trained to its end.
pub(super) fn is_complete(dir: &Path) -> bool {
    record(dir)["status"] == "complete" && dir.join("model").is_dir()
}

/// `run.json`; null where there is none.
fn record(dir: &Path) -> serde_json::Value {
    let bytes = std::fs::read(dir.join("run.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
