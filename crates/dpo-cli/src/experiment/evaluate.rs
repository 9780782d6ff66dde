//! What a model's reviews are like: how many are positive, how positive, how varied.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::reward::{is_positive, sentiment};

/// The two-sided 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// The estimate.
    pub(crate) value: f64,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// Statistics of sampled reviews.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many reviews.
    pub(crate) n_texts: usize,
    /// The share with a positive true reward.
    pub(crate) positive: Estimate,
    /// The mean true reward.
    pub(crate) reward: Estimate,
    /// The share of reviews that are not a repetition of another one.
    pub(crate) distinct_texts: f64,
    /// Different words over words, in all reviews together.
    pub(crate) distinct_1: f64,
    /// The same for pairs of neighbouring words: it falls when a model says the same thing again and again.
    pub(crate) distinct_2: f64,
    /// Words in a review, on average.
    pub(crate) mean_words: f64,
}

impl Summary {
    /// The statistics of `texts`, each a whole review with its prompt; `None` without any.
    pub(crate) fn of(texts: &[String]) -> Option<Self> {
        if texts.is_empty() {
            return None;
        }
        let rewards: Vec<f64> = texts.iter().map(|text| sentiment(text)).collect();
        let n_positive = texts.iter().filter(|text| is_positive(text)).count();
        let words: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        let n_words: usize = words.iter().map(Vec::len).sum();
        let distinct: HashSet<&String> = texts.iter().collect();
        Some(Self {
            n_texts: texts.len(),
            positive: wilson(n_positive, texts.len()),
            reward: mean(&rewards),
            distinct_texts: distinct.len() as f64 / texts.len() as f64,
            distinct_1: distinct_n(&words, 1),
            distinct_2: distinct_n(&words, 2),
            mean_words: n_words as f64 / texts.len() as f64,
        })
    }
}

/// The share `n_hits / n` with its Wilson interval, <https://doi.org/10.1080/01621459.1927.10502953>; `n` above 0.
pub(crate) fn wilson(n_hits: usize, n: usize) -> Estimate {
    let (share, n) = (n_hits as f64 / n as f64, n as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Estimate { value: share, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// The mean with its normal interval; a single value has no width.
fn mean(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
    let half = Z * (squares / (n - 1.0).max(1.0) / n).sqrt();
    Estimate { value, low: value - half, high: value + half }
}

/// Different runs of `n` words over all runs, <https://arxiv.org/abs/1510.03055>; 0 when no text has `n` words.
fn distinct_n(texts: &[Vec<String>], n: usize) -> f64 {
    let runs = || texts.iter().flat_map(|words| words.windows(n));
    let n_runs = runs().count();
    runs().collect::<HashSet<_>>().len() as f64 / n_runs.max(1) as f64
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Wilson for 81 of 263: 0.2553 to 0.3662, the worked example of Newcombe 1998, table I.
    #[test]
    fn wilson_matches_newcombe() {
        let estimate = wilson(81, 263);
        assert!(
            (estimate.low - 0.2553).abs() < 5e-5 && (estimate.high - 0.3662).abs() < 5e-5,
            "{estimate:?}"
        );
        assert!(wilson(0, 10).low == 0.0 && wilson(10, 10).high <= 1.0);
    }

    /// Four texts, three of them the same: 2 of 4 are distinct, and each line counts its words.
    #[test]
    fn a_collapsed_model_shows() {
        let texts = ["A good film.", "A good film.", "A good film.", "A bad film!"].map(str::to_owned);
        let summary = Summary::of(&texts).unwrap();
        assert_eq!((summary.n_texts, summary.positive.value, summary.distinct_texts), (4, 0.75, 0.5));
        assert!((summary.distinct_1 - 4.0 / 12.0).abs() < 1e-12); // a, good, film, bad
        assert!((summary.distinct_2 - 4.0 / 8.0).abs() < 1e-12); // a good, good film, a bad, bad film
        assert!(
            (summary.reward.value - sentiment("good") / 2.0).abs() < 1e-12
                && (summary.mean_words - 3.0).abs() < 1e-12
        );
        assert_eq!(Summary::of(&[]), None);
        assert!(Summary::of(&[String::new()]).unwrap().distinct_2 == 0.0);
    }
}
