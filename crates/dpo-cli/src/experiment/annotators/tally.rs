//! How many held-out votes of whom each adapter is right on.

use serde::Serialize;

use crate::{experiment::study::Spread, table::aligned};

use super::POOLED;

/// An adapter on somebody's votes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tally {
    arm: String,
    annotator: String,
    seed: u64,
    all: Share,
    /// Of pairs on which two annotators prefer different sides.
    divided: Share,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Share {
    right: u64,
    of: u64,
}

/// Accuracies over seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cell {
    pub(super) arm: String,
    pub(super) annotator: String,
    pub(super) all: Spread,
    /// `None` where a seed has no such vote.
    pub(super) divided: Option<Spread>,
}

/// What an annotator's own adapter is better by on the annotator's votes, over seeds; the mean over annotators.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Gain {
    /// `pooled`, or `others`: the mean of the other annotators' adapters.
    over: &'static str,
    all: Spread,
    divided: Option<Spread>,
}

impl Tally {
    pub(super) fn new(arm: &str, annotator: &str, seed: u64) -> Self {
        let (arm, annotator) = (arm.to_owned(), annotator.to_owned());
        Self { arm, annotator, seed, all: Share::default(), divided: Share::default() }
    }

    /// Counts a vote.
    pub(super) fn count(&mut self, is_right: bool, is_divided: bool) {
        self.all.count(is_right);
        if is_divided {
            self.divided.count(is_right);
        }
    }

    pub(super) fn line(&self) -> String {
        let Self { arm, annotator, seed, all, divided } = self;
        format!(
            "seed {seed}: {arm} is right on {} of {} votes of {annotator}, on {} of {} where annotators differ",
            all.right, all.of, divided.right, divided.of
        )
    }
}

impl Share {
    fn count(&mut self, is_right: bool) {
        self.of += 1;
        self.right += u64::from(is_right);
    }

    fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }
}

/// Which share of a tally.
type Part = fn(&Tally) -> Share;
const ALL: Part = |tally| tally.all;
const DIVIDED: Part = |tally| tally.divided;

/// A cell for each adapter and annotator, in the order of their tallies.
pub(super) fn cells(tallies: &[Tally]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for tally in tallies {
        let is_same = |other: &Tally| other.arm == tally.arm && other.annotator == tally.annotator;
        if cells.iter().any(|cell| cell.arm == tally.arm && cell.annotator == tally.annotator) {
            continue;
        }
        let over_seeds = |part: Part| {
            let values = tallies.iter().filter(|other| is_same(other)).map(|other| part(other).value());
            values.collect::<Option<Vec<f64>>>().map(|values| Spread::of(&values))
        };
        let Some(all) = over_seeds(ALL) else { continue };
        let (arm, annotator) = (tally.arm.clone(), tally.annotator.clone());
        cells.push(Cell { arm, annotator, all, divided: over_seeds(DIVIDED) });
    }
    cells
}

/// Own adapter against the pooled one and against those of the others, on the same votes.
pub(super) fn gains(tallies: &[Tally], annotators: &[String]) -> Vec<Gain> {
    let mut seeds: Vec<u64> = tallies.iter().map(|tally| tally.seed).collect();
    seeds.dedup();
    let value = |arm: &str, annotator: &str, seed: u64, part: Part| {
        let is_it = |tally: &&Tally| tally.arm == arm && tally.annotator == annotator && tally.seed == seed;
        tallies.iter().find(is_it).and_then(|tally| part(tally).value())
    };
    let over_seeds = |over: &dyn Fn(&str) -> Vec<String>, part: Part| {
        let of_seed = |seed: &u64| {
            let of = |annotator: &String| {
                let arms = over(annotator);
                let others: Option<Vec<f64>> =
                    arms.iter().map(|arm| value(arm, annotator, *seed, part)).collect();
                let others = others?;
                Some(
                    value(annotator, annotator, *seed, part)?
                        - others.iter().sum::<f64>() / others.len() as f64,
                )
            };
            let gains: Option<Vec<f64>> = annotators.iter().map(of).collect();
            gains.map(|gains| gains.iter().sum::<f64>() / gains.len() as f64)
        };
        seeds.iter().map(of_seed).collect::<Option<Vec<f64>>>().map(|gains| Spread::of(&gains))
    };
    let pooled = |_: &str| vec![POOLED.to_owned()];
    let others = |own: &str| annotators.iter().filter(|name| *name != own).cloned().collect();
    let gain = |name, over: &dyn Fn(&str) -> Vec<String>| {
        Some(Gain { over: name, all: over_seeds(over, ALL)?, divided: over_seeds(over, DIVIDED) })
    };
    [gain(POOLED, &pooled), gain("others", &others)].into_iter().flatten().collect()
}

/// Two tables, of all votes and of those on which annotators differ, and the gains.
pub(super) fn tables(cells: &[Cell], gains: &[Gain], annotators: &[String]) -> String {
    let part = |title: &str, spread: &dyn Fn(&Cell) -> Option<Spread>| {
        let mut grid = vec![std::iter::once(title.to_owned()).chain(annotators.iter().cloned()).collect()];
        for row in cells.chunks(annotators.len()) {
            let shown = row.iter().map(|cell| shown(spread(cell)));
            grid.push(std::iter::once(row[0].arm.clone()).chain(shown).collect());
        }
        aligned(&grid)
    };
    let mut text = part("all votes of", &|cell| Some(cell.all));
    text += "\n";
    text += &part("where annotators differ", &|cell| cell.divided);
    for Gain { over, all, divided } in gains {
        text += &format!(
            "\nthe own adapter over {over}: {} points, where annotators differ {}",
            shown(Some(*all)),
            shown(*divided)
        );
    }
    text + "\n"
}

fn shown(spread: Option<Spread>) -> String {
    let percent = |Spread { mean, deviation }| format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * deviation);
    spread.map_or_else(|| "—".to_owned(), percent)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tally(arm: &str, annotator: &str, right: u64) -> Tally {
        let all = Share { right, of: 10 };
        Tally { all, divided: Share { right: right / 2, of: 5 }, ..Tally::new(arm, annotator, 1) }
    }

    /// a's adapter is right on 8 of a's votes and b's on 6 of b's, the pooled one on 7 and 7, each other's on 5 and 4: own over
    /// pooled (0.1 − 0.1) / 2 = 0, over the others (0.4 + 0.1) / 2.
    #[test]
    fn the_own_adapter_is_held_against_the_others() {
        let annotators = ["a".to_owned(), "b".to_owned()];
        let tallies = [
            tally("a", "a", 8),
            tally("a", "b", 5),
            tally("b", "a", 4),
            tally("b", "b", 6),
            tally(POOLED, "a", 7),
            tally(POOLED, "b", 7),
        ];
        let gains = gains(&tallies, &annotators);
        assert!(gains[0].over == POOLED && gains[0].all.mean.abs() < 1e-12, "{gains:?}");
        assert!((gains[1].all.mean - 0.25).abs() < 1e-12, "{gains:?}");
        let cells = cells(&tallies);
        assert_eq!(cells.len(), 6);
        assert_eq!(cells[0].all, Spread { mean: 0.8, deviation: 0.0 });
        let text = tables(&cells, &gains, &annotators);
        assert!(text.contains("80.0 ± 0.0") && text.contains("over others: 25.0 ± 0.0 points"), "{text}");
    }
}
