#![allow(clippy::unwrap_used)]
//! GGUF files real, made and mutated, against gguf-py and the Hugging Face folder of the same model.

mod blocks;
mod damage;
mod export;
mod writer;

use super::*;
use crate::config::{HfConfig, RopeVariant};
use crate::weights::{HfFolder, WeightSource};
use proptest::prelude::*;
use std::path::PathBuf;

/// Builds small GGUF files.
struct Builder {
    metadata: Vec<u8>,
    n_metadata: u64,
    infos: Vec<u8>,
    n_tensors: u64,
    data: Vec<u8>,
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

impl Builder {
    fn new() -> Self {
        Self { metadata: Vec::new(), n_metadata: 0, infos: Vec::new(), n_tensors: 0, data: Vec::new() }
    }

    fn raw(mut self, key: &str, code: u32, value: &[u8]) -> Self {
        self.metadata.extend(text(key));
        self.metadata.extend(code.to_le_bytes());
        self.metadata.extend(value);
        self.n_metadata += 1;
        self
    }

    fn string(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &text(value))
    }

    fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    fn info(mut self, name: &str, sizes: &[u64], code: u32, offset: u64) -> Self {
        self.infos.extend(text(name));
        self.infos.extend((sizes.len() as u32).to_le_bytes());
        self.infos.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        self.infos.extend(code.to_le_bytes());
        self.infos.extend(offset.to_le_bytes());
        self.n_tensors += 1;
        self
    }

    /// An F32 tensor; `sizes` are innermost first, as in the file.
    fn tensor(mut self, name: &str, sizes: &[u64], values: &[f32]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        let offset = self.data.len() as u64;
        self.data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.info(name, sizes, 0, offset)
    }

