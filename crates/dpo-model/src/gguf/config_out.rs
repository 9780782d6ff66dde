//! The metadata that llama.cpp computes a decoder from.

use super::architecture::Architecture;
use super::{GgmlType, GgufValue};
use crate::config::{DecoderConfig, NormKind, Residual, RopeConfig, RopeVariant};
use crate::error::ModelError;

/// A list of metadata that grows.
struct Metadata {
    architecture: &'static str,
    values: Vec<(String, GgufValue)>,
}

impl Metadata {
    fn global(&mut self, key: &str, value: GgufValue) {
        self.values.push((key.to_owned(), value));
    }

    fn put(&mut self, key: &str, value: GgufValue) {
        self.values.push((format!("{}.{key}", self.architecture), value));
    }

    fn count(&mut self, key: &str, value: usize) {
        self.put(key, GgufValue::Uint32(value as u32));
    }

    fn number(&mut self, key: &str, value: f64) {
        self.put(key, GgufValue::Float32(value as f32));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.put(key, GgufValue::String(value.to_owned()));
    }
}

/// The architecture of a decoder; an error where llama.cpp has none.
pub(super) fn architecture(config: &DecoderConfig) -> Result<&'static Architecture, ModelError> {
    let model_type = config.family.model_type();
    Architecture::of_family(model_type)
        .ok_or_else(|| ModelError::NotInGguf { what: format!("the family `{model_type}`") })
}

/// Everything about the model but its tokenizer.
pub(super) fn model_metadata(
    config: &DecoderConfig,
    name: &str,
    matrices: GgmlType,
) -> Result<Vec<(String, GgufValue)>, ModelError> {
    let mut metadata = Metadata { architecture: architecture(config)?.name, values: Vec::new() };
    let text = |text: &str| GgufValue::String(text.to_owned());
    metadata.global("general.architecture", text(metadata.architecture));
    metadata.global("general.type", text("model"));
    metadata.global("general.name", text(name));
    metadata.global("general.file_type", GgufValue::Uint32(file_type(matrices)));
    metadata.global("general.quantization_version", GgufValue::Uint32(2));
    put_sizes(&mut metadata, config);
    put_particulars(&mut metadata, config);
    if let Some(rope) = config.ropes.first() {
        put_rope(&mut metadata, rope, config.max_position_embeddings);
    }
    Ok(metadata.values)
}

/// llama.cpp's number for what most matrices are stored as.
fn file_type(matrices: GgmlType) -> u32 {
    match matrices {
        GgmlType::F32 => 0,
        GgmlType::Q4_0 => 2,
        GgmlType::Q8_0 => 7,
        GgmlType::Bf16 => 32,
        _ => 1,
    }
}

fn put_sizes(metadata: &mut Metadata, config: &DecoderConfig) {
    let attention = &config.attention;
    metadata.count("context_length", config.max_position_embeddings);
    metadata.count("embedding_length", config.d_model);
    metadata.count("feed_forward_length", config.feed_forward.d_ff);
    metadata.count("block_count", config.n_layers());
    metadata.count("attention.head_count", attention.n_heads);
    metadata.count("attention.head_count_kv", attention.n_kv_heads);
    metadata.count("attention.key_length", attention.head_dim);
    metadata.count("attention.value_length", attention.head_dim);
    metadata.count("vocab_size", config.vocab_size);
    let epsilon = match config.norm.kind {
        NormKind::Layer => "attention.layer_norm_epsilon",
        NormKind::Rms | NormKind::RmsOnePlus => "attention.layer_norm_rms_epsilon",
    };
    metadata.number(epsilon, config.norm.epsilon);
}

fn put_particulars(metadata: &mut Metadata, config: &DecoderConfig) {
    if let Some(window) = config.layers.iter().find_map(|layer| layer.window) {
        metadata.count("attention.sliding_window", window);
    }
    if let Some(cap) = config.attention.softcap {
        metadata.number("attn_logit_softcapping", cap);
    }
    if let Some(cap) = config.logit_softcap {
        metadata.number("final_logit_softcapping", cap);
    }
    match metadata.architecture {
        "granite" => {
            metadata.number("attention.scale", config.attention.scale);
            metadata.number("embedding_scale", config.multipliers.embedding);
            metadata.number("residual_scale", config.multipliers.residual);
            metadata.number("logit_scale", config.multipliers.logit_divisor);
        }
        "gptneox" => {
            let is_parallel = config.residual == Residual::Parallel;
            metadata.put("use_parallel_residual", GgufValue::Bool(is_parallel));
        }
        _ => {}
    }
}

fn put_rope(metadata: &mut Metadata, rope: &RopeConfig, max_positions: usize) {
    metadata.number("rope.freq_base", rope.theta);
    metadata.count("rope.dimension_count", rope.rotated);
    match &rope.variant {
        // Llama 3's stretching is a tensor.
        RopeVariant::Default | RopeVariant::Llama3(_) => {
            if metadata.architecture == "phi3" {
                metadata.count("rope.scaling.original_context_length", max_positions);
            }
        }
        RopeVariant::Linear { factor } => {
            metadata.text("rope.scaling.type", "linear");
            metadata.number("rope.scaling.factor", *factor);
        }
        RopeVariant::Yarn(yarn) => {
            metadata.text("rope.scaling.type", "yarn");
            metadata.number("rope.scaling.factor", yarn.factor);
            let original = yarn.original_max_position_embeddings as usize;
            metadata.count("rope.scaling.original_context_length", original);
        }
        RopeVariant::Long(long) => {
            let original = long.original_max_position_embeddings as usize;
            metadata.count("rope.scaling.original_context_length", original);
            metadata.number("rope.scaling.attn_factor", long.attention_factor);
        }
    }
}

/// Factors of the frequencies that are stored as tensors: name and values.
pub(super) fn rope_tensors(config: &DecoderConfig) -> Vec<(&'static str, Vec<f32>)> {
    let Some(rope) = config.ropes.first() else { return Vec::new() };
    let floats = |values: &[f64]| values.iter().map(|value| *value as f32).collect();
    match &rope.variant {
        RopeVariant::Llama3(_) => {
            let plain = RopeConfig { variant: RopeVariant::Default, ..rope.clone() }.frequencies(0).inv_freq;
            let stretched = rope.frequencies(0).inv_freq;
            vec![("rope_freqs.weight", plain.iter().zip(&stretched).map(|(a, b)| a / b).collect())]
        }
        RopeVariant::Long(long) => vec![
            ("rope_factors_long.weight", floats(&long.long_factor)),
            ("rope_factors_short.weight", floats(&long.short_factor)),
        ],
        _ => Vec::new(),
    }
}
