//! One row: its values taken out, brought into the form of an example, and checked.

mod asked;

use serde_json::{Map, Value};

use asked::{history, prompt, system, template_kwargs};

use super::candidates::candidates;
use super::conversation::{Said, WrongType, is_silent, message, said, turns};
use super::forest::{RankedReplies, ranked_replies};
use super::grades::Cast;
use super::known::{nothing_said, relation, scores_disagree};
use super::plan::{Answer, Plan};
use super::split::{Asked, Format, Split, split};
use super::{Purpose, SourceConfig, Strings, prefix, transcript};
use crate::relation::Ranking;
use crate::{Cause, Relation, Text};

/// A row that was read.
pub(super) struct Assembled {
    pub(super) format: Format,
    pub(super) relation: Relation,
    /// Its texts, or why it is dropped.
    pub(super) content: Result<Split, Cause>,
    /// What is odd about it.
    pub(super) notes: Vec<Cause>,
    pub(super) weight: f64,
    pub(super) group: Option<String>,
    pub(super) template_kwargs: Map<String, Value>,
    /// What each annotator said of its two sides.
    pub(super) cast: Vec<Cast>,
}

/// Reads the row as `plan` has it: one example, or one for each ranked list of a conversation tree.
pub(super) fn assemble(
    plan: &Plan,
    mut row: Map<String, Value>,
    config: &SourceConfig,
) -> Result<Vec<Assembled>, WrongType> {
    let Answer::Tree(column) = &plan.answer else { return Ok(vec![single(plan, row, config)?]) };
    let weight = weight(&mut row, plan.weight.as_deref())?;
    let group = group(&mut row, plan.group.as_deref())?;
    let lists = ranked_replies(&mut row, column)?;
    let of_list = |list: Result<RankedReplies, Cause>| Assembled {
        format: Format::Messages,
        notes: match &list {
            Ok(list) if list.n_unranked > 0 => vec![Cause::UnrankedLeftOut],
            _ => Vec::new(),
        },
        relation: Relation::Ranking(
            list.as_ref().map_or_else(|_| Ranking::default(), |list| list.ranking.clone()),
        ),
        content: list.and_then(|list| {
            let answer = |text| Text::Messages(vec![message("assistant", text)]);
            let completions = list.replies.into_iter().map(answer).collect();
            check(Split { prompt: Text::Messages(list.prompt), completions }, &mut Vec::new())
        }),
        weight,
        group: group.clone(),
        template_kwargs: Map::new(),
        cast: Vec::new(),
    };
    if lists.is_empty() {
        return Ok(vec![of_list(Err(Cause::NothingRanked))]);
    }
    Ok(lists.into_iter().map(Ok).map(of_list).collect())
}

fn single(plan: &Plan, mut row: Map<String, Value>, config: &SourceConfig) -> Result<Assembled, WrongType> {
    let weight = weight(&mut row, plan.weight.as_deref())?;
    let group = group(&mut row, plan.group.as_deref())?;
    let mut template_kwargs = template_kwargs(&mut row, plan)?;
    let prompt = prompt(&mut row, plan, &mut template_kwargs)?;
    let mut asked = Asked {
        prompt,
        system: system(&mut row, plan.system.as_deref())?,
        history: history(&mut row, plan.history.as_deref())?,
        is_question: plan.prompt_is_asked,
    };
    let (mut notes, mut cast) = (Vec::new(), Vec::new());
    let (sides, relation) = if let Answer::List(column) = &plan.answer {
        let (sides, ranking) = candidates(&mut row, plan, column)?;
        if scores_disagree(&ranking) {
            notes.push(Cause::ScoresDisagree);
        }
        (sides, Relation::Ranking(ranking))
    } else {
        let mut sides = sides(&mut row, plan, config, &mut asked, &mut notes)?;
        let relation = relation(&mut row, plan, &mut sides, &mut notes, &mut cast, config.annotators)?;
        (sides, relation)
    };
    // One of a list whose others are other rows says nothing yet.
    if let Some(cause) = nothing_said(&relation, sides.len()).filter(|_| plan.grades.rating.is_none()) {
        let (format, content) = (Format::Messages, Err(cause));
        return Ok(Assembled { format, relation, content, notes, weight, group, template_kwargs, cast });
    }
    let (format, split) = split(asked, sides, config.strings, &mut notes);
    let content = split.and_then(|split| check(split, &mut notes));
    Ok(Assembled { format, relation, content, notes, weight, group, template_kwargs, cast })
}

