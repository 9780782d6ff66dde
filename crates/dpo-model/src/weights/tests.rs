#![allow(clippy::unwrap_used)]
//! Folders good, broken and hostile; what is written is what the format's own library reads.

use super::*;
use crate::config::HfConfig;
use ::safetensors::{Dtype, SafeTensors, tensor::TensorView};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::path::PathBuf;

/// The development copy of shared test files: `$DPO_SHARED`, or `shared` beside the workspace.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("DPO_SHARED").map_or(beside, PathBuf::from).join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

fn file_with(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn open_bytes(bytes: &[u8]) -> Result<SafetensorsFile, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, bytes).unwrap();
    SafetensorsFile::open(&path)
}

fn write_model(path: &Path, tensors: &[(&str, &[f32])]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, values), bytes)| {
        (*name, TensorView::new(Dtype::F32, vec![values.len()], bytes).unwrap())
    });
    std::fs::write(path, ::safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn every_format_is_read_as_the_library_wrote_it() {
    let values = [1.5f32, -2.0, 0.25, 3.0e-3];
    let halves: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let brains: Vec<u8> = values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
    let singles: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let doubles: Vec<u8> = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    let view = |dtype, bytes| TensorView::new(dtype, vec![2, 2], bytes).unwrap();
    let views = vec![
        ("f16", view(Dtype::F16, &halves)),
        ("bf16", view(Dtype::BF16, &brains)),
        ("f32", view(Dtype::F32, &singles)),
        ("f64", view(Dtype::F64, &doubles)),
    ];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), ::safetensors::serialize(views, None).unwrap())
        .unwrap();
    let model = HfFolder::open(folder.path()).unwrap();
    assert_eq!(model.read_f32("f32").unwrap(), values);
    assert_eq!(model.read_f32("f64").unwrap(), values);
    assert_eq!(model.read_f32("f16").unwrap(), values.map(|v| half::f16::from_f32(v).to_f32()));
    assert_eq!(model.read_f32("bf16").unwrap(), values.map(|v| half::bf16::from_f32(v).to_f32()));
    assert_eq!(model.info("bf16").unwrap().shape, [2, 2]);
    model.read_f32("absent").unwrap_err();
}

/// Each file is wrong in one way and its error says which tensor and what.
#[test]
fn hostile_headers_are_named() {
    let f32s = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let (a, b) = (f32s("a", "[2]", "[0,8]"), f32s("b", "[1]", "[8,12]"));
    assert_eq!(open_bytes(&file_with(&format!("{{{a},{b}}}"), &[0; 12])).unwrap().tensors().len(), 2);
    for (header, data, expected) in [
        (format!("{{{a},{}}}", f32s("b", "[2]", "[4,12]")), 12, "tensor `b`: begins at 4 and overlaps"),
        (format!("{{{a},{}}}", f32s("b", "[1]", "[12,16]")), 16, "tensor `b`: begins at 12 and leaves a gap"),
        (format!("{{{a},{b}}}"), 11, "tensor `b`: ends at byte 12 of 11"),
        (format!("{{{a},{b}}}"), 13, "1 bytes after the last tensor"),
        (format!("{{{a},{}}}", f32s("a", "[1]", "[8,12]")), 12, "not valid JSON"),
        (format!("{{{}}}", f32s("a", "[3]", "[0,8]")), 8, "tensor `a`: F32 [3] takes 12 bytes"),
        (format!("{{{}}}", f32s("a", "[2]", "[8,0]")), 8, "tensor `a`: F32 [2] takes 8 bytes"),
        (format!("{{{}}}", f32s("a", "[-2]", "[0,8]")), 8, "tensor `a`: `shape`"),
        (format!("{{{}}}", f32s("a", "2", "[0,8]")), 8, "tensor `a`: `shape`"),
        (format!("{{{}}}", f32s("a", "[2]", "[0,8,9]")), 8, "tensor `a`: `data_offsets`"),
        (format!("{{{}}}", f32s("a", "[4294967296,4294967296,4]", "[0,8]")), 8, "tensor `a`: shape"),
        (format!("{{{}}}", a.replace("F32", "F8_E4M3")), 8, "tensor `a`: dtype \"F8_E4M3\""),
        (r#"{"a":7}"#.to_owned(), 0, "tensor `a`: no `dtype`"),
        ("[1,2]".to_owned(), 0, "not valid JSON"),
        ("{".repeat(50_000), 0, "not valid JSON"),
    ] {
        let error = open_bytes(&file_with(&header, &vec![0; data])).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected} — {error}");
    }
    for bytes in [&[][..], &[0; 7], &[0xff; 64], &100u64.to_le_bytes()] {
        open_bytes(bytes).unwrap_err();
    }
}

