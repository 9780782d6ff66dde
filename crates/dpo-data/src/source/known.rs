//! What a row says of its completions, as a relation.

use serde_json::{Map, Value};

use super::Annotators;
use super::assemble::{take, take_optional};
use super::conversation::{Said, WrongType};
use super::grades::{Cast, judgement, label, number};
use super::plan::{Answer, Plan};
use crate::relation::{Judgement, Ranking, Votes};
use crate::{Cause, Relation};

/// What is known of one or two sides; the preferred one is put first. `cast` gets the votes of annotators.
pub(super) fn relation(
    row: &mut Map<String, Value>,
    plan: &Plan,
    sides: &mut [Said],
    notes: &mut Vec<Cause>,
    cast: &mut Vec<Cast>,
    annotators: Annotators,
) -> Result<Relation, WrongType> {
    if let Some(column) = plan.grades.rating.as_deref() {
        let score = number(&take(row, column), column)?;
        return Ok(Relation::Ranking(Ranking { places: vec![0], scores: Some(vec![score]) }));
    }
    if sides.len() == 1 {
        return Ok(match take_optional(row, plan.grades.label.as_deref()) {
            Some(value) => Relation::Label(label(&value, plan.grades.label.as_deref().unwrap_or_default())?),
            None => Relation::Demonstration,
        });
    }
    let is_ordered = matches!(plan.answer, Answer::Pair { .. });
    let Some(mut judgement) = judgement(row, plan, cast)? else { return Ok(Relation::Pair) };
    // Each vote decides for itself which side is the preferred one.
    if annotators == Annotators::Each {
        return Ok(Relation::Judged(judgement));
    }
    if !is_ordered && judgement == (Judgement { votes: None, gap: Some(0.0) }) {
        judgement.votes = Some(Votes::TIE);
    }
    let is_upside_down = match (judgement.votes, judgement.gap) {
        (Some(votes), _) => votes.second > votes.first,
        (None, Some(gap)) => !is_ordered && gap < 0.0,
        (None, None) => false,
    };
    if is_upside_down {
        judgement = judgement.swapped();
        sides.swap(0, 1);
        if is_ordered {
            notes.push(Cause::SidesSwapped);
        }
    }
    if judgement.gap.is_some_and(|gap| gap < 0.0) {
        notes.push(Cause::ScoresDisagree);
    }
    Ok(Relation::Judged(judgement))
}

/// Whether a completion stands before one that has a higher score.
pub(super) fn scores_disagree(ranking: &Ranking) -> bool {
    let Some(scores) = &ranking.scores else { return false };
    let places = &ranking.places;
    (1..scores.len())
        .any(|idx| (0..idx).any(|above| places[above] < places[idx] && scores[above] < scores[idx]))
}

/// Why nothing can be learnt from what is known of so many completions.
pub(super) fn nothing_said(relation: &Relation, n: usize) -> Option<Cause> {
    match relation {
        Relation::Ranking(_) if n < 2 => Some(Cause::NothingRanked),
        _ => None,
    }
}