/// The completions as the file has them.
fn sides(
    row: &mut Map<String, Value>,
    plan: &Plan,
    config: &SourceConfig,
    asked: &mut Asked,
    notes: &mut Vec<Cause>,
) -> Result<Vec<Said>, WrongType> {
    let (chosen, rejected) = match &plan.answer {
        Answer::Pair { chosen, rejected } => (chosen, rejected),
        Answer::Two { first, second } => {
            let mut reply = |column: &String| said(as_text(take(row, column), notes), column);
            return Ok(vec![reply(first)?, reply(second)?]);
        }
        // These have their own readers.
        Answer::List(_) | Answer::Tree(_) => return Ok(Vec::new()),
        Answer::Completion(column) => return Ok(vec![said(take(row, column), column)?]),
        Answer::Conversation(column) => {
            return match take(row, column) {
                Value::Array(list) => Ok(vec![Said::Turns(turns(list, column)?)]),
                other => Err(WrongType::new(column, &other, "a list of messages")),
            };
        }
        Answer::Text(column) => {
            return match take(row, column) {
                Value::String(text) => Ok(vec![Said::Text(text)]),
                other => Err(WrongType::new(column, &other, "a string")),
            };
        }
    };
    let first = said(take(row, chosen), chosen)?;
    let second = take(row, rejected);
    match (&first, &second) {
        (Said::Text(_), Value::Array(_) | Value::Object(_)) => {
            return Err(WrongType::new(rejected, &second, "a string, as the chosen side is"));
        }
        (Said::Turns(_), Value::String(_)) => {
            return Err(WrongType::new(rejected, &second, "a list of messages, as the chosen side is"));
        }
        _ => {}
    }
    let second = said(second, rejected)?;
    if config.purpose == Purpose::Pairs {
        return Ok(vec![first, second]);
    }
    // Without a prompt column, only both sides together show where the prompt ends.
    Ok(vec![match (first, &second, &asked.prompt) {
        (Said::Text(mut first), Said::Text(second), None) if !transcript::is_transcript(&first) => {
            let completion = first.split_off(prefix::common_text(&first, second));
            asked.prompt = Some(Said::Text(first));
            Said::Text(completion)
        }
        (first, ..) => first,
    }])
}

/// A reply that a converter took for a number or a truth value, as text again.
fn as_text(value: Value, notes: &mut Vec<Cause>) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => {
            if !notes.contains(&Cause::ReadAsText) {
                notes.push(Cause::ReadAsText);
            }
            Value::String(value.to_string())
        }
        other => other,
    }
}

/// Drops what nothing can be learnt from, and notes what is odd.
fn check(split: Split, notes: &mut Vec<Cause>) -> Result<Split, Cause> {
    if split.completions.iter().any(is_blank) {
        return Err(Cause::EmptyCompletion);
    }
    let n = split.completions.len();
    if n > 2 && (1..n).any(|idx| split.completions[..idx].contains(&split.completions[idx])) {
        return Err(Cause::RepeatedCompletion);
    }
    if let [chosen, rejected] = &split.completions[..] {
        if chosen == rejected {
            return Err(Cause::IdenticalSides);
        }
        if differ_in_space_only(chosen, rejected) {
            notes.push(Cause::DifferInSpaceOnly);
        }
        if is_blank(&split.prompt) {
            notes.push(Cause::BlankPrompt);
        }
    }
    let has_nul = |text: &Text| pieces(text).any(|piece| piece.contains('\0'));
    if has_nul(&split.prompt) || split.completions.iter().any(has_nul) {
        notes.push(Cause::NulCharacter);
    }
    Ok(split)
}

/// The strings of a text: itself, or what was said in each turn.
fn pieces(text: &Text) -> Box<dyn Iterator<Item = &str> + '_> {
    match text {
        Text::Plain(text) => Box::new(std::iter::once(text.as_str())),
        Text::Messages(turns) => Box::new(turns.iter().map(|turn| turn.content.as_str())),
    }
}

fn is_blank(text: &Text) -> bool {
    match text {
        Text::Plain(text) => text.trim().is_empty(),
        Text::Messages(turns) => is_silent(turns),
    }
}

fn differ_in_space_only(chosen: &Text, rejected: &Text) -> bool {
    let words = |text| pieces(text).flat_map(str::split_whitespace);
    let extras = |text: &Text| match text {
        Text::Plain(_) => false,
        Text::Messages(turns) => turns.iter().any(|turn| !turn.extra.is_empty()),
    };
    !extras(chosen) && !extras(rejected) && words(chosen).eq(words(rejected))
}

pub(super) fn take(row: &mut Map<String, Value>, column: &str) -> Value {
    row.get_mut(column).map(Value::take).unwrap_or_default()
}

/// The value of an optional column; null is none.
pub(super) fn take_optional(row: &mut Map<String, Value>, column: Option<&str>) -> Option<Value> {
    Some(take(row, column?)).filter(|value| !value.is_null())
}

fn weight(row: &mut Map<String, Value>, column: Option<&str>) -> Result<f64, WrongType> {
    match take_optional(row, column) {
        None => Ok(1.0),
        Some(value) => match value.as_f64() {
            Some(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
            _ => Err(WrongType::new(column.unwrap_or_default(), &value, "a number, 0 or more")),
        },
    }
}

/// A text or a number; numbers that are whole are written alike, 3 and 3.0.
fn group(row: &mut Map<String, Value>, column: Option<&str>) -> Result<Option<String>, WrongType> {
    match take_optional(row, column) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Some(Value::Number(number)) => Ok(Some(match number.as_f64() {
            Some(x) if x.fract() == 0.0 && x.abs() < 2f64.powi(53) => format!("{x:.0}"),
            _ => number.to_string(),
        })),
        Some(other) => Err(WrongType::new(column.unwrap_or_default(), &other, "a string or a number")),
    }
}

impl Asked {
    /// Whether strings become turns.
    pub(super) fn as_turns(&self, strings: Strings) -> bool {
        match strings {
            Strings::Plain => false,
            Strings::Messages => true,
            Strings::Auto => self.is_question || self.system.is_some() || !self.history.is_empty(),
        }
    }
}
