//! What tests of real files need: where these are, and the metadata of a GGUF file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use dpo_data::{Clock, GgufVocabulary, TextEncoder};
use serde_json::Value;

/// The folder of golden files: `$DPO_SHARED`, or `shared` beside the workspace.
pub(crate) fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("DPO_SHARED").map_or_else(beside, PathBuf::from);
    found(folder, "the folder of golden files (set DPO_SHARED)")
}

/// SmolLM2-135M-Instruct, a GGUF file or a Hugging Face folder: `$DPO_SMOLLM2`.
pub(crate) fn smollm2() -> Option<TextEncoder> {
    let path = std::env::var_os("DPO_SMOLLM2").unwrap_or_default().into();
    let path = found(path, "SmolLM2 (a .gguf file or a folder; set DPO_SMOLLM2)")?;
    if path.is_dir() {
        return Some(TextEncoder::from_folder(&path, Clock::at_unix_seconds(0)).unwrap());
    }
    Some(TextEncoder::from_gguf(&gguf_vocabulary(&path), &path, Clock::at_unix_seconds(0)).unwrap())
}

fn found(path: PathBuf, what: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {what} is absent");
    None
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub(crate) fn ids(list: &Value) -> Vec<u32> {
    list.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The tokenizer in the metadata of a GGUF file that is known to be good.
pub(crate) fn gguf_vocabulary(path: &Path) -> GgufVocabulary {
    let mut reader = Gguf { bytes: fs::read(path).unwrap(), at: 16 };
    let n_entries = reader.u64();
    let mut metadata: HashMap<String, Value> = HashMap::new();
    for _ in 0..n_entries {
        let key = reader.text();
        let kind = reader.u32();
        let value = reader.value(kind);
        metadata.insert(key, value);
    }
    let get = |key: &str| metadata.get(&format!("tokenizer.{key}")).unwrap_or(&Value::Null);
    let text = |key| get(key).as_str().unwrap_or_default().to_owned();
    let list = |key| get(key).as_array().cloned().unwrap_or_default();
    let texts = |key| list(key).iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let id = |key| get(key).as_u64().map(|id| id as u32);
    GgufVocabulary {
        model: text("ggml.model"),
        pre: text("ggml.pre"),
        tokens: texts("ggml.tokens"),
        scores: list("ggml.scores").iter().map(|score| score.as_f64().unwrap() as f32).collect(),
        token_types: list("ggml.token_type").iter().map(|kind| kind.as_i64().unwrap() as i32).collect(),
        merges: texts("ggml.merges"),
        bos_id: id("ggml.bos_token_id"),
        eos_id: id("ggml.eos_token_id"),
        eot_id: id("ggml.eot_token_id"),
        unk_id: id("ggml.unknown_token_id"),
        pad_id: id("ggml.padding_token_id"),
        add_bos: get("ggml.add_bos_token").as_bool(),
        add_eos: get("ggml.add_eos_token").as_bool(),
        add_space_prefix: get("ggml.add_space_prefix").as_bool(),
        chat_template: get("chat_template").as_str().map(str::to_owned),
    }
}

struct Gguf {
    bytes: Vec<u8>,
    at: usize,
}

impl Gguf {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.bytes[self.at - N..self.at].try_into().unwrap()
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let n = self.u64() as usize;
        self.at += n;
        String::from_utf8(self.bytes[self.at - n..self.at].to_vec()).unwrap()
    }

    fn value(&mut self, kind: u32) -> Value {
        match kind {
            0 | 1 => self.take::<1>()[0].into(),
            2 | 3 => u16::from_le_bytes(self.take()).into(),
            4 => self.u32().into(),
            5 => i32::from_le_bytes(self.take()).into(),
            6 => f32::from_le_bytes(self.take()).into(),
            7 => (self.take::<1>()[0] != 0).into(),
            8 => self.text().into(),
            9 => {
                let kind = self.u32();
                let n = self.u64();
                (0..n).map(|_| self.value(kind)).collect::<Vec<_>>().into()
            }
            10..=12 => self.u64().into(),
            kind => panic!("metadata of kind {kind}"),
        }
    }
}
