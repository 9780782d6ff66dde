//! The names of a decoder's tensors in the checkpoints of each family.
//!
//! The decoder's own paths are the same for all families: `layers.3.attention.inputs.query.weight`.

use super::StoredAs;

/// What one family calls its tensors.
#[derive(Debug, PartialEq, Eq)]
pub struct TensorNames {
    /// The embedding.
    pub embedding: &'static str,
    /// The table of learnt positions.
    pub position_table: &'static str,
    /// What a block's number follows.
    pub block: &'static str,
    /// Parts of a block with matrices: our path, theirs.
    pub parts: &'static [(&'static str, &'static str)],
    /// Norms of a block: our path, theirs.
    pub norms: &'static [(&'static str, &'static str)],
    /// The norm after the last block.
    pub norm: &'static str,
    /// The head.
    pub head: &'static str,
    /// Put before all names but the head's; checkpoints of the bare model are without it.
    pub prefix: &'static str,
    /// How the matrices of a block lie.
    pub matrices: StoredAs,
}

/// Names that many families share.
pub(super) const LLAMA: TensorNames = TensorNames {
    embedding: "model.embed_tokens",
    position_table: "",
    block: "model.layers",
    parts: &[
        ("attention.inputs.query", "self_attn.q_proj"),
        ("attention.inputs.key", "self_attn.k_proj"),
        ("attention.inputs.value", "self_attn.v_proj"),
        ("attention.inputs.stacked", "self_attn.qkv_proj"),
        ("attention.output", "self_attn.o_proj"),
        ("attention.query_norm", "self_attn.q_norm"),
        ("attention.key_norm", "self_attn.k_norm"),
        ("feed_forward.inner.gate", "mlp.gate_proj"),
        ("feed_forward.inner.up", "mlp.up_proj"),
        ("feed_forward.inner.stacked", "mlp.gate_up_proj"),
        ("feed_forward.down", "mlp.down_proj"),
    ],
    norms: &[("attention_norm", "input_layernorm"), ("feed_forward_norm", "post_attention_layernorm")],
    norm: "model.norm",
    head: "lm_head",
    prefix: "model.",
    matrices: StoredAs::OutIn,
};

/// What PEFT calls the parts of an adapter.
fn adapter_name(part: &str) -> &'static str {
    match part {
        "down" => "lora_A.weight",
        "up" => "lora_B.weight",
        "magnitude" => "lora_magnitude_vector",
        _ => unreachable!("an adapter has no `{part}`"),
    }
}

impl TensorNames {
    /// The checkpoint's name for one of the decoder's own paths, with its last part (`weight`, `bias`).
    ///
    /// # Panics
    /// For a path that the family has no name for: that is our bug.
    pub(crate) fn of_path(&self, path: &str) -> String {
        let (module, kind) = path.rsplit_once('.').expect("a module and what it holds");
        match module.strip_suffix(".adapter") {
            Some(module) => format!("{}.{}", self.of_module(module), adapter_name(kind)),
            None => format!("{}.{kind}", self.of_module(module)),
        }
    }

    /// The checkpoint's name for one of the decoder's modules.
    pub(crate) fn of_module(&self, module: &str) -> String {
        let outer = match module {
            "embedding" => self.embedding,
            "position_table" => self.position_table,
            "norm" => self.norm,
            "head" => self.head,
            _ => return self.of_block(module),
        };
        outer.to_owned()
    }

    fn of_block(&self, module: &str) -> String {
        let named =
            module.strip_prefix("layers.").and_then(|rest| rest.split_once('.')).and_then(|(idx, part)| {
                let (_, theirs) = self.parts.iter().chain(self.norms).find(|(ours, _)| *ours == part)?;
                Some(format!("{}.{idx}.{theirs}", self.block))
            });
        named.unwrap_or_else(|| unreachable!("no name for `{module}`"))
    }
}
