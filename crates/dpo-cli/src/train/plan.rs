//! From what a run file says to what the trainer is told.

use std::num::NonZeroUsize;

use anyhow::Result;
use dpo_data::{BatchOrder, Sampling};
use dpo_train::{AdamWConfig, Decay, LossSpec, MicroBatching, Schedule, StepZeroGate, TrainerConfig};

use crate::{
    device,
    run_file::{
        RunConfig, choices,
        config::{Duration, MicroBatches, TrainConfig, Warmup},
    },
    terminal::WrongUsage,
};

/// What is minimised, for a model whose pad token is `pad`.
pub(crate) fn loss_spec(config: &RunConfig, pad: Option<u32>) -> LossSpec {
    let constant_token = match config.train.pad_gradient {
        choices::PadGradient::Keep => None,
        choices::PadGradient::Drop => pad,
    };
    let (activations, objective) = (config.train.activations, config.loss.clone());
    LossSpec { constant_token, activations, ..LossSpec::new(objective) }
}

/// The trainer's settings for a run over `n_rows` rows.
pub(crate) fn trainer_config(config: &RunConfig, loss: LossSpec, n_rows: usize) -> Result<TrainerConfig> {
    let train = &config.train;
    let batch_size = at_least_one(train.batch_size);
    let sampling = match train.order {
        choices::Order::Sequential => Sampling::Sequential,
        choices::Order::Shuffle => Sampling::Shuffled { seed: train.seed },
    };
    let order = BatchOrder::new(n_rows, batch_size, sampling);
    let total_steps = total_steps(train, &order)?;
    check_reference_moves(config, total_steps)?;
    let adamw = &train.adamw;
    Ok(TrainerConfig {
        loss,
        schedule: schedule(train, total_steps)?,
        adamw: AdamWConfig {
            beta1: adamw.beta1,
            beta2: adamw.beta2,
            epsilon: adamw.epsilon,
            weight_decay: adamw.weight_decay,
        },
        max_grad_norm: train.max_grad_norm,
        order,
        micro: match train.micro_batches {
            MicroBatches::Parts(parts) => MicroBatching::Parts(at_least_one(parts)),
            MicroBatches::Tokens(tokens) => MicroBatching::Tokens(at_least_one(tokens)),
        },
        eval_every: config.eval.every as u64,
        save_every: config.run.save_every as u64,
        keep_checkpoints: NonZeroUsize::new(config.run.keep_checkpoints),
        log_every: config.run.log_every as u64,
        dropout_seed: Some(train.seed),
        gate: match &config.model.reference {
            None if config.loss.needs_reference() => device::gate(config.run.backend),
            _ => StepZeroGate::Open,
        },
        reference_updates: config.reference_updates,
    })
}

/// An interval that no step comes after is a setting without an effect.
fn check_reference_moves(config: &RunConfig, total_steps: u64) -> Result<()> {
    match config.reference_updates {
        Some(updates) if updates.every.get() >= total_steps => {
            let problem = format!(
                "`reference.update_every` is {}, and the run has {total_steps} steps: the reference would never follow the \
                 policy; give a smaller number or remove it",
                updates.every
            );
            Err(WrongUsage(problem).into())
        }
        _ => Ok(()),
    }
}

fn total_steps(train: &TrainConfig, order: &BatchOrder) -> Result<u64> {
    Ok(match train.duration {
        Duration::Steps(steps) => steps as u64,
        Duration::Epochs(epochs) => {
            let steps = (epochs * order.n_batches() as f64).ceil();
            if steps > 1e15 {
                let problem = format!(
                    "`train.epochs` is {epochs:e}: that would be {steps:e} steps; give a smaller number"
                );
                return Err(WrongUsage(problem).into());
            }
            steps as u64
        }
    })
}

fn schedule(train: &TrainConfig, total_steps: u64) -> Result<Schedule> {
    let decay = match train.schedule {
        choices::Schedule::Linear => Decay::Linear,
        choices::Schedule::Cosine => Decay::Cosine,
        choices::Schedule::Constant => Decay::Constant,
    };
    let warmup = match train.warmup {
        Warmup::Steps(steps) => steps as u64,
        Warmup::Ratio(share) => Schedule::warmup_share(share, total_steps)?,
    };
    Ok(Schedule::new(decay, train.learning_rate, warmup, total_steps)?)
}

fn at_least_one(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN)
}
