//! `dpo train` without a model and data: the experiment, from start to table.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};
use dpo_data::Clock;
use dpo_train::Ending;
use serde_json::json;

use super::{
    bundle::Bundle,
    corpus,
    evaluate::Summary,
    pairs::{Ceiling, Judge, Pair},
    sampling::{Sample, kl, sample},
    table::{self, Comparison},
};
use crate::{
    columns,
    hub::Hub,
    model_source::ModelSource,
    report,
    run_file::{RunConfig, RunFile, TrainArgs},
    terminal::print,
    train::{Finished, Session, cache_root, note},
};

/// Prompts that the reward before and after is measured on, drawn with a seed of their own.
const N_PROMPTS: usize = 400;
const PROMPT_SEED: u64 = 21;
const SAMPLE_SEED: u64 = 22;

/// Runs the experiment.
pub(crate) fn run(args: &TrainArgs) -> Result<ExitCode> {
    let bundle = Bundle::unpack(&cache_root()?)?;
    let config = args.run_config(&beneath(&bundle)?)?;
    note("the controlled-sentiment experiment (DPO paper, section 6.1): no model or data given\n");
    let ceiling = ceiling(&bundle.heldout_pairs())?;
    let session = Session::open(config.clone())?;
    session.introduce();
    if args.dry_run {
        session.preview()?;
        return Ok(ExitCode::SUCCESS);
    }
    let finished = session.train()?;
    if finished.ending == Ending::Complete {
        show(&config, finished, &ceiling)?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(finished.exit_code())
}

/// The experiment's settings; a run file and flags go over them.
fn beneath(bundle: &Bundle) -> Result<RunFile> {
    let text = format!(
        "[model]\nbase = {:?}\n[data]\ntrain = [{:?}]\neval = [{:?}]\nmax_length = 256\n\
         [train]\nlearning_rate = 6e-4\nbatch_size = 32\nepochs = 1.0\n[eval]\neval_every = 50\nsamples = 3\n\
         sample_tokens = 60\n[run]\nout = {:?}\nsave_every = 0\n",
        bundle.model().display().to_string(),
        bundle.train_pairs().display().to_string(),
        bundle.heldout_pairs().display().to_string(),
        free_directory("runs/experiment"),
    );
    Ok(toml::from_str(&text)?)
}

/// `name`, or `name-2` and so on where that is taken.
fn free_directory(name: &str) -> String {
    let candidates = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
    candidates.into_iter().find(|name| !Path::new(name).exists()).unwrap_or_else(|| name.to_owned())
}

fn ceiling(pairs: &Path) -> Result<Ceiling> {
    let text = std::fs::read_to_string(pairs).with_context(|| format!("cannot read {}", pairs.display()))?;
    let pairs = text.lines().map(serde_json::from_str).collect::<Result<Vec<Pair>, _>>()?;
    Judge::default().ceiling(&pairs).context("no held-out pairs")
}

/// Samples reviews before and after, and prints what became of the reward.
fn show(config: &RunConfig, mut finished: Finished, ceiling: &Ceiling) -> Result<()> {
    let source = ModelSource::open(&config.model.base, &Hub::from_env(false)?, Clock::now())?;
    let base = source.load(&finished.policy.device())?;
    let prompts = corpus::prompts(PROMPT_SEED, N_PROMPTS);
    let before = sample(&base, &source, &prompts, SAMPLE_SEED)?;
    let after = sample(&finished.policy, &source, &prompts, SAMPLE_SEED)?;
    let kl = kl(&finished.policy, &base, &after);
    let texts = |samples: &[Sample]| samples.iter().map(Sample::text).collect::<Vec<_>>();
    let summary = |samples: &[Sample]| Summary::of(&texts(samples)).context("no samples");
    let (summary_before, summary_after) = (summary(&before)?, summary(&after)?);
    let accuracy = accuracy(&finished);
    let mut text = String::from("\n");
    text += &format!(
        "held-out preference accuracy   {:.1} % → {:.1} %\n",
        100.0 * accuracy[0],
        100.0 * accuracy[1]
    );
    text += &format!(
        "ceiling of the label noise     {:.1} % (who knows the true reward is right on {:.1} % of these labels)\n",
        100.0 * ceiling.expected,
        100.0 * ceiling.realised
    );
    text += &format!("KL from the start              {kl:.1} nats a review\n\n");
    text += &format!("{}\n", table::before_after(&summary_before, &summary_after));
    let comparison = |(before, after): (&Sample, &Sample)| Comparison {
        prompt: before.prompt.clone(),
        before: before.completion.clone(),
        after: after.completion.clone(),
    };
    let rows: Vec<Comparison> = before.iter().zip(&after).take(3).map(comparison).collect();
    text += &format!("{}\n", table::side_by_side(&rows, columns::width(), columns::style()));

    let percent = |x: f64| format!("{:.0} %", 100.0 * x);
    let card = |name: &str, before: Option<String>, after: String| json!({ "name": name, "before": before, "after": after });
    finished.record.results = vec![
        card(
            "positive reviews",
            Some(percent(summary_before.positive.value)),
            percent(summary_after.positive.value),
        ),
        card("ceiling of accuracy", None, percent(ceiling.expected)),
        card("KL, nats a review", None, format!("{kl:.1}")),
    ];
    finished.record.write(&finished.dir.join("run.json"))?;
    write_samples(&finished.dir, &rows)?;
    let page = report::write_report(&finished.dir)?;
    text += &format!("run directory   {}\n", finished.dir.display());
    text += &format!("report          {}\n", page.display());
    text += "\nYour own model and data:\n  cargo xtask train --model FOLDER|HUB_ID|FILE.gguf --data PAIRS.jsonl --eval-data HELDOUT.jsonl\n";
    print(&text)
}

/// The sampled reviews in place of the greedy ones, for the report.
fn write_samples(dir: &Path, rows: &[Comparison]) -> Result<()> {
    let line = |row: &Comparison| {
        json!({ "prompt": row.prompt, "before": row.before, "after": row.after }).to_string() + "\n"
    };
    let lines: String = rows.iter().map(line).collect();
    Ok(dpo_train::write_atomically(&dir.join("samples.jsonl"), lines.as_bytes())?)
}

/// Held-out accuracy at the start, where policy and reference are one and every margin is 0: chance; and at the end.
fn accuracy(finished: &Finished) -> [f64; 2] {
    let last = finished.evaluations.last().and_then(|evaluation| evaluation.metrics.pairs);
    [0.5, last.map_or(f64::NAN, |pairs| pairs.rewards_accuracies)]
}
