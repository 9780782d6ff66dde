//! Which rows make up a step where they come in windows.

use dpo_data::{BatchOrder, EpochOrder};

use super::Trainer;
use crate::{TrainError, Window, Windows};

/// Rows that come in windows, and the one that the run is in.
#[derive(Debug)]
pub(super) struct Streamed {
    source: Box<dyn Windows>,
    /// The order of the window's rows; `None` before the first window.
    order: Option<EpochOrder>,
    /// Steps before this window.
    first_step: u64,
    /// Steps that it takes.
    n_steps: u64,
    n_windows: u64,
    pass: u64,
    /// Whether the reference has said what it says of the window's rows.
    is_asked: bool,
}

impl Streamed {
    pub(super) fn new(source: Box<dyn Windows>) -> Self {
        let (order, is_asked) = (None, false);
        Self { source, order, first_step: 0, n_steps: 0, n_windows: 0, pass: 0, is_asked }
    }

    /// Goes on to the next window, whose rows it gives back.
    fn advance(&mut self, order: BatchOrder) -> Result<Window, TrainError> {
        let window = self.source.next()?;
        let order = order.with_trees(window.trees.len());
        self.first_step += self.n_steps;
        self.n_steps = order.n_batches() as u64;
        self.order = Some(order.epoch(self.n_windows));
        self.n_windows += 1;
        (self.pass, self.is_asked) = (window.pass, false);
        Ok(window)
    }
}

impl Trainer {
    /// Takes its rows from `source` instead of its data.
    #[must_use]
    pub fn with_windows(mut self, source: Box<dyn Windows>) -> Self {
        self.streamed = Some(Streamed::new(source));
        self
    }

    /// Indices of the rows of the next step; its window is in memory then, with what the reference says of it.
    pub(super) fn batch(&mut self) -> Result<Vec<usize>, TrainError> {
        let done = self.progress.step;
        let Some(streamed) = &mut self.streamed else {
            return Ok(self.epoch.batch(&self.config.order, done));
        };
        while done >= streamed.first_step + streamed.n_steps {
            let window = streamed.advance(self.config.order)?;
            self.config.loss.check_weights(&window.trees)?;
            (self.data.trees, self.data.reference) = (window.trees, None);
        }
        // A reference that has moved is asked at every step.
        let moved = self.data.moving.as_ref();
        let total = self.config.schedule.total_steps();
        let has_moved = moved.is_some_and(|moving| moving.updates().made(done, total) > 0);
        if !streamed.is_asked && !has_moved {
            self.data.reference = streamed.source.reference(&self.data.trees)?;
            streamed.is_asked = true;
        }
        let batch =
            streamed.order.as_ref().and_then(|order| order.batch((done - streamed.first_step) as usize));
        Ok(batch.map(<[usize]>::to_vec).unwrap_or_default())
    }

    /// Passes over the data after `step`; of rows that come in windows whole ones, for nobody knows how long one is.
    pub(super) fn passes(&self, step: u64) -> f64 {
        match &self.streamed {
            Some(streamed) => streamed.pass as f64,
            None => step as f64 / self.config.order.n_batches() as f64,
        }
    }
}