#[test]
fn shards_are_found_through_the_index_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_model(&path("a.safetensors"), &[("x", &[1.0, 2.0])]);
    write_model(&path("b.safetensors"), &[("y", &[3.0])]);
    let index = |map: Value| {
        std::fs::write(
            path("model.safetensors.index.json"),
            json!({"metadata": {}, "weight_map": map}).to_string(),
        )
        .unwrap();
        HfFolder::open(folder.path())
    };
    let model = index(json!({"x": "a.safetensors", "y": "b.safetensors"})).unwrap();
    assert_eq!(model.read_f32("y").unwrap(), [3.0]);
    for (map, expected) in [
        (
            json!({"x": "a.safetensors", "y": "c.safetensors", "z": "d.safetensors"}),
            "missing shards: c.safetensors, d",
        ),
        (json!({"x": "../a.safetensors"}), "tensor `x`: its file is \"../a.safetensors\""),
        (json!({"x": "/a.safetensors"}), "tensor `x`: its file is \"/a.safetensors\""),
        (json!({"x": "sub/../../a.safetensors"}), "tensor `x`: its file"),
        (json!({"x": "..\\a.safetensors"}), "tensor `x`: its file"),
        (json!({"x": 3}), "tensor `x`: its file is 3"),
        (json!({"x": ""}), "tensor `x`: its file"),
        (json!({"x": "a.safetensors", "y": "a.safetensors"}), "tensor `y`: not in `a.safetensors`"),
        (json!([]), "not valid JSON"),
    ] {
        let error = index(map).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected} — {error}");
    }
    write_model(&path("b.safetensors"), &[("x", &[3.0])]);
    let error = index(json!({"x": "a.safetensors", "y": "b.safetensors"})).unwrap_err().to_string();
    assert!(error.contains("tensor `x`: also in"), "{error}");
}

#[test]
fn pickles_are_refused_and_empty_folders_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(HfFolder::open(folder.path()), Err(ModelError::NoWeights { .. })));
    std::fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02.").unwrap();
    let error = HfFolder::open(folder.path()).unwrap_err();
    assert!(matches!(&error, ModelError::PickleOnly { file, .. } if file == "pytorch_model.bin"));
    assert!(error.to_string().contains("save_pretrained"));
    HfFolder::open(&folder.path().join("absent")).unwrap_err();
}

/// A tied model of one word, two numbers wide.
fn one_block() -> DecoderConfig {
    let json = json!({
        "model_type": "llama", "vocab_size": 1, "hidden_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 2, "tie_word_embeddings": true,
    });
    let Value::Object(map) = json else { unreachable!() };
    HfConfig::from_json(map, Path::new("config.json")).unwrap().decoder
}

#[test]
fn all_differences_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let inv_freq = "model.layers.0.self_attn.rotary_emb.inv_freq";
    write_model(&path, &[("model.norm.weight", &[1.0]), ("extra", &[0.0]), (inv_freq, &[1.0])]);
    let ModelError::WrongTensors { mismatch, .. } =
        HfFolder::open(folder.path()).unwrap().check(&one_block()).unwrap_err()
    else {
        panic!("another error")
    };
    let text = mismatch.to_string();
    assert!(
        text.starts_with("10 missing: model.embed_tokens.weight, model.layers.0.input_layernorm.weight, "),
        "{text}"
    );
    let rest = "; 1 unexpected: extra; 1 of another shape: model.norm.weight is [1] and should be [2]";
    assert!(text.ends_with(rest), "{text}");
}

/// Some tied models store the head a second time: fine while it is the embedding, ambiguous otherwise.
#[test]
fn a_tied_head_has_to_equal_the_embedding() {
    let folder = tempfile::tempdir().unwrap();
    for (head, fits) in [([1.0, 2.0], true), ([1.0, 3.0], false)] {
        let tensors: [(&str, &[f32]); 2] =
            [("model.embed_tokens.weight", &[1.0, 2.0]), ("lm_head.weight", &head)];
        write_model(&folder.path().join("model.safetensors"), &tensors);
        let model = HfFolder::open(folder.path()).unwrap();
        let error = model.check(&one_block()).unwrap_err();
        assert_eq!(matches!(error, ModelError::WrongTensors { .. }), fits, "{error}");
        // Saved without the head.
        assert_eq!(model.tensors_to_save(&one_block()).len(), 1);
    }
}

