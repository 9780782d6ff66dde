//! How far people agree on which of two completions is better: Krippendorff's α.

use std::collections::HashMap;

use serde::Serialize;

/// What somebody said of two completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Choice {
    /// The first.
    First,
    /// Neither.
    Tie,
    /// The second.
    Second,
}

/// The kinds of [`Choice`].
const N_CHOICES: usize = 3;

/// The votes of several people on the same pairs, counted as they come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Agreement {
    all: Coincidences<N_CHOICES>,
    voters: Vec<Voter>,
    /// Their places, by name.
    by_name: HashMap<String, usize>,
    n_pairs: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
struct Voter {
    name: String,
    n_votes: u64,
    /// What the pairs that they voted on have with their vote and do not have without it.
    share: Coincidences<N_CHOICES>,
    /// Votes of others on the same pairs, and those of them that say the same.
    others: u64,
    same: u64,
}

/// How somebody votes, against the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VoterAgreement {
    /// Their column, or the group of their rows.
    pub name: String,
    /// Pairs that they voted on.
    pub votes: u64,
    /// The share of the others' votes on the same pairs that say the same; `None` without others.
    pub with_others: Option<f64>,
    /// α of all others.
    pub alpha_without: Option<f64>,
}

impl Agreement {
    /// Adds the votes on one pair, each with the name of who cast it; a name counts once.
    pub fn add(&mut self, votes: &[(&str, Choice)]) {
        let mut cast: Vec<(usize, Choice)> = Vec::with_capacity(votes.len());
        for &(name, choice) in votes {
            let voter = self.voter(name);
            if cast.iter().all(|(other, _)| *other != voter) {
                cast.push((voter, choice));
            }
        }
        let mut counts = [0.0; N_CHOICES];
        cast.iter().for_each(|(_, choice)| counts[*choice as usize] += 1.0);
        let whole = Coincidences::of(&counts);
        self.all.add(&whole, 1.0);
        self.n_pairs += u64::from(cast.len() > 1);
        for (voter, choice) in &cast {
            let mut without = counts;
            without[*choice as usize] -= 1.0;
            let voter = &mut self.voters[*voter];
            voter.share.add(&whole, 1.0);
            voter.share.add(&Coincidences::of(&without), -1.0);
            voter.n_votes += 1;
            voter.others += cast.len() as u64 - 1;
            voter.same += without[*choice as usize] as u64;
        }
    }

    fn voter(&mut self, name: &str) -> usize {
        if let Some(idx) = self.by_name.get(name) {
            return *idx;
        }
        let (name, share) = (name.to_owned(), Coincidences::default());
        self.by_name.insert(name.clone(), self.voters.len());
        self.voters.push(Voter { name, n_votes: 0, share, others: 0, same: 0 });
        self.voters.len() - 1
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.all.add(&other.all, 1.0);
        self.n_pairs += other.n_pairs;
        for theirs in &other.voters {
            let voter = self.voter(&theirs.name);
            let ours = &mut self.voters[voter];
            ours.share.add(&theirs.share, 1.0);
            ours.n_votes += theirs.n_votes;
            ours.others += theirs.others;
            ours.same += theirs.same;
        }
    }

    /// Pairs on which two or more voted.
    pub fn n_pairs(&self) -> u64 {
        self.n_pairs
    }

    /// Krippendorff's α for nominal data: 1 where all agree, 0 where they agree as chance does, below 0 where they agree
    /// less. `None` where nobody could have disagreed: without pairs that two voted on, or with one kind of vote.
    ///
    /// Krippendorff, *Content Analysis*, 4th ed. (2018), chapter 12.
    pub fn alpha(&self) -> Option<f64> {
        self.all.alpha()
    }

    /// Everybody who voted, in the order in which they first did.
    pub fn voters(&self) -> Vec<VoterAgreement> {
        let of = |voter: &Voter| {
            let mut without = self.all;
            without.add(&voter.share, -1.0);
            VoterAgreement {
                name: voter.name.clone(),
                votes: voter.n_votes,
                with_others: (voter.others > 0).then(|| voter.same as f64 / voter.others as f64),
                alpha_without: without.alpha(),
            }
        };
        self.voters.iter().map(of).collect()
    }
}

/// How often each two of `N` kinds of votes meet on the same pair; each pair counts as many votes as it has.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Coincidences<const N: usize>([[f64; N]; N]);

impl<const N: usize> Default for Coincidences<N> {
    fn default() -> Self {
        Self([[0.0; N]; N])
    }
}

