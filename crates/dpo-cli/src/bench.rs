//! `dpo bench`: what a training step costs, and where the time goes.

use std::{
    io::Write,
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use burn::module::Module;
use clap::Args;
use dpo_data::{Purpose, TokenTree, pack};
use dpo_model::Decoder;
use dpo_train::{
    AdamW, AdamWConfig, DeviceBatch, INFERENCE_TOKENS, MicroBatching, ReferenceLogps, Row, clip_factor,
    gradient_norm, rows_of,
};
use serde_json::{Value, json};

use crate::{
    device,
    eval::sigmoid,
    score::{Input, InputArgs},
    train::{note, peak_memory_bytes},
};

/// Arguments of `dpo bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    input: InputArgs,
    /// Steps that are timed
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Steps before them that are not
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Pairs a step
    #[arg(long, default_value_t = 4)]
    batch_size: usize,
    /// Also write the figures to this file, over what is there
    #[arg(long, value_name = "F.json")]
    out: Option<PathBuf>,
}

/// One timed step.
#[derive(Debug, Clone, Copy, Default)]
struct StepCost {
    n_tokens: usize,
    forward: Duration,
    backward: Duration,
    optimizer: Duration,
    /// The head's part of the forward pass, measured apart.
    head: Duration,
}

impl StepCost {
    fn seconds(&self) -> f64 {
        (self.forward + self.backward + self.optimizer).as_secs_f64()
    }
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    if args.steps == 0 || args.batch_size == 0 {
        bail!("--steps and --batch-size must be at least 1");
    }
    let input = args.input.open(Purpose::Pairs)?;
    let n_rows = (args.steps + args.warmup) * args.batch_size;
    let trees: Vec<TokenTree> = input.trees.iter().cycle().take(n_rows).cloned().collect();
    let start = Instant::now();
    let policy = input.source.load(&input.device)?;
    let load = start.elapsed();
    let start = Instant::now();
    let reference = ReferenceLogps::computed(&trees, INFERENCE_TOKENS, &policy);
    let reference_pass = start.elapsed();
    let costs = steps(args, &input, policy, &trees, &reference)?;
    let figures = figures(args, &costs, n_rows as f64 / reference_pass.as_secs_f64(), load);
    print(&figures)?;
    if let Some(path) = &args.out {
        dpo_train::write_atomically(path, &serde_json::to_vec_pretty(&figures)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn steps(
    args: &BenchArgs,
    input: &Input,
    policy: Decoder,
    trees: &[TokenTree],
    reference: &ReferenceLogps,
) -> Result<Vec<StepCost>> {
    let loss = sigmoid(0.1);
    let rows = rows_of(trees, Some(reference));
    let mut policy = policy.train();
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut costs = Vec::new();
    for (idx, batch) in rows.chunks(args.batch_size).enumerate() {
        let head = head_time(&policy, batch)?;
        let gradient = loss
            .gradient(&policy, batch, MicroBatching::Parts(NonZeroUsize::MIN), None, &|| false)
            .context("nothing stops a benchmark")?;
        let start = Instant::now();
        let norm = gradient_norm(&gradient.gradients);
        policy = optimizer.step(policy, gradient.gradients, 1e-6, clip_factor(norm, 1.0));
        input.device.sync()?;
        let cost = StepCost {
            n_tokens: gradient.scores.n_tokens,
            forward: gradient.times.forward,
            backward: gradient.times.backward,
            optimizer: start.elapsed(),
            head,
        };
        if idx >= args.warmup {
            costs.push(cost);
        }
    }
    Ok(costs)
}

/// Time of the head's forward pass over a batch's completions.
fn head_time(policy: &Decoder, batch: &[Row<'_>]) -> Result<Duration> {
    let trees: Vec<&TokenTree> = batch.iter().map(|row| row.tree).collect();
    let model = policy.valid();
    let batch = DeviceBatch::new(&pack(&trees), &model.device());
    let hidden = model.scored_hidden(&batch.input, &batch.scored);
    model.device().sync()?;
    let start = Instant::now();
    let logps = model.hidden_logps(hidden, &batch.scored);
    let _ = logps.into_data();
    Ok(start.elapsed())
}

fn figures(args: &BenchArgs, costs: &[StepCost], reference_rows: f64, load: Duration) -> Value {
    let median = |value: &dyn Fn(&StepCost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let total: f64 = costs.iter().map(StepCost::seconds).sum();
    let share = |part: &dyn Fn(&StepCost) -> Duration| {
        costs.iter().map(|cost| part(cost).as_secs_f64()).sum::<f64>() / total
    };
    let n_tokens: usize = costs.iter().map(|cost| cost.n_tokens).sum();
    json!({
        "backend": device::name(args.input.backend),
        "threads": rayon::current_num_threads(),
        "model": args.input.model,
        "dtype": args.input.dtype,
        "steps": costs.len(),
        "batch_size": args.batch_size,
        "pairs_per_second": costs.len() as f64 * args.batch_size as f64 / total,
        "median_step_seconds": median(&StepCost::seconds),
        "tokens_per_second": n_tokens as f64 / total,
        "reference_rows_per_second": reference_rows,
        "forward_share": share(&|cost| cost.forward),
        "backward_share": share(&|cost| cost.backward),
        "optimizer_share": share(&|cost| cost.optimizer),
        "head_forward_share": share(&|cost| cost.head),
        "load_seconds": load.as_secs_f64(),
        "peak_memory_bytes": peak_memory_bytes(),
    })
}

fn print(figures: &Value) -> Result<()> {
    let number = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    let mut out = std::io::stdout().lock();
    let rows = [
        ("pairs/s", format!("{:.3}", number("pairs_per_second"))),
        ("tokens/s (real ones)", format!("{:.0}", number("tokens_per_second"))),
        ("step, median", format!("{:.2} s", number("median_step_seconds"))),
        ("reference rows/s", format!("{:.2}", number("reference_rows_per_second"))),
        ("peak memory", format!("{:.2} GiB", number("peak_memory_bytes") / f64::from(1 << 30))),
        ("forward", format!("{:.0} %", 100.0 * number("forward_share"))),
        ("  of which the head", format!("{:.0} %", 100.0 * number("head_forward_share"))),
        ("backward", format!("{:.0} %", 100.0 * number("backward_share"))),
        ("optimizer", format!("{:.0} %", 100.0 * number("optimizer_share"))),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:22} {value}")?;
    }
    note(&format!("{} steps of {} pairs", figures["steps"], figures["batch_size"]));
    Ok(())
}
