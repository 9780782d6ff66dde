//! What of the model is trained: its weights or an adapter.

use anyhow::Result;
use dpo_model::{Adapter, Decoder};

use crate::{
    model_source::ModelSource,
    run_file::{RunConfig, config::Tuning},
    terminal::WrongUsage,
};

/// Refuses a new adapter on top of another, and targets that mean nothing, before anything is loaded.
pub(crate) fn check(tuning: &Tuning, source: &ModelSource) -> Result<()> {
    let Tuning::NewAdapter(config) = tuning else { return Ok(()) };
    if source.adapter()?.is_some() {
        let problem = "the model is an adapter already: go on with it without `lora.rank`, or merge it first with \
                       `dpo export --merge`";
        return Err(WrongUsage(problem.to_owned()).into());
    }
    config.n_parameters(source.config())?;
    Ok(())
}

/// Numbers that are trained; `None` where all are.
pub(super) fn n_trained(tuning: &Tuning, source: &ModelSource) -> Option<u64> {
    let n_parameters = match tuning {
        Tuning::NewAdapter(config) => config.n_parameters(source.config()).ok(),
        Tuning::Weights | Tuning::Adapter(_) => {
            source.adapter().ok().flatten().map(|adapter| adapter.n_parameters())
        }
    };
    n_parameters.map(|n| n as u64)
}

/// The policy with what is trained; one that was loaded with its adapter has it already.
pub(crate) fn prepared(policy: Decoder, config: &RunConfig) -> Result<Decoder> {
    match &config.tuning {
        Tuning::Weights | Tuning::Adapter(_) => Ok(policy),
        Tuning::NewAdapter(lora) => {
            let adapter = Adapter::new(lora.clone(), policy.config(), config.train.seed)?;
            Ok(policy.with_adapter(&adapter)?)
        }
    }
}
