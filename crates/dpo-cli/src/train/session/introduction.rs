//! What is about to happen, for people.

use anyhow::{Context, Result};

use super::super::{estimate::Estimate, preview::rendered, progress::note, tuning};
use super::Session;
use crate::terminal::print;

impl Session {
    /// What is about to happen, in a few lines.
    pub(crate) fn introduce(&self) {
        note(&format!("model      {}", self.source.name));
        note(&format!("data       {}", self.config.data.train.join(", ")));
        self.train.report.lines().iter().for_each(|line| note(&format!("           {line}")));
        for set in &self.held_out {
            note(&format!("held out   {}", set.origin));
            set.data.report.lines().iter().for_each(|line| note(&format!("           {line}")));
        }
        let stream = self.config.data.stream;
        if let Some(rows) = stream {
            note(&format!(
                "           this is the first of the windows of {rows} rows that are read while training"
            ));
        }
        for (idx, line) in self.check.lines().iter().enumerate() {
            note(&format!("{:11}{line}", if idx == 0 { "check" } else { "" }));
        }
        let n_trained = tuning::n_trained(&self.config.tuning, &self.source);
        let mut estimate = Estimate::new(self.source.config(), &self.train.trees, &self.trainer, n_trained);
        if stream.is_some() && self.config.loss.needs_reference() {
            estimate.keep_reference();
        }
        let unit = if stream.is_some() { "a window" } else { "an epoch" };
        note(&format!("cost       {}", estimate.line(unit)));
        let steps = self.trainer.schedule.total_steps();
        note(&format!("steps      {steps} of {} rows", self.config.train.batch_size));
        if let Some(updates) = self.config.reference_updates {
            let share = updates.mix;
            note(&format!(
                "reference  follows the policy: after every {} steps {share} of it is mixed in (TR-DPO)",
                updates.every
            ));
        }
        let loss = &self.config.loss;
        if loss.couples_batch() {
            let name = loss.name();
            note(&format!(
                "loss       {name} couples the rows of a step; a held-out set is measured as one batch"
            ));
        }
    }

    /// The size of it, in a line.
    pub(crate) fn summary(&self) -> String {
        let n_held_out: usize = self.held_out.iter().map(|set| set.data.trees.len()).sum();
        format!(
            "{} rows to train on, {n_held_out} held out, {} steps of {} rows",
            self.train.trees.len(),
            self.trainer.schedule.total_steps(),
            self.config.train.batch_size
        )
    }

    /// `--dry-run`.
    pub(crate) fn preview(&self) -> Result<()> {
        let tree = self.train.trees.first().context("no row to show")?;
        print(&rendered(&self.source.encoder, tree)?)?;
        note("dry run: nothing was computed and nothing written");
        Ok(())
    }
}
