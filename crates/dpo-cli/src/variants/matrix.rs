//! Every adapter, and the base, on everybody's held-out pairs.

use std::path::Path;

use anyhow::{Context, Result};
use dpo_model::{Adapter, Decoder};
use dpo_train::{EvalMetrics, EvalSet, write_atomically};
use serde_json::{Map, Value, json};

use super::{
    heatmap, page,
    plan::{Column, LeftOut, Plan, Variant},
};
use crate::{
    device,
    divergence::{Answers, Divergence, prompts},
    eval::{measured, numbers},
    train::{Reference, Workshop, note},
};

/// Of the base, whose margins are 0 with any.
const BETA: f64 = 0.1;

/// All numbers.
pub(super) struct Matrix {
    /// The base as it was named.
    pub(super) base: String,
    /// Held-out pairs, in the order of each row's cells.
    pub(super) columns: Vec<Measured>,
    /// The base, then the variants.
    pub(super) rows: Vec<Row>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) rows_without_group: usize,
}

/// Held-out pairs that were measured.
pub(super) struct Measured {
    pub(super) column: Column,
    pub(super) n_pairs: usize,
}

/// A model.
pub(super) struct Row {
    /// `base`, or a variant's name.
    pub(super) name: String,
    /// β of its margins.
    pub(super) beta: f64,
    /// What its answers were drawn from.
    seed: u64,
    pub(super) cells: Vec<Cell>,
}

/// A model on some pairs.
pub(super) struct Cell {
    pub(super) metrics: EvalMetrics,
    pub(super) divergence: Divergence,
}

impl Cell {
    /// Share of the pairs whose margin is above 0; none where every margin is exactly 0, as the base's are.
    pub(super) fn accuracy(&self) -> Option<f64> {
        let pairs = self.metrics.pairs?;
        (pairs.rewards_margins != 0.0 || pairs.rewards_accuracies != 0.0).then_some(pairs.rewards_accuracies)
    }

    /// Mean of β times the margin, in nats.
    pub(super) fn margin(&self) -> f64 {
        self.metrics.pairs.map_or(f64::NAN, |pairs| pairs.rewards_margins)
    }
}

/// Held-out pairs with what the base says of them.
struct Ready {
    column: Column,
    set: EvalSet,
    prompts: Vec<Vec<u32>>,
}

/// Measures everything; `None` when somebody wanted to stop.
pub(super) fn measure(plan: &Plan, kl_samples: usize, workshop: &Workshop) -> Result<Option<Matrix>> {
    let config = &plan.variants[0].config;
    let (base, digest) = workshop.load(&workshop.base)?;
    let reference = Reference::of(base.clone(), &digest, device::name(config.run.backend))?;
    let mut ready = Vec::new();
    for column in &plan.columns {
        let trees = column.load(config, workshop)?.trees;
        let what = format!("the held-out pairs of {}", column.name);
        let logps = reference.logps(&what, &trees, &workshop.stop()?)?;
        let prompts = prompts(&trees, kl_samples);
        let set = EvalSet { name: String::new(), trees, reference: Some(logps) };
        ready.push(Ready { column: column.clone(), set, prompts });
    }
    let models = std::iter::once(None).chain(plan.variants.iter().map(Some));
    let mut rows = Vec::new();
    for variant in models {
        let Some(row) = row(variant, &base, &ready, workshop)? else { return Ok(None) };
        rows.push(row);
    }
    let measured = |ready: Ready| Measured { n_pairs: ready.set.trees.len(), column: ready.column };
    Ok(Some(Matrix {
        base: workshop.base.name.clone(),
        columns: ready.into_iter().map(measured).collect(),
        rows,
        left_out: plan.left_out.clone(),
        rows_without_group: plan.rows_without_group,
    }))
}

/// The base or a variant on all pairs, unless somebody wants to stop.
fn row(
    variant: Option<&Variant>,
    base: &Decoder,
    ready: &[Ready],
    workshop: &Workshop,
) -> Result<Option<Row>> {
    let (name, model, beta, seed) = match variant {
        None => ("base".to_owned(), base.clone(), BETA, 0),
        Some(Variant { name, config, .. }) => {
            let folder = config.run.out.join("model");
            let adapter = Adapter::read(&folder).with_context(|| format!("cannot read variant `{name}`"))?;
            let model = base.clone().with_adapter(&adapter)?;
            (name.clone(), model, config.loss.beta().unwrap_or(BETA), config.train.seed)
        }
    };
    note(&format!("measuring  {name}"));
    let mut cells: Vec<Cell> = Vec::new();
    for (idx, Ready { set, prompts, .. }) in ready.iter().enumerate() {
        if workshop.stop()?.is_set() {
            return Ok(None);
        }
        let metrics = measured(&model, set, beta).metrics;
        // Several people may have judged answers to the same prompts.
        let same = ready[..idx].iter().position(|other| other.prompts == *prompts);
        let divergence = match (variant, same) {
            (None, _) => Divergence { kl: 0.0, kl_standard_error: 0.0, kl_samples: prompts.len() },
            (_, Some(same)) => cells[same].divergence,
            (_, None) => {
                let answers = Answers::of(&model, prompts, workshop.base.stop_ids(), seed)?;
                Divergence::of(&answers.logps(&model), &answers.logps(base))
            }
        };
        cells.push(Cell { metrics, divergence });
    }
    Ok(Some(Row { name, beta, seed, cells }))
}

impl Matrix {
    /// Writes `variants.json`, `variants.svg` and `variants.html`.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.json())?;
        write_atomically(&out.join("variants.json"), &json)?;
        let picture = heatmap::svg(self);
        write_atomically(&out.join("variants.svg"), picture.as_bytes())?;
        Ok(write_atomically(&out.join("variants.html"), page::html(self, &picture).as_bytes())?)
    }

    fn json(&self) -> Value {
        let column = |measured: &Measured| json!({ "name": measured.column.name, "group": measured.column.group, "n_pairs": measured.n_pairs });
        let row = |row: &Row| {
            let cells = self.columns.iter().zip(&row.cells).map(|(measured, cell)| cell.json(measured));
            json!({ "variant": row.name, "beta": row.beta, "seed": row.seed, "cells": cells.collect::<Vec<_>>() })
        };
        json!({
            "base": self.base,
            "columns": self.columns.iter().map(column).collect::<Vec<_>>(),
            "left_out": self.left_out,
            "rows_without_group": self.rows_without_group,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

impl Cell {
    fn json(&self, measured: &Measured) -> Value {
        let mut cell = Map::new();
        cell.insert("column".to_owned(), json!(measured.column.name));
        cell.insert("n_pairs".to_owned(), json!(measured.n_pairs));
        cell.extend(numbers(&self.metrics));
        if let Ok(Value::Object(divergence)) = serde_json::to_value(self.divergence) {
            cell.extend(divergence);
        }
        Value::Object(cell)
    }
}
