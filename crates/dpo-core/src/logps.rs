//! What a model says of each completion.

use burn::tensor::Tensor;

/// Log-probability of each completion given its prompt, `log π(y|x) = Σ_t ℓ_t`, and its number of tokens.
#[derive(Debug, Clone)]
pub struct CompletionLogps {
    /// Sums over completion tokens in nats, `[n_completions]`.
    pub sums: Tensor<1>,
    /// Completion tokens, `[n_completions]`, a float tensor of the same kind as `sums` and without a gradient.
    pub token_counts: Tensor<1>,
}

impl CompletionLogps {
    /// Joins sums and counts.
    ///
    /// # Shapes
    /// - `sums`, `token_counts`: `[n_completions]`
    pub fn new(sums: Tensor<1>, token_counts: Tensor<1>) -> Self {
        assert_shape!(token_counts, sums.dims());
        Self { sums, token_counts }
    }

    /// Sums token log-probs that lie completion after completion.
    ///
    /// # Shapes
    /// - `per_token`: `[n_tokens]`, `ℓ_t` in nats
    /// - `lengths`: `n_completions` numbers, none of them 0, that add up to `n_tokens`
    pub fn from_tokens(per_token: Tensor<1>, lengths: &[usize]) -> Self {
        Self::from_scored_tokens(per_token, lengths, lengths)
    }

    /// As [`CompletionLogps::from_tokens`], for completions some of whose tokens nothing predicts: the first token
    /// of a text without a prompt counts in the length and has no log-prob.
    ///
    /// # Shapes
    /// - `per_token`: `[n_scored]`, `ℓ_t` in nats
    /// - `n_scored`: `n_completions` numbers that add up to its length; 0 gives a sum of 0
    /// - `n_tokens`: `n_completions` numbers
    pub fn from_scored_tokens(per_token: Tensor<1>, n_scored: &[usize], n_tokens: &[usize]) -> Self {
        let [total] = per_token.dims();
        assert_eq!(
            n_scored.iter().sum::<usize>(),
            total,
            "the completions' lengths are those of `per_token`"
        );
        assert_eq!(n_scored.len(), n_tokens.len(), "one token count a completion");
        let device = per_token.device().inner();
        let mut start = 0;
        let mut sum = |&length: &usize| {
            let tokens = start..start + length;
            start = tokens.end;
            match length {
                0 => Tensor::zeros([1], (&device, per_token.dtype())),
                _ => per_token.clone().slice([tokens]).sum(),
            }
        };
        Self::from_sums(Tensor::cat(n_scored.iter().map(&mut sum).collect(), 0), n_tokens)
    }

    /// Sums that have been made, of completions of so many tokens.
    ///
    /// # Shapes
    /// - `sums`: `[n_completions]`
    /// - `n_tokens`: `n_completions` numbers
    pub fn from_sums(sums: Tensor<1>, n_tokens: &[usize]) -> Self {
        let counts: Vec<f32> = n_tokens.iter().map(|&length| length as f32).collect();
        let device = sums.device().inner();
        let token_counts = Tensor::from_data(counts.as_slice(), (&device, sums.dtype()));
        Self::new(sums, token_counts)
    }

    /// Number of completions.
    pub fn len(&self) -> usize {
        self.sums.dims()[0]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Mean log-prob of a completion's tokens, `p̄ = log π(y|x)/|y|`, `[n_completions]`; an empty completion counts as one token.
    pub fn means(&self) -> Tensor<1> {
        self.sums.clone() / self.token_counts.clone().clamp_min(1.0)
    }

    /// Completions that lie chosen, rejected, chosen, rejected, … as pairs.
    ///
    /// # Shapes
    /// - `self`: `[2 · n_pairs]`
    /// - output: `[n_pairs]` of each
    pub fn into_pairs(self) -> PairLogps {
        let (chosen_sums, rejected_sums) = every_other(self.sums);
        let (chosen_counts, rejected_counts) = every_other(self.token_counts);
        PairLogps {
            chosen: Self::new(chosen_sums, chosen_counts),
            rejected: Self::new(rejected_sums, rejected_counts),
        }
    }
}

/// Log-probabilities of both completions of each pair under one model.
#[derive(Debug, Clone)]
pub struct PairLogps {
    /// The preferred completions, `[n_pairs]`.
    pub chosen: CompletionLogps,
    /// The others, `[n_pairs]`.
    pub rejected: CompletionLogps,
}

impl PairLogps {
    /// `log π(y_w|x) − log π(y_l|x)` of each pair, `[n_pairs]`.
    pub fn margin(&self) -> Tensor<1> {
        self.chosen.sums.clone() - self.rejected.sums.clone()
    }

    /// `log π(y_w|x)/|w| − log π(y_l|x)/|l|` of each pair, `[n_pairs]`.
    pub fn margin_per_token(&self) -> Tensor<1> {
        self.chosen.means() - self.rejected.means()
    }
}

/// Elements 0, 2, 4, … and elements 1, 3, 5, ….
pub(crate) fn every_other(values: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
    let [n] = values.dims();
    assert!(n.is_multiple_of(2), "{n} completions are not pairs");
    let pairs: Tensor<2> = values.reshape([n / 2, 2]);
    let column = |at: usize| pairs.clone().narrow(1, at, 1).reshape([n / 2]);
    (column(0), column(1))
}
