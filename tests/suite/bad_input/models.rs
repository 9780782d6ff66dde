//! Model folders and files.

use std::{fs, path::Path, path::PathBuf};

use serde_json::{Value, json};

use super::{assert_says, limited, score};
use crate::{
    program::{Sandbox, train_args},
    support::golden,
};

const WEIGHTS: &str = "model.safetensors";
const EMBEDDING: &str = "model.embed_tokens.weight";

/// The tiny model in a folder of its own.
pub fn model(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.path("model");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(golden("runs/model")).unwrap() {
        let entry = entry.unwrap();
        fs::write(folder.join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
    folder
}

/// Writes the weights with another header and other data.
fn edit_weights(folder: &Path, edit: impl Fn(&mut Value, &mut Vec<u8>)) {
    let bytes = fs::read(folder.join(WEIGHTS)).unwrap();
    let n = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let mut data = bytes[8 + n..].to_vec();
    edit(&mut header, &mut data);
    let header = serde_json::to_vec(&header).unwrap();
    let parts = [&(header.len() as u64).to_le_bytes()[..], &header, &data];
    fs::write(folder.join(WEIGHTS), parts.concat()).unwrap();
}

fn cut_weights(folder: &Path, len: u64) {
    fs::File::options().write(true).open(folder.join(WEIGHTS)).unwrap().set_len(len).unwrap();
}

fn edit_config(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// An index that puts every tensor into one file, and no other weights.
fn index(folder: &Path, file: &str) {
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    let index = json!({ "weight_map": { EMBEDDING: file } });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

/// What is wrong, how it is made so, and what has to be said of it.
type Case = (&'static str, fn(&Path), &'static [&'static str]);

const WEIGHT_CASES: &[Case] = &[
    ("cut data", |m| cut_weights(m, 300_000), &["model.safetensors: tensor `", "cut off, download it again"]),
    ("cut header", |m| cut_weights(m, 100), &["the header claims ", "the file has 100"]),
    ("empty", |m| cut_weights(m, 0), &["0 bytes are no safetensors file"]),
    (
        "oversized header",
        |m| fs::write(m.join(WEIGHTS), [&(1u64 << 62).to_le_bytes()[..], b"{}"].concat()).unwrap(),
        &["the header claims 4611686018427387904 bytes"],
    ),
    (
        "nested header",
        |m| {
            let header = "{\"a\":".repeat(100_000);
            let parts = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()];
            fs::write(m.join(WEIGHTS), parts.concat()).unwrap();
        },
        &["model.safetensors: not valid JSON"],
    ),
    (
        "overlap",
        |m| edit_weights(m, |header, _| header["model.norm.weight"]["data_offsets"] = json!([0, 256])),
        &["overlaps the tensor before it"],
    ),
    (
        "impossible shape",
        |m| edit_weights(m, |header, _| header[EMBEDDING]["shape"] = json!([1u64 << 40, 1u64 << 40])),
        &["tensor `model.embed_tokens.weight`", "impossibly large"],
    ),
    (
        "another dtype",
        |m| edit_weights(m, |header, _| header[EMBEDDING]["dtype"] = json!("I8")),
        &["dtype \"I8\"", "take the unquantised model"],
    ),
    ("no weights", |m| fs::remove_file(m.join(WEIGHTS)).unwrap(), &["no weights here"]),
    (
        "pickle only",
        |m| fs::rename(m.join(WEIGHTS), m.join("pytorch_model.bin")).unwrap(),
        &["`pytorch_model.bin` is a pickle", "never read", "writes safetensors"],
    ),
    (
        "missing shard",
        |m| index(m, "model-00001-of-00002.safetensors"),
        &["missing shards: model-00001-of-00002"],
    ),
    (
        "shard outside",
        |m| index(m, "../model.safetensors"),
        &["\"../model.safetensors\"", "a file in this folder"],
    ),
    ("shard elsewhere", |m| index(m, "/etc/passwd"), &["\"/etc/passwd\"", "a file in this folder"]),
];

const CONFIG_CASES: &[Case] = &[
    ("no config", |m| fs::remove_file(m.join("config.json")).unwrap(), &["no config.json here"]),
    ("no JSON", |m| fs::write(m.join("config.json"), "\0\u{1}").unwrap(), &["config.json: not valid JSON"]),
    ("a list", |m| fs::write(m.join("config.json"), "[]").unwrap(), &["config.json: expected a JSON object"]),
    ("unknown family", |m| edit_config(m, "model_type", json!("mamba")), &["`mamba`, known here: llama"]),
    ("no layers", |m| edit_config(m, "num_hidden_layers", json!(0)), &["`num_hidden_layers` is 0"]),
    (
        "too many",
        |m| edit_config(m, "num_hidden_layers", json!(1u64 << 60)),
        &["`num_hidden_layers` is 1152921504"],
    ),
    (
        "a word",
        |m| edit_config(m, "hidden_size", json!("big")),
        &["`hidden_size` is \"big\", expected a whole"],
    ),
    (
        "seven heads",
        |m| edit_config(m, "num_attention_heads", json!(7)),
        &["`num_key_value_heads` is 2, expected a divisor of"],
    ),
    ("quantised", |m| edit_config(m, "quantization_config", json!({})), &["take the unquantised model"]),
    (
        "other widths",
        |m| edit_config(m, "intermediate_size", json!(96)),
        &["do not fit", "and should be [96, 64]"],
    ),
    (
        "small vocabulary",
        |m| edit_config(m, "vocab_size", json!(10)),
        &["has ids up to 261, its model an embedding of 10 rows", "take the tokenizer that came with"],
    ),
    ("no tokenizer", |m| fs::remove_file(m.join("tokenizer.json")).unwrap(), &["there is no tokenizer.json"]),
    ("cut tokenizer", |m| fs::write(m.join("tokenizer.json"), "{").unwrap(), &["tokenizer.json: is no JSON"]),
];

#[test]
fn a_bad_model_folder_is_refused_with_the_file_and_the_tensor_or_key() {
    let sandbox = Sandbox::new();
    let data = golden("runs/train_conv.json");
    for (name, spoil, parts) in WEIGHT_CASES.iter().chain(CONFIG_CASES) {
        let folder = model(&sandbox);
        spoil(&folder);
        assert_says(name, &score(&sandbox, &folder, data.to_str().unwrap(), ""), 1, parts);
    }
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let sandbox = Sandbox::new();
    let (magic, version) = (b"GGUF".as_slice(), 3u32.to_le_bytes());
    let huge = (1u64 << 62).to_le_bytes();
    let cases: [(&str, Vec<u8>, &[&str]); 6] = [
        ("model.pt", b"PK\x03\x04".into(), &["model.pt: a pickle", "never read here", "writes safetensors"]),
        ("model.safetensors", b"{}".into(), &["name the folder"]),
        ("notes.txt", b"hello".into(), &["notes.txt: no model"]),
        ("cut.gguf", magic.into(), &["cut.gguf: ends at byte 4", "cut off"]),
        (
            "claims.gguf",
            [magic, &version, &0u64.to_le_bytes(), &huge].concat(),
            &["claims.gguf: claims 4611686018427387904 metadata values"],
        ),
        ("new.gguf", [magic, &99u32.to_le_bytes()].concat(), &["has version 99; versions 2 and 3 are read"]),
    ];
    for (name, content, parts) in cases {
        fs::write(sandbox.path(name), content).unwrap();
        assert_says(name, &score(&sandbox, &sandbox.path(name), "none.jsonl", ""), 1, parts);
    }
    let offline = score(&sandbox, Path::new("nobody/nothing"), "none.jsonl", "");
    assert_says("offline", &offline, 1, &["`nobody/nothing`", "HF_HUB_OFFLINE is set; unset it to download"]);
}

/// The numbers of a model that holds NaN are never written as if they were some.
#[test]
fn weights_that_are_no_numbers_are_met_with_the_rows() {
    let sandbox = Sandbox::new();
    let folder = model(&sandbox);
    edit_weights(&folder, |header, data| {
        let start = header["model.norm.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
        data[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let data = golden("runs/train_conv.json");
    let scored = score(&sandbox, &folder, data.to_str().unwrap(), "");
    assert_says("score", &scored, 1, &["train_conv.json: row 1: ", "weights hold NaN"]);
    assert_eq!(scored.out, "");
    let args = train_args(&folder, &data, &sandbox.path("run"), "--max-steps 2 --samples 0");
    let trained = limited(&sandbox, "true", "train", &args);
    assert_says("train", &trained, 1, &["no finite numbers, in rows ", "weights hold NaN"]);
    assert!(!sandbox.path("run/model").exists());
}
