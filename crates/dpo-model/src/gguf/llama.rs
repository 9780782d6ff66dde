//! A GGUF file of the Llama architecture as a Hugging Face model: names and order of rows.

use super::llama_config::{ROPE_FACTORS, read_config};
use super::{GgufFile, GgufTensor, GgufTokenizer, GgufValue};
use crate::config::HfConfig;
use crate::error::ModelError;
use crate::weights::{TensorInfo, WeightSource};
use std::collections::HashMap;
use std::path::Path;

/// Architectures whose tensors can be mapped.
const KNOWN_ARCHITECTURES: &str = "llama";

/// A model in a GGUF file, seen as Hugging Face has it.
#[derive(Debug)]
pub struct GgufModel {
    file: GgufFile,
    config: HfConfig,
    /// Tensors under their Hugging Face names, in the file's order.
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, Mapped>,
}

/// Where a tensor comes from.
#[derive(Debug, Clone, Copy)]
struct Mapped {
    info_idx: usize,
    file_idx: usize,
    row_order: RowOrder,
}

/// Which rows of a tensor belong to a rotated pair of dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowOrder {
    AsStored,
    /// llama.cpp rotates neighbours, Hugging Face the two halves of a head: rows of this many heads are regrouped.
    PairsToHalves(usize),
}

impl GgufModel {
    /// Reads the file's metadata and maps its tensors; no tensor is dequantised but Llama 3's rotation factors.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = GgufFile::open(path)?;
        let architecture = file.get("general.architecture").and_then(GgufValue::as_str).unwrap_or("absent");
        if architecture != "llama" {
            return Err(ModelError::UnknownFamily {
                path: path.to_path_buf(),
                found: architecture.chars().take(60).collect(),
                known: KNOWN_ARCHITECTURES.to_owned(),
            });
        }
        let config = read_config(&file)?;
        let (mut tensors, mut by_name) = (Vec::new(), HashMap::new());
        for (file_idx, tensor) in file.tensors().iter().enumerate() {
            if tensor.name == ROPE_FACTORS {
                continue;
            }
            let (name, row_order) = hugging_face_name(&tensor.name, &config);
            let mapped = Mapped { info_idx: tensors.len(), file_idx, row_order };
            if by_name.insert(name.clone(), mapped).is_some() {
                return Err(ModelError::bad_tensor(path, &tensor.name, format!("`{name}` is there already")));
            }
            tensors.push(TensorInfo {
                name,
                shape: tensor.shape.clone(),
                dtype: tensor.ggml_type.saved_as(),
            });
        }
        Ok(Self { file, config, tensors, by_name })
    }

    /// The configuration, as a `config.json` would have it.
    pub fn config(&self) -> &HfConfig {
        &self.config
    }

    /// The file as it is.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// The vocabulary and chat template.
    pub fn tokenizer(&self) -> Result<GgufTokenizer, ModelError> {
        GgufTokenizer::from_file(&self.file)
    }
}

impl WeightSource for GgufModel {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|mapped| &self.tensors[mapped.info_idx])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let not_there = || ModelError::bad_tensor(self.path(), name, "not in this file");
        let mapped = self.by_name.get(name).ok_or_else(not_there)?;
        let tensor = &self.file.tensors()[mapped.file_idx];
        let values = self.file.read_f32(tensor)?;
        match mapped.row_order {
            RowOrder::AsStored => Ok(values),
            RowOrder::PairsToHalves(n_heads) => pairs_to_halves(self.path(), tensor, &values, n_heads),
        }
    }
}

/// Undoes llama.cpp's permutation: row `(head, i, half)` becomes row `(head, half, i)`.
fn pairs_to_halves(
    path: &Path,
    tensor: &GgufTensor,
    values: &[f32],
    n_heads: usize,
) -> Result<Vec<f32>, ModelError> {
    let n_rows = tensor.shape.first().copied().unwrap_or(0);
    if n_rows == 0 || !n_rows.is_multiple_of(2 * n_heads) {
        let problem = format!("has {n_rows} rows, expected an even number for each of {n_heads} heads");
        return Err(ModelError::bad_tensor(path, &tensor.name, problem));
    }
    let (row_len, n_pairs) = (values.len() / n_rows, n_rows / n_heads / 2);
    let mut out = Vec::with_capacity(values.len());
    for head in 0..n_heads {
        for half in 0..2 {
            for pair in 0..n_pairs {
                let row = head * 2 * n_pairs + pair * 2 + half;
                out.extend_from_slice(&values[row * row_len..(row + 1) * row_len]);
            }
        }
    }
    Ok(out)
}

/// The Hugging Face name of a llama.cpp tensor; an unknown one keeps its own, so that it is reported by it.
fn hugging_face_name(name: &str, config: &HfConfig) -> (String, RowOrder) {
    let decoder = &config.decoder;
    let unknown = (name.to_owned(), RowOrder::AsStored);
    let Some((stem, kind)) = name.rsplit_once('.').filter(|(_, kind)| ["weight", "bias"].contains(kind))
    else {
        return unknown;
    };
    let outer = match stem {
        "token_embd" => Some("model.embed_tokens"),
        "output_norm" => Some("model.norm"),
        "output" => Some("lm_head"),
        _ => None,
    };
    if let Some(outer) = outer {
        return (format!("{outer}.{kind}"), RowOrder::AsStored);
    }
    let Some((layer, part)) = stem.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
        return unknown;
    };
    let (part, row_order) = match part {
        "attn_norm" => ("input_layernorm", RowOrder::AsStored),
        "attn_q" => ("self_attn.q_proj", RowOrder::PairsToHalves(decoder.attention.n_heads)),
        "attn_k" => ("self_attn.k_proj", RowOrder::PairsToHalves(decoder.attention.n_kv_heads)),
        "attn_v" => ("self_attn.v_proj", RowOrder::AsStored),
        "attn_output" => ("self_attn.o_proj", RowOrder::AsStored),
        "ffn_norm" => ("post_attention_layernorm", RowOrder::AsStored),
        "ffn_gate" => ("mlp.gate_proj", RowOrder::AsStored),
        "ffn_up" => ("mlp.up_proj", RowOrder::AsStored),
        "ffn_down" => ("mlp.down_proj", RowOrder::AsStored),
        _ => return unknown,
    };
    (format!("model.layers.{layer}.{part}.{kind}"), row_order)
}
