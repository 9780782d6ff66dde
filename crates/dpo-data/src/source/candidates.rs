//! A row with a list of completions, in their order or with a rank or a score each.

use serde_json::{Map, Value};

use super::assemble::{take, take_optional};
use super::conversation::{Said, WrongType, said};
use super::grades::number;
use super::plan::Plan;
use crate::relation::Ranking;

/// Keys of a completion's text where it is an object with more about it.
const TEXTS: [&str; 6] = ["answer", "response", "completion", "output", "text", "generation"];
/// Keys of its rank there, 0 or 1 for the best.
const RANKS: [&str; 2] = ["rank", "ranking"];
/// Keys of its score there, the highest for the best.
const SCORES: [&str; 5] = ["score", "overall_score", "fine-grained_score", "rating", "reward"];

/// A completion with what is known of it.
struct Candidate {
    said: Said,
    rank: Option<f64>,
    score: Option<f64>,
}

/// The completions best first, and their places.
pub(super) fn candidates(
    row: &mut Map<String, Value>,
    plan: &Plan,
    column: &str,
) -> Result<(Vec<Said>, Ranking), WrongType> {
    let mut candidates = match take(row, column) {
        Value::Array(list) => {
            let read = |(idx, value)| candidate(value, &format!("{column}[{idx}]"));
            list.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?
        }
        other => return Err(WrongType::new(column, &other, "a list of completions")),
    };
    let n = candidates.len();
    if let Some(ranks) = numbers(row, plan.grades.ranks.as_deref(), n)? {
        candidates.iter_mut().zip(ranks).for_each(|(candidate, rank)| candidate.rank = Some(rank));
    }
    if let Some(scores) = numbers(row, plan.grades.scores.as_deref(), n)? {
        candidates.iter_mut().zip(scores).for_each(|(candidate, score)| candidate.score = Some(score));
    }
    Ok(ranked(candidates))
}

/// One number a completion.
fn numbers(
    row: &mut Map<String, Value>,
    column: Option<&str>,
    n: usize,
) -> Result<Option<Vec<f64>>, WrongType> {
    const EXPECTED: &str = "a list with one number for each completion";
    let Some(value) = take_optional(row, column) else { return Ok(None) };
    let name = column.unwrap_or_default();
    match &value {
        Value::Array(list) if list.len() == n => list
            .iter()
            .enumerate()
            .map(|(idx, value)| number(value, &format!("{name}[{idx}]")))
            .collect::<Result<_, _>>()
            .map(Some),
        other => Err(WrongType::new(name, other, EXPECTED)),
    }
}

fn candidate(value: Value, column: &str) -> Result<Candidate, WrongType> {
    let mut object = match value {
        Value::Object(object) if !object.contains_key("role") && !object.contains_key("from") => object,
        other => return Ok(Candidate { said: said(other, column)?, rank: None, score: None }),
    };
    let mut of = |keys: &[&str]| {
        let key = keys.iter().find(|key| object.get(**key).is_some_and(|value| !value.is_null()))?;
        Some((format!("{column}.{key}"), object.remove(*key)?))
    };
    let Some((text_column, text)) = of(&TEXTS) else {
        return Err(WrongType::new(
            column,
            &Value::Object(object),
            "a string, a message, or an object with its text under `answer` or `response`",
        ));
    };
    let mut graded = |keys: &[&str]| of(keys).map(|(column, value)| number(&value, &column)).transpose();
    let (rank, score) = (graded(&RANKS)?, graded(&SCORES)?);
    Ok(Candidate { said: said(text, &text_column)?, rank, score })
}

/// By rank where all have one, else by score where all have one, else as they lie.
fn ranked(candidates: Vec<Candidate>) -> (Vec<Said>, Ranking) {
    let ranks: Option<Vec<f64>> = candidates.iter().map(|candidate| candidate.rank).collect();
    let scores: Option<Vec<f64>> = candidates.iter().map(|candidate| candidate.score).collect();
    let keys = ranks.or_else(|| Some(scores.as_ref()?.iter().map(|score| -score).collect()));
    let keys = keys.unwrap_or_else(|| (0..candidates.len()).map(|idx| idx as f64).collect());
    let (order, places) = in_order(&keys);
    let scores = scores.map(|scores| order.iter().map(|idx| scores[*idx]).collect());
    let mut said: Vec<Option<Said>> = candidates.into_iter().map(|candidate| Some(candidate.said)).collect();
    let said = order.iter().filter_map(|idx| said[*idx].take()).collect();
    (said, Ranking { places, scores })
}

/// Indices by ascending key, and the place of each; equal keys have the same.
pub(super) fn in_order(keys: &[f64]) -> (Vec<usize>, Vec<u32>) {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| keys[*a].total_cmp(&keys[*b]));
    let mut places: Vec<u32> = Vec::with_capacity(order.len());
    for (at, idx) in order.iter().enumerate() {
        let is_tied = at > 0 && keys[order[at - 1]] == keys[*idx];
        places.push(places.last().map_or(0, |last| if is_tied { *last } else { last + 1 }));
    }
    (order, places)
}
