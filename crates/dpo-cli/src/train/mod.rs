//! `dpo train`: from a run file to a run directory.

mod checking;
mod estimate;
mod outputs;
mod plan;
mod preview;
mod progress;
mod reference;
mod resume;
mod rows;
mod running;
mod samples;
mod scan;
mod session;
mod stream;
pub(crate) mod tuning;
mod workshop;

#[cfg(feature = "cpu")]
pub(crate) use outputs::system_bytes;
pub(crate) use outputs::{give_name, make_readable, peak_memory_bytes, write_weights};
pub(crate) use preview::printable;
pub(crate) use progress::{Bar, StopFlag, duration, note};
pub(crate) use reference::{Reference, cache_root, check_reference, digest};
pub(crate) use resume::{holds_run, old_config, past_clock, refuse_taken};
pub(crate) use running::{Finished, Running};
pub(crate) use session::Session;
pub(crate) use workshop::Workshop;

use std::process::ExitCode;

use anyhow::Result;

use crate::{data::RowCache, default_loss, run_file::TrainArgs};

/// Runs the command.
pub(crate) fn run(args: &TrainArgs) -> Result<ExitCode> {
    if args.run_file()?.names_nothing() {
        return crate::experiment::run(args);
    }
    resume::refuse_two_places(&args.settings.0.run)?;
    let rows = RowCache::default();
    let beneath = default_loss::beneath(&args.run_file()?, &rows)?;
    let config = args.run_config(&beneath)?;
    if !args.dry_run {
        refuse_taken(&config.run)?;
    }
    let session = Session::of_rows(config, rows)?;
    session.introduce();
    if args.dry_run {
        session.preview()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(dir) = session.complete()? {
        note(&format!("{} is complete: nothing is left to do", dir.display()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(session.train()?.exit_code())
}
