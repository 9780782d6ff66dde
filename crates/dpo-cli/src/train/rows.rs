//! The rows of a run: to train on, and to measure on.

use std::{collections::BTreeSet, rc::Rc};

use anyhow::Result;

use super::{stream::RowStream, workshop::Workshop};
use crate::{
    data::{DataReader, LoadedData, Selection},
    run_file::RunConfig,
};

/// Held-out rows.
pub(super) struct HeldOutRows {
    /// Their name in metrics; empty for the only set.
    pub(super) name: String,
    /// Their name in `data_report.json`.
    pub(super) label: String,
    /// Where they come from, for people.
    pub(super) origin: String,
    pub(super) data: LoadedData,
}

/// The rows to train on, and those to measure on; of rows that are read while they are trained on, the first window.
pub(super) fn load(config: &RunConfig, workshop: &Rc<Workshop>) -> Result<(LoadedData, Vec<HeldOutRows>)> {
    let Workshop { hub, base, rows, .. } = &**workshop;
    let data = &config.data;
    let reader = DataReader::new(hub, base, data, &config.loss, rows.clone());
    let train = match data.stream {
        None => reader.load(&data.train, "train", &Selection::training(data))?,
        Some(window) => {
            let mut rows = RowStream::open(config, workshop, window)?;
            let trees = rows.next_window()?.trees;
            LoadedData { trees, report: rows.report().clone(), groups: BTreeSet::new() }
        }
    };
    let selection = Selection::held_out(data);
    let Some(share) = data.held_out else {
        let is_single = data.eval.len() == 1;
        let held_out = data.eval.iter().map(|set| {
            Ok(HeldOutRows {
                name: if is_single { String::new() } else { set.name_or_stem().to_owned() },
                label: set.name_or_stem().to_owned(),
                origin: set.source.clone(),
                data: reader.load(std::slice::from_ref(&set.source), "test", &selection)?,
            })
        });
        return Ok((train, held_out.collect::<Result<_>>()?));
    };
    let held_out = HeldOutRows {
        name: String::new(),
        label: "heldout".to_owned(),
        origin: format!("{} of the prompts, drawn with seed {}", share.share(), share.seed()),
        data: reader.load(&data.train, "train", &selection)?,
    };
    Ok((train, vec![held_out]))
}