#[test]
fn saved_folders_load_in_the_format_s_own_library() {
    let saved =
        |name: &str, shape: &[usize], dtype| TensorInfo { name: name.into(), shape: shape.to_vec(), dtype };
    let tensors = [
        saved("half", &[3], WeightDtype::Bf16),
        saved("single", &[2, 2], WeightDtype::F32),
        saved("empty", &[0, 4], WeightDtype::F32),
    ];
    // Half-way between 1 and 1 + 2⁻⁷ goes to the even 1; three quarters goes up.
    let half = [1.0 + 2f32.powi(-8), 1.0 + 1.5 * 2f32.powi(-8), -3.0];
    let single = [1.0, 2.0, 3.0, 4.0];
    let values = |tensor: &TensorInfo| {
        Ok::<_, ModelError>(match tensor.name.as_str() {
            "half" => Cow::Borrowed(half.as_slice()),
            "single" => Cow::Borrowed(single.as_slice()),
            _ => Cow::Owned(Vec::new()),
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let config: Map<String, Value> = serde_json::from_str(r#"{"z": 1, "a": {"kept": true}}"#).unwrap();
    save_folder(folder.path(), &config, &tensors, DEFAULT_MAX_SHARD_BYTES, values).unwrap();
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let library = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(library.tensor("single").unwrap().shape(), [2, 2]);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let model = HfFolder::open(folder.path()).unwrap();
    assert_eq!(model.read_f32("half").unwrap(), [1.0, 1.0 + 2f32.powi(-7), -3.0]);
    assert!(model.read_f32("empty").unwrap().is_empty());
    let text = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(text.find("\"z\"") < text.find("\"a\""), "the order of keys is kept: {text}");
}

#[test]
fn large_models_are_cut_into_shards_with_an_index() {
    let tensors: Vec<TensorInfo> = (0..5)
        .map(|i| TensorInfo { name: format!("t{i}"), shape: vec![4], dtype: WeightDtype::F32 })
        .collect();
    let values = |tensor: &TensorInfo| Ok::<_, ModelError>(Cow::Owned(vec![tensor.name.len() as f32; 4]));
    let folder = tempfile::tempdir().unwrap();
    save_folder(folder.path(), &Map::new(), &tensors, 32, values).unwrap();
    let names = ["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"];
    assert!(names.iter().all(|name| folder.path().join(name).exists()));
    let index = std::fs::read(folder.path().join("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["metadata"]["total_size"], 80);
    assert_eq!(index["weight_map"]["t4"], "model-00003-of-00003.safetensors");
    let model = HfFolder::open(folder.path()).unwrap();
    assert_eq!(model.tensors().len(), 5);
    assert_eq!(model.read_f32("t4").unwrap(), [2.0; 4]);
}

#[test]
fn a_value_too_large_for_the_format_is_not_saved_as_infinity() {
    let tensors = [TensorInfo { name: "w".into(), shape: vec![1], dtype: WeightDtype::F16 }];
    let folder = tempfile::tempdir().unwrap();
    let error = save_folder(folder.path(), &Map::new(), &tensors, 100, |_| {
        Ok::<_, ModelError>(Cow::Borrowed([7e4].as_slice()))
    });
    assert!(error.unwrap_err().to_string().contains("tensor `w`: 70000 does not fit float16"));
}

#[test]
fn companions_are_copied_byte_for_byte() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(from.path().join("tokenizer.json"), b"{ }\r\n").unwrap();
    std::fs::write(from.path().join("unrelated.txt"), b"x").unwrap();
    assert_eq!(copy_companions(from.path(), to.path()).unwrap(), ["tokenizer.json"]);
    assert_eq!(std::fs::read(to.path().join("tokenizer.json")).unwrap(), b"{ }\r\n");
}

/// A real folder: its tensors are those that its configuration calls for, and saving keeps every bit.
#[test]
fn a_real_folder_survives_loading_and_saving() {
    let Some(path) = shared("models/stories260k") else { return };
    let config = HfConfig::read(&path.join("config.json")).unwrap();
    let model = HfFolder::open(&path).unwrap();
    model.check(&config.decoder).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saved = model.tensors_to_save(&config.decoder);
    save_folder(folder.path(), &config.raw, &saved, DEFAULT_MAX_SHARD_BYTES, |tensor| {
        model.read_f32(&tensor.name).map(Cow::Owned)
    })
    .unwrap();
    let again = HfFolder::open(folder.path()).unwrap();
    again.check(&config.decoder).unwrap();
    for tensor in config.decoder.expected_tensors() {
        let bits = |model: &HfFolder| {
            model.read_f32(&tensor.name).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(bits(&again), bits(&model), "{}", tensor.name);
    }
    assert_eq!(HfConfig::read(&folder.path().join("config.json")).unwrap(), config);
}

#[test]
fn the_golden_models_fit_their_configurations() {
    let Some(path) = shared("golden/models") else { return };
    for entry in std::fs::read_dir(path).unwrap() {
        let folder = entry.unwrap().path();
        let config = HfConfig::read(&folder.join("config.json")).unwrap();
        HfFolder::open(&folder).unwrap().check(&config.decoder).unwrap();
    }
}

fn small_file() -> Vec<u8> {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    file_with(header, &[1; 12])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any bytes changed, and the file cut anywhere: an error or tensors that can be read, never a panic.
    #[test]
    fn mutated_files_never_panic(
        changes in proptest::collection::vec((0usize..200, any::<u8>()), 1..4),
        keep in 0usize..=200,
    ) {
        let mut bytes = small_file();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if keep < 100 { bytes.truncate(bytes.len() * keep / 100); }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = SafetensorsFile::open(&path) {
            for info in file.tensors() {
                // Values take at most twice the bytes that the file has for them.
                prop_assert!(file.read_f32(&info.name).unwrap().len() * 2 <= bytes.len());
            }
        }
    }
}
