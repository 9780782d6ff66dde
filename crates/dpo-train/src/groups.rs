//! Shares of groups in the loss, which follow how each of them fares.

use std::collections::BTreeMap;

use dpo_core::group_shares;
use dpo_data::TokenTree;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The share `q_g` of each group; rows of nobody are a group of their own. Those of a step follow from the losses of the steps
/// before it, so that they are known before the step's first row is computed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupShares(BTreeMap<String, Exact>);

/// A number that comes back from a file to the last bit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Exact(f64);

impl GroupShares {
    /// The same for every group of these rows.
    pub(crate) fn even<'a>(trees: impl IntoIterator<Item = &'a TokenTree>) -> Self {
        let mut shares: BTreeMap<String, Exact> = BTreeMap::new();
        for tree in trees {
            shares.insert(group(tree).to_owned(), Exact(0.0));
        }
        let n = shares.len() as f64;
        shares.values_mut().for_each(|share| *share = Exact(1.0 / n));
        Self(shares)
    }

    /// Whether no group is known yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The groups' names with their shares.
    pub fn named(&self) -> BTreeMap<String, f64> {
        self.0.iter().map(|(name, share)| (name.clone(), share.0)).collect()
    }

    /// What each row counts in the loss of a batch: its group's share, shared out by the rows' weights.
    pub(crate) fn of_rows(&self, trees: &[&TokenTree]) -> Vec<f64> {
        let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
        for tree in trees {
            *weights.entry(group(tree)).or_default() += tree.weight;
        }
        let share = |tree: &&TokenTree| {
            let (all, q) = (weights[group(tree)], self.0.get(group(tree)).map_or(0.0, |share| share.0));
            if all > 0.0 { q * tree.weight / all } else { 0.0 }
        };
        trees.iter().map(share).collect()
    }

    /// Follows the losses of a step's rows.
    pub(crate) fn follow(&mut self, trees: &[&TokenTree], losses: &[f64], eta: f64) {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (tree, loss) in trees.iter().zip(losses) {
            let (sum, all) = sums.entry(group(tree)).or_default();
            *sum += tree.weight * loss;
            *all += tree.weight;
        }
        let mean =
            |name: &String| sums.get(name.as_str()).filter(|(_, all)| *all > 0.0).map(|(sum, all)| sum / all);
        let losses: Vec<Option<f64>> = self.0.keys().map(mean).collect();
        let shares: Vec<f64> = self.0.values().map(|share| share.0).collect();
        let next = group_shares(&shares, &losses, eta);
        self.0.values_mut().zip(next).for_each(|(share, next)| *share = Exact(next));
    }
}

fn group(tree: &TokenTree) -> &str {
    tree.group.as_deref().unwrap_or_default()
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_bits().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Self(f64::from_bits(bits)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use dpo_data::{Relation, RowId};

    fn tree(group: &str, weight: f64) -> TokenTree {
        TokenTree {
            row: RowId { file: 0, row: 1 },
            prompt: vec![1],
            completions: vec![vec![2], vec![3]],
            relation: Relation::Pair,
            weight,
            group: Some(group.to_owned()),
        }
    }

    /// Two groups of ½ each; of a's two rows one weighs three times the other: ⅛ and ⅜, and b's only row has all of b's ½. With
    /// η = ln 2 and losses 1 and 0 the share of a becomes 2 of 3.
    #[test]
    fn the_group_that_fares_badly_counts_more() {
        let rows = [tree("a", 1.0), tree("b", 2.0), tree("a", 3.0)];
        let trees: Vec<&TokenTree> = rows.iter().collect();
        let mut shares = GroupShares::even(&rows);
        assert_eq!(shares.of_rows(&trees), [0.125, 0.5, 0.375]);
        shares.follow(&trees, &[1.0, 0.0, 1.0], std::f64::consts::LN_2);
        let named = shares.named();
        assert!(
            (named["a"] - 2.0 / 3.0).abs() < 1e-15 && (named["b"] - 1.0 / 3.0).abs() < 1e-15,
            "{named:?}"
        );
    }

    /// A group that a step has no row of keeps its odds against one whose loss is 0.
    #[test]
    fn a_group_without_rows_does_not_grow() {
        let rows = [tree("a", 1.0), tree("b", 1.0), tree("c", 1.0)];
        let mut shares = GroupShares::even(&rows);
        shares.follow(&[&rows[0], &rows[1]], &[0.0, 1.0], 1.0);
        let named = shares.named();
        assert_eq!(named["a"], named["c"]);
        assert!(named["b"] > named["a"]);
        assert!((named.values().sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn shares_come_back_from_a_file_to_the_last_bit() {
        let rows = [tree("a", 1.0), tree("b", 1.0), tree("c", 1.0)];
        let mut shares = GroupShares::even(&rows);
        shares.follow(&[&rows[0], &rows[1]], &[0.123, 4.56], 0.7);
        let json = serde_json::to_vec(&shares).unwrap();
        assert_eq!(serde_json::from_slice::<GroupShares>(&json).unwrap(), shares);
    }
}
