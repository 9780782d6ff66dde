//! The reference of a run: opened and checked with everything else, asked before the first step.

use anyhow::{Result, bail};
use burn::module::Module;
use dpo_core::Objective;
use dpo_data::TokenTree;
use dpo_model::Decoder;
use dpo_train::{EvalSet, MovingReference, ReferenceLogps, RunDir, TrainData, Windows, mismatched};

use super::{
    super::{
        progress::StopFlag,
        reference::{Reference, check_reference},
        rows::HeldOutRows,
        stream::{RowStream, StreamedRows},
        workshop::Workshop,
    },
    Session,
};
use crate::{data::LoadedData, device, model_source::ModelSource, run_file::RunConfig};

/// Another model as reference: it must read the rows as the policy does, and have positions for the longest of them. No
/// weight is read.
pub(super) fn opened_reference(
    config: &RunConfig,
    workshop: &Workshop,
    policy: &ModelSource,
    (train, held_out): (&LoadedData, &[HeldOutRows]),
) -> Result<Option<ModelSource>> {
    let Some(name) = &config.model.reference else { return Ok(None) };
    let other = ModelSource::open(name, &workshop.hub, workshop.clock)?.in_precision(policy.precision());
    let rows = train.trees.iter().chain(held_out.iter().flat_map(|set| &set.data.trees));
    check_reference(&other, policy, rows)?;
    let n_words = |model: &ModelSource| model.config().vocab_size;
    if config.loss.reads_distributions() && n_words(&other) != n_words(policy) {
        bail!(
            "the loss `{}` compares distributions over the same words, and the reference {name} has {} where the policy has {}; \
             choose a reference of the same vocabulary, or another loss",
            config.loss.name(),
            n_words(&other),
            n_words(policy)
        );
    }
    Ok(Some(other))
}

/// What the reference says of rows; where it `drifts`, KTO's measure, also of each row's prompt before the completion of another.
pub(in super::super) fn what_it_says(
    reference: &Reference,
    what: &str,
    trees: &[TokenTree],
    drifts: bool,
    stop: &StopFlag,
) -> Result<ReferenceLogps> {
    let logps = reference.logps(what, trees, stop)?;
    if !drifts {
        return Ok(logps);
    }
    let others = mismatched(trees);
    let of_others = reference.logps(&format!("{what}, mismatched"), &others, stop)?;
    Ok(logps.with_mismatched(others, of_others))
}

impl Session {
    /// The reference as it is before the run, where it is to follow `policy`, which is what training starts from.
    pub(super) fn moving_reference(
        &self,
        policy: &Decoder,
        reference: Option<&Reference>,
    ) -> Result<Option<MovingReference>> {
        let Some(updates) = self.config.reference_updates else { return Ok(None) };
        Ok(Some(MovingReference::new(updates, self.reference_model(policy, reference), policy)?))
    }

    /// The reference as it is before the run; `policy` is what training starts from.
    pub(super) fn reference_model(&self, policy: &Decoder, reference: Option<&Reference>) -> Decoder {
        match reference.filter(|_| self.reference.is_some()) {
            Some(other) => other.model().clone(),
            // An adapter that was not trained yet changes nothing.
            None => policy.clone().valid(),
        }
    }

    /// What the reference says of every row before the run, and the reference, where there is one.
    pub(super) fn reference_pass(
        &self,
        policy: &Decoder,
        digest: &str,
        stop: &StopFlag,
    ) -> Result<(TrainData, Option<Reference>)> {
        let eval_trees = || self.held_out.iter().map(|set| (set.name.clone(), set.data.trees.clone()));
        if !self.trainer.loss.objective.needs_reference() {
            let eval_sets = eval_trees().map(|(name, trees)| EvalSet { name, trees, reference: None });
            let (trees, eval_sets) = (self.train.trees.clone(), eval_sets.collect());
            return Ok((
                TrainData { trees, reference: None, moving: None, reference_model: None, eval_sets },
                None,
            ));
        }
        let backend = device::name(self.config.run.backend);
        let drifts = self.drifts();
        let reference = match &self.reference {
            Some(other) => Reference::load(other, &self.workshop.device, backend)?,
            None => Reference::of(policy.clone(), digest, backend)?,
        };
        let n_rows = self.train.trees.len();
        // Which completion stands behind which prompt is settled for all rows of the run.
        let used = match drifts {
            true => self.trainer.rows_used(n_rows),
            false => self.trainer.rows_of_first_reference(n_rows),
        };
        let trees: Vec<TokenTree> = used.iter().map(|&row_idx| self.train.trees[row_idx].clone()).collect();
        let logps_of = |what: &str, trees: &[TokenTree]| what_it_says(&reference, what, trees, drifts, stop);
        let train = match self.config.data.stream {
            None => Some(logps_of("the training rows", &trees)?.placed(n_rows, &used)),
            Some(_) => None,
        };
        let mut eval_sets = Vec::new();
        for (name, trees) in eval_trees() {
            let what = if name.is_empty() { "the held-out rows".to_owned() } else { name.clone() };
            let logps = logps_of(&what, &trees)?;
            eval_sets.push(EvalSet { name, trees, reference: Some(logps) });
        }
        let (moving, reference_model) = (None, None);
        let trees = self.train.trees.clone();
        let data = TrainData { trees, reference: train, moving, reference_model, eval_sets };
        Ok((data, Some(reference)))
    }

    /// Whether the objective asks how far the policy has drifted, KTO's measure.
    fn drifts(&self) -> bool {
        matches!(self.trainer.loss.objective, Objective::Unpaired(_))
    }

    /// The rows of a run that reads them on the way.
    pub(super) fn windows(
        &self,
        dir: &RunDir,
        reference: Option<Reference>,
        stop: &StopFlag,
    ) -> Result<Option<Box<dyn Windows>>> {
        let Some(window) = self.config.data.stream else { return Ok(None) };
        Ok(Some(Box::new(StreamedRows {
            rows: RowStream::open(&self.config, &self.workshop, window)?,
            reference,
            drifts: self.drifts(),
            models: self.reference.clone().map(|reference| (reference, self.source.clone())),
            stop: stop.clone(),
            report: (dir.data_report(), self.data_report()?),
            n_windows: 0,
        })))
    }
}
