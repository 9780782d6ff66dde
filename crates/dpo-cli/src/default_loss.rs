//! The loss that fits the data, where nobody names one.

use std::path::PathBuf;

use anyhow::Result;
use dpo_data::{DataReport, Found, Needed, shaped};

use crate::{
    data::{RowCache, source_config},
    hub::Hub,
    run_file::{RunFile, choices::LossKind, sections::LossSection},
    train::note,
};

/// The losses that data can ask for.
const CANDIDATES: [LossKind; 6] = [
    LossKind::Sigmoid,
    LossKind::PlackettLuce,
    LossKind::Kto,
    LossKind::SoftLabel,
    LossKind::RaoKupper,
    LossKind::Odpo,
];

/// What a run file says beneath all others: the loss that its training rows ask for, if it names none itself.
///
/// The rows that are read for it stay in `rows`. A file that would be wrong with any loss gives nothing here; whoever checks it says what is wrong.
pub(crate) fn beneath(file: &RunFile, rows: &RowCache) -> Result<RunFile> {
    let mut beneath = RunFile::default();
    // Rows that are trained on as they are read cannot be asked beforehand.
    let is_named = file.loss.kind.is_some() || file.loss.ties.is_some() || file.loss.mix.is_some();
    if is_named || file.data.stream == Some(true) {
        return Ok(beneath);
    }
    let with = |kind| {
        let loss = LossSection { kind: Some(kind), ..file.loss.clone() };
        RunFile { loss, ..file.clone() }.init().ok()
    };
    let Some(config) = CANDIDATES.into_iter().find_map(with) else { return Ok(beneath) };
    let hub = Hub::from_env(true)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in &config.data.train {
        paths.extend(hub.dataset(name, "train")?);
    }
    let pairing = config.data.pairing;
    let found = rows.read_ahead(&paths, &source_config(&config.data), |examples| {
        let Some(pairing) = pairing else { return Ok(Found::of(examples)) };
        let report = &mut DataReport::default();
        let pairs = shaped(examples.cloned().collect(), Needed::Anything, Some(pairing), report)?;
        Ok(Found::of(&pairs))
    })?;
    if let Some((kind, why)) = of(&found) {
        note(&format!("loss       {}, because {why}; --loss takes another", kind.name()));
        beneath.loss.kind = Some(kind);
    }
    Ok(beneath)
}

/// The loss and the reason for it; none where plain pairs want the usual one.
pub(crate) fn of(found: &Found) -> Option<(LossKind, String)> {
    let Found { lists, labels, divided, ties, gaps, pairs } = *found;
    if lists > 0 {
        Some((LossKind::PlackettLuce, format!("{lists} rows are ranked lists")))
    } else if labels > 0 && pairs == 0 {
        Some((LossKind::Kto, format!("{labels} rows are single completions with a label")))
    } else if divided > 0 {
        Some((LossKind::SoftLabel, format!("annotators disagree on {divided} rows")))
    } else if ties > 0 {
        Some((LossKind::RaoKupper, format!("{ties} rows are ties")))
    } else if gaps > 0 {
        Some((LossKind::Odpo, format!("{gaps} rows have scores")))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row has most of decides: ranks before votes, votes before ties, ties before scores.
    #[test]
    fn the_loss_follows_the_data() {
        let loss = |found: Found| of(&found).map(|(kind, _)| kind.name());
        let pairs = Found { pairs: 9, ..Found::default() };
        assert_eq!(loss(pairs), None);
        assert_eq!(loss(Found { gaps: 9, ..pairs }), Some("odpo"));
        assert_eq!(loss(Found { ties: 1, gaps: 9, ..pairs }), Some("rao_kupper"));
        assert_eq!(loss(Found { divided: 1, ties: 1, ..pairs }), Some("soft_label"));
        assert_eq!(loss(Found { lists: 1, ..pairs }), Some("plackett_luce"));
        assert_eq!(loss(Found { labels: 3, ..Found::default() }), Some("kto"));
    }
}