impl<const N: usize> Coincidences<N> {
    /// Of one pair with so many votes of each kind: `n_c·(n_k − [c = k])/(m − 1)` of `m` votes; of one vote none.
    fn of(counts: &[f64; N]) -> Self {
        let mut met = Self::default();
        let m: f64 = counts.iter().sum();
        if m > 1.0 {
            for (c, row) in met.0.iter_mut().enumerate() {
                for (k, cell) in row.iter_mut().enumerate() {
                    let others = counts[k] - if c == k { 1.0 } else { 0.0 };
                    *cell = counts[c] * others / (m - 1.0);
                }
            }
        }
        met
    }

    fn add(&mut self, other: &Self, times: f64) {
        for (row, others) in self.0.iter_mut().zip(&other.0) {
            row.iter_mut().zip(others).for_each(|(cell, other)| *cell += times * other);
        }
    }

    /// `1 − (n − 1)·Σ_{c≠k} o_ck / Σ_{c≠k} n_c·n_k`.
    fn alpha(&self) -> Option<f64> {
        let sums = self.0.map(|row| row.iter().sum::<f64>());
        let n: f64 = sums.iter().sum();
        let same: f64 = (0..N).map(|c| self.0[c][c]).sum();
        let expected = n * n - sums.iter().map(|sum| sum * sum).sum::<f64>();
        // What was subtracted again leaves rounding behind.
        (n > 1.5 && expected > 1e-6).then(|| 1.0 - (n - 1.0) * (n - same) / expected)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn alpha<const N: usize>(observers: &[&str], first: u8) -> f64 {
        let mut all = Coincidences::<N>::default();
        let values: Vec<Vec<u8>> =
            observers.iter().map(|row| row.bytes().filter(|b| *b != b' ').collect()).collect();
        for unit in 0..values[0].len() {
            let mut counts = [0.0; N];
            values
                .iter()
                .map(|row| row[unit])
                .filter(|b| *b != b'.')
                .for_each(|b| counts[(b - first) as usize] += 1.0);
            all.add(&Coincidences::of(&counts), 1.0);
        }
        all.alpha().unwrap()
    }

    /// The worked examples of Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): binary data of two observers
    /// (section A) come to 0.095, nominal data of four with gaps (section C) to 0.743.
    #[test]
    fn alpha_is_krippendorffs() {
        let binary = alpha::<2>(&["0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"], b'0');
        assert!((binary - 0.095).abs() < 5e-4, "{binary}");
        let nominal = alpha::<5>(
            &[
                "1 2 3 3 2 1 4 1 2 . . .",
                "1 2 3 3 2 2 4 1 2 5 . 3",
                ". 3 3 3 2 3 4 2 2 5 1 .",
                "1 2 3 3 2 4 4 1 2 5 1 .",
            ],
            b'1',
        );
        assert!((nominal - 0.743).abs() < 5e-4, "{nominal}");
    }

    /// a and b say the same ten times, c says the opposite of both: of the pairs of votes a third agrees. Without c all do;
    /// without a, b and c never do: α = 1 − 19·20/200 = −0.9.
    #[test]
    fn who_disagrees_is_told() {
        let mut agreement = Agreement::default();
        for pair in 0..10 {
            let (says, other) =
                if pair % 2 == 0 { (Choice::First, Choice::Second) } else { (Choice::Second, Choice::First) };
            agreement.add(&[("a", says), ("b", says), ("c", other)]);
        }
        agreement.add(&[("a", Choice::Tie)]);
        let voters = agreement.voters();
        let with_others: Vec<_> = voters.iter().map(|voter| voter.with_others).collect();
        assert_eq!(with_others, [Some(0.5), Some(0.5), Some(0.0)]);
        assert!((voters[2].alpha_without.unwrap() - 1.0).abs() < 1e-9);
        assert!((voters[0].alpha_without.unwrap() + 0.9).abs() < 1e-9);
        assert_eq!((agreement.n_pairs(), voters[0].votes), (10, 11));
        // 30 votes, 15 of each kind; of 10 pairs with 2:1, observed disagreement is 2·2/2 = 2 of 3 votes each, 20 of 30.
        assert!((agreement.alpha().unwrap() - (1.0 - 29.0 * 20.0 / 450.0)).abs() < 1e-9);
    }

    #[test]
    fn nobody_disagrees_with_nobody() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.alpha(), None);
        agreement.add(&[("a", Choice::First), ("b", Choice::First)]);
        assert_eq!(agreement.alpha(), None, "one kind of vote");
        let mut merged = Agreement::default();
        agreement.add(&[("a", Choice::Second), ("b", Choice::Second)]);
        merged.merge(&agreement);
        assert_eq!(merged, agreement);
        assert_eq!(merged.alpha(), Some(1.0));
    }
}
