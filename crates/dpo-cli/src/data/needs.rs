//! What losses read of rows, and what rows have beyond.

use dpo_core::{Objective, PartLoss};
use dpo_data::{Found, Needed};

/// What an objective reads of a row: what each of its losses does. Likelihood alone takes every row, and beside a loss of pairs
/// it is that of the chosen completion.
pub(super) fn needs(objective: &Objective) -> Vec<Needed> {
    if *objective == Objective::Sft {
        return vec![Needed::Anything];
    }
    let of_sft_weight = objective.modifiers().sft_weight.map(|_| Needed::Pairs);
    let mut needs = Vec::new();
    for needed in objective.parts().iter().map(|part| needed(&part.loss)).chain(of_sft_weight) {
        if !needs.contains(&needed) {
            needs.push(needed);
        }
    }
    needs
}

fn needed(loss: &PartLoss) -> Needed {
    match loss {
        PartLoss::Pairwise { .. }
        | PartLoss::TokenLevel(_)
        | PartLoss::Coupled(_)
        | PartLoss::ReferenceFree(_)
        | PartLoss::GroupRobust(_)
        | PartLoss::Sft => Needed::Pairs,
        PartLoss::Voted { .. } => Needed::Votes,
        PartLoss::Scored { loss, .. } if loss.needs_a_winner() => Needed::Winners,
        PartLoss::Scored { .. } => Needed::Gaps,
        PartLoss::Ranked(loss) if loss.reads_scores() => Needed::ScoredLists,
        PartLoss::Ranked(_) => Needed::Lists,
        PartLoss::Unpaired(_) => Needed::Labels,
    }
}

/// What the rows have and nobody reads.
pub(super) fn unread(found: &Found, needs: &[Needed]) -> Option<String> {
    let reads_votes = needs.iter().any(|needed| matches!(needed, Needed::Votes | Needed::Anything));
    let reads_scores = needs.iter().any(|needed| {
        matches!(needed, Needed::Gaps | Needed::Winners | Needed::ScoredLists | Needed::Anything)
    });
    let mut parts = Vec::new();
    if found.divided > 0 && !reads_votes {
        parts.push(format!("divided votes of {} rows, of which the majority is taken", found.divided));
    }
    if found.gaps > 0 && !reads_scores {
        parts.push(format!("scores of {} rows", found.gaps));
    }
    (!parts.is_empty()).then(|| format!("this loss does not read the {}", parts.join(", nor the ")))
}
