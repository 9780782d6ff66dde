//! Rows brought into the shape that an objective reads, with an account of every one that changes or cannot be used.

use serde::{Deserialize, Serialize};

use crate::relation::{Judgement, Label, Ranking, Relation, Votes};
use crate::{Cause, DataError, DataReport, PreferenceExample};

/// What an objective reads of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Needed {
    /// Whatever the row has.
    #[default]
    Anything,
    /// Which of two completions is better.
    Pairs,
    /// How people voted on two completions; a plain preference is one vote.
    Votes,
    /// How far the scores of two completions lie apart.
    Gaps,
    /// The same, and the better completion has the higher score.
    Winners,
    /// An order of two completions or more, without ties.
    Lists,
    /// The scores of two completions or more.
    ScoredLists,
    /// Whether a single completion is good.
    Labels,
    /// What each row is best measured by: an order of three completions or more, a label, else which of two is better.
    Comparable,
}

/// Which pairs are made of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// The best and the worst.
    BestWorst,
    /// Every two of different rank.
    All,
    /// Each and the next worse.
    Adjacent,
}

/// What a set of rows has, which is what a loss is chosen by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Lists of three completions or more, or of two with a rank each.
    pub lists: u64,
    /// Single completions with a label.
    pub labels: u64,
    /// Pairs on which votes are divided.
    pub divided: u64,
    /// Pairs that are ties.
    pub ties: u64,
    /// Pairs with scores.
    pub gaps: u64,
    /// All pairs.
    pub pairs: u64,
}

impl Found {
    /// Counts the rows.
    pub fn of<'a>(examples: impl IntoIterator<Item = &'a PreferenceExample>) -> Self {
        let mut found = Self::default();
        for example in examples {
            match &example.relation {
                Relation::Pair => found.pairs += 1,
                Relation::Demonstration => {}
                Relation::Ranking(_) => found.lists += 1,
                Relation::Label(_) => found.labels += 1,
                Relation::Judged(judgement) => {
                    found.pairs += 1;
                    found.gaps += u64::from(judgement.gap.is_some());
                    found.divided += u64::from(judgement.votes.is_some_and(|votes| votes.is_divided()));
                    found.ties += u64::from(judgement.votes == Some(Votes::TIE));
                }
            }
        }
        found
    }
}

/// Brings rows into the shape that is needed; lists are first made into pairs if `pairing` says how.
///
/// # Errors
/// Rows of a kind that the objective can make nothing of: the message says what to do. Single rows that lack something are
/// dropped and counted in `report`, unless all of them do.
pub fn shaped(
    examples: Vec<PreferenceExample>,
    needed: Needed,
    pairing: Option<Pairing>,
    report: &mut DataReport,
) -> Result<Vec<PreferenceExample>, DataError> {
    let had_rows = !examples.is_empty();
    let mut examples = examples;
    if let Some(pairing) = pairing {
        examples = examples.into_iter().flat_map(|example| paired(example, pairing, report)).collect();
    }
    let lacks_all = |examples: &[PreferenceExample]| !examples.iter().any(|e| e.relation.gap().is_some());
    if matches!(needed, Needed::Gaps | Needed::Winners) && had_rows && lacks_all(&examples) {
        return Err(refusal(&examples, NO_SCORES));
    }
    let mut shaped = Vec::with_capacity(examples.len());
    for example in examples {
        match fitted(example, needed)? {
            Fitted::Kept(example) => shaped.push(example),
            Fitted::Changed(examples, cause) => {
                examples.first().into_iter().for_each(|example| report.count(cause, example.row));
                report.rows_added += examples.len().saturating_sub(1) as u64;
                shaped.extend(examples);
            }
            Fitted::Dropped(example, cause) => report.count(cause, example.row),
        }
    }
    Ok(shaped)
}

const NO_SCORES: &str =
    "the loss reads scores, and no row has any; give `score_chosen` and `score_rejected`, or a `margin`";
const LABELS: &str =
    "the loss compares completions, and the rows are single ones with a label; choose the loss `kto`";
const LISTS_FOR_PAIRS: &str = "the loss reads pairs, and the rows are ranked lists; choose `plackett_luce`, or make \
                               pairs of them with `--pairs best-worst`, `all` or `adjacent`";
const LISTS_FOR_LABELS: &str = "the loss reads single completions, and the rows are ranked lists; choose \
                                `plackett_luce`, or make pairs of them with `--pairs`";

/// What became of a row.
enum Fitted {
    Kept(PreferenceExample),
    Changed(Vec<PreferenceExample>, Cause),
    Dropped(PreferenceExample, Cause),
}

