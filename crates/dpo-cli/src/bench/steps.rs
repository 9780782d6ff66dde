//! Steps of a model on rows of a user's.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use burn::module::Module;
use clap::Args;
use dpo_data::{Needed, Purpose, TokenTree};
use dpo_model::{Decoder, Precision};
use dpo_train::{DeviceBatch, INFERENCE_TOKENS, ReferenceLogps, Row, rows_of, write_atomically};
use serde::Serialize;

use super::{
    at_least_one,
    spread::Spread,
    step::{StepCost, loss_of, share, timed_steps, tokens_per_second},
};
use crate::{
    device,
    run_file::{RunConfig, RunFile, choices::Dtype},
    score::InputArgs,
    terminal::print,
    train::{note, peak_memory_bytes, tuning},
};

/// What is timed of a model and its rows.
#[derive(Debug, Args)]
pub(crate) struct StepsArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Steps that are timed
    #[arg(long, default_value = "20", value_parser = at_least_one)]
    steps: NonZeroUsize,
    /// Steps before them that are not
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Pairs a step
    #[arg(long, default_value = "4", value_parser = at_least_one)]
    batch_size: NonZeroUsize,
    /// Width of an adapter to train instead of the weights, as that of `dpo train`
    #[arg(long, value_name = "RANK")]
    lora_rank: Option<u32>,
    /// Also write the figures to this file, over what is there
    #[arg(long, value_name = "F.json")]
    out: Option<PathBuf>,
}

/// What a benchmark comes to; docs/benchmarks.md says what each figure is.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    setting: Setting,
    #[serde(flatten)]
    times: Times,
    /// Part of the step, measured by itself.
    head_forward_share: f64,
    /// Of the process; `None` where the system does not tell.
    peak_memory_bytes: Option<u64>,
    /// What the backend has taken of the device's memory and does not give back; `None` on the processor.
    device_memory_bytes: Option<u64>,
    /// Of all steps, those of the warm-up too.
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
}

/// What was run on what.
#[derive(Debug, Serialize)]
struct Setting {
    backend: &'static str,
    /// Instruction set and processor.
    arithmetic: String,
    /// Whether bf16 is faster than f32 here.
    bf16_unit: bool,
    threads: usize,
    model: String,
    dtype: Dtype,
    lora_rank: Option<u32>,
    steps: NonZeroUsize,
    batch_size: NonZeroUsize,
}

/// What follows from the times.
#[derive(Debug, Serialize)]
struct Times {
    pairs_per_second: f64,
    tokens_per_second: f64,
    step_seconds: Spread,
    step_pairs_per_second: Spread,
    step_tokens_per_second: Spread,
    reference_rows_per_second: f64,
    /// From the start of the program to the first step, without the pass over the reference.
    cold_start_seconds: f64,
    cold_start_with_reference_seconds: f64,
    /// With what is compiled and tuned on the way.
    first_step_seconds: f64,
    forward_share: f64,
    backward_share: f64,
    optimizer_share: f64,
}

/// What came before the first step.
struct Before {
    reference_rows: usize,
    reference_pass: Duration,
    /// From the start of the program, everything counted.
    all: Duration,
}

