//! Losses of ranked lists.

use burn::tensor::Tensor;

use crate::{CompletionLogps, LossConfig, LossKind, lipo_loss, plackett_luce_loss};

/// A loss of a list of `K ≥ 2` completions of one prompt, best first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RankedLoss {
    /// [`plackett_luce_loss`].
    PlackettLuce {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
    /// [`lipo_loss`], of lists with scores.
    Lipo {
        /// Strength of the pull towards the reference, `β > 0`.
        beta: f64,
    },
}

/// The policy against its reference on ranked lists that lie end to end, each best first.
#[derive(Debug, Clone)]
pub struct ListRatios {
    /// `Δ` of every completion in nats, `[n_completions]`.
    pub log_ratios: Tensor<1>,
    /// Completions of each list; they add up to `n_completions`.
    pub lengths: Vec<usize>,
    /// The scores of each list's completions; empty where a loss reads none.
    pub scores: Vec<Vec<f64>>,
}

impl ListRatios {
    /// Policy less reference.
    ///
    /// # Shapes
    /// - `policy`, `reference`: `[n_completions]`
    pub fn new(
        policy: CompletionLogps,
        reference: CompletionLogps,
        lengths: Vec<usize>,
        scores: Vec<Vec<f64>>,
    ) -> Self {
        assert_shape!(reference.sums, policy.sums.dims());
        assert_eq!(lengths.iter().sum::<usize>(), policy.len(), "the lists are made of all completions");
        Self { log_ratios: policy.sums - reference.sums, lengths, scores }
    }
}

impl RankedLoss {
    /// Loss of each list, `[n_lists]`, not reduced.
    pub fn loss(&self, ratios: &ListRatios) -> Tensor<1> {
        let mut start = 0;
        let mut of_list = |(list_idx, &length): (usize, &usize)| {
            let list = ratios.log_ratios.clone().narrow(0, start, length);
            start += length;
            match *self {
                Self::PlackettLuce { beta } => plackett_luce_loss(list, beta),
                Self::Lipo { beta } => lipo_loss(list, &ratios.scores[list_idx], beta),
            }
        };
        Tensor::cat(ratios.lengths.iter().enumerate().map(&mut of_list).collect(), 0)
    }

    /// `β`.
    pub fn beta(&self) -> f64 {
        match *self {
            Self::PlackettLuce { beta } | Self::Lipo { beta } => beta,
        }
    }

    /// Whether it reads scores.
    pub fn reads_scores(&self) -> bool {
        match self {
            Self::PlackettLuce { .. } => false,
            Self::Lipo { .. } => true,
        }
    }

    pub(crate) fn config(&self) -> LossConfig {
        let kind = match self {
            Self::PlackettLuce { .. } => LossKind::PlackettLuce,
            Self::Lipo { .. } => LossKind::Lipo,
        };
        LossConfig { kind, beta: Some(self.beta()), ..LossConfig::default() }
    }
}
