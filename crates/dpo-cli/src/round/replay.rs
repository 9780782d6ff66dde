//! Some of the pairs of earlier rounds, trained on again: a seeded share of each, written out as rows.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use dpo_data::{
    BatchOrder, Clock, DataReport, Needed, PreferenceExample, RowId, Sampling, Text, read_examples, shaped,
};
use dpo_train::write_atomically;
use serde_json::{Map, Value, json};

use super::{
    lineage::{Lineage, Round},
    streamed,
};
use crate::{
    data::{DataReader, RowCache, Selection, source_config},
    hub::Hub,
    model_source::ModelSource,
    run_file::{RunConfig, choices::Annotators, config::DataConfig},
};

/// Its name in a run directory.
pub(super) const FILE: &str = "replay.jsonl";

/// Rows to train on again.
pub(super) struct Replay {
    text: String,
    /// Of each earlier round.
    drawn: Vec<Drawn>,
}

/// How many of a round's pairs were drawn.
struct Drawn {
    rows: usize,
    of: usize,
}

/// Draws `share` of the training pairs of each round that can be used. Which ones follows from the seed of `config` and the number of
/// the round.
pub(super) fn draw(lineage: &Lineage, config: &RunConfig, share: f64, hub: &Hub) -> Result<Replay> {
    let mut replay = Replay { text: String::new(), drawn: Vec::new() };
    for (idx, round) in lineage.rounds.iter().enumerate() {
        if share == 0.0 || !round.has_pairs()? {
            replay.drawn.push(Drawn { rows: 0, of: 0 });
            continue;
        }
        if round.settings()?.data.stream.is_some() {
            let drawn = streamed::draw(round, idx as u64, share, config, hub)?;
            drawn.pairs.iter().for_each(|pair| replay.text += &format!("{}\n", row(pair, &config.data)));
            replay.drawn.push(Drawn { rows: drawn.pairs.len(), of: drawn.of });
            continue;
        }
        let pairs = training_pairs(round, &config.data)?;
        let pairs = usable(pairs, &open(config, hub)?, config, hub)?;
        let (of, rows) = (pairs.len(), (share * pairs.len() as f64).round() as usize);
        let order =
            BatchOrder::new(of, std::num::NonZeroUsize::MIN, Sampling::Shuffled { seed: config.train.seed });
        let mut chosen = order.epoch(idx as u64).indices()[..rows].to_vec();
        chosen.sort_unstable();
        for pair_idx in chosen {
            replay.text += &format!("{}\n", row(&pairs[pair_idx], &config.data));
        }
        replay.drawn.push(Drawn { rows, of });
    }
    Ok(replay)
}

/// What a round was trained on of its own: its group's pairs, less those that it held out. Those that the new round would
/// not train on, because they are another group's or have a prompt that it holds out, are no part of it.
fn training_pairs(round: &Round, new: &DataConfig) -> Result<Vec<PreferenceExample>> {
    let data = round.settings()?.data;
    let paths: Vec<PathBuf> = round.data.iter().map(|file| file.path.clone()).collect();
    let mut report = DataReport::default();
    let pairs = read_examples(&paths, &source_config(&data), &mut report)?;
    let mut pairs = shaped(pairs, Needed::Pairs, data.pairing, &mut report)?;
    [&data, new].iter().for_each(|data| keep_selected(&mut pairs, data));
    Ok(pairs)
}

/// Keeps those that a run with these settings would train on.
pub(super) fn keep_selected(pairs: &mut Vec<PreferenceExample>, data: &DataConfig) {
    let selection = Selection::training(data);
    pairs.retain(|pair| {
        let is_held_out = data.held_out.is_some_and(|held_out| held_out.takes(pair));
        selection.refusal(pair.group.as_deref(), is_held_out).is_none()
    });
}

/// The model whose tokens limits on length are counted in.
pub(super) fn open(config: &RunConfig, hub: &Hub) -> Result<ModelSource> {
    ModelSource::open(&config.model.base, hub, Clock::now())
}

/// Those that the new round can train on: a pair that its limit on length would drop is not drawn in the place of another.
pub(super) fn usable(
    pairs: Vec<PreferenceExample>,
    model: &ModelSource,
    config: &RunConfig,
    hub: &Hub,
) -> Result<Vec<PreferenceExample>> {
    let reader = DataReader::new(hub, model, &config.data, &config.loss, RowCache::default());
    let trees = reader.prepare(pairs.clone(), &[], &mut DataReport::default())?;
    let kept: HashSet<RowId> = trees.iter().map(|tree| tree.row).collect();
    Ok(pairs.into_iter().filter(|pair| kept.contains(&pair.row)).collect())
}

