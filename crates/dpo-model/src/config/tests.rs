#![allow(clippy::unwrap_used)]
//! Configurations good and bad, and rotation frequencies against transformers.

use super::*;
use crate::error::ModelError;
use serde_json::{Map, Value, json};
use std::path::Path;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("an object") };
    map
}

fn small() -> Map<String, Value> {
    object(json!({
        "model_type": "llama", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "rms_norm_eps": 1e-5,
    }))
}

fn parse(raw: Map<String, Value>) -> Result<DecoderConfig, ModelError> {
    HfConfig::from_json(raw, Path::new("config.json")).map(|config| config.decoder)
}

fn with(changes: Value) -> Result<DecoderConfig, ModelError> {
    let mut raw = small();
    raw.extend(object(changes));
    parse(raw)
}

/// tests/golden/rope.json holds what transformers 5.23 computes; `rope.py` beside it made it.
#[test]
fn frequencies_are_those_of_transformers() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../tests/golden/rope.json")).unwrap();
    for (case_idx, case) in cases.iter().enumerate() {
        let config = parse(object(case["config"].clone())).unwrap();
        let RopeFrequencies { inv_freq, attention_scaling } = config.ropes[0].frequencies(0);
        let expected: Vec<f32> =
            case["inv_freq"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        assert_eq!(inv_freq.len(), expected.len(), "case {case_idx}");
        for (found, expected) in inv_freq.iter().zip(&expected) {
            // torch's vectorised `pow` is within one unit in the last place, and so are the products after it.
            let tolerance = 3.0 * f32::EPSILON * expected.abs();
            assert!((found - expected).abs() <= tolerance, "case {case_idx}: {found:e} {expected:e}");
        }
        let expected = case["attention_scaling"].as_f64().unwrap() as f32;
        assert_eq!(attention_scaling.to_bits(), expected.to_bits(), "case {case_idx}");
    }
}

#[test]
fn both_spellings_give_the_same_configuration() {
    let new = json!({
        "dtype": "bfloat16",
        "rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0},
    });
    let old = json!({
        "torch_dtype": "bfloat16", "rope_theta": 5e5,
        "rope_scaling": {"type": "linear", "factor": 2.0},
    });
    let (new, old) = (with(new).unwrap(), with(old).unwrap());
    assert_eq!(new, old);
    assert_eq!(
        new.ropes[0],
        RopeConfig { theta: 5e5, rotated: 8, variant: RopeVariant::Linear { factor: 2.0 } }
    );
    assert_eq!(new.weight_dtype, Some(WeightDtype::Bf16));
}

#[test]
fn absent_keys_take_the_defaults_of_transformers() {
    let mut raw = small();
    raw.retain(|key, _| !["num_key_value_heads", "rms_norm_eps"].contains(&key.as_str()));
    let config = parse(raw).unwrap();
    assert_eq!(
        (config.attention.n_kv_heads, config.attention.head_dim, config.max_position_embeddings),
        (4, 8, 2048)
    );
    assert_eq!((config.norm.epsilon, config.tie_word_embeddings), (1e-6, false));
    assert_eq!((config.bos_token_id, config.eos_token_ids, config.pad_token_id), (Some(1), vec![2], None));
    assert_eq!(config.ropes[0], RopeConfig { theta: 10_000.0, rotated: 8, variant: RopeVariant::Default });
}

#[test]
fn end_of_text_may_be_several_tokens() {
    assert_eq!(with(json!({"eos_token_id": [7, 9]})).unwrap().eos_token_ids, [7, 9]);
    assert!(with(json!({"eos_token_id": null})).unwrap().eos_token_ids.is_empty());
    assert_eq!(with(json!({"pad_token_id": -1})).unwrap().pad_token_id, None);
}

