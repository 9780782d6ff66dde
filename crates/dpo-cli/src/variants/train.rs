//! Training the variants: one after another, or a step of each in turn.

use std::rc::Rc;

use anyhow::Result;
use dpo_train::{Ending, TrainError};

use super::plan::{Plan, Variant};
use crate::{
    run_file::choices::VariantOrder,
    train::{Running, Session, Workshop, note},
};

/// Trains what is not trained yet.
pub(super) fn all(plan: &Plan, order: VariantOrder, workshop: &Rc<Workshop>) -> Result<Ending> {
    match order {
        VariantOrder::InTurn => in_turn(plan, workshop),
        VariantOrder::Interleaved => interleaved(plan, workshop),
    }
}

fn in_turn(plan: &Plan, workshop: &Rc<Workshop>) -> Result<Ending> {
    for variant in &plan.variants {
        let Some(session) = unfinished(variant, workshop)? else { continue };
        if session.train()?.ending == Ending::Stopped || workshop.stop()?.is_set() {
            return Ok(Ending::Stopped);
        }
    }
    Ok(Ending::Complete)
}

/// A step of each, as long as there are steps to make. Nothing is shared that a step changes.
fn interleaved(plan: &Plan, workshop: &Rc<Workshop>) -> Result<Ending> {
    let mut running = Vec::new();
    for variant in &plan.variants {
        let Some(session) = unfinished(variant, workshop)? else { continue };
        match session.begin() {
            Ok(run) => running.push(run),
            Err(error) => {
                if matches!(error.downcast_ref(), Some(TrainError::Stopped)) {
                    // Those that have begun see that they are to stop, and save.
                    step_of_each(running)?;
                }
                return Err(error);
            }
        }
    }
    let mut ending = Ending::Complete;
    while !running.is_empty() {
        let (next, ended) = step_of_each(running)?;
        running = next;
        if ended.contains(&Ending::Stopped) {
            ending = Ending::Stopped;
        }
    }
    Ok(if workshop.stop()?.is_set() { Ending::Stopped } else { ending })
}

fn step_of_each(running: Vec<Running>) -> Result<(Vec<Running>, Vec<Ending>)> {
    let (mut next, mut ended) = (Vec::new(), Vec::new());
    for run in running {
        let (run, ending) = run.advance()?;
        match ending {
            None => next.push(run),
            Some(ending) => ended.push(run.finish(ending)?.ending),
        }
    }
    Ok((next, ended))
}

/// The run of a variant, unless it was trained to its end in an earlier sitting.
fn unfinished(variant: &Variant, workshop: &Rc<Workshop>) -> Result<Option<Session>> {
    let session = Session::of_workshop(variant.config.clone(), &variant.name, workshop)?;
    if let Some(dir) = session.complete()? {
        note(&format!("{} is complete", dir.display()));
        return Ok(None);
    }
    Ok(Some(session))
}
