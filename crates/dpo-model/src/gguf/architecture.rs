//! The architectures of GGUF files, and how each differs from Hugging Face's checkpoints of the same family.
//!
//! llama.cpp names the parts of all architectures alike, so that one table serves for all.

use crate::config::{AttentionInputs, DecoderConfig, ParameterInfo};

/// What is particular to an architecture.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Architecture {
    /// `general.architecture`, and what its keys begin with.
    pub(super) name: &'static str,
    /// The family's `model_type` in `config.json`.
    pub(super) model_type: &'static str,
    /// The family's class in transformers.
    pub(super) class: &'static str,
    /// Which numbers of a query or key are turned together.
    pub(super) pairs: Pairs,
    /// How the weights of norms are stored.
    pub(super) norms: Norms,
}

/// Which numbers of a head the rotation takes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pairs {
    /// Neighbours; Hugging Face takes those half a head apart, so rows are regrouped.
    Neighbours,
    /// Those half a head apart, as in Hugging Face.
    Halves,
}

/// How the weights of norms are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norms {
    /// As they are in Hugging Face.
    AsThey,
    /// With the 1 that Gemma adds to them.
    WithOne,
}

const fn llama_like(name: &'static str, model_type: &'static str, class: &'static str) -> Architecture {
    Architecture { name, model_type, class, pairs: Pairs::Halves, norms: Norms::AsThey }
}

const fn neighbours(name: &'static str, model_type: &'static str, class: &'static str) -> Architecture {
    Architecture { pairs: Pairs::Neighbours, ..llama_like(name, model_type, class) }
}

const fn gemma(name: &'static str, model_type: &'static str, class: &'static str) -> Architecture {
    Architecture { norms: Norms::WithOne, ..llama_like(name, model_type, class) }
}

/// Every architecture that is known.
static ALL: [Architecture; 12] = [
    neighbours("llama", "llama", "LlamaForCausalLM"),
    llama_like("qwen2", "qwen2", "Qwen2ForCausalLM"),
    llama_like("qwen3", "qwen3", "Qwen3ForCausalLM"),
    gemma("gemma", "gemma", "GemmaForCausalLM"),
    gemma("gemma2", "gemma2", "Gemma2ForCausalLM"),
    gemma("gemma3", "gemma3_text", "Gemma3ForCausalLM"),
    llama_like("phi3", "phi3", "Phi3ForCausalLM"),
    llama_like("gpt2", "gpt2", "GPT2LMHeadModel"),
    llama_like("gptneox", "gpt_neox", "GPTNeoXForCausalLM"),
    llama_like("olmo2", "olmo2", "Olmo2ForCausalLM"),
    neighbours("smollm3", "smollm3", "SmolLM3ForCausalLM"),
    neighbours("granite", "granite", "GraniteForCausalLM"),
];

impl Architecture {
    /// The architecture that a file calls so.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|architecture| architecture.name == name)
    }

    /// The architecture that a family is stored as. llama.cpp has none for Mistral, which it computes as Llama.
    pub(super) fn of_family(model_type: &str) -> Option<&'static Self> {
        let model_type = if model_type == "mistral" { "llama" } else { model_type };
        ALL.iter().find(|architecture| architecture.model_type == model_type)
    }

    /// The names of all, for messages.
    pub(super) fn list() -> String {
        ALL.each_ref().map(|architecture| architecture.name).join(", ")
    }
}

/// The embedding in a file.
pub(super) const EMBEDDING: &str = "token_embd.weight";
/// The head in a file.
pub(super) const HEAD: &str = "output.weight";

/// Parts of the decoder and what llama.cpp calls them.
const OUTER: [(&str, &str); 4] = [
    ("embedding", "token_embd"),
    ("position_table", "position_embd"),
    ("norm", "output_norm"),
    ("head", "output"),
];
const PARTS: [(&str, &str); 15] = [
    ("attention_norm", "attn_norm"),
    ("attention.inputs.query", "attn_q"),
    ("attention.inputs.key", "attn_k"),
    ("attention.inputs.value", "attn_v"),
    ("attention.inputs.stacked", "attn_qkv"),
    ("attention.query_norm", "attn_q_norm"),
    ("attention.key_norm", "attn_k_norm"),
    ("attention.output", "attn_output"),
    ("attention_out_norm", "post_attention_norm"),
    ("feed_forward_norm", "ffn_norm"),
    ("feed_forward.inner.gate", "ffn_gate"),
    ("feed_forward.inner.up", "ffn_up"),
    ("feed_forward.inner.stacked", "ffn_up"),
    ("feed_forward.down", "ffn_down"),
    ("feed_forward_out_norm", "post_ffw_norm"),
];

/// llama.cpp's name of a parameter.
pub(super) fn gguf_name(path: &str) -> Option<String> {
    let (module, kind) = path.rsplit_once('.')?;
    Some(format!("{}.{kind}", gguf_module(module)?))
}

