//! What a round is told: the settings of the last one, on its model, with flags over them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{
    flags::{ReferenceChoice, RoundFlags},
    lineage::Lineage,
};
use crate::{
    adapters::is_adapter,
    run_file::{
        HeldOutBy, RunConfig, RunFile,
        sections::{LoraSection, LossSection},
    },
    terminal::WrongUsage,
    train::{note, old_config},
};

/// The settings of the round after `from`.
pub(super) fn config(from: &Path, lineage: &Lineage, flags: &RoundFlags) -> Result<RunConfig> {
    let mut beneath = beneath(from, lineage, flags.reference())?;
    let own = flags.run_file()?.loss;
    if own.kind.is_some() || own.ties.is_some() || own.mix.is_some() {
        // Settings of the last round's loss may mean nothing to another.
        beneath.loss = LossSection::default();
    }
    let mut config = flags.run_config(&beneath)?;
    if !config.loss.is_of_plain_pairs() {
        let problem = format!(
            "a round goes on with preference pairs, and its loss is `{}`; give another with --loss",
            config.loss.name()
        );
        return Err(WrongUsage(problem).into());
    }
    let annotators = old_config(from)?.data.annotators;
    if config.data.annotators != annotators {
        let problem = "`data.annotators` is another than in the last round, whose pairs are replayed as it read them; leave it out";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    if config.data.stream.is_some() {
        let problem =
            "a round mixes old pairs among the new ones, which have to be there: leave `data.stream` out";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    if config.data.hold_out() == HeldOutBy::Default {
        note(
            "held out   a tenth of the prompts, because no held-out pairs are named (--eval-data, --heldout)",
        );
    }
    Ok(config)
}

/// The settings of the last round, with its model in the place of the one that it started from.
fn beneath(from: &Path, lineage: &Lineage, reference: ReferenceChoice) -> Result<RunFile> {
    let last = old_config(from).with_context(|| format!("{} is no run to go on from", from.display()))?;
    let mut file = last.to_run_file();
    let model = from.join("model").to_string_lossy().into_owned();
    if is_adapter(Path::new(&model)) {
        let base_quant = file.lora.base_quant;
        file.lora = LoraSection { adapter: Some(model), base_quant, ..LoraSection::default() };
    } else {
        file.model.base = Some(model);
        file.lora = LoraSection::default();
    }
    file.model.reference = match reference {
        ReferenceChoice::Previous => None,
        ReferenceChoice::Base => Some(lineage.base().name.clone()),
    };
    // The files of a round are its own; what share of them is held out is not.
    (file.data.train, file.data.eval) = (None, None);
    (file.data.stream, file.data.stream_buffer, file.data.stream_check) = (None, None, None);
    file.run.out = Some(default_out(lineage).to_string_lossy().into_owned());
    file.run.resume = None;
    Ok(file)
}

/// Beside the first round: `runs/first`, `runs/first-round-2` and so on.
fn default_out(lineage: &Lineage) -> PathBuf {
    let first = &lineage.rounds[0].run;
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    first.with_file_name(format!("{name}-round-{}", lineage.rounds.len() + 1))
}
