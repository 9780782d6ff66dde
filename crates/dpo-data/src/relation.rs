//! What is known about the completions of one example.

use serde::{Deserialize, Serialize};

/// What is known about the completions of one example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Two completions, the first preferred to the second.
    Pair,
    /// One completion to imitate (supervised fine-tuning).
    Demonstration,
    /// Two completions of which more is known; the first is not the one with fewer votes.
    Judged(Judgement),
    /// Two completions or more, best first.
    Ranking(Ranking),
    /// One completion that is good or bad.
    Label(Label),
}

/// What people said of two completions, beyond which one is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// How they voted; `None` where nobody counted: the first is preferred.
    pub votes: Option<Votes>,
    /// Score of the first less score of the second; `None` where there are no scores.
    pub gap: Option<f64>,
}

/// Shares of the votes on two completions; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Votes {
    /// For the first.
    pub first: f64,
    /// For neither.
    pub tie: f64,
    /// For the second.
    pub second: f64,
}

/// Places and scores of completions that lie best first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// The place of each, from 0, ascending; two with the same place are equally good.
    pub places: Vec<u32>,
    /// The score of each, if there are scores.
    pub scores: Option<Vec<f64>>,
}

/// The verdict on a single completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// More of this.
    Desirable,
    /// Less of this.
    Undesirable,
}

impl Votes {
    /// Everybody prefers the first.
    pub const FIRST: Self = Self { first: 1.0, tie: 0.0, second: 0.0 };
    /// Nobody prefers either.
    pub const TIE: Self = Self { first: 0.0, tie: 1.0, second: 0.0 };

    /// Shares of so many votes; `None` of no votes.
    pub fn of_counts(first: f64, tie: f64, second: f64) -> Option<Self> {
        let all = first + tie + second;
        (all > 0.0).then(|| Self { first: first / all, tie: tie / all, second: second / all })
    }

    /// As many prefer the one as the other.
    pub fn is_even(&self) -> bool {
        self.first == self.second
    }

    /// Whether annotators differ.
    pub fn is_divided(&self) -> bool {
        [self.first, self.tie, self.second].iter().filter(|share| **share > 0.0).count() > 1
    }

    /// The same of the completions in the other order.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { first: self.second, second: self.first, ..self }
    }
}

impl Judgement {
    /// The same of the completions in the other order.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { votes: self.votes.map(Votes::swapped), gap: self.gap.map(|gap| -gap) }
    }
}

impl Ranking {
    /// Best first as they lie, no two equally good.
    pub fn in_order(n: usize) -> Self {
        Self { places: (0..n as u32).collect(), scores: None }
    }

    /// Whether two are equally good.
    pub fn has_ties(&self) -> bool {
        self.places.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl Relation {
    /// How people voted on two completions; a plain preference is one vote. `None` where there are not two.
    pub fn votes(&self) -> Option<Votes> {
        match self {
            Self::Pair => Some(Votes::FIRST),
            Self::Judged(judgement) => Some(judgement.votes.unwrap_or(Votes::FIRST)),
            Self::Ranking(ranking) if ranking.places.len() == 2 => {
                Some(if ranking.has_ties() { Votes::TIE } else { Votes::FIRST })
            }
            Self::Ranking(_) | Self::Demonstration | Self::Label(_) => None,
        }
    }

    /// Score of the first of two completions less that of the second; `None` where there are no two scores.
    pub fn gap(&self) -> Option<f64> {
        match self {
            Self::Judged(judgement) => judgement.gap,
            Self::Ranking(Ranking { scores: Some(scores), .. }) if scores.len() == 2 => {
                Some(scores[0] - scores[1])
            }
            Self::Pair | Self::Ranking(_) | Self::Demonstration | Self::Label(_) => None,
        }
    }

    /// Pairs of completions of which the first is better, as indices; a list has all its pairs.
    pub fn preferences(&self) -> Vec<(usize, usize)> {
        match self {
            Self::Judged(judgement) if judgement.votes.is_some_and(|votes| votes.is_even()) => Vec::new(),
            Self::Pair | Self::Judged(_) => vec![(0, 1)],
            Self::Ranking(Ranking { places, .. }) => {
                let n = places.len();
                let all = (0..n).flat_map(|first| (first + 1..n).map(move |second| (first, second)));
                all.filter(|(first, second)| places[*first] < places[*second]).collect()
            }
            Self::Demonstration | Self::Label(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Two of three for the first, one undecided: ⅔, ⅓, 0.
    #[test]
    fn votes_are_shares() {
        let votes = Votes::of_counts(2.0, 1.0, 0.0).unwrap();
        assert_eq!((votes.first, votes.tie, votes.second), (2.0 / 3.0, 1.0 / 3.0, 0.0));
        assert!(votes.is_divided() && !votes.is_even());
        assert_eq!(votes.swapped().second, 2.0 / 3.0);
        assert_eq!(Votes::of_counts(0.0, 0.0, 0.0), None);
        assert!(Votes::TIE.is_even() && !Votes::TIE.is_divided());
    }

    /// Places 0, 1, 1, 2: of six pairs the middle one is a tie.
    #[test]
    fn a_list_has_all_its_pairs_but_ties() {
        let ranking = Relation::Ranking(Ranking { places: vec![0, 1, 1, 2], scores: None });
        assert_eq!(ranking.preferences(), [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]);
        assert_eq!(Relation::Pair.preferences(), [(0, 1)]);
        let even = Judgement { votes: Votes::of_counts(1.0, 1.0, 1.0), gap: None };
        assert!(Relation::Judged(even).preferences().is_empty());
    }
}
