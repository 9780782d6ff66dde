//! `lineage.json`: the rounds a model has been through, each with what it was made of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use dpo_train::write_atomically;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    digest,
    flags::ReferenceChoice,
    replay::{self, Replay},
    streamed,
};
use crate::{
    hub::Hub,
    run_file::{RunConfig, config::Tuning},
    train::old_config,
};

/// Its name in a run directory.
pub(super) const FILE: &str = "lineage.json";

/// All rounds, the first one first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lineage {
    pub(super) rounds: Vec<Round>,
}

/// One round. Digests are BLAKE3.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Round {
    /// Its run directory.
    pub(super) run: PathBuf,
    /// When it began, in seconds since 1970.
    created: i64,
    /// What the first round started from.
    base: Model,
    /// What this one started from, if not from the base.
    parent: Option<Model>,
    /// `previous` or `base`: what it was held against.
    reference: String,
    /// Its `config.toml`.
    config: Digest,
    /// What it left in `model/`.
    model: Digest,
    /// Its own feedback.
    pub(super) data: Vec<DataFile>,
    /// Its own held-out pairs; none where they are a share of `data`.
    pub(super) held_out: Vec<DataFile>,
    /// Rows of earlier rounds that it was trained on again, by round.
    replayed: Vec<usize>,
}

/// A model and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Model {
    /// As a user names it, or a run directory.
    pub(super) name: String,
    blake3: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Digest {
    blake3: String,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DataFile {
    pub(super) path: PathBuf,
    pub(super) blake3: String,
    pub(super) rows: u64,
}

impl Lineage {
    /// The rounds up to the one in `run`; a run that is not of a round is the first.
    pub(super) fn open(run: &Path, hub: &Hub) -> Result<Self> {
        let path = run.join(FILE);
        if !path.exists() {
            return Ok(Self { rounds: vec![first(run, hub)?] });
        }
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut lineage: Self =
            serde_json::from_slice(&text).with_context(|| format!("{} is no lineage", path.display()))?;
        let last = lineage.rounds.last_mut().with_context(|| format!("{} has no rounds", path.display()))?;
        // The directory may have been moved since.
        last.run = std::path::absolute(run)?;
        lineage.verify_models(run, hub)?;
        Ok(lineage)
    }

    /// What the first round started from.
    pub(super) fn base(&self) -> &Model {
        &self.rounds[0].base
    }

    /// The base and the last model must be those that they were.
    fn verify_models(&self, run: &Path, hub: &Hub) -> Result<()> {
        let last = &self.rounds[self.rounds.len() - 1];
        let model = run.join("model");
        let found = digest::of_model(&model)?;
        ensure!(
            found == last.model.blake3,
            "{}: this is not the model that round {} made: its BLAKE3 is {found}, and was {}; put the old one back",
            model.display(),
            self.rounds.len(),
            last.model.blake3
        );
        let base = self.base();
        let found = digest::of_model(&hub.model(&base.name)?)
            .with_context(|| format!("the base `{}` of round 1 cannot be read", base.name))?;
        ensure!(
            found == base.blake3,
            "`{}` is not the base that round 1 started from: its BLAKE3 is {found}, and was {}; put the old one back",
            base.name,
            base.blake3
        );
        Ok(())
    }

    /// The files that are needed of earlier rounds must be what they were; training pairs only where they are
    /// replayed or a share of them is held out.
    pub(super) fn verify_rounds(&self, is_replayed: bool) -> Result<()> {
        for (idx, round) in self.rounds.iter().enumerate() {
            round.verify(idx + 1, is_replayed)?;
        }
        Ok(())
    }

    /// With the round that has just been made in `run`, where it is written.
    pub(super) fn followed_by(
        mut self,
        from: &Path,
        run: &Path,
        reference: ReferenceChoice,
        replay: &Replay,
    ) -> Result<Self> {
        let parent = &self.rounds[self.rounds.len() - 1];
        let parent = Model {
            name: std::path::absolute(from)?.to_string_lossy().into_owned(),
            blake3: parent.model.blake3.clone(),
        };
        let mut round = Round::of(run, &finished(run)?, self.base().clone())?;
        round.parent = Some(parent);
        reference.name().clone_into(&mut round.reference);
        let replayed = std::path::absolute(run)?.join(replay::FILE);
        round.data.retain(|file| file.path != replayed);
        round.replayed = replay.counts();
        self.rounds.push(round);
        write_atomically(&run.join(FILE), &serde_json::to_vec_pretty(&self)?)?;
        Ok(self)
    }
}

/// A finished run as the first round.
fn first(run: &Path, hub: &Hub) -> Result<Round> {
    let record = finished(run)?;
    let mut round = Round::of(run, &record, started_from(run, hub)?)?;
    if round.settings()?.data.stream.is_some() {
        round.data = streamed::files(run, &record, hub)?;
    }
    Ok(round)
}

/// `run.json` of a run that is finished.
fn finished(run: &Path) -> Result<Value> {
    let record = json(&run.join("run.json"))?;
    let status = record["status"].as_str().unwrap_or("nothing");
    if status != "complete" || !run.join("model").is_dir() {
        bail!(
            "{} is no finished run: its run.json says `{status}`; finish it with `--resume auto`",
            run.display()
        );
    }
    Ok(record)
}

/// What a run started from, as it is now.
fn started_from(run: &Path, hub: &Hub) -> Result<Model> {
    let config = old_config(run)?;
    let base = match config.tuning {
        Tuning::Adapter(folder) => folder,
        Tuning::Weights | Tuning::NewAdapter(_) => config.model.base,
    };
    let path = hub.model(&base)?;
    let blake3 = digest::of_model(&path).with_context(|| format!("cannot read the base `{base}`"))?;
    // A path holds from wherever the next round is started; an id does anyway.
    let name =
        if Path::new(&base).exists() { std::path::absolute(&base)?.to_string_lossy().into() } else { base };
    Ok(Model { name, blake3 })
}

/// Files that were named as held out; a share of the training files is none.
fn held_out(run: &Path, config: &RunConfig) -> Result<Vec<DataFile>> {
    if config.data.held_out.is_some() {
        return Ok(Vec::new());
    }
    let report = json(&run.join("data_report.json"))?;
    let sets = report["eval"].as_object().into_iter().flatten();
    sets.map(|(_, set)| files(&set["files"])).collect::<Result<Vec<_>>>().map(|files| files.concat())
}

/// The files that a report lists, at places that do not depend on where one stands.
pub(super) fn files(list: &Value) -> Result<Vec<DataFile>> {
    let file = |value: &Value| {
        let file: DataFile = serde_json::from_value(value.clone())?;
        Ok(DataFile { path: std::path::absolute(&file.path)?, ..file })
    };
    list.as_array().into_iter().flatten().map(file).collect()
}

pub(super) fn json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))
}