/// Each nonsense is blamed on its key, with the value that was found.
#[test]
fn nonsense_is_named() {
    for (changes, key, found) in [
        (json!({"num_attention_heads": 0}), "num_attention_heads", "0"),
        (json!({"hidden_size": 33}), "hidden_size", "33"),
        (json!({"vocab_size": 0}), "vocab_size", "0"),
        (json!({"num_hidden_layers": 1_000_000_000_000_u64}), "num_hidden_layers", "1000000000000"),
        (json!({"hidden_size": -32}), "hidden_size", "-32"),
        (json!({"vocab_size": "many"}), "vocab_size", "\"many\""),
        (json!({"vocab_size": 1.5}), "vocab_size", "1.5"),
        (json!({"intermediate_size": null}), "intermediate_size", "null"),
        (json!({"rms_norm_eps": 0.0}), "rms_norm_eps", "0.0"),
        (json!({"rms_norm_eps": "NaN"}), "rms_norm_eps", "\"NaN\""),
        (json!({"num_key_value_heads": 3}), "num_key_value_heads", "3"),
        (json!({"num_key_value_heads": 8}), "num_key_value_heads", "8"),
        (json!({"head_dim": 7}), "head_dim", "7"),
        (json!({"tie_word_embeddings": "yes"}), "tie_word_embeddings", "\"yes\""),
        (json!({"hidden_act": "mish"}), "hidden_act", "\"mish\""),
        (json!({"eos_token_id": 100}), "eos_token_id", "100"),
        (json!({"eos_token_id": [1, "x"]}), "eos_token_id", "a list of 2"),
        (json!({"dtype": "float8_e4m3fn"}), "dtype", "\"float8_e4m3fn\""),
        (json!({"quantization_config": {"bits": 4}}), "quantization_config", "an object with 1 keys"),
        (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor", "0.5"),
        (json!({"rope_theta": -1}), "rope_theta", "-1"),
        (json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}}), "rope_scaling.type", "\"dynamic\""),
        (json!({"rope_scaling": {"type": "linear"}}), "rope_scaling.factor", "absent"),
        (json!({"rope_parameters": [1]}), "rope_parameters", "a list of 1"),
    ] {
        let error = with(changes.clone()).unwrap_err();
        let ModelError::Config { key: blamed, found: shown, .. } = &error else {
            panic!("{changes}: {error}")
        };
        assert_eq!((blamed.as_str(), shown.as_str()), (key, found), "{error}");
    }
}

#[test]
fn another_family_is_refused_with_those_known() {
    let error = with(json!({"model_type": "mamba"})).unwrap_err().to_string();
    assert!(
        error.starts_with("config.json: the architecture is `mamba`, known here: llama, mistral, "),
        "{error}"
    );
}

#[test]
fn broken_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let deep = "[".repeat(100_000);
    let bad = [
        b"".as_slice(),
        b"{\"a\": NaN}",
        b"\xff\xfe{}",
        b"[]",
        b"\"x\"",
        b"{\"model_type\": ",
        deep.as_bytes(),
    ];
    for bytes in bad {
        std::fs::write(&path, bytes).unwrap();
        HfConfig::read(&path).unwrap_err();
    }
    HfConfig::read(folder.path()).unwrap_err();
    HfConfig::read(&folder.path().join("absent")).unwrap_err();
}

#[test]
fn tensors_follow_from_the_configuration() {
    let config = with(json!({"attention_bias": true, "tie_word_embeddings": true})).unwrap();
    let tensors = config.expected_tensors();
    // Embedding, 2 × (7 weights + 4 biases + 2 norms), last norm.
    assert_eq!(tensors.len(), 1 + 2 * 13 + 1);
    let shape = |name: &str| tensors.iter().find(|tensor| tensor.name == name).unwrap().shape.clone();
    assert_eq!(shape("model.layers.1.self_attn.k_proj.weight"), [16, 32]);
    assert_eq!(shape("model.layers.1.self_attn.k_proj.bias"), [16]);
    assert_eq!(shape("model.layers.0.mlp.down_proj.weight"), [32, 48]);
}
