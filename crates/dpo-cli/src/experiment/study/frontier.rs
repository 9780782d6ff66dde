//! True reward against what it cost in KL.

use serde::Serialize;

use super::{Arm, Point};
use crate::table::aligned;

/// What came of one way.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Frontier {
    pub(super) arm: &'static str,
    /// The KL at which the ways are compared: the largest that every run of every way reached.
    pub(super) common_kl: f64,
    /// The best true reward up to there, over seeds.
    pub(super) reward_at_common_kl: Spread,
    /// At the end of the longest runs.
    pub(super) final_reward: Spread,
    pub(super) final_kl: Spread,
    /// By steps: KL and true reward over seeds; the first is the start.
    pub(super) curve: Vec<[Spread; 2]>,
}

/// Mean and standard deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    /// 0 for a single seed.
    pub(crate) deviation: f64,
}

impl Spread {
    /// Of one value or more.
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (n - 1.0).max(1.0)).sqrt() }
    }

    fn shown(self, digits: usize) -> String {
        format!("{:.digits$} ± {:.digits$}", self.mean, self.deviation)
    }
}

/// KL and reward of a run and of the shorter ones with the same seed, from the start on.
fn path(points: &[Point], arm: &str, seed: u64) -> Vec<[f64; 2]> {
    let start = points.iter().filter(|point| point.arm.is_none());
    let own = points.iter().filter(|point| point.arm == Some(arm) && point.seed == seed);
    start.chain(own).map(|point| [point.kl, point.reward]).collect()
}

/// One for each arm that has points; the first point of all is the start.
pub(super) fn frontiers(arms: &[Arm], points: &[Point]) -> Vec<Frontier> {
    let mut seeds: Vec<u64> = points.iter().filter(|p| p.arm.is_some()).map(|p| p.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let paths = |arm: &Arm| seeds.iter().map(|seed| path(points, arm.name, *seed)).collect::<Vec<_>>();
    let reached = arms.iter().flat_map(paths).map(|path| path.iter().map(|[kl, _]| *kl).fold(0.0, f64::max));
    let common_kl = reached.fold(f64::INFINITY, f64::min);
    arms.iter().map(|arm| frontier(arm.name, &paths(arm), common_kl)).collect()
}

fn frontier(arm: &'static str, paths: &[Vec<[f64; 2]>], common_kl: f64) -> Frontier {
    let last = |axis: usize| {
        let values: Vec<f64> = paths.iter().filter_map(|path| path.last()).map(|point| point[axis]).collect();
        Spread::of(&values)
    };
    let at_common: Vec<f64> = paths.iter().map(|path| best_within(path, common_kl)).collect();
    let n_points = paths.iter().map(Vec::len).min().unwrap_or(0);
    let spread =
        |idx: usize, axis: usize| Spread::of(&paths.iter().map(|path| path[idx][axis]).collect::<Vec<_>>());
    Frontier {
        arm,
        common_kl,
        reward_at_common_kl: Spread::of(&at_common),
        final_reward: last(1),
        final_kl: last(0),
        curve: (0..n_points).map(|idx| [spread(idx, 0), spread(idx, 1)]).collect(),
    }
}

/// The best reward that a path has at no more than this KL: of its points, and where it crosses the KL on straight lines between
/// them. More steps need not mean more drift.
fn best_within(path: &[[f64; 2]], kl: f64) -> f64 {
    let points = path.iter().filter(|point| point[0] <= kl).map(|point| point[1]);
    let crossings = path.windows(2).filter_map(|pair| {
        let ([from, start], [to, end]) = (pair[0], pair[1]);
        let crosses = (from - kl) * (to - kl) < 0.0;
        crosses.then(|| start + (end - start) * (kl - from) / (to - from))
    });
    points.chain(crossings).fold(f64::NEG_INFINITY, f64::max)
}

pub(super) fn table(frontiers: &[Frontier]) -> String {
    let kl = frontiers.first().map_or(f64::NAN, |frontier| frontier.common_kl);
    let titles = [
        String::new(),
        format!("true reward at a KL of {kl:.1}"),
        "at the end".to_owned(),
        "KL there".to_owned(),
    ];
    let mut grid = vec![titles.to_vec()];
    for frontier in frontiers {
        grid.push(vec![
            frontier.arm.to_owned(),
            frontier.reward_at_common_kl.shown(2),
            frontier.final_reward.shown(2),
            frontier.final_kl.shown(1),
        ]);
    }
    aligned(&grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(arm: Option<&'static str>, seed: u64, kl: f64, reward: f64) -> Point {
        Point { arm, seed, steps: 0, kl, reward, positive: 0.5, distinct: 1.0 }
    }

    #[test]
    fn the_reward_is_read_between_points() {
        let path = [[0.0, -1.0], [4.0, 1.0], [8.0, 2.0]];
        assert_eq!(best_within(&path, 2.0), 0.0);
        assert_eq!(best_within(&path, 6.0), 1.5);
        assert_eq!(best_within(&path, 8.0), 2.0);
        assert_eq!(best_within(&path, 0.0), -1.0);
    }

    /// Who turns back has the better of both ways; who loses reward keeps what was there before.
    #[test]
    fn the_best_that_was_there_counts() {
        assert_eq!(best_within(&[[0.0, 0.0], [8.0, 1.0], [4.0, 3.0]], 6.0), 3.0);
        assert_eq!(best_within(&[[0.0, 0.0], [2.0, 2.0], [8.0, 1.0]], 5.0), 2.0);
    }

    /// Seeds 1 and 2 reach 4 and 6; they are compared at 4, where they stand at 2 and at 3·4/6 = 2: a mean of 2, no deviation.
    #[test]
    fn ways_are_compared_where_all_have_been() {
        let arms = super::super::Study::Votes.arms();
        let name = arms[0].name;
        let points =
            [point(None, 0, 0.0, 0.0), point(Some(name), 1, 4.0, 2.0), point(Some(name), 2, 6.0, 3.0)];
        let frontier = &frontiers(&arms[..1], &points)[0];
        assert_eq!(frontier.common_kl, 4.0);
        assert_eq!(frontier.reward_at_common_kl, Spread { mean: 2.0, deviation: 0.0 });
        assert_eq!(frontier.final_reward.mean, 2.5);
        assert!((frontier.final_reward.deviation - 0.5_f64.sqrt()).abs() < 1e-15);
    }
}