/// Runs the command.
pub(super) fn run(args: &StepsArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let config = run_config(args)?;
    let input = args.input.open(Purpose::Pairs, Needed::Comparable)?;
    tuning::check(&config.tuning, &input.source)?;
    let n_rows = (args.steps.get() + args.warmup) * args.batch_size.get();
    let trees: Vec<TokenTree> = input.trees.iter().cycle().take(n_rows).cloned().collect();
    let policy = input.source.load(&input.device)?;
    let reference_start = Instant::now();
    let reference = ReferenceLogps::computed(&trees, INFERENCE_TOKENS, &policy);
    let reference_pass = reference_start.elapsed();
    let policy = tuning::prepared(policy, &config)?.train();
    let before = Before { reference_rows: n_rows, reference_pass, all: start.elapsed() };

    let rows = rows_of(&trees, Some(&reference));
    let batches: Vec<&[Row<'_>]> = rows.chunks(args.batch_size.get()).collect();
    let (policy, costs) = timed_steps(policy, &loss_of(&rows), &batches, &input.device)?;
    let peak = peak_memory_bytes();
    let device_memory = input.device.memory_pool_usage().map(|usage| usage.bytes_reserved);
    let of_steps = |value: fn(&StepCost) -> f64| costs.iter().map(value).collect();
    let (losses, gradient_norms) = (of_steps(|cost| cost.loss), of_steps(|cost| cost.gradient_norm));
    let first_step = costs[0].seconds();
    let (batches, costs) = (&batches[args.warmup..], &costs[args.warmup..]);
    let figures = Figures {
        setting: setting(args, input.source.precision()),
        times: Times::new(costs, first_step, args.batch_size, &before),
        head_forward_share: head_share(&policy, batches, costs)?,
        peak_memory_bytes: peak,
        device_memory_bytes: device_memory,
        losses,
        gradient_norms,
    };
    print(&figures.table())?;
    note(&format!("{} steps of {} pairs", args.steps, args.batch_size));
    if let Some(path) = &args.out {
        write_atomically(path, &serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a run with these flags would train.
fn run_config(args: &StepsArgs) -> Result<RunConfig> {
    let mut file = RunFile::default();
    file.model.base = Some(args.input.model.clone());
    file.data.train = Some(args.input.data.clone());
    file.lora.rank = args.lora_rank;
    Ok(file.init()?)
}

/// Batches whose head is measured by itself.
const HEAD_BATCHES: usize = 4;

/// The share that the head's forward pass has of the steps on some batches.
fn head_share(policy: &Decoder, batches: &[&[Row<'_>]], costs: &[StepCost]) -> Result<f64> {
    let model = policy.valid();
    let (mut head, mut total) = (0.0, 0.0);
    for (batch, cost) in batches.iter().zip(costs).take(HEAD_BATCHES) {
        head += head_time(&model, batch)?.as_secs_f64();
        total += cost.seconds();
    }
    Ok(head / total)
}

/// Time of the head's forward pass over a batch's completions.
fn head_time(model: &Decoder, batch: &[Row<'_>]) -> Result<Duration> {
    let trees: Vec<&TokenTree> = batch.iter().map(|row| row.tree).collect();
    let batch = DeviceBatch::of_trees(&trees, model);
    let hidden = model.scored_hidden(&batch.input, &batch.scored);
    model.device().sync()?;
    let start = Instant::now();
    let logps = model.hidden_logps(hidden, &batch.scored);
    let _ = logps.into_data();
    Ok(start.elapsed())
}

fn setting(args: &StepsArgs, precision: Precision) -> Setting {
    Setting {
        backend: device::name(args.input.backend),
        arithmetic: dpo_kernels::arithmetic(precision),
        bf16_unit: dpo_kernels::has_bf16_unit(),
        threads: rayon::current_num_threads(),
        model: args.input.model.clone(),
        dtype: args.input.dtype,
        lora_rank: args.lora_rank,
        steps: args.steps,
        batch_size: args.batch_size,
    }
}

impl Times {
    fn new(costs: &[StepCost], first_step_seconds: f64, batch_size: NonZeroUsize, before: &Before) -> Self {
        let n_pairs = batch_size.get() as f64;
        let total: f64 = costs.iter().map(StepCost::seconds).sum();
        Self {
            pairs_per_second: n_pairs * costs.len() as f64 / total,
            tokens_per_second: tokens_per_second(costs),
            step_seconds: Spread::of(costs.iter().map(StepCost::seconds)),
            step_pairs_per_second: Spread::of(costs.iter().map(|cost| n_pairs / cost.seconds())),
            step_tokens_per_second: Spread::of(
                costs.iter().map(|cost| cost.n_tokens as f64 / cost.seconds()),
            ),
            reference_rows_per_second: before.reference_rows as f64 / before.reference_pass.as_secs_f64(),
            cold_start_seconds: before.all.saturating_sub(before.reference_pass).as_secs_f64(),
            cold_start_with_reference_seconds: before.all.as_secs_f64(),
            first_step_seconds,
            forward_share: share(costs, |cost| cost.forward),
            backward_share: share(costs, |cost| cost.backward),
            optimizer_share: share(costs, |cost| cost.optimizer),
        }
    }
}

impl Figures {
    /// As it is printed.
    fn table(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let (times, peak) = (&self.times, self.peak_memory_bytes);
        let Spread { median, quartiles: [first, third] } = times.step_seconds;
        let rows = [
            ("pairs/s", format!("{:.3}", times.pairs_per_second)),
            ("tokens/s (real ones)", format!("{:.0}", times.tokens_per_second)),
            ("step, median", format!("{median:.2} s ({first:.2} to {third:.2})")),
            ("reference rows/s", format!("{:.2}", times.reference_rows_per_second)),
            ("cold start", format!("{:.2} s", times.cold_start_seconds)),
            ("  with the reference", format!("{:.2} s", times.cold_start_with_reference_seconds)),
            ("first step", format!("{:.2} s", times.first_step_seconds)),
            ("peak memory", peak.map_or_else(|| "unknown".to_owned(), gib)),
            ("  on the device", self.device_memory_bytes.map_or_else(|| "—".to_owned(), gib)),
            ("forward", percent(times.forward_share)),
            ("  of which the head", percent(self.head_forward_share)),
            ("backward", percent(times.backward_share)),
            ("optimizer", percent(times.optimizer_share)),
        ];
        rows.iter().fold(String::new(), |table, (name, value)| table + &format!("{name:22} {value}\n"))
    }
}

/// Bytes in GiB.
pub(super) fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}
