//! Which trees make up which batch: in order or shuffled from a seed, addressable by epoch and batch.

use std::num::NonZeroUsize;

/// The order of trees within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// As they come, the same in every epoch.
    Sequential,
    /// A new permutation for every epoch, a function of the seed, the epoch and the number of trees alone.
    Shuffled {
        /// Any number.
        seed: u64,
    },
}

/// Batches of trees, epoch after epoch. The last batch of an epoch holds what is left.
///
/// Every batch can be asked for at any time, so that a run continues wherever it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOrder {
    n_trees: usize,
    batch_size: NonZeroUsize,
    sampling: Sampling,
}

impl BatchOrder {
    /// Batches of `batch_size` of `n_trees` trees.
    pub fn new(n_trees: usize, batch_size: NonZeroUsize, sampling: Sampling) -> Self {
        Self { n_trees, batch_size, sampling }
    }

    /// The same of another number of trees.
    #[must_use]
    pub fn with_trees(self, n_trees: usize) -> Self {
        Self { n_trees, ..self }
    }

    /// Batches in an epoch, the last one perhaps smaller.
    pub fn n_batches(&self) -> usize {
        self.n_trees.div_ceil(self.batch_size.get())
    }

    /// The order of one epoch.
    pub fn epoch(&self, epoch: u64) -> EpochOrder {
        let indices = match self.sampling {
            Sampling::Sequential => (0..self.n_trees).collect(),
            Sampling::Shuffled { seed } => permutation(self.n_trees, seed, epoch),
        };
        EpochOrder { indices, batch_size: self.batch_size }
    }

    /// Indices of the trees of a batch; `None` past the last batch of an epoch.
    ///
    /// Makes the epoch's whole order: to go through an epoch, keep an [`EpochOrder`].
    pub fn batch(&self, epoch: u64, batch_idx: usize) -> Option<Vec<usize>> {
        self.epoch(epoch).batch(batch_idx).map(<[usize]>::to_vec)
    }
}

/// The batches of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochOrder {
    indices: Vec<usize>,
    batch_size: NonZeroUsize,
}

impl EpochOrder {
    /// Indices of the trees of a batch; `None` past the last.
    pub fn batch(&self, batch_idx: usize) -> Option<&[usize]> {
        let size = self.batch_size.get();
        let start = batch_idx.checked_mul(size).filter(|start| *start < self.indices.len())?;
        Some(&self.indices[start..self.indices.len().min(start + size)])
    }

    /// All batches, in order.
    pub fn batches(&self) -> impl Iterator<Item = &[usize]> {
        self.indices.chunks(self.batch_size.get())
    }

    /// Indices of all trees, in order.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

/// Fisher–Yates from the last place down, drawing from [`SplitMix64`] started at `seed ⊕ mix(epoch)`.
///
/// This order is part of what a checkpoint means and never changes.
fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = SplitMix64 { state: seed ^ SplitMix64 { state: epoch }.next() };
    let mut indices: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        indices.swap(last, random.below(last as u64 + 1) as usize);
    }
    indices
}

/// Sebastiano Vigna's generator, <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, every one as likely: Lemire, <https://arxiv.org/abs/1805.10941>.
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            // The lowest `2^64 mod bound` products are the ones that would make some results likelier.
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    /// The first numbers of the reference implementation from the state 1234567.
    #[test]
    fn splitmix_is_the_published_generator() {
        let mut random = SplitMix64 { state: 1_234_567 };
        let drawn: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn sequential_batches_keep_the_rest() {
        let order = BatchOrder::new(5, size(2), Sampling::Sequential);
        assert_eq!(order.n_batches(), 3);
        assert_eq!(order.epoch(7).batches().collect::<Vec<_>>(), [&[0, 1][..], &[2, 3], &[4]]);
        assert_eq!(order.batch(0, 3), None);
        assert_eq!(order.batch(0, usize::MAX), None);
        assert_eq!(BatchOrder::new(0, size(2), Sampling::Sequential).n_batches(), 0);
    }

    /// Computed by a second implementation, in Python. A later version must shuffle the same way, or a resumed run
    /// changes its data.
    #[test]
    fn the_shuffle_is_the_same_for_ever() {
        let order = BatchOrder::new(8, size(8), Sampling::Shuffled { seed: 42 });
        assert_eq!(order.batch(0, 0).unwrap(), [7, 0, 4, 5, 6, 1, 3, 2]);
        assert_eq!(order.batch(1, 0).unwrap(), [6, 7, 2, 0, 1, 5, 4, 3]);
    }

    proptest! {
        #[test]
        fn an_epoch_is_a_permutation(n in 0usize..300, seed: u64, epoch: u64, batch in 1usize..40) {
            let order = BatchOrder::new(n, size(batch), Sampling::Shuffled { seed });
            let mut seen: Vec<usize> = order.epoch(epoch).batches().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }

        /// What a resumed run asks for is what a run that never stopped came to.
        #[test]
        fn any_batch_can_be_asked_for(n in 1usize..200, seed: u64, epoch in 0u64..9, batch in 1usize..40) {
            let order = BatchOrder::new(n, size(batch), Sampling::Shuffled { seed });
            let whole: Vec<Vec<usize>> = order.epoch(epoch).batches().map(<[usize]>::to_vec).collect();
            prop_assert_eq!(whole.len(), order.n_batches());
            for (batch_idx, trees) in whole.into_iter().enumerate() {
                prop_assert_eq!(order.batch(epoch, batch_idx), Some(trees));
            }
        }
    }
}
