//! Rounds whose rows were read while they were trained on: their files, and some of their pairs, without all of them in memory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dpo_data::{DataReport, ExampleStream, Needed, PreferenceExample, RowId, shaped};

use super::{
    digest,
    lineage::{DataFile, Round, files as listed, json},
    replay::{keep_selected, open, usable},
};
use crate::{
    data::source_config,
    hub::Hub,
    run_file::RunConfig,
    train::{note, old_config},
};

/// The training files of a finished run in `run` with `record` for its `run.json`: as the look at all rows or the first pass has found
/// them, else as they are today, which is said.
pub(super) fn files(run: &Path, record: &serde_json::Value, hub: &Hub) -> Result<Vec<DataFile>> {
    let config = old_config(run)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in &config.data.train {
        paths.extend(hub.dataset(name, "train")?);
    }
    let report = json(&run.join("data_report.json"))?;
    for list in [&record["data"], &report["train"]["files"]] {
        let files = listed(list)?;
        if files.len() == paths.len() {
            return Ok(files);
        }
    }
    note(&format!(
        "{} ended before it had read all its rows, so nobody knows what its files were: they are taken as they are today \
         (`--stream-check all` has them looked at before the first step)",
        run.display()
    ));
    let today = |path: PathBuf| {
        let blake3 = digest::of_file(&path)?;
        Ok(DataFile { path: std::path::absolute(path)?, blake3, rows: 0 })
    };
    paths.into_iter().map(today).collect()
}

/// Pairs to train on again.
pub(super) struct DrawnPairs {
    pub(super) pairs: Vec<PreferenceExample>,
    /// How many they were drawn from.
    pub(super) of: usize,
}

/// Draws about `share` of the pairs of `round`, the `number`-th, that it has come to and that the new round can train on: each row by
/// itself, by its place and the seed of `config`. Only those that are drawn stay in memory.
pub(super) fn draw(
    round: &Round,
    number: u64,
    share: f64,
    config: &RunConfig,
    hub: &Hub,
) -> Result<DrawnPairs> {
    let data = round.settings()?.data;
    let report = json(&round.run.join("data_report.json"))?;
    let mut n_left = report["train"]["rows_read"].as_u64().unwrap_or(0);
    let model = open(config, hub)?;
    let mut drawn = DrawnPairs { pairs: Vec::new(), of: 0 };
    for (file, path) in round.data.iter().map(|file| file.path.clone()).enumerate() {
        for chunk in ExampleStream::open(path, file as u32, source_config(&data))? {
            if n_left == 0 {
                return Ok(drawn);
            }
            let chunk = chunk?;
            n_left = n_left.saturating_sub(chunk.report.rows_read);
            let report = &mut DataReport::default();
            let mut pairs = shaped(chunk.examples, Needed::Pairs, data.pairing, report)?;
            [&data, &config.data].iter().for_each(|data| keep_selected(&mut pairs, data));
            let pairs = usable(pairs, &model, config, hub)?;
            drawn.of += pairs.len();
            let is_drawn = |pair: &PreferenceExample| is_drawn(pair.row, config.train.seed, number, share);
            drawn.pairs.extend(pairs.into_iter().filter(is_drawn));
        }
    }
    Ok(drawn)
}

/// Whether a row is one of the share: a number from 0 to 1 that follows from its place is below it.
fn is_drawn(row: RowId, seed: u64, round: u64, share: f64) -> bool {
    let mut hasher = blake3::Hasher::new();
    [seed, round, u64::from(row.file), row.row].iter().for_each(|number| {
        hasher.update(&number.to_le_bytes());
    });
    let bytes = hasher.finalize();
    let number = u64::from_le_bytes(bytes.as_bytes().first_chunk().copied().unwrap_or_default());
    // 1 is a whole share: no number of 53 bits is as large.
    ((number >> 11) as f64) / 2f64.powi(53) < share
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10,000 rows with probability 0.1: 1,000 ± 30; other rows with another seed or round, all and none at the ends.
    #[test]
    fn a_share_is_drawn_by_place_and_seed() {
        let drawn = |seed, round, share| -> Vec<u64> {
            (0..10_000).filter(|row| is_drawn(RowId { file: 0, row: *row }, seed, round, share)).collect()
        };
        let first = drawn(1, 0, 0.1);
        assert!((850..1150).contains(&first.len()), "{}", first.len());
        assert!(first != drawn(2, 0, 0.1) && first != drawn(1, 1, 0.1) && first == drawn(1, 0, 0.1));
        assert_eq!((drawn(1, 0, 0.0).len(), drawn(1, 0, 1.0).len()), (0, 10_000));
    }
}