/// A pair under the column names of the new round.
fn row(pair: &PreferenceExample, data: &DataConfig) -> Value {
    let column = |role: &str| {
        let named = data.columns.iter().find(|name| name.role == role);
        named.map_or_else(|| role.to_owned(), |name| name.column.clone())
    };
    let mut row = Map::new();
    row.insert(column("prompt"), text(&pair.prompt));
    for (side, completion) in ["chosen", "rejected"].into_iter().zip(&pair.completions) {
        row.insert(column(side), text(completion));
    }
    if pair.weight != 1.0 {
        row.insert(column("weight"), json!(pair.weight));
    }
    match data.annotators {
        Annotators::Each => row.extend(vote(pair, data)),
        Annotators::Together if data.columns.iter().any(|name| name.role == "group") => {
            row.insert(column("group"), json!(pair.group));
        }
        Annotators::Together => {}
    }
    if !pair.template_kwargs.is_empty() {
        row.insert("chat_template_kwargs".to_owned(), Value::Object(pair.template_kwargs.clone()));
    }
    Value::Object(row)
}

/// Whose vote the pair is, for the first side; where the columns of annotators are named, the others have none.
fn vote(pair: &PreferenceExample, data: &DataConfig) -> Vec<(String, Value)> {
    let named = data.columns.iter().find(|name| name.role == "annotators");
    let names = named.into_iter().flat_map(|name| name.column.split(',')).map(str::trim);
    let others = names.map(|name| (name.to_owned(), Value::Null));
    let own = pair.group.iter().map(|name| (name.clone(), json!(1)));
    others.chain(own).collect()
}

fn text(text: &Text) -> Value {
    match text {
        Text::Plain(text) => json!(text),
        Text::Messages(turns) => json!(turns),
    }
}

impl Replay {
    /// Rows of each round.
    pub(super) fn counts(&self) -> Vec<usize> {
        self.drawn.iter().map(|drawn| drawn.rows).collect()
    }

    /// A line a round of which rows are there.
    pub(super) fn lines(&self) -> Vec<String> {
        let there = self.drawn.iter().enumerate().filter(|(_, drawn)| drawn.of > 0);
        there
            .map(|(idx, drawn)| format!("{} of {} pairs of round {}", drawn.rows, drawn.of, idx + 1))
            .collect()
    }

    /// Writes the rows into `run` and lets the round train on them, too. A run that goes on must find its own.
    pub(super) fn add_to(&self, config: &mut RunConfig, run: &Path) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let path = run.join(FILE);
        if path.exists() && run.join("config.toml").exists() {
            let found = std::fs::read_to_string(&path)?;
            ensure!(
                found == self.text,
                "{}: other pairs than those that would be replayed now; give the same --from, --replay and --seed, or \
                 choose another directory with --out",
                path.display()
            );
        } else {
            std::fs::create_dir_all(run)?;
            write_atomically(&path, self.text.as_bytes())?;
        }
        config.data.train.push(path.to_string_lossy().into_owned());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dpo_data::SourceConfig;

    use super::*;
    use crate::run_file::RunFile;

    fn read(path: &Path) -> Vec<PreferenceExample> {
        read_examples(&[path.to_owned()], &SourceConfig::default(), &mut DataReport::default()).unwrap()
    }

    /// Text, messages with keys of their own, no prompt, weights and arguments of the template: as they were.
    #[test]
    fn a_pair_that_is_written_out_is_read_as_it_was() {
        let rows = [
            json!({"prompt": "Q", "chosen": "a", "rejected": "b", "weight": 0.5}),
            json!({"chosen": "The sky is blue.", "rejected": "The sky is green."}),
            json!({"chosen": "x", "rejected": "y"}),
            json!({
                "system": "Be brief.", "instruction": "Why?", "chosen": "So.", "rejected": "Well.",
                "tools": [{"name": "f"}],
            }),
            json!({
                "prompt": [{"role": "user", "content": "Hi", "name": "ann"}],
                "chosen": [{"role": "assistant", "content": "Hello"}],
                "rejected": [{"role": "assistant", "content": "No"}],
            }),
            json!({"chosen": "\n\nHuman: Hi\n\nAssistant: Yes", "rejected": "\n\nHuman: Hi\n\nAssistant: No"}),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let write = |rows: &[Value]| {
            let lines = rows.iter().fold(String::new(), |lines, row| format!("{lines}{row}\n"));
            std::fs::write(&path, lines).unwrap();
            read(&path)
        };
        let before = write(&rows);
        let mut file = RunFile::default();
        (file.model.base, file.data.train) = (Some("m".to_owned()), Some(vec!["d".to_owned()]));
        let data = file.init().unwrap().data;
        let after = write(&before.iter().map(|pair| row(pair, &data)).collect::<Vec<_>>());
        assert_eq!(after, before);
    }
}