    fn build(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(self.n_tensors.to_le_bytes());
        bytes.extend(self.n_metadata.to_le_bytes());
        bytes.extend(&self.metadata);
        bytes.extend(&self.infos);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

/// A Llama of one layer: width 4, two query heads of 2, one key head, inner width 2, three tokens.
fn small_llama() -> Builder {
    let count = |n: usize| (0..n).map(|i| i as f32).collect::<Vec<_>>();
    let tokens =
        [8u32.to_le_bytes().to_vec(), 3u64.to_le_bytes().to_vec(), text("<s>"), text("a"), text("b")]
            .concat();
    let (names, sizes): (Vec<_>, Vec<[u64; 2]>) = [
        ("attn_q", [4, 4]),
        ("attn_k", [4, 2]),
        ("attn_v", [4, 2]),
        ("attn_output", [4, 4]),
        ("ffn_gate", [4, 2]),
        ("ffn_up", [4, 2]),
        ("ffn_down", [2, 4]),
    ]
    .into_iter()
    .unzip();
    let builder = Builder::new()
        .string("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.context_length", 16)
        .u32("llama.embedding_length", 4)
        .u32("llama.feed_forward_length", 2)
        .u32("llama.attention.head_count", 2)
        .u32("llama.attention.head_count_kv", 1)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .u32("tokenizer.ggml.bos_token_id", 0)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .raw("tokenizer.ggml.tokens", 9, &tokens)
        .string("tokenizer.ggml.model", "gpt2")
        .tensor("token_embd.weight", &[4, 3], &count(12))
        .tensor("output_norm.weight", &[4], &count(4))
        .tensor("blk.0.attn_norm.weight", &[4], &count(4))
        .tensor("blk.0.ffn_norm.weight", &[4], &count(4));
    names.iter().zip(sizes).fold(builder, |builder, (name, sizes)| {
        let n_values = (sizes[0] * sizes[1]) as usize;
        builder.tensor(&format!("blk.0.{name}.weight"), &sizes, &count(n_values))
    })
}

struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn write(bytes: &[u8]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    std::fs::write(&path, bytes).unwrap();
    Written { _folder: folder, path }
}

fn open_error(bytes: &[u8]) -> String {
    GgufFile::open(&write(bytes).path).unwrap_err().to_string()
}

#[test]
fn a_llama_is_seen_as_hugging_face_has_it() {
    let written = write(&small_llama().build());
    let model = GgufModel::open(&written.path).unwrap();
    let decoder = &model.config().decoder;
    assert_eq!((decoder.vocab_size, decoder.attention.head_dim, decoder.attention.n_kv_heads), (3, 2, 1));
    assert_eq!((decoder.norm.epsilon, decoder.tie_word_embeddings), (1e-5, true));
    assert_eq!((decoder.bos_token_id, decoder.eos_token_ids.as_slice()), (Some(0), [2].as_slice()));
    model.check(decoder).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    assert_eq!(tokenizer.tokens, ["<s>", "a", "b"]);
    assert_eq!((tokenizer.model.as_str(), tokenizer.eos, tokenizer.pad), ("gpt2", Some(2), None));
}

/// One query head of 4: llama.cpp's rows 0 1 2 3 are the pairs (0, 1) and (2, 3); first halves are 0 and 2.
#[test]
fn rows_of_pairs_become_rows_of_halves() {
    let bytes = Builder::new()
        .string("general.architecture", "llama")
        .u32("llama.block_count", 1)
        .u32("llama.context_length", 16)
        .u32("llama.embedding_length", 4)
        .u32("llama.feed_forward_length", 2)
        .u32("llama.attention.head_count", 1)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .tensor("token_embd.weight", &[4, 3], &[0.0; 12])
        .tensor("blk.0.attn_q.bias", &[4], &[0.0, 1.0, 2.0, 3.0])
        .build();
    let written = write(&bytes);
    let model = GgufModel::open(&written.path).unwrap();
    assert_eq!(model.read_f32("model.layers.0.self_attn.q_proj.bias").unwrap(), [0.0, 2.0, 1.0, 3.0]);
}

#[test]
fn a_head_of_its_own_unties() {
    let bytes = small_llama().tensor("output.weight", &[4, 3], &[0.0; 12]).build();
    let written = write(&bytes);
    let model = GgufModel::open(&written.path).unwrap();
    assert!(!model.config().decoder.tie_word_embeddings);
    model.check(&model.config().decoder).unwrap();
}

/// Llama 3.2 1B: factor 32, theta 500,000, heads of 64; the divisors are those of its `config.json`.
#[test]
fn llama_3_s_factors_are_recognised() {
    let llama3 = serde_json::json!({
        "model_type": "llama", "vocab_size": 9, "hidden_size": 128, "num_hidden_layers": 1, "intermediate_size": 2,
        "num_attention_heads": 2, "rope_theta": 5e5,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192},
    });
    let serde_json::Value::Object(mut raw) = llama3 else { panic!() };
    let stretched = HfConfig::from_json(raw.clone(), Path::new("x")).unwrap().decoder;
    raw.remove("rope_scaling");
    let plain = HfConfig::from_json(raw, Path::new("x")).unwrap().decoder;
    let frequencies = |config: &crate::config::DecoderConfig| config.ropes[0].frequencies(0).inv_freq;
    let factors: Vec<f32> = frequencies(&plain)
        .iter()
        .zip(frequencies(&stretched))
        .map(|(plain, stretched)| plain / stretched)
        .collect();
    let with_factors = |factors: &[f32]| {
        let bytes = Builder::new()
            .string("general.architecture", "llama")
            .u32("llama.block_count", 1)
            .u32("llama.context_length", 16)
            .u32("llama.embedding_length", 128)
            .u32("llama.feed_forward_length", 2)
            .u32("llama.attention.head_count", 2)
            .f32("llama.rope.freq_base", 5e5)
            .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
            .tensor("token_embd.weight", &[128, 9], &[0.0; 128 * 9])
            .tensor("rope_freqs.weight", &[32], factors)
            .build();
        GgufModel::open(&write(&bytes).path).map(|model| model.config().decoder.ropes[0].clone())
    };
    assert_eq!(with_factors(&factors).unwrap(), stretched.ropes[0]);
    assert!(matches!(stretched.ropes[0].variant, RopeVariant::Llama3(_)));
    with_factors(&[2.0; 32]).unwrap_err();
}

#[test]
fn hostile_files_are_named() {
    let good = || Builder::new().u32("a", 1);
    let huge = u64::MAX.to_le_bytes();
    let nested: Vec<u8> =
        std::iter::repeat_n([9u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat(), 50)
            .flatten()
            .collect();
    for (builder, expected) in [
        (good().raw("b", 77, &[]), "`b` has the unknown type 77"),
        (good().raw("b", 8, &huge), "bytes for b"),
        (good().raw("b", 9, &[&4u32.to_le_bytes()[..], &huge].concat()), "values of `b`"),
        (good().raw("b", 9, &[&8u32.to_le_bytes()[..], &huge].concat()), "values of `b`"),
        (good().raw("b", 9, &nested), "`b` is nested more than 4 deep"),
        (good().raw("b", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), "is not UTF-8"),
        (good().u32("a", 2), "has the metadata key `a` twice"),
        (good().u32("general.alignment", 0), "`general.alignment` is 0"),
        (good().u32("general.alignment", 48), "`general.alignment` is 48"),
        (good().info("t", &[1 << 20], 0, 0), "tensor `t`: 4194304 bytes at offset 0"),
        (good().info("t", &[u64::MAX, 2], 0, 0), "tensor `t`: sizes"),
        (good().info("t", &[1, 1, 1, 1, 1], 0, 0), "tensor `t`: has 5 axes"),
        (good().info("t", &[0], 0, u64::MAX), "tensor `t`: 0 bytes at offset"),
        (good().info("t", &[256], 16, 0), "tensor `t`: has type IQ (16), known here: F32, F16, BF16, Q4_0"),
        (good().info("t", &[256], 200, 0), "tensor `t`: has type 200, which is none of ggml's"),
        (good().info("t", &[33], 8, 0), "tensor `t`: rows of 33 values are no whole Q8_0 blocks of 32"),
        (good().tensor("t", &[2], &[1.0; 2]).info("u", &[2], 0, 0), "overlaps"),
        (good().tensor("t", &[2], &[1.0; 2]).info("u", &[1], 0, 4), "tensor `u`: offset 4 is no multiple"),
        (good().tensor("t", &[2], &[1.0; 2]).tensor("t", &[2], &[1.0; 2]), "tensor `t`: is there twice"),
    ] {
        let error = open_error(&builder.build());
        assert!(error.contains(expected), "{expected} — {error}");
    }
    assert!(open_error(b"").contains("it is cut off"));
    assert!(open_error(b"GGML\0\0\0\0").contains("no GGUF file"));
    assert!(open_error(b"GGUF\x01\0\0\0").contains("version 1"));
    assert!(open_error(b"GGUF\0\0\0\x03").contains("big endian"));
    let mut many = good().build();
    many[8..16].copy_from_slice(&huge);
    assert!(open_error(&many).contains("tensors at byte"));
}

#[test]
fn other_architectures_and_settings_are_refused() {
    let open = |builder: Builder| GgufModel::open(&write(&builder.build()).path).unwrap_err().to_string();
    let error = open(Builder::new().string("general.architecture", "mamba"));
    assert!(error.contains("`mamba`, known here: llama, qwen2"), "{error}");
    assert!(open(Builder::new()).contains("`absent`"));
    let error = open(Builder::new().string("general.architecture", "llama"));
    assert!(error.contains("`llama."), "{error}");
    let error = open(small_llama().string("llama.rope.scaling.type", "dynamic"));
    assert!(error.contains("`none`, `linear`, `yarn` or `longrope`"), "{error}");
    let error = open(small_llama().u32("llama.attention.key_length", 2).u32("llama.rope.dimension_count", 1));
    assert!(error.contains("`llama.rope.dimension_count` is 1"), "{error}");
}

/// The same model as a Hugging Face folder and as GGUF: every value is equal.
#[test]
fn stories260k_equals_its_hugging_face_folder() {
    use crate::weights::tests::shared;
    let (Some(gguf), Some(folder)) = (shared("models/stories260k.gguf"), shared("models/stories260k")) else {
        return;
    };
    let (model, folder) = (GgufModel::open(&gguf).unwrap(), HfFolder::open(&folder).unwrap());
    let original = HfConfig::read(&folder.path().join("config.json")).unwrap().decoder;
    assert_eq!(model.config().decoder, original);
    let expected = original.expected_tensors();
    model.check(&original).unwrap();
    let mut largest = 0.0f32;
    for tensor in &expected {
        let (a, b) = (model.read_f32(&tensor.name).unwrap(), folder.read_f32(&tensor.name).unwrap());
        largest = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(largest, f32::max);
    }
    assert!(largest.abs() < f32::MIN_POSITIVE, "largest difference: {largest:e}");
}

/// SmolLM2-135M-Instruct in Q4_1, at `$DPO_SMOLLM2` (the file or its folder).
#[test]
fn smollm2_fits_its_configuration() {
    let Some(path) = std::env::var_os("DPO_SMOLLM2").map(PathBuf::from) else {
        println!("skipped: $DPO_SMOLLM2 is absent");
        return;
    };
    let gguf = |path: &PathBuf| path.extension().is_some_and(|end| end == "gguf");
    let path = if path.is_dir() {
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).find(gguf).unwrap()
    } else {
        path
    };
    let model = GgufModel::open(&path).unwrap();
    let decoder = &model.config().decoder;
    model.check(decoder).unwrap();
    assert_eq!((decoder.vocab_size, decoder.d_model, decoder.n_layers()), (49152, 576, 30));
    assert_eq!(
        (decoder.attention.n_heads, decoder.attention.n_kv_heads, decoder.attention.head_dim),
        (9, 3, 64)
    );
    assert_eq!((decoder.norm.epsilon, decoder.ropes[0].theta), (1e-5, 1e5));
    assert_eq!((decoder.pad_token_id, decoder.eos_token_ids.as_slice()), (Some(2), [2].as_slice()));
    let tokenizer = model.tokenizer().unwrap();
    assert_eq!((tokenizer.pre.as_deref(), tokenizer.tokens.len()), (Some("smollm"), 49152));
    assert!(tokenizer.chat_template.unwrap().contains("<|im_start|>"));
}

/// Reads what can be read, and tells whether anything could.
fn read_everything(bytes: &[u8]) -> bool {
    let written = write(bytes);
    let file = GgufFile::open(&written.path);
    if let Ok(file) = &file {
        for tensor in file.tensors() {
            // The densest type has 256 values in 84 bytes.
            let values = file.read_f32(tensor).unwrap();
            assert!(values.len() <= bytes.len() * 4);
        }
    }
    if let Ok(model) = GgufModel::open(&written.path) {
        let _ = model.tokenizer();
        let _ = model.check(&model.config().decoder);
        for tensor in model.tensors() {
            let _ = model.read_f32(&tensor.name);
        }
    }
    file.is_ok()
}

/// Every single byte of a small model replaced in three ways, and the file cut at every place.
#[test]
fn every_byte_can_be_wrong() {
    let good = small_llama().build();
    for at in 0..good.len() {
        for change in [0xff, good[at] ^ 1, good[at] ^ 0x80] {
            let mut bytes = good.clone();
            bytes[at] = change;
            read_everything(&bytes);
        }
        read_everything(&good[..at]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn mutated_files_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = small_llama().build();
        for (at, value) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        read_everything(&bytes);
    }
}
