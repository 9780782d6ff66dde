//! What the policy says of a pair, where no reference says anything.

/// Summed log-probs of one pair under the policy, in nats, as read from the device, and its lengths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PolicyScore {
    /// `log π_θ(y_w|x)`.
    pub chosen: f64,
    /// `log π_θ(y_l|x)`.
    pub rejected: f64,
    /// `|w|`, tokens.
    pub chosen_tokens: usize,
    /// `|l|`, tokens.
    pub rejected_tokens: usize,
}

impl PolicyScore {
    /// `log π_θ(y_w|x)/|w|`; an empty completion counts as one token.
    pub fn chosen_mean(&self) -> f64 {
        self.chosen / self.chosen_tokens.max(1) as f64
    }

    /// `log π_θ(y_l|x)/|l|`; an empty completion counts as one token.
    pub fn rejected_mean(&self) -> f64 {
        self.rejected / self.rejected_tokens.max(1) as f64
    }
}
