//! What people of different groups say of the same two completions.

use std::collections::BTreeMap;

use super::keys::{Compared, Key};
use crate::{Agreement, Choice, PreferenceExample, Votes};

/// A prompt and two completions, in the order of their keys.
type Judged = (Option<Key>, Key, Key);

/// The first thing that each group says of each two completions of a prompt, lists left out.
pub(super) fn agreement(examples: &[PreferenceExample], rows: &[Compared]) -> Option<Agreement> {
    let mut said: BTreeMap<Judged, Vec<(&str, Choice)>> = BTreeMap::new();
    for (example, row) in examples.iter().zip(rows) {
        let (Some(group), [first, second]) = (example.group.as_deref(), &row.completions[..]) else {
            continue;
        };
        let Some(choice) = example.relation.votes().as_ref().and_then(choice) else { continue };
        // The same two completions, whichever stands first.
        let (low, high, choice) =
            if first <= second { (first, second, choice) } else { (second, first, turned(choice)) };
        let votes = said.entry((row.prompt, *low, *high)).or_default();
        if votes.iter().all(|(other, _)| *other != group) {
            votes.push((group, choice));
        }
    }
    let mut agreement = Agreement::default();
    said.values().for_each(|votes| agreement.add(votes));
    (agreement.n_pairs() > 0).then_some(agreement)
}

/// What most of a row's votes say; `None` where as many prefer the one as the other, and nobody says that neither is better.
fn choice(votes: &Votes) -> Option<Choice> {
    match votes {
        votes if votes.first > votes.second => Some(Choice::First),
        votes if votes.second > votes.first => Some(Choice::Second),
        votes => (votes.tie > 0.0).then_some(Choice::Tie),
    }
}

fn turned(choice: Choice) -> Choice {
    match choice {
        Choice::First => Choice::Second,
        Choice::Tie => Choice::Tie,
        Choice::Second => Choice::First,
    }
}
