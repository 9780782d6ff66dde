//! What a row says of its completions beyond which one is better: votes, ties, scores, labels.

use serde_json::{Map, Value};

use super::assemble::take_optional;
use super::conversation::WrongType;
use super::plan::Plan;
use super::preset::MarginSign;
use crate::agreement::Choice;
use crate::relation::{Judgement, Label, Votes};

/// The columns that say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GradeColumns {
    /// Shares or counts of votes.
    pub(super) votes: Option<String>,
    /// One vote each.
    pub(super) annotators: Vec<String>,
    /// One verdict.
    pub(super) verdict: Option<String>,
    /// Whether neither is better.
    pub(super) tie: Option<String>,
    /// Score of the first or chosen completion.
    pub(super) score_first: Option<String>,
    /// Score of the second or rejected completion.
    pub(super) score_second: Option<String>,
    /// How far the scores lie apart.
    pub(super) margin: Option<String>,
    /// Whom the margin is above 0 for.
    pub(super) margin_sign: MarginSign,
    /// The rating of a single completion that is one of a list.
    pub(super) rating: Option<String>,
    /// The verdict on a single completion.
    pub(super) label: Option<String>,
    /// The place of each of a list.
    pub(super) ranks: Option<String>,
    /// The score of each of a list.
    pub(super) scores: Option<String>,
}

impl GradeColumns {
    /// Whether one of them says which of two completions is better.
    pub(super) fn decide(&self) -> bool {
        let scores = self.score_first.is_some() && self.score_second.is_some();
        let verdicts = [&self.votes, &self.verdict, &self.margin].iter().any(|column| column.is_some());
        scores || verdicts || !self.annotators.is_empty()
    }
}

/// What one of several annotators said; the number is that of their column among theirs.
pub(super) type Cast = (usize, Choice);

/// What the row says of its two completions; `None` where it says nothing but their order. Votes of annotators are
/// added to `cast` one by one.
pub(super) fn judgement(
    row: &mut Map<String, Value>,
    plan: &Plan,
    cast: &mut Vec<Cast>,
) -> Result<Option<Judgement>, WrongType> {
    let grades = &plan.grades;
    let mut votes = match take_optional(row, grades.votes.as_deref()) {
        Some(value) => Some(counted(&value, grades.votes.as_deref().unwrap_or_default())?),
        None => None,
    };
    let mut ballot = Ballot::default();
    if let Some((column, value)) = grades.verdict.as_ref().zip(take_optional(row, grades.verdict.as_deref()))
    {
        ballot.add(&value, column)?;
    }
    for (annotator, column) in grades.annotators.iter().enumerate() {
        if let Some(value) = take_optional(row, Some(column)) {
            cast.push((annotator, ballot.add(&value, column)?));
        }
    }
    votes = votes.or_else(|| ballot.votes());
    if let Some(value) = take_optional(row, grades.tie.as_deref()) {
        let column = grades.tie.as_deref().unwrap_or_default();
        if truth(&value).ok_or_else(|| WrongType::new(column, &value, "true or false"))? {
            votes = Some(Votes::TIE);
        }
    }
    let gap = gap(row, grades)?;
    Ok((votes.is_some() || gap.is_some()).then_some(Judgement { votes, gap }))
}

fn gap(row: &mut Map<String, Value>, grades: &GradeColumns) -> Result<Option<f64>, WrongType> {
    let mut score = |column: &Option<String>| match take_optional(row, column.as_deref()) {
        None => Ok(None),
        Some(value) => number(&value, column.as_deref().unwrap_or_default()).map(Some),
    };
    let (first, second, margin) =
        (score(&grades.score_first)?, score(&grades.score_second)?, score(&grades.margin)?);
    let margin = match grades.margin_sign {
        MarginSign::First => margin,
        MarginSign::Second => margin.map(|margin| -margin),
    };
    Ok(margin.or(first.zip(second).map(|(first, second)| first - second)))
}

/// A number; Arrow's decimals come as strings.
pub(super) fn number(value: &Value, column: &str) -> Result<f64, WrongType> {
    let parsed = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    parsed.filter(|x| x.is_finite()).ok_or_else(|| WrongType::new(column, value, "a number"))
}

/// The verdict on a single completion.
pub(super) fn label(value: &Value, column: &str) -> Result<Label, WrongType> {
    let label = |is_good| if is_good { Label::Desirable } else { Label::Undesirable };
    truth(value)
        .map(label)
        .ok_or_else(|| WrongType::new(column, value, "true or false (also 1 and 0, or 1 and -1)"))
}

/// True or false, as tables and people write it.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(is) => Some(*is),
        Value::Number(number) => match number.as_f64()? {
            1.0 => Some(true),
            0.0 | -1.0 => Some(false),
            _ => None,
        },
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "1" | "good" | "desirable" | "chosen" => Some(true),
            "false" | "no" | "0" | "-1" | "bad" | "undesirable" | "rejected" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Counts of votes as they are called out.
#[derive(Default)]
struct Ballot {
    first: f64,
    tie: f64,
    second: f64,
}

impl Ballot {
    fn add(&mut self, value: &Value, column: &str) -> Result<Choice, WrongType> {
        const EXPECTED: &str = "a vote: 1 or A for the first, 2 or B for the second, 0 or tie for neither";
        let word = match value {
            Value::String(word) => word.trim().to_lowercase(),
            other => other.to_string(),
        };
        let (for_whom, choice) = match word.as_str() {
            "1" | "1.0" | "a" | "first" | "model_a" | "left" => (&mut self.first, Choice::First),
            "2" | "2.0" | "b" | "second" | "model_b" | "right" => (&mut self.second, Choice::Second),
            "0" | "0.0" | "tie" | "tied" | "equal" | "both" | "neither" | "draw" | "tie (bothbad)" => {
                (&mut self.tie, Choice::Tie)
            }
            _ => return Err(WrongType::new(column, value, EXPECTED)),
        };
        *for_whom += 1.0;
        Ok(choice)
    }

    fn votes(&self) -> Option<Votes> {
        Votes::of_counts(self.first, self.tie, self.second)
    }
}

/// A share for the first, or counts: for the first and the second, with ties between them if there are three.
fn counted(value: &Value, column: &str) -> Result<Votes, WrongType> {
    const EXPECTED: &str =
        "the share from 0 to 1 for the first, or counts: [first, second] or [first, ties, second]";
    let wrong = || WrongType::new(column, value, EXPECTED);
    let votes = match value {
        Value::Array(counts) => {
            let counts: Option<Vec<f64>> =
                counts.iter().map(|count| count.as_f64().filter(|n| n.is_finite() && *n >= 0.0)).collect();
            match counts.as_deref() {
                Some([first, second]) => Votes::of_counts(*first, 0.0, *second),
                Some([first, tie, second]) => Votes::of_counts(*first, *tie, *second),
                _ => None,
            }
        }
        other => number(other, column)
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .and_then(|share| Votes::of_counts(share, 0.0, 1.0 - share)),
    };
    votes.ok_or_else(wrong)
}
