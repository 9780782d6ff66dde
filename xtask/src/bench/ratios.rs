//! What pairs of runs come to: ours in units of the other's.

use serde_json::{Value, json};

/// A figure that both sides report.
struct Figure {
    /// Its key in the result of a run.
    key: &'static str,
    /// The key of its ratio's median.
    ratio: &'static str,
    /// As it is printed.
    shown: &'static str,
    unit: f64,
}

const FIGURES: [Figure; 5] = [
    Figure { key: "pairs_per_second", ratio: "speed_ratio_median", shown: "pairs/s", unit: 1.0 },
    Figure { key: "peak_memory_bytes", ratio: "memory_ratio", shown: "peak memory, GiB", unit: GIB },
    Figure {
        key: "reference_rows_per_second",
        ratio: "reference_ratio_median",
        shown: "reference rows/s",
        unit: 1.0,
    },
    Figure { key: "cold_start_seconds", ratio: "cold_start_ratio", shown: "cold start, s", unit: 1.0 },
    Figure {
        key: "cold_start_with_reference_seconds",
        ratio: "cold_start_with_reference_ratio",
        shown: "  with the reference, s",
        unit: 1.0,
    },
];
const GIB: f64 = (1 << 30) as f64;

/// The middle of some numbers, and the ends of their middle half.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    quartiles: [f64; 2],
}

/// One run of each side, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) ours: Value,
    pub(super) python: Value,
    /// Of the last minute before them: on a quiet machine, what the run before them left.
    pub(super) load_average: Option<f64>,
}

/// Medians, quartiles and all runs.
pub(super) fn json(pairs: &[Pair]) -> Value {
    let mut result = json!({});
    for figure in &FIGURES {
        let Some(spread) = figure.ratios(pairs) else { continue };
        let quartiles = figure.ratio.trim_end_matches("_median").to_owned() + "_quartiles";
        result[figure.ratio] = json!(spread.median);
        result[quartiles] = json!(spread.quartiles);
    }
    let run =
        |pair: &Pair| json!({ "ours": pair.ours, "python": pair.python, "load_average": pair.load_average });
    result["runs"] = pairs.iter().map(run).collect();
    result
}

/// A line for each figure: medians of both sides, and the ratio.
pub(super) fn table(pairs: &[Pair]) -> String {
    let mut text = format!("{:<24}{:>10}{:>10}{:>10}   quartiles\n", "", "ours", "TRL", "ratio");
    for figure in &FIGURES {
        let side = |side: fn(&Pair) -> &Value| {
            let numbers = pairs.iter().filter_map(|pair| side(pair)[figure.key].as_f64());
            Spread::of(numbers)
                .map_or_else(|| "—".to_owned(), |spread| format!("{:.3}", spread.median / figure.unit))
        };
        let ratio = figure.ratios(pairs).map_or_else(
            || format!("{:>10}", "—"),
            |Spread { median, quartiles: [first, third] }| {
                format!("{median:>10.3}   {first:.3} to {third:.3}")
            },
        );
        text += &format!(
            "{:<24}{:>10}{:>10}{ratio}\n",
            figure.shown,
            side(|pair| &pair.ours),
            side(|pair| &pair.python)
        );
    }
    text
}

impl Figure {
    /// Ours over the other's, of each pair that has both.
    fn ratios(&self, pairs: &[Pair]) -> Option<Spread> {
        let ratio = |pair: &Pair| Some(pair.ours[self.key].as_f64()? / pair.python[self.key].as_f64()?);
        Spread::of(pairs.iter().filter_map(ratio))
    }
}

impl Spread {
    /// `None` of nothing.
    fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (low, high) = (numbers[place.floor() as usize], numbers[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Some(Self { median: at(0.5), quartiles: [at(0.25), at(0.75)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ours: f64, python: f64) -> Pair {
        let run = |speed: f64| json!({ "pairs_per_second": speed, "peak_memory_bytes": 1 << 30 });
        Pair { ours: run(ours), python: run(python), load_average: None }
    }

    /// 2/1, 6/2 and 12/3: the ratio of each pair, not of the medians (6/2) alone; its quartiles lie half way between.
    #[test]
    fn ratios_are_those_of_pairs() {
        let pairs = [pair(12.0, 3.0), pair(2.0, 1.0), pair(6.0, 2.0)];
        let result = json(&pairs);
        assert_eq!(result["speed_ratio_median"], 3.0);
        assert_eq!(result["speed_ratio_quartiles"], json!([2.5, 3.5]));
        assert_eq!(result["memory_ratio"], 1.0);
        assert_eq!(result["runs"][1]["ours"]["pairs_per_second"], 2.0);
    }

    /// What a side does not tell is left out, and shown so.
    #[test]
    fn a_figure_that_is_missing_has_no_ratio() {
        let pairs = [pair(2.0, 1.0)];
        assert!(json(&pairs).get("cold_start_ratio").is_none());
        let table = table(&pairs);
        let line = table.lines().find(|line| line.starts_with("cold start")).unwrap_or_default();
        assert_eq!(line.matches('—').count(), 3, "{table}");
    }
}
