//! How much length alone says about which side was chosen.

use serde::Serialize;

use std::collections::BTreeMap;

use super::keys::{Compared, Key, pieces};
use super::{PreferenceExample, verdict};
use crate::{Label, Relation, Text};

/// What lengths are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Unicode scalar values.
    Characters,
    /// Tokens of a model.
    Tokens,
}

/// How well "the longer one is the chosen one" tells the two sides of a pair apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LengthBias {
    /// The probability that the rule is right, equal lengths counting half. Of two alternatives that is the area under
    /// the ROC curve (Green and Swets, 1966); 0.5 says that length says nothing.
    pub auc: f64,
    /// Its 95 % confidence interval (Wilson, 1927).
    pub ci: [f64; 2],
    /// What lengths are counted in.
    pub unit: Unit,
    /// Pairs.
    pub n_pairs: u64,
    /// Those whose chosen side is the longer one.
    pub longer_chosen: u64,
    /// Those whose chosen side is the shorter one.
    pub shorter_chosen: u64,
    /// Mean of the chosen side's length less the rejected one's.
    pub mean_difference: f64,
    /// The mean margin that a reward of nothing but length earns: `k·(len(y_w) − len(y_l))` with the `k` that minimises the
    /// loss below.
    pub margin: f64,
    /// The loss `−ln σ(margin)` that it comes down to; ln 2 = 0.693 for a reward that knows nothing.
    pub loss: f64,
    /// Chosen length less rejected length of each pair.
    #[serde(skip)]
    pub differences: Vec<f64>,
}

impl LengthBias {
    /// Of the lengths of chosen and rejected side of each pair; `None` without pairs.
    pub fn of(lengths: &[[usize; 2]], unit: Unit) -> Option<Self> {
        if lengths.is_empty() {
            return None;
        }
        let differences: Vec<f64> =
            lengths.iter().map(|[chosen, rejected]| *chosen as f64 - *rejected as f64).collect();
        let n = differences.len() as f64;
        let longer_chosen = differences.iter().filter(|difference| **difference > 0.0).count();
        let shorter_chosen = differences.iter().filter(|difference| **difference < 0.0).count();
        let n_equal = differences.len() - longer_chosen - shorter_chosen;
        let auc = (longer_chosen as f64 + n_equal as f64 / 2.0) / n;
        let slope = best_slope(&differences);
        let mean = |value: &dyn Fn(f64) -> f64| {
            differences.iter().map(|difference| value(*difference)).sum::<f64>() / n
        };
        Some(Self {
            auc,
            ci: wilson(auc, n),
            unit,
            n_pairs: differences.len() as u64,
            longer_chosen: longer_chosen as u64,
            shorter_chosen: shorter_chosen as u64,
            mean_difference: mean(&|difference| difference),
            margin: mean(&|difference| slope * difference),
            loss: mean(&|difference| softplus(-slope * difference)),
            differences,
        })
    }

    /// Whether the interval leaves out 0.5: length says something.
    pub fn is_biased(&self) -> bool {
        self.ci[0] > 0.5 || self.ci[1] < 0.5
    }
}

/// The bias of all pairs among `examples`, in characters: of a list its best and its worst completion, of labels the good and
/// the bad completions of the same prompt in the order of the rows.
pub(super) fn bias_of_examples(examples: &[PreferenceExample], rows: &[Compared]) -> Option<LengthBias> {
    let length = |text: &Text| pieces(text).iter().map(|piece| piece.chars().count()).sum::<usize>();
    let lengths = examples.iter().filter_map(|example| {
        let (chosen, rejected) = verdict(&example.relation, example.completions.len())?;
        Some([chosen, rejected].map(|side| length(&example.completions[side])))
    });
    let labelled = examples.iter().zip(rows).filter_map(|(example, row)| match &example.relation {
        Relation::Label(label) => Some((row.prompt, *label, length(example.completions.first()?))),
        _ => None,
    });
    let lengths: Vec<[usize; 2]> = lengths.chain(good_and_bad(labelled)).collect();
    LengthBias::of(&lengths, Unit::Characters)
}

