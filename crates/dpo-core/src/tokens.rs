//! What a model says of each token of each completion.

use burn::tensor::{Device, Tensor};

use crate::CompletionLogps;

/// Log-probs of the scored tokens of completions, which lie chosen, rejected, chosen, rejected, ….
#[derive(Debug, Clone)]
pub struct TokenLogps {
    per_token: Tensor<1>,
    n_scored: Vec<usize>,
    n_tokens: Vec<usize>,
    sums: Option<Tensor<1>>,
}

impl TokenLogps {
    /// Token log-probs that lie completion after completion.
    ///
    /// # Shapes
    /// - `per_token`: `[n_scored]`, `ℓ_t` in nats
    /// - `n_scored`: scored tokens of each completion, numbers that add up to its length
    /// - `n_tokens`: tokens of each completion; one more where nothing predicts the first one
    pub fn new(per_token: Tensor<1>, n_scored: &[usize], n_tokens: &[usize]) -> Self {
        assert_shape!(per_token, [n_scored.iter().sum::<usize>()]);
        assert_eq!(n_scored.len(), n_tokens.len(), "one token count a completion");
        Self { per_token, n_scored: n_scored.to_vec(), n_tokens: n_tokens.to_vec(), sums: None }
    }

    /// The same, with their sums over each completion, `[n_completions]`, where these have been made.
    #[must_use]
    pub fn with_sums(self, sums: Tensor<1>) -> Self {
        assert_shape!(sums, [self.n_tokens.len()]);
        Self { sums: Some(sums), ..self }
    }

    /// Where the log-probs are, without autodiff.
    pub fn device(&self) -> Device {
        self.per_token.device().inner()
    }

    /// Sums over each completion, `log π(y|x) = Σ_t ℓ_t`.
    pub fn completions(&self) -> CompletionLogps {
        match &self.sums {
            Some(sums) => CompletionLogps::from_sums(sums.clone(), &self.n_tokens),
            None => {
                CompletionLogps::from_scored_tokens(self.per_token.clone(), &self.n_scored, &self.n_tokens)
            }
        }
    }

    /// Sums of something else of the same tokens over each completion, `[n_completions]`.
    ///
    /// # Shapes
    /// - `per_token`: `[n_scored]`
    pub fn sums_of(&self, per_token: Tensor<1>) -> Tensor<1> {
        assert_shape!(per_token, self.per_token.dims());
        CompletionLogps::from_scored_tokens(per_token, &self.n_scored, &self.n_scored).sums
    }

    /// Sums in which what a completion has beyond the length of the other one of its pair weighs `α`, so that length
    /// alone moves a margin less: `log π'(y|x) = Σ_{t≤m} ℓ_t + α·Σ_{t>m} ℓ_t` with `m = min(|w|, |l|)`, LD-DPO,
    /// <https://arxiv.org/abs/2409.06411>. The lengths stay. With `α = 1` it is [`completions`](Self::completions).
    ///
    /// # Shapes
    /// - output: `[2 · n_pairs]`
    pub fn length_desensitised(&self, alpha: f64) -> CompletionLogps {
        if alpha == 1.0 {
            return self.completions();
        }
        let device = self.per_token.device();
        let mut start = 0;
        let mut sums = Vec::with_capacity(self.n_scored.len());
        for (scored, tokens) in self.n_scored.chunks_exact(2).zip(self.n_tokens.chunks_exact(2)) {
            let shared = tokens[0].min(tokens[1]);
            for (&n_scored, &n_tokens) in scored.iter().zip(tokens) {
                let unscored = n_tokens - n_scored;
                let middle = start + shared.saturating_sub(unscored).min(n_scored);
                let end = start + n_scored;
                let sum = |range: std::ops::Range<usize>| match range.is_empty() {
                    true => Tensor::zeros([1], (&device, self.per_token.dtype())),
                    false => self.per_token.clone().slice([range]).sum(),
                };
                let head = sum(start..middle);
                sums.push(if middle == end { head } else { head + sum(middle..end) * alpha });
                start = end;
            }
        }
        CompletionLogps::new(Tensor::cat(sums, 0), self.completions().token_counts)
    }

    /// How likely the policy is to say each completion itself, `ω(y) = exp((1/|y|)·Σ_t [ℓ_t − ln Σ_v p_t(v)²])`, a constant:
    /// WPO, <https://arxiv.org/abs/2406.11827>. It is 1 for a policy that spreads its bets evenly, whatever it says.
    ///
    /// # Shapes
    /// - `log_sum_squares`: `[n_scored]`, `ln Σ_v p_t(v)²` of the policy where it predicts each token
    /// - output: `[n_completions]`, without a gradient
    pub fn likelihoods(&self, log_sum_squares: Tensor<1>) -> Tensor<1> {
        assert_shape!(log_sum_squares, self.per_token.dims());
        let aligned = self.per_token.clone().inner() - log_sum_squares.inner();
        let sums = CompletionLogps::from_scored_tokens(aligned, &self.n_scored, &self.n_scored);
        sums.means().exp()
    }
}
