//! Votes of several annotators, split by prompt into those that are trained on and those that are held out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dpo_data::{
    Annotators, DataReport, HeldOut, PreferenceExample, Relation, SourceConfig, Text, TokenTree,
    Votes as Shares, read_examples,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::tally::Tally;
use crate::{
    data::{DataReader, RowCache},
    hub::Hub,
    run_file::RunConfig,
    train::{Workshop, note},
};

/// All votes of some files.
pub(super) struct Votes {
    /// In the order in which they voted first.
    pub(super) annotators: Vec<String>,
    /// One each; the votes on a pair follow each other.
    all: Vec<PreferenceExample>,
}

/// How the votes were split.
#[derive(Debug, Serialize)]
pub(super) struct Split {
    seed: u64,
    /// Votes to train on, ties left out.
    votes: usize,
    ties: usize,
    /// Pairs that are measured on.
    held_out_pairs: usize,
    /// Those of them on which two annotators prefer different sides.
    divided_pairs: usize,
}

/// Pairs that are held out, with what everybody says of them.
pub(super) struct HeldOutPairs {
    /// A row each, in the order of the first vote.
    pub(super) trees: Vec<TokenTree>,
    pairs: Vec<Pair>,
}

struct Pair {
    example: PreferenceExample,
    /// Who prefers a side, and whether it is the first.
    verdicts: Vec<(String, Side)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

impl Votes {
    /// Reads the files and says what was found.
    pub(super) fn read(names: &[String]) -> Result<Self> {
        let hub = Hub::from_env(true)?;
        let mut paths: Vec<PathBuf> = Vec::new();
        for name in names {
            paths.extend(hub.dataset(name, "train")?);
        }
        let source = SourceConfig { annotators: Annotators::Each, ..SourceConfig::default() };
        let mut report = DataReport::default();
        let all = read_examples(&paths, &source, &mut report)?;
        report.lines().iter().for_each(|line| note(line));
        let mut annotators: Vec<String> = Vec::new();
        for name in all.iter().filter_map(|vote| vote.group.as_ref()) {
            if !annotators.contains(name) {
                annotators.push(name.clone());
            }
        }
        if annotators.len() < 2 {
            bail!("{}: one annotator has nobody to be held against", names.join(", "));
        }
        Ok(Self { annotators, all })
    }

    /// Writes the votes to train on into `rows`, and gives the pairs with the other prompts.
    pub(super) fn split(&self, share: f64, seed: u64, rows: &Path) -> Result<(Split, HeldOutPairs)> {
        let held_out = HeldOut::new(share, seed);
        let (measured, trained): (Vec<_>, Vec<_>) = self.all.iter().partition(|vote| held_out.takes(vote));
        let (ties, votes): (Vec<_>, Vec<_>) = trained.into_iter().partition(|vote| is_tie(vote));
        if votes.is_empty() || measured.is_empty() {
            bail!("seed {seed}: no vote is left to train on, or to measure on; take another --heldout");
        }
        let lines = votes.iter().fold(String::new(), |lines, vote| lines + &row(vote).to_string() + "\n");
        std::fs::write(rows, lines).with_context(|| format!("cannot write {}", rows.display()))?;
        let pairs: Vec<Pair> = measured.chunk_by(|a, b| a.row == b.row).map(Pair::of).collect();
        let split = Split {
            seed,
            votes: votes.len(),
            ties: ties.len(),
            held_out_pairs: pairs.len(),
            divided_pairs: pairs.iter().filter(|pair| pair.is_divided()).count(),
        };
        Ok((split, HeldOutPairs { trees: Vec::new(), pairs }))
    }
}

fn is_tie(vote: &PreferenceExample) -> bool {
    vote.relation.votes() == Some(Shares::TIE)
}

/// A vote as a line of a file.
fn row(vote: &PreferenceExample) -> Value {
    let text = |text: &Text| match text {
        Text::Plain(text) => json!(text),
        Text::Messages(turns) => json!(turns),
    };
    let [chosen, rejected] = [0, 1].map(|side| text(&vote.completions[side]));
    json!({ "prompt": text(&vote.prompt), "chosen": chosen, "rejected": rejected, "annotator": vote.group })
}

impl Split {
    pub(super) fn line(&self) -> String {
        format!(
            "{} votes to train on ({} ties left out), {} pairs held out, on {} of which annotators prefer different sides",
            self.votes, self.ties, self.held_out_pairs, self.divided_pairs
        )
    }
}

impl Pair {
    /// Of the votes on it, at least one.
    fn of(votes: &[&PreferenceExample]) -> Self {
        let example = PreferenceExample { relation: Relation::Pair, ..votes[0].clone() };
        let side = |vote: &PreferenceExample| match vote.completions[0] == example.completions[0] {
            true => Side::First,
            false => Side::Second,
        };
        let preferring = votes.iter().filter(|vote| !is_tie(vote));
        let verdicts = preferring.map(|vote| (vote.group.clone().unwrap_or_default(), side(vote))).collect();
        Self { example, verdicts }
    }

    fn is_divided(&self) -> bool {
        [Side::First, Side::Second].iter().all(|side| self.verdicts.iter().any(|(_, said)| said == side))
    }
}

impl HeldOutPairs {
    /// The same with their tokens, without those that are too long.
    pub(super) fn encoded(mut self, config: &RunConfig, workshop: &Workshop) -> Result<Self> {
        let rows = RowCache::default();
        let reader = DataReader::new(&workshop.hub, &workshop.base, &config.data, &config.loss, rows);
        let examples: Vec<PreferenceExample> = self.pairs.iter().map(|pair| pair.example.clone()).collect();
        self.trees = reader.prepare(examples, &[], &mut DataReport::default())?;
        let n_before = self.pairs.len();
        self.pairs.retain(|pair| self.trees.iter().any(|tree| tree.row == pair.example.row));
        if self.pairs.len() < n_before {
            note(&format!("{} held-out pairs are too long and left out", n_before - self.pairs.len()));
        }
        Ok(self)
    }

    /// How many votes of each annotator the margins of an arm are right on.
    pub(super) fn tallies(&self, margins: &[f64], arm: &str, seed: u64, annotators: &[String]) -> Vec<Tally> {
        let of = |annotator: &String| {
            let mut tally = Tally::new(arm, annotator, seed);
            for (pair, margin) in self.pairs.iter().zip(margins) {
                for (_, side) in pair.verdicts.iter().filter(|(who, _)| who == annotator) {
                    let is_right = if *side == Side::First { *margin > 0.0 } else { *margin < 0.0 };
                    tally.count(is_right, pair.is_divided());
                }
            }
            tally
        };
        annotators.iter().map(of).collect()
    }
}
