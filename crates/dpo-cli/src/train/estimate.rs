//! How much memory and time a run will take, said before it begins.

use dpo_data::TokenTree;
use dpo_model::DecoderConfig;
use dpo_train::TrainerConfig;

/// What a run will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// Weights, gradient, both moments of AdamW, in bytes.
    pub(crate) state_bytes: u64,
    /// What the largest micro-batch keeps for its backward pass, in bytes.
    pub(crate) activation_bytes: u64,
    /// Floating-point operations of one epoch.
    pub(crate) epoch_flops: f64,
    /// Parameters.
    pub(crate) n_parameters: u64,
    /// Those of the adapter.
    pub(crate) n_trained: Option<u64>,
}

/// Bytes of an f32.
const F32: u64 = 4;
/// Rows of logits that exist at a time.
const LOGIT_ROWS: u64 = 128;

impl Estimate {
    /// `n_trained` numbers of an adapter beside frozen weights; `None` trains the weights.
    pub(crate) fn new(
        config: &DecoderConfig,
        trees: &[TokenTree],
        trainer: &TrainerConfig,
        n_trained: Option<u64>,
    ) -> Self {
        let n_parameters = parameters(config);
        let embedding = (config.vocab_size * config.d_model) as u64;
        let heads = if config.tie_word_embeddings { 1 } else { 2 };
        let body = n_parameters - heads * embedding;
        let n_tokens: u64 = trees.iter().map(|tree| tree.n_tokens() as u64).sum();
        let n_scored: u64 = trees.iter().flat_map(|tree| &tree.completions).map(|c| c.len() as u64).sum();
        // Two operations a weight and token forward, four backward; the head is computed twice.
        let flops = 6.0 * (body * n_tokens) as f64 + 8.0 * (embedding * n_scored) as f64;
        let logits = LOGIT_ROWS * config.vocab_size as u64 * F32;
        Self {
            state_bytes: match n_trained {
                Some(n_trained) => F32 * (n_parameters + 4 * n_trained),
                None => 4 * F32 * n_parameters,
            },
            activation_bytes: largest_micro_batch(trees, trainer) * kept_per_token(config) + logits,
            epoch_flops: flops,
            n_parameters,
            n_trained,
        }
    }

    /// One sentence.
    pub(crate) fn line(&self) -> String {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        format!(
            "{:.1} M parameters{}; about {:.2} GiB of memory ({:.2} weights, gradient and optimizer, {:.2} activations of \
             the largest micro-batch); {:.1} TFLOP an epoch",
            self.n_parameters as f64 / 1e6,
            self.n_trained
                .map_or_else(String::new, |n| format!(", {:.2} M of the adapter trained", n as f64 / 1e6)),
            gib(self.state_bytes + self.activation_bytes),
            gib(self.state_bytes),
            gib(self.activation_bytes),
            self.epoch_flops / 1e12
        )
    }
}

fn parameters(config: &DecoderConfig) -> u64 {
    let size = |shape: &[usize]| shape.iter().map(|n| *n as u64).product::<u64>();
    config.expected_tensors().iter().map(|tensor| size(&tensor.shape)).sum()
}

/// Bytes that the fused operations keep for each token: see the table in dpo-kernels.
fn kept_per_token(config: &DecoderConfig) -> u64 {
    let (q, kv) = (config.attention.query_width() as u64, config.attention.key_width() as u64);
    let (d, ff) = (config.d_model as u64, config.feed_forward.d_ff as u64);
    // Two residual streams and two normed ones, query, key, value and attention, gate, up and their product.
    F32 * config.n_layers() as u64 * (4 * d + 2 * q + 2 * kv + 3 * ff)
}

/// Tokens of the largest micro-batch of the first epoch.
fn largest_micro_batch(trees: &[TokenTree], trainer: &TrainerConfig) -> u64 {
    let of_step = |batch: &[usize]| {
        let rows: Vec<&TokenTree> = batch.iter().map(|idx| &trees[*idx]).collect();
        let n_tokens = |indices: &Vec<usize>| indices.iter().map(|idx| rows[*idx].n_tokens()).sum::<usize>();
        trainer.micro.sorted(&rows).iter().map(n_tokens).max()
    };
    trainer.order.epoch(0).batches().filter_map(of_step).max().unwrap_or(0) as u64
}
