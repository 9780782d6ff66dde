//! `dpo eval`: a model against its reference on preferences.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use dpo_core::{LossConfig, LossKind, Objective, PairwiseLoss};
use dpo_data::{Clock, Needed, Purpose, Relation, TokenTree};
use dpo_model::Decoder;
use dpo_train::{
    BatchScores, EvalMetrics, EvalSet, Evaluation, INFERENCE_TOKENS, LossSpec, ReferenceLogps, evaluate,
    mismatched,
};
use serde_json::{Map, Value, json};

use crate::{
    model_source::ModelSource,
    score::{InputArgs, not_finite},
    terminal::print,
    train::check_reference,
};

/// Arguments of `dpo eval`.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    input: InputArgs,
    /// The model it is held against: a folder, a hub id or a .gguf file
    #[arg(long)]
    reference: String,
    /// Strength of the pull towards the reference
    #[arg(long, default_value_t = 0.1, value_parser = positive)]
    beta: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("must be above 0".to_owned()) }
}

/// Runs the command.
pub(crate) fn run(args: &EvalArgs) -> Result<ExitCode> {
    let input = args.input.open(Purpose::Pairs, Needed::Comparable)?;
    let reference =
        ModelSource::open(&args.reference, &input.hub, Clock::now())?.in_precision(input.source.precision());
    check_reference(&reference, &input.source, &input.trees)?;
    let loss = LossSpec::new(fitting(&input.trees, args.beta)?);
    let reference = reference.load(&input.device)?;
    let mut logps = ReferenceLogps::computed(&input.trees, INFERENCE_TOKENS, &reference);
    if let Objective::Unpaired(_) = loss.objective {
        let others = mismatched(&input.trees);
        let of_others = ReferenceLogps::computed(&others, INFERENCE_TOKENS, &reference);
        logps = logps.with_mismatched(others, of_others);
    }
    drop(reference);
    let model = input.source.load(&input.device)?;
    let set = EvalSet { name: String::new(), trees: input.trees, reference: Some(logps) };
    let Evaluation { metrics, scores } = evaluate(&model, &set, &loss, 0, INFERENCE_TOKENS);
    let (what, n) = counted(&loss.objective, &scores, set.trees.len());
    if let Some(row_idx) = scores.row_losses.iter().position(|loss| !loss.is_finite()) {
        return Err(not_finite(&input.files, set.trees[row_idx].row, "the model or its reference"));
    }
    if args.json {
        let mut object = Map::new();
        object.insert(format!("n_{what}"), json!(n));
        object.extend(numbers(&metrics));
        print(&format!("{}\n", Value::Object(object)))?;
    } else {
        let mut text = format!("{what:26} {n}\n");
        metrics.named().iter().for_each(|(name, number)| text += &format!("{name:26} {number:.6}\n"));
        print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What rows are measured by: DPO's own loss of pairs, Plackett–Luce of lists, KTO of labels.
fn fitting(trees: &[TokenTree], beta: f64) -> Result<Objective> {
    let n_labels = trees.iter().filter(|tree| matches!(tree.relation, Relation::Label(_))).count();
    let kind = match n_labels {
        0 if trees.iter().all(|tree| tree.completions.len() == 2) => LossKind::Sigmoid,
        0 => LossKind::PlackettLuce,
        n if n == trees.len() => LossKind::Kto,
        n => bail!(
            "{n} of {} rows are single completions with a label; measure them apart from the others",
            trees.len()
        ),
    };
    Ok(LossConfig { kind, beta: Some(beta), ..LossConfig::default() }.init()?)
}

/// How many of what were measured: pairs, those of lists too, or completions.
fn counted(objective: &Objective, scores: &BatchScores, n_rows: usize) -> (&'static str, usize) {
    match objective {
        Objective::Unpaired(_) => ("completions", n_rows),
        _ => ("pairs", scores.pairs.len()),
    }
}

/// A model on pairs: the numbers of the sigmoid loss at strength `beta`, whatever the model was trained with.
pub(crate) fn measured(model: &Decoder, set: &EvalSet, beta: f64) -> Evaluation {
    evaluate(model, set, &sigmoid(beta), 0, INFERENCE_TOKENS)
}

/// DPO's own loss at strength `beta`.
pub(crate) fn sigmoid(beta: f64) -> LossSpec {
    let objective = Objective::Pairwise(PairwiseLoss::Sigmoid { beta, label_smoothing: 0.0 });
    LossSpec::new(objective)
}

/// The numbers by the names that they have in JSON.
pub(crate) fn numbers(metrics: &EvalMetrics) -> Map<String, Value> {
    metrics.named().into_iter().map(|(name, number)| (name, json!(number))).collect()
}