fn fitted(example: PreferenceExample, needed: Needed) -> Result<Fitted, DataError> {
    let n = example.completions.len();
    Ok(match needed {
        Needed::Anything => Fitted::Kept(example),
        Needed::Comparable => {
            let needed = match example.relation {
                Relation::Label(_) => Needed::Labels,
                _ if n > 2 => Needed::Lists,
                _ => Needed::Pairs,
            };
            fitted(example, needed)?
        }
        _ if matches!(example.relation, Relation::Demonstration) => Fitted::Kept(example),
        Needed::Labels => match example.relation {
            Relation::Label(_) => Fitted::Kept(example),
            Relation::Pair | Relation::Judged(_) if example.relation.preferences().is_empty() => {
                Fitted::Dropped(example, Cause::Tied)
            }
            Relation::Pair | Relation::Judged(_) => Fitted::Changed(unpaired(example), Cause::Unpaired),
            _ => {
                return Err(refusal(&[example], LISTS_FOR_LABELS));
            }
        },
        _ if matches!(example.relation, Relation::Label(_)) => {
            return Err(refusal(&[example], LABELS));
        }
        Needed::Lists if example.relation.preferences().is_empty() => {
            Fitted::Dropped(example, cause_of_ties(n))
        }
        Needed::Lists => without_ties(example),
        Needed::ScoredLists => scored(example)?,
        _ if n > 2 => {
            return Err(refusal(&[example], LISTS_FOR_PAIRS));
        }
        Needed::Pairs if example.relation.preferences().is_empty() => Fitted::Dropped(example, Cause::Tied),
        Needed::Pairs | Needed::Votes => Fitted::Kept(example),
        Needed::Gaps | Needed::Winners => match example.relation.gap() {
            None => Fitted::Dropped(example, Cause::NoGap),
            Some(gap) if needed == Needed::Winners && gap <= 0.0 => Fitted::Dropped(example, Cause::NoWinner),
            Some(_) => Fitted::Kept(example),
        },
    })
}

fn cause_of_ties(n: usize) -> Cause {
    if n == 2 { Cause::Tied } else { Cause::NothingRanked }
}

fn refusal(examples: &[PreferenceExample], what: &str) -> DataError {
    let row = examples.first().map_or_else(String::new, |example| format!("row {}: ", example.row.row));
    DataError::Config { problem: format!("{row}{what}") }
}

/// A list of which no two are equally good: of those that are, the first stays.
fn without_ties(mut example: PreferenceExample) -> Fitted {
    let Relation::Ranking(ranking) = &example.relation else { return Fitted::Kept(example) };
    if !ranking.has_ties() {
        return Fitted::Kept(example);
    }
    let places = &ranking.places;
    let kept: Vec<usize> =
        (0..places.len()).filter(|idx| *idx == 0 || places[idx - 1] != places[*idx]).collect();
    let scores = ranking.scores.as_ref().map(|scores| kept.iter().map(|idx| scores[*idx]).collect());
    let relation = Relation::Ranking(Ranking { scores, ..Ranking::in_order(kept.len()) });
    example.completions = kept.iter().map(|idx| example.completions[*idx].clone()).collect();
    example.relation = relation;
    Fitted::Changed(vec![example], Cause::TiesLeftOut)
}

/// A list with scores; of a pair with a gap, the gap and 0.
fn scored(mut example: PreferenceExample) -> Result<Fitted, DataError> {
    const NEEDS: &str =
        "the loss reads the scores of a list, and the row has none; choose `plackett_luce`, or give `scores`";
    if let Relation::Ranking(ranking) = &example.relation {
        return match &ranking.scores {
            Some(_) if ranking.places.iter().all(|place| *place == 0) => {
                Ok(Fitted::Dropped(example, Cause::NothingRanked))
            }
            Some(_) => Ok(Fitted::Kept(example)),
            None => Err(refusal(&[example], NEEDS)),
        };
    }
    match example.relation.gap() {
        None => Err(refusal(&[example], NEEDS)),
        Some(gap) if gap <= 0.0 => Ok(Fitted::Dropped(example, Cause::NoWinner)),
        Some(gap) => {
            let scores = Some(vec![gap, 0.0]);
            example.relation = Relation::Ranking(Ranking { scores, ..Ranking::in_order(2) });
            Ok(Fitted::Kept(example))
        }
    }
}

/// A desirable and an undesirable completion.
fn unpaired(example: PreferenceExample) -> Vec<PreferenceExample> {
    let labels = [Label::Desirable, Label::Undesirable];
    let one = |(idx, label): (usize, Label)| PreferenceExample {
        completions: vec![example.completions[idx].clone()],
        relation: Relation::Label(label),
        ..example.clone()
    };
    labels.into_iter().enumerate().map(one).collect()
}

/// The pairs of a list; other rows as they are.
fn paired(example: PreferenceExample, pairing: Pairing, report: &mut DataReport) -> Vec<PreferenceExample> {
    let Relation::Ranking(ranking) = &example.relation else { return vec![example] };
    let all = example.relation.preferences();
    let n = ranking.places.len();
    let places = &ranking.places;
    let chosen: Vec<(usize, usize)> = match pairing {
        Pairing::All => all,
        Pairing::BestWorst => all.into_iter().filter(|pair| *pair == (0, n - 1)).collect(),
        Pairing::Adjacent => all.into_iter().filter(|(a, b)| places[*b] - places[*a] == 1).collect(),
    };
    report.count(if chosen.is_empty() { Cause::NothingRanked } else { Cause::MadeIntoPairs }, example.row);
    report.rows_added += chosen.len().saturating_sub(1) as u64;
    let one = |(first, second): (usize, usize)| PreferenceExample {
        completions: vec![example.completions[first].clone(), example.completions[second].clone()],
        relation: match &ranking.scores {
            None => Relation::Pair,
            Some(scores) => {
                Relation::Judged(Judgement { votes: None, gap: Some(scores[first] - scores[second]) })
            }
        },
        ..example.clone()
    };
    chosen.into_iter().map(one).collect()
}
