//! Going on with a run: where it lies, and what it was told before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use dpo_data::{Clock, FileReport};
use dpo_train::{RunDir, RunMode, TrainError};

use super::progress::note;
use crate::{
    run_file::{RunConfig, choices::SaveDtype, config::RunSettings, sections::RunSection, values::Resume},
    terminal::WrongUsage,
};

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
            config.run.out = run_of(Path::new(path))?;
            RunMode::Resume
        }
    };
    if mode == RunMode::Fresh {
        return Ok((mode, Clock::now()));
    }
    let clock = past_clock(&config.run.out).unwrap_or_else(Clock::now);
    Ok((mode, clock))
}

/// A new run does not begin where there is something already; said before rows are read.
pub(crate) fn refuse_taken(run: &RunSettings) -> Result<()> {
    let goes_on = match run.resume {
        Resume::No => false,
        Resume::Auto => run.out.join("config.toml").exists(),
        Resume::From(_) => true,
    };
    if goes_on {
        return Ok(());
    }
    match RunDir::check_free(&run.out) {
        Err(TrainError::HoldsRun { dir }) => Err(holds_run(&dir)),
        is_free => Ok(is_free?),
    }
}

/// What to do about a run that is there already.
pub(crate) fn holds_run(dir: &Path) -> anyhow::Error {
    anyhow!(
        "{} holds a run already; go on with it with `--resume auto`, or choose another directory with --out",
        dir.display()
    )
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

/// The text of `config.toml` with another format of the written model, the one setting of `[run]` that decides what comes out.
pub(super) fn with_save_dtype(before: &RunConfig, save_dtype: SaveDtype) -> String {
    let run = RunSettings { save_dtype, ..before.run.clone() };
    RunConfig { run, ..before.clone() }.to_toml()
}

/// What stands in `config.toml` of a run directory.
pub(super) fn config_text(dir: &Path) -> Result<String> {
    let path = dir.join("config.toml");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Refuses `--out` beside `--resume DIR` where they name two runs; which of them is meant nobody knows.
pub(super) fn refuse_two_places(flags: &RunSection) -> Result<()> {
    let (Some(out), Some(Resume::From(from))) = (&flags.out, &flags.resume) else { return Ok(()) };
    let run = run_of(Path::new(from))?;
    let found = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if found(&run) == found(Path::new(out)) {
        return Ok(());
    }
    let problem = format!(
        "--resume goes on with the run in {}, and --out names {out}: a run goes on where it lies; remove one of them",
        run.display()
    );
    Err(WrongUsage(problem).into())
}

/// The run that a directory is, or that a checkpoint lies in.
fn run_of(path: &Path) -> Result<PathBuf> {
    let run = if is_checkpoint(path) { path.ancestors().nth(2) } else { Some(path) };
    run.map(Path::to_owned).context("a checkpoint lies in RUN/checkpoints")
}

/// Whether a run was trained to its end.
pub(super) fn is_complete(dir: &Path) -> bool {
    record(dir)["status"] == "complete" && dir.join("model").is_dir()
}

/// Refuses other training rows than those that the run in `dir` began with: the order of all of them would be another one. Of a
/// stream that is said.
pub(super) fn compare_data(dir: &Path, files: &[FileReport], is_streamed: bool) -> Result<()> {
    let record = record(dir);
    let before = record["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (before, now) in before.iter().zip(files) {
        let (digest, path) = (before["blake3"].as_str().unwrap_or_default(), now.path.display());
        // A file that was not read to its end has no digest.
        if digest.is_empty() || now.blake3.is_empty() || digest == now.blake3 {
            continue;
        }
        if is_streamed {
            note(&format!(
                "warning: {path} has changed since the run began. It goes on to the bits of an uninterrupted run only if the \
                 rows of the steps that were made are the same, each in its place"
            ));
            continue;
        }
        bail!(
            "{path} has changed since the run in {} began ({} rows then, {} now), and with it the order of its rows; put the \
             file back, or start another run with --out",
            dir.display(),
            before["rows"],
            now.rows
        );
    }
    Ok(())
}

/// The digest of the base that the run in this directory began with; empty where it did not come to that.
pub(super) fn base_digest(dir: &Path) -> String {
    record(dir)["base_digest"].as_str().unwrap_or_default().to_owned()
}

/// `run.json`; null where there is none.
fn record(dir: &Path) -> serde_json::Value {
    let bytes = std::fs::read(dir.join("run.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}
