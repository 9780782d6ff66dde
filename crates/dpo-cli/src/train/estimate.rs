//! How much memory and time a run will take, said before it begins.

use dpo_data::TokenTree;
use dpo_model::DecoderConfig;
use dpo_train::{Activations, TrainerConfig};

/// What a run will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// Weights, gradient, both moments of AdamW, a reference that is asked at every step, and the gradient of another micro-batch where there are several, in bytes.
    pub(crate) state_bytes: u64,
    /// What is in memory of the largest micro-batch between its forward and its backward pass, in bytes.
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
        let activations = trainer.loss.activations;
        // Two operations a weight and token forward, four backward; the head is computed twice, and so are the blocks, but
        // for the last one, where nothing is kept.
        let passes = match activations {
            Activations::Keep => 6.0,
            Activations::Recompute => 8.0 - 2.0 / config.n_layers().max(1) as f64,
        };
        // A reference that follows the policy reads the rows of every step too, and so does one whose distributions are read,
        // for which the backward pass makes its logits again.
        let (follows, compares) =
            (trainer.reference_updates.is_some(), trainer.loss.objective.reads_distributions());
        let n_references = u64::from(follows || compares);
        let reads = 2.0 * f64::from(u8::from(follows)) + 2.0 * f64::from(u8::from(compares));
        let of_head = 8.0 + reads + 2.0 * f64::from(u8::from(compares));
        let flops = (passes + reads) * (body * n_tokens) as f64 + of_head * (embedding * n_scored) as f64;
        let trained = n_trained.unwrap_or(n_parameters);
        let largest = LargestMicroBatch::of(trees, trainer);
        let other_gradient = match activations {
            _ if largest.is_alone => 0,
            Activations::Keep => trained,
            // Gradients are added up block by block.
            Activations::Recompute => trained.min(heads * embedding),
        };
        let logits = LOGIT_ROWS * config.vocab_size as u64 * F32;
        Self {
            state_bytes: F32
                * (n_parameters + n_trained.unwrap_or(0) + (3 + n_references) * trained + other_gradient),
            activation_bytes: largest.n_tokens * kept_per_token(config, activations) + logits,
            epoch_flops: flops,
            n_parameters,
            n_trained,
        }
    }

    /// Counts the reference that is asked on the way: below an adapter it is the base, which is there.
    pub(crate) fn keep_reference(&mut self) {
        if self.n_trained.is_none() {
            self.state_bytes += F32 * self.n_parameters;
        }
    }

    /// One sentence; `unit` is what the operations are those of.
    pub(crate) fn line(&self, unit: &str) -> String {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        format!(
            "{:.1} M parameters{}; about {:.2} GiB of memory ({:.2} weights, gradient and optimizer, {:.2} activations of \
             the largest micro-batch); {:.1} TFLOP {unit}",
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

/// Bytes that are in memory for each token: what the fused operations of all blocks keep, see the table in dpo-kernels, or
/// what all blocks read and the operations of one of them keep.
fn kept_per_token(config: &DecoderConfig, activations: Activations) -> u64 {
    let (q, kv) = (config.attention.query_width() as u64, config.attention.key_width() as u64);
    let (d, ff) = (config.d_model as u64, config.feed_forward.d_ff as u64);
    // Two residual streams and two normed ones, query, key, value and attention, gate, up and their product.
    let of_block = 4 * d + 2 * q + 2 * kv + 3 * ff;
    let n_layers = config.n_layers() as u64;
    F32 * match activations {
        Activations::Keep => n_layers * of_block,
        Activations::Recompute => n_layers * d + of_block,
    }
}

/// The largest micro-batch of the first epoch.
struct LargestMicroBatch {
    n_tokens: u64,
    /// Whether no step has more than one.
    is_alone: bool,
}

impl LargestMicroBatch {
    fn of(trees: &[TokenTree], trainer: &TrainerConfig) -> Self {
        let mut largest = Self { n_tokens: 0, is_alone: true };
        for batch in trainer.order.epoch(0).batches() {
            let rows: Vec<&TokenTree> = batch.iter().map(|idx| &trees[*idx]).collect();
            let micro = trainer.micro.sorted(&rows);
            largest.is_alone &= micro.len() < 2;
            for indices in micro {
                let n_tokens = indices.iter().map(|idx| rows[*idx].n_tokens() as u64).sum();
                largest.n_tokens = largest.n_tokens.max(n_tokens);
            }
        }
        largest
    }
}
