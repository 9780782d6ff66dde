//! A row for each annotator's vote on two completions.

use super::columns::{Columns, Mismatch};
use super::grades::Cast;
use super::plan::{Answer, Plan};
use super::role::Role;
use super::{Annotators, Purpose, SourceConfig};
use crate::agreement::Choice;
use crate::relation::{Judgement, Votes};
use crate::{Cause, DataError, DataReport, PreferenceExample, Relation};

/// Refuses what makes no sense beside a row for each vote.
pub(super) fn check(config: &SourceConfig, columns: &Columns) -> Result<(), DataError> {
    if config.annotators == Annotators::Together {
        return Ok(());
    }
    let problem = |problem: String| Err(DataError::Config { problem });
    if config.purpose == Purpose::Demonstrations {
        return problem(
            "`annotators` is `each`, and demonstrations are read without votes; remove it".to_owned(),
        );
    }
    let of_all = [Role::Group, Role::Votes, Role::Verdict, Role::Tie];
    match of_all.into_iter().find(|role| columns.names(*role)) {
        Some(role) => problem(format!(
            "`annotators` is `each`, so that a row is one annotator's vote, and `columns.{}` names a column beside it; \
             remove one of them",
            role.name()
        )),
        None => Ok(()),
    }
}

/// That a row has no votes to be read one by one.
pub(super) fn no_annotators() -> Mismatch {
    Mismatch {
        need: "no column of an annotator's votes, and `annotators` is `each`".to_owned(),
        hint: "; call them annotator1, annotator2 and so on, name them in `columns.annotators`, or remove `annotators`"
            .to_owned(),
    }
}

/// That a row has votes on something else than two completions.
pub(super) fn not_two() -> Mismatch {
    let need = "no two completions that annotators vote on, and `annotators` is `each`".to_owned();
    Mismatch { need, hint: "; remove `annotators`".to_owned() }
}

/// The rows that the votes on the two sides of `row` become, each with the annotator as its group and the preferred side first.
///
/// The sides of `row` lie as the file has them, and so does the gap between their scores.
pub(super) fn votes(
    row: &PreferenceExample,
    cast: &[Cast],
    plan: &Plan,
    report: &mut DataReport,
) -> Vec<PreferenceExample> {
    if cast.is_empty() {
        report.count(Cause::NoVote, row.row);
        return Vec::new();
    }
    report.count(Cause::MadeIntoVotes, row.row);
    report.rows_added += cast.len() as u64 - 1;
    let gap = match &row.relation {
        Relation::Judged(judgement) => judgement.gap,
        _ => None,
    };
    let mut vote = |&(annotator, choice): &Cast| {
        let mut judgement = Judgement { votes: Some(Votes::FIRST), gap };
        let mut completions = row.completions.clone();
        match choice {
            Choice::First => {}
            Choice::Tie => judgement.votes = Some(Votes::TIE),
            Choice::Second => {
                completions.reverse();
                judgement.gap = gap.map(|gap| -gap);
            }
        }
        let is_ordered = matches!(plan.answer, Answer::Pair { .. });
        let causes = [
            (choice == Choice::Tie, Cause::TieVote),
            (choice == Choice::Second && is_ordered, Cause::SidesSwapped),
            (choice != Choice::Tie && judgement.gap.is_some_and(|gap| gap < 0.0), Cause::ScoresDisagree),
        ];
        causes.iter().filter(|(is, _)| *is).for_each(|(_, cause)| report.count(*cause, row.row));
        PreferenceExample {
            completions,
            relation: Relation::Judged(judgement),
            group: Some(plan.grades.annotators[annotator].clone()),
            ..row.clone()
        }
    };
    cast.iter().map(&mut vote).collect()
}
