//! `data.stream_check = "all"`: a look at all rows before the first step of a run that reads them while it trains.

use std::path::PathBuf;

use anyhow::{Result, bail};
use dpo_data::{DataReport, ExampleStream, FileReport, PreferenceExample, Scan, Scanned, read_examples};
use dpo_train::TrainError;

use super::workshop::Workshop;
use crate::{
    data::{Selection, source_config},
    hub::Hub,
    run_file::RunConfig,
};

/// What was seen in one pass over all files, whose rows are in memory a few hundred at a time.
pub(super) struct WholeSet {
    pub(super) scanned: Scanned,
    /// What became of the rows as they are read: nothing is said of their tokens.
    pub(super) report: DataReport,
    /// The training files, then those that are measured on.
    pub(super) files: Vec<FileReport>,
}

impl WholeSet {
    /// Reads everything once. The first thing that is wrong with a file is an error.
    pub(super) fn scan(config: &RunConfig, workshop: &Workshop) -> Result<Self> {
        let (hub, data, source) = (&workshop.hub, &config.data, source_config(&config.data));
        let paths = paths(hub, &data.train, "train")?;
        let names: Vec<String> = data.eval.iter().map(|set| set.source.clone()).collect();
        let mut of_eval = DataReport::default();
        let mut eval: Vec<PreferenceExample> = Vec::new();
        if !names.is_empty() {
            eval = read_examples(&self::paths(hub, &names, "test")?, &source, &mut of_eval)?;
            eval.iter_mut().for_each(|example| example.row.file += paths.len() as u32);
        }
        let mut scan = Scan::new(Scan::MOST, (!names.is_empty()).then_some(&eval));
        let (mut report, stop) = (DataReport::default(), workshop.stop()?);
        let selection = Selection::training(data);
        for (file, path) in paths.into_iter().enumerate() {
            for chunk in ExampleStream::open(path, file as u32, source.clone())? {
                if stop.is_set() {
                    return Err(TrainError::Stopped.into());
                }
                let mut chunk = chunk?;
                let (taken, others): (Vec<_>, Vec<_>) = chunk
                    .examples
                    .into_iter()
                    .partition(|example| selection.refusal(example.group.as_deref(), false).is_none());
                for example in others {
                    if let Some(cause) = selection.refusal(example.group.as_deref(), false) {
                        chunk.report.count(cause, example.row);
                    }
                }
                scan.add(&taken);
                report.merge(chunk.report);
            }
        }
        if report.rows_kept() == 0 {
            bail!("{}: no row is left to use:\n  {}", data.train.join(", "), report.lines().join("\n  "));
        }
        let files = report.files.iter().chain(&of_eval.files).cloned().collect();
        Ok(Self { scanned: scan.finish(), report, files })
    }
}

fn paths(hub: &Hub, names: &[String], split: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for name in names {
        paths.extend(hub.dataset(name, split)?);
    }
    Ok(paths)
}