/// Lengths of good and bad completions that share a prompt, the first good one with the first bad one and so on.
pub(super) fn good_and_bad(labelled: impl Iterator<Item = (Option<Key>, Label, usize)>) -> Vec<[usize; 2]> {
    let mut by_prompt: BTreeMap<Option<Key>, [Vec<usize>; 2]> = BTreeMap::new();
    for (prompt, label, length) in labelled {
        let [good, bad] = by_prompt.entry(prompt).or_default();
        match label {
            Label::Desirable => good.push(length),
            Label::Undesirable => bad.push(length),
        }
    }
    let of = |[good, bad]: [Vec<usize>; 2]| good.into_iter().zip(bad).map(|(good, bad)| [good, bad]);
    by_prompt.into_values().flat_map(of).collect()
}

/// The score interval of a share of `n` at 95 %: <https://doi.org/10.1080/01621459.1927.10502953>.
fn wilson(share: f64, n: f64) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    let middle = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [middle - reach, middle + reach].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

/// The `k` that minimises the mean of `−ln σ(k·d)`, held back by a unit normal prior on `k` times the spread of `d`:
/// where length explains everything, the best slope would be infinite.
fn best_slope(differences: &[f64]) -> f64 {
    let n = differences.len() as f64;
    let spread = (differences.iter().map(|difference| difference * difference).sum::<f64>() / n).sqrt();
    if spread == 0.0 {
        return 0.0;
    }
    let derivative = |k: f64| {
        let pull = |difference: &f64| -(difference / spread) / (1.0 + (k * difference / spread).exp());
        differences.iter().map(pull).sum::<f64>() + k
    };
    // The derivative grows with k: it is found where it crosses 0.
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if derivative(middle) > 0.0 { high = middle } else { low = middle }
    }
    f64::midpoint(low, high) / spread
}

/// `ln(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Wilson's interval for 8 of 10 is 0.490 to 0.943 (Brown, Cai and DasGupta, 2001, and every table since).
    #[test]
    fn eight_of_ten_longer_ones() {
        let mut lengths = vec![[5, 3]; 8];
        lengths.extend([[3, 5]; 2]);
        let bias = LengthBias::of(&lengths, Unit::Tokens).unwrap();
        assert_eq!((bias.auc, bias.longer_chosen, bias.shorter_chosen), (0.8, 8, 2));
        assert!(
            (bias.ci[0] - 0.490_162).abs() < 1e-6 && (bias.ci[1] - 0.943_318).abs() < 1e-6,
            "{:?}",
            bias.ci
        );
        assert!(!bias.is_biased());
        assert_eq!(bias.mean_difference, 1.2);
    }

    /// 800 of 1000 by a difference of one: σ(k) = 0.8, k = ln 4, up to the prior; margin 0.6·ln 4 = 0.8318 and loss
    /// −0.8 ln 0.8 − 0.2 ln 0.2 = 0.5004.
    #[test]
    fn the_margin_of_length_alone() {
        let mut lengths = vec![[1, 0]; 800];
        lengths.extend([[0, 1]; 200]);
        let bias = LengthBias::of(&lengths, Unit::Tokens).unwrap();
        assert!((bias.margin - 0.8318).abs() < 0.01 && (bias.loss - 0.5004).abs() < 1e-3, "{bias:?}");
        assert!(bias.is_biased());
    }

    #[test]
    fn extremes_have_an_answer() {
        assert_eq!(LengthBias::of(&[], Unit::Tokens), None);
        let equal = LengthBias::of(&[[3, 3]; 4], Unit::Tokens).unwrap();
        assert_eq!((equal.auc, equal.margin, equal.loss), (0.5, 0.0, std::f64::consts::LN_2));
        let all = LengthBias::of(&[[1_000_000, 1]; 500], Unit::Tokens).unwrap();
        assert!(all.auc == 1.0 && all.margin.is_finite() && all.loss > 0.0 && all.loss < 0.05, "{all:?}");
    }
}
