//! What a round changed: how far the model has moved, and what it still knows of earlier rounds.

use std::path::Path;

use anyhow::{Context, Result};
use dpo_data::Clock;
use dpo_model::Decoder;
use dpo_train::{EvalMetrics, EvalSet, write_atomically};
use serde_json::{Value, json};

use super::lineage::{Lineage, Round};
use crate::{
    data::{DataReader, RowCache, Selection},
    device,
    divergence::{Answers, Divergence, prompts},
    eval::{measured, numbers},
    hub::Hub,
    model_source::ModelSource,
    run_file::RunConfig,
    train::{Reference, StopFlag, note},
};

/// All numbers.
pub(super) struct Drift {
    /// The round that was made.
    pub(super) round: usize,
    /// β of the margins.
    pub(super) beta: f64,
    seed: u64,
    /// From what the first round started from.
    pub(super) to_base: Divergence,
    /// From the last round's model.
    pub(super) to_parent: Divergence,
    /// Of each round that has held-out pairs, this one too.
    pub(super) held_out: Vec<Memory>,
}

/// The held-out pairs of a round, before and after this one.
pub(super) struct Memory {
    pub(super) round: usize,
    pub(super) n_pairs: usize,
    pub(super) before: EvalMetrics,
    pub(super) after: EvalMetrics,
}

/// Held-out pairs of a round.
struct Pairs {
    round: usize,
    set: EvalSet,
}

/// Measures everything against the base of the lineage; `None` when somebody wanted to stop.
pub(super) fn measure(
    lineage: &Lineage,
    config: &RunConfig,
    kl_samples: usize,
    hub: &Hub,
) -> Result<Option<Drift>> {
    let [.., parent, last] = &lineage.rounds[..] else { return Ok(None) };
    let stop = StopFlag::install()?;
    let device = device::open(config.run.backend)?;
    let precision = config.model.dtype.precision();
    let open = |name: &str| -> Result<ModelSource> {
        Ok(ModelSource::open(name, hub, Clock::now())?.in_precision(precision))
    };
    let of_round = |round: &Round| open(&round.run.join("model").to_string_lossy());
    let (source, beta, seed) = (of_round(last)?, config.loss.beta().unwrap_or(0.1), config.train.seed);
    let mut pairs = held_out(lineage, &source, hub)?;
    let prompts = prompts(pairs.iter().rev().flat_map(|pairs| &pairs.set.trees), kl_samples);

    let model = source.load(&device)?;
    let answers = Answers::of(&model, &prompts, source.stop_ids(), seed)?;
    let own = answers.logps(&model);
    let base_source = open(&lineage.base().name)?;
    let base = base_source.load(&device)?;
    let to_base = Divergence::of(&own, &answers.logps(&base));
    let digest = crate::train::digest(&base, &base_source)?;
    let reference = Reference::of(base, &digest, device::name(config.run.backend))?;
    for Pairs { round, set } in &mut pairs {
        let what = format!("the held-out pairs of round {round}");
        set.reference = Some(reference.logps(&what, &set.trees, &stop)?);
    }
    drop(reference);
    let Some(after) = all(&model, &pairs, beta, &stop) else { return Ok(None) };
    drop(model);
    let before = of_round(parent)?.load(&device).context("cannot read the model of the last round")?;
    let to_parent = Divergence::of(&own, &answers.logps(&before));
    let Some(before) = all(&before, &pairs, beta, &stop) else { return Ok(None) };
    let held_out = pairs.into_iter().zip(before).zip(after).map(|((pairs, before), after)| Memory {
        round: pairs.round,
        n_pairs: pairs.set.trees.len(),
        before,
        after,
    });
    let round = lineage.rounds.len();
    Ok(Some(Drift { round, beta, seed, to_base, to_parent, held_out: held_out.collect() }))
}

/// The held-out pairs of every round that has some.
fn held_out(lineage: &Lineage, source: &ModelSource, hub: &Hub) -> Result<Vec<Pairs>> {
    let mut all = Vec::new();
    for (idx, round) in lineage.rounds.iter().enumerate() {
        let settings = round.settings()?;
        let files = if settings.data.held_out.is_some() { &round.data } else { &round.held_out };
        if files.is_empty() || !round.has_pairs()? {
            note(&format!("round {} has no held-out pairs: what is forgotten of it cannot be seen", idx + 1));
            continue;
        }
        let names: Vec<String> = files.iter().map(|file| file.path.to_string_lossy().into_owned()).collect();
        let reader = DataReader::new(hub, source, &settings.data, &settings.loss, RowCache::default());
        let trees = reader.load(&names, "test", &Selection::held_out(&settings.data))?.trees;
        all.push(Pairs { round: idx + 1, set: EvalSet { name: String::new(), trees, reference: None } });
    }
    Ok(all)
}

/// As `dpo eval` measures, unless somebody wants to stop.
fn all(model: &Decoder, pairs: &[Pairs], beta: f64, stop: &StopFlag) -> Option<Vec<EvalMetrics>> {
    let of = |pairs: &Pairs| (!stop.is_set()).then(|| measured(model, &pairs.set, beta).metrics);
    pairs.iter().map(of).collect()
}

impl Drift {
    /// Writes `drift.json`.
    pub(super) fn write(&self, run: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.json())?;
        Ok(write_atomically(&run.join("drift.json"), &json)?)
    }

    fn json(&self) -> Value {
        let memory = |memory: &Memory| {
            json!({
                "round": memory.round,
                "n_pairs": memory.n_pairs,
                "before": numbers(&memory.before),
                "after": numbers(&memory.after),
            })
        };
        json!({
            "round": self.round,
            "beta": self.beta,
            "seed": self.seed,
            "to_base": self.to_base,
            "to_parent": self.to_parent,
            "held_out": self.held_out.iter().map(memory).collect::<Vec<_>>(),
        })
    }
}
