//! What each objective reads of the rows beside log-probs.

use burn::tensor::Tensor;
use dpo_core::{CompletionLogps, Label, ListRatios, LogRatios, Objective, VoteShares};
use dpo_data::{Relation, TokenTree};

use crate::Row;

/// What a row without what the objective reads comes to: no number, and the trainer names the row.
const MISSING: f64 = f64::NAN;

/// Loss of each row, `[n_rows]`; `drift` is that of the whole batch.
pub(super) fn losses(
    objective: &Objective,
    rows: &[Row<'_>],
    policy: CompletionLogps,
    reference: CompletionLogps,
    drift: f64,
) -> Tensor<1> {
    let pairs = |policy: CompletionLogps, reference: CompletionLogps| {
        LogRatios::new(policy.into_pairs(), reference.into_pairs())
    };
    match objective {
        Objective::Ranked(loss) => {
            let lengths = rows.iter().map(|row| row.tree.completions.len()).collect();
            let scores = if loss.reads_scores() { rows.iter().map(scores).collect() } else { Vec::new() };
            loss.loss(&ListRatios::new(policy, reference, lengths, scores))
        }
        Objective::Voted(loss) => loss.loss(&pairs(policy, reference), &pair_votes(rows)),
        Objective::Scored(loss) => loss.loss(&pairs(policy, reference), &pair_gaps(rows)),
        Objective::Unpaired(loss) => {
            let labels: Vec<Label> = rows.iter().map(|row| label(row.tree)).collect();
            loss.loss(policy.sums - reference.sums, &labels, drift)
        }
        Objective::Pairwise(loss) => loss.loss(&pairs(policy, reference)),
        Objective::GroupRobust(loss) => loss.loss(&pairs(policy, reference)),
        Objective::Sft => dpo_core::sft_loss(&policy),
        Objective::Composite(_) => unreachable!("a composite reads tokens, see `composite::of_rows`"),
    }
}

/// How people voted on each pair.
pub(crate) fn pair_votes(rows: &[Row<'_>]) -> Vec<VoteShares> {
    rows.iter().map(|row| votes(row.tree)).collect()
}

/// Score of the first completion of each pair less that of the second.
pub(crate) fn pair_gaps(rows: &[Row<'_>]) -> Vec<f64> {
    rows.iter().map(|row| row.tree.relation.gap().unwrap_or(MISSING)).collect()
}

fn votes(tree: &TokenTree) -> VoteShares {
    match tree.relation.votes() {
        Some(votes) => VoteShares { first: votes.first, tie: votes.tie, second: votes.second },
        None => VoteShares { first: MISSING, tie: MISSING, second: MISSING },
    }
}

fn scores(row: &Row<'_>) -> Vec<f64> {
    match &row.tree.relation {
        Relation::Ranking(ranking) => ranking.scores.clone(),
        _ => None,
    }
    .unwrap_or_else(|| vec![MISSING; row.tree.completions.len()])
}

/// What is imitated is desirable.
pub(crate) fn label(tree: &TokenTree) -> Label {
    match tree.relation {
        Relation::Label(dpo_data::Label::Undesirable) => Label::Undesirable,
        _ => Label::Desirable,
    }
}
