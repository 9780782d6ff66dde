//! The shape of the experiment's model: a small Llama.

use serde_json::{Value, json};

/// Sizes of a Llama-type decoder with tied embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LlamaShape {
    /// Entries of the tokenizer.
    pub(crate) vocab_size: usize,
    /// Width.
    pub(crate) d_model: usize,
    /// Blocks.
    pub(crate) n_layers: usize,
    /// Query heads; they divide the width.
    pub(crate) n_heads: usize,
    /// Key and value heads; they divide the query heads.
    pub(crate) n_kv_heads: usize,
    /// Width inside the MLP.
    pub(crate) d_ff: usize,
    /// Longest sequence.
    pub(crate) max_len: usize,
}

impl Default for LlamaShape {
    fn default() -> Self {
        Self {
            vocab_size: 2048,
            d_model: 128,
            n_layers: 6,
            n_heads: 4,
            n_kv_heads: 2,
            d_ff: 352,
            max_len: 256,
        }
    }
}

impl LlamaShape {
    /// Parameters; the head is the embedding and counts once.
    #[cfg(test)]
    pub(crate) fn n_params(self) -> usize {
        let d_kv = self.d_model / self.n_heads * self.n_kv_heads;
        let attention = 2 * self.d_model * self.d_model + 2 * self.d_model * d_kv;
        let block = attention + 3 * self.d_model * self.d_ff + 2 * self.d_model;
        self.vocab_size * self.d_model + self.n_layers * block + self.d_model
    }

    /// The `config.json` that transformers reads.
    pub(crate) fn config_json(self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.d_model,
            "intermediate_size": self.d_ff,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.d_model / self.n_heads,
            "max_position_embeddings": self.max_len,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "attention_bias": false,
            "attention_dropout": 0.0,
            "mlp_bias": false,
            "tie_word_embeddings": true,
            "initializer_range": 0.02,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 1,
            "torch_dtype": "bfloat16",
            "use_cache": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2048·128 + 6·(2·128² + 2·128·64 + 3·128·352 + 2·128) + 128 = 1,369,728.
    #[test]
    fn the_default_has_1_4_million_parameters() {
        assert_eq!(LlamaShape::default().n_params(), 1_369_728);
    }
}