impl Round {
    /// What a finished run and its `run.json` say of it, as if it were the first round.
    fn of(run: &Path, record: &Value, base: Model) -> Result<Self> {
        Ok(Self {
            run: std::path::absolute(run)?,
            created: record["clock"].as_i64().unwrap_or(0),
            base,
            parent: None,
            reference: "previous".to_owned(),
            config: Digest { blake3: digest::of_file(&run.join("config.toml"))? },
            model: Digest { blake3: digest::of_model(&run.join("model"))? },
            data: files(&record["data"])?,
            held_out: held_out(run, &old_config(run)?)?,
            replayed: Vec::new(),
        })
    }

    /// Its settings.
    pub(super) fn settings(&self) -> Result<RunConfig> {
        old_config(&self.run)
    }

    /// Whether it was trained on pairs and not on demonstrations.
    pub(super) fn has_pairs(&self) -> Result<bool> {
        Ok(self.settings()?.loss.is_of_plain_pairs())
    }

    fn verify(&self, number: usize, is_replayed: bool) -> Result<()> {
        let config = self.run.join("config.toml");
        let settings = DataFile { path: config, blake3: self.config.blake3.clone(), rows: 0 };
        settings.verify(number, "its settings")?;
        let is_share_held_out = self.settings()?.data.held_out.is_some();
        let train = self.data.iter().filter(|_| is_replayed || is_share_held_out);
        for file in train {
            file.verify(number, "its training pairs")?;
        }
        self.held_out.iter().try_for_each(|file| file.verify(number, "its held-out pairs"))
    }
}

impl DataFile {
    fn verify(&self, round: usize, what: &str) -> Result<()> {
        let path = self.path.display();
        if !self.path.exists() {
            let remedy = match what {
                "its training pairs" => "put it back, or train on no old pairs with `--replay 0`",
                _ => "put it back",
            };
            bail!("round {round}: {path}, {what}, is missing; {remedy}");
        }
        let found = digest::of_file(&self.path)?;
        ensure!(
            found == self.blake3,
            "round {round}: {path}, {what}, has changed since: its BLAKE3 is {found}, and was {}; put the old file back",
            self.blake3
        );
        Ok(())
    }
}