/// llama.cpp's name of a part of the decoder.
pub(super) fn gguf_module(module: &str) -> Option<String> {
    if let Some((_, name)) = OUTER.iter().find(|(path, _)| *path == module) {
        return Some((*name).to_owned());
    }
    let (layer, part) = module.strip_prefix("layers.")?.split_once('.')?;
    let (_, name) = PARTS.iter().find(|(path, _)| *path == part)?;
    Some(format!("blk.{layer}.{name}"))
}

/// How the values of a parameter in a file differ from the decoder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Not at all.
    None,
    /// Rows of this many heads: neighbours in the file, halves in the decoder.
    NeighboursToHalves(usize),
    /// Rows of this many heads: all queries, keys and values in the file, head by head in the decoder.
    PartsToHeads(usize),
    /// One more in the file.
    LessOne,
}

impl Change {
    /// What is different about one parameter.
    pub(super) fn of(architecture: &Architecture, config: &DecoderConfig, info: &ParameterInfo) -> Self {
        let attention = &config.attention;
        let module = info.path.rsplit_once('.').map_or("", |(module, _)| module);
        if module.ends_with("norm") && architecture.norms == Norms::WithOne {
            return Self::LessOne;
        }
        if module.ends_with("inputs.stacked") && attention.inputs == AttentionInputs::Interleaved {
            return Self::PartsToHeads(attention.n_heads);
        }
        match architecture.pairs {
            Pairs::Neighbours if module.ends_with("inputs.query") => {
                Self::NeighboursToHalves(attention.n_heads)
            }
            Pairs::Neighbours if module.ends_with("inputs.key") => {
                Self::NeighboursToHalves(attention.n_kv_heads)
            }
            _ => Self::None,
        }
    }

    /// The decoder's values from those of a file; rows are counted by `n_rows`, a multiple of what a change needs.
    pub(super) fn read(self, values: Vec<f32>, n_rows: usize) -> Vec<f32> {
        match self {
            Self::None => values,
            Self::LessOne => values.into_iter().map(|value| value - 1.0).collect(),
            _ => reordered(&values, &self.order(n_rows)),
        }
    }

    /// The values of a file from the decoder's.
    pub(super) fn write(self, values: Vec<f32>, n_rows: usize) -> Vec<f32> {
        match self {
            Self::None => values,
            Self::LessOne => values.into_iter().map(|value| value + 1.0).collect(),
            _ => {
                let order = self.order(n_rows);
                let mut inverse = vec![0; n_rows];
                order.iter().enumerate().for_each(|(to, from)| inverse[*from] = to);
                reordered(&values, &inverse)
            }
        }
    }

    /// The row of the file that becomes each row of the decoder.
    pub(super) fn order(self, n_rows: usize) -> Vec<usize> {
        match self {
            Self::None | Self::LessOne => (0..n_rows).collect(),
            Self::NeighboursToHalves(n_heads) => {
                let n_pairs = n_rows / n_heads / 2;
                let row = |head, half, pair| head * 2 * n_pairs + pair * 2 + half;
                let of_head =
                    |head| (0..2).flat_map(move |half| (0..n_pairs).map(move |pair| row(head, half, pair)));
                (0..n_heads).flat_map(of_head).collect()
            }
            Self::PartsToHeads(n_heads) => {
                let head_dim = n_rows / n_heads / 3;
                let row = |part, head, i| (part * n_heads + head) * head_dim + i;
                let of_head =
                    |head| (0..3).flat_map(move |part| (0..head_dim).map(move |i| row(part, head, i)));
                (0..n_heads).flat_map(of_head).collect()
            }
        }
    }

    /// Rows have to be a multiple of this.
    pub(super) fn rows_of(self) -> usize {
        match self {
            Self::None | Self::LessOne => 1,
            Self::NeighboursToHalves(n_heads) => 2 * n_heads,
            Self::PartsToHeads(n_heads) => 3 * n_heads,
        }
    }
}

fn reordered(values: &[f32], order: &[usize]) -> Vec<f32> {
    let width = values.len() / order.len().max(1);
    order.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heads of four: rows 0 1 2 3 of the file are pairs (0 1) (2 3); the decoder wants 0 2 | 1 3.
    #[test]
    fn rows_are_regrouped_and_back() {
        let values: Vec<f32> = (0..8).map(|x| x as f32).collect();
        let change = Change::NeighboursToHalves(2);
        let read = change.read(values.clone(), 8);
        assert_eq!(read, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert_eq!(change.write(read, 8), values);
    }

    /// Two heads of one: q₀ q₁ k₀ k₁ v₀ v₁ in the file, q₀ k₀ v₀ q₁ k₁ v₁ in the decoder.
    #[test]
    fn parts_become_heads_and_back() {
        let values: Vec<f32> = (0..6).map(|x| x as f32).collect();
        let change = Change::PartsToHeads(2);
        let read = change.read(values.clone(), 6);
        assert_eq!(read, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(change.write(read, 6), values);
    }
}
