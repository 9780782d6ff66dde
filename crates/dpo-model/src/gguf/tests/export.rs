//! What is exported reads back as it was, and what llama.cpp would not compute is refused.

use super::super::{GgmlType, GgufModel, write_model};
use crate::{
    config::{HfConfig, ParameterInfo},
    decoder::Decoder,
    error::ModelError,
    weights::WeightSource,
};
use burn::tensor::Device;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// Exports a tiny model of a family whose values count up, and opens the file; the folder goes when it is dropped.
fn exported(model_type: &str, more: Value) -> Result<(TempDir, GgufModel), ModelError> {
    let Value::Object(mut raw) = json!({
        "model_type": model_type, "vocab_size": 5, "hidden_size": 8, "num_hidden_layers": 1, "head_dim": 4,
        "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 6, "rotary_pct": 1.0,
        "max_position_embeddings": 32, "query_pre_attn_scalar": 4,
    }) else {
        unreachable!("an object")
    };
    raw.extend(more.as_object().unwrap().clone());
    let config = HfConfig::from_json(raw, Path::new("config.json")).unwrap().decoder;
    let values = |info: &ParameterInfo| {
        Ok::<_, ModelError>((0..info.shape.iter().product()).map(|idx: usize| idx as f32).collect())
    };
    let model = Decoder::from_values(&config, &Device::flex(), values)?;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let written = write_model(&path, &model, "tiny", GgmlType::F32, Vec::new());
    assert_eq!(path.exists(), written.is_ok());
    written?;
    Ok((folder, GgufModel::open(&path)?))
}

/// llama.cpp does not load GPT-NeoX and OLMo 2 without `output.weight`; read back, the copy is no head of its own.
#[test]
fn a_tied_head_is_copied_where_llama_cpp_wants_one() {
    for (model_type, is_copied) in [("gpt_neox", true), ("olmo2", true), ("llama", false)] {
        let (_folder, model) = exported(model_type, json!({ "tie_word_embeddings": true })).unwrap();
        assert!(model.config().decoder.tie_word_embeddings, "{model_type}");
        model.check(&model.config().decoder).unwrap();
        let copied = model.file().tensors().iter().any(|tensor| tensor.name == "output.weight");
        assert_eq!(copied, is_copied, "{model_type}");
    }
}

/// llama.cpp has no tensor for them, or leaves them out of what it computes.
#[test]
fn what_llama_cpp_does_not_compute_is_refused() {
    for (model_type, more, expected) in [
        ("qwen3", json!({ "attention_bias": true }), "biases after attention"),
        ("smollm3", json!({ "mlp_bias": true }), "biases after attention or in the feed-forward part"),
        ("gemma", json!({ "tie_word_embeddings": false }), "a head that is not the embedding"),
        ("phi3", json!({ "sliding_window": 7, "pad_token_id": 0 }), "a sliding window shorter"),
        ("mistral", json!({ "sliding_window": 7 }), "`layers[0].window` is 7 and would be read as null"),
        (
            "gemma2",
            json!({ "query_pre_attn_scalar": 16 }),
            "`attention.scale` is 0.25 and would be read as 0.5",
        ),
    ] {
        let error = exported(model_type, more).unwrap_err().to_string();
        assert!(error.contains(expected), "{model_type}: {error}");
    }
}
