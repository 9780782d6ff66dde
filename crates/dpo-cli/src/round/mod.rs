//! `dpo round`: new feedback on top of the last model, with a lineage, some of the old feedback, and a look at what was
//! forgotten.

mod digest;
mod drift;
mod flags;
mod lineage;
mod replay;
mod settings;
mod streamed;
mod table;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;
use dpo_train::Ending;

use crate::{
    hub::Hub,
    run_file::RunConfig,
    terminal::print,
    train::{Session, note, refuse_taken},
};

use flags::RoundFlags;
use lineage::Lineage;

/// Arguments of `dpo round`.
#[derive(Debug, Args)]
pub(crate) struct RoundArgs {
    /// Run directory of the last round: what `dpo train`, `dpo variants` or `dpo round` has finished
    #[arg(long, value_name = "RUN_DIR")]
    from: PathBuf,
    /// Share of the training pairs of each earlier round that is trained on again, drawn with the seed
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    replay: f64,
    /// Prompts that the divergence from the base and from the last model is measured on
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    kl_samples: u32,
    #[command(flatten)]
    flags: RoundFlags,
}

fn share(text: &str) -> Result<f64, String> {
    let is_share = |x: &f64| (0.0..=1.0).contains(x);
    text.parse().ok().filter(is_share).ok_or_else(|| "expected a share from 0 to 1".to_owned())
}

/// Runs the command.
pub(crate) fn run(args: &RoundArgs) -> Result<ExitCode> {
    let hub = Hub::from_env(true)?;
    let lineage = Lineage::open(&args.from, &hub)?;
    let mut config = settings::config(&args.from, &lineage, &args.flags)?;
    lineage.verify_rounds(args.replay > 0.0)?;
    let replay = replay::draw(&lineage, &config, args.replay, &hub)?;
    note(&format!("round      {}, after {}", lineage.rounds.len() + 1, args.from.display()));
    replay.lines().iter().for_each(|line| note(&format!("replayed   {line}")));
    if args.flags.is_dry_run() {
        let folder = tempfile::tempdir()?;
        replay.add_to(&mut config, folder.path())?;
        let session = Session::open(config)?;
        session.introduce();
        session.preview()?;
        return Ok(ExitCode::SUCCESS);
    }
    refuse_taken(&config.run)?;
    let out = config.run.out.clone();
    replay.add_to(&mut config, &out)?;
    if !train(config.clone())? {
        return Ok(ExitCode::from(130));
    }
    let lineage = lineage.followed_by(&args.from, &out, args.flags.reference(), &replay)?;
    let Some(drift) = drift::measure(&lineage, &config, args.kl_samples as usize, &hub)? else {
        note("stopped; the same command with `--resume auto` measures the drift");
        return Ok(ExitCode::from(130));
    };
    drift.write(&out)?;
    print(&table::text(&drift))?;
    note(&format!("lineage    {}", out.join(lineage::FILE).display()));
    Ok(ExitCode::SUCCESS)
}

/// Trains to the end; `false` if somebody stopped it.
fn train(config: RunConfig) -> Result<bool> {
    let session = Session::open(config)?;
    session.introduce();
    if let Some(dir) = session.complete()? {
        note(&format!("{} is trained", dir.display()));
        return Ok(true);
    }
    Ok(session.train()?.ending == Ending::Complete)
}
