//! The tokenizer of a Hugging Face folder: which files it is made of and what they say.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::TokenizerFile;
use crate::DataError;

/// Bytes that a tokenizer file may have; the largest known has 35 million.
const MAX_FILE: u64 = 512 << 20;
/// Files that are copied to a trained model as they are.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
];
/// Names of special tokens in the configuration.
const TOKEN_NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What the files of a folder say about a tokenizer, `tokenizer.json` itself unread.
#[derive(Debug)]
pub(super) struct TokenizerFolder {
    pub(super) files: Vec<TokenizerFile>,
    /// `bos_token`, `eos_token` and so on.
    pub(super) special: BTreeMap<String, AddedToken>,
    /// Tokens of the configuration that `tokenizer.json` may lack, in the order of their ids.
    pub(super) more_tokens: Vec<AddedToken>,
    /// What to put around texts, if the configuration says; else `tokenizer.json` does.
    pub(super) add_bos_eos: Option<AddBosEos>,
    /// The chat template and the file it is in.
    pub(super) template: Option<(String, PathBuf)>,
    /// Ids that end a text, of `generation_config.json` or else `config.json`.
    pub(super) eos_ids: Vec<u32>,
}

/// Which tokens every text is put between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddBosEos {
    pub(super) bos: bool,
    pub(super) eos: bool,
}

impl TokenizerFolder {
    pub(super) fn read(folder: &Path) -> Result<Self, DataError> {
        let mut files = Vec::new();
        for name in COPIED {
            if let Some(bytes) = read_file(&folder.join(name))? {
                files.push(TokenizerFile { name: name.to_owned(), bytes });
            }
        }
        let config = read_object(folder, "tokenizer_config.json")?;
        let special_map = read_object(folder, "special_tokens_map.json")?;
        Ok(Self {
            special: special_tokens(&config, &special_map),
            more_tokens: more_tokens(&config, &special_map),
            add_bos_eos: add_bos_eos(&config),
            template: chat_template(folder, &config)?,
            eos_ids: eos_ids(folder)?,
            files,
        })
    }

    pub(super) fn tokenizer_json(&self, folder: &Path) -> Result<&[u8], DataError> {
        if let Some(file) = self.files.iter().find(|file| file.name == "tokenizer.json") {
            return Ok(&file.bytes);
        }
        let others: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let problem = format!(
            "there is no tokenizer.json (found {}); transformers writes one: \
             `AutoTokenizer.from_pretrained(\"…\").save_pretrained(\"…\")`",
            if others.is_empty() { "no tokenizer file".to_owned() } else { others.join(", ") }
        );
        Err(DataError::Tokenizer { path: folder.to_path_buf(), problem })
    }
}

/// The bytes of a file; `None` if there is none.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, DataError> {
    let unreadable = |problem: String| DataError::Tokenizer { path: path.to_path_buf(), problem };
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(unreadable("is no file".to_owned())),
        Ok(metadata) if metadata.len() > MAX_FILE => {
            return Err(unreadable(format!("has {} bytes, more than {MAX_FILE}", metadata.len())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
        Ok(_) => {}
    }
    fs::read(path).map(Some).map_err(|error| unreadable(error.to_string()))
}

/// A file with one JSON object; empty if there is no such file.
fn read_object(folder: &Path, name: &str) -> Result<Map<String, Value>, DataError> {
    let path = folder.join(name);
    let Some(bytes) = read_file(&path)? else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes)
        .map_err(|error| DataError::Tokenizer { path, problem: format!("is no JSON object: {error}") })
}

/// A token as the configuration writes it: its text, or an object with flags.
fn added_token(value: &Value) -> Option<AddedToken> {
    let content = value.as_str().or_else(|| value.get("content")?.as_str())?;
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let token = AddedToken::from(content, flag("special").unwrap_or(true))
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .normalized(flag("normalized").unwrap_or(false));
    Some(token)
}

fn special_tokens(config: &Map<String, Value>, map: &Map<String, Value>) -> BTreeMap<String, AddedToken> {
    let named = TOKEN_NAMES.iter().filter_map(|name| {
        let token = [config, map].into_iter().find_map(|source| added_token(source.get(*name)?))?;
        Some(((*name).to_owned(), token.special(true)))
    });
    named.collect()
}

/// `added_tokens_decoder`, then the named special tokens, then the additional ones.
fn more_tokens(config: &Map<String, Value>, map: &Map<String, Value>) -> Vec<AddedToken> {
    let mut decoder: Vec<(u32, AddedToken)> = config
        .get("added_tokens_decoder")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(id, token)| {
            let token = added_token(token)?.special(token["special"].as_bool().unwrap_or(false));
            Some((id.parse().ok()?, token))
        })
        .collect();
    decoder.sort_by_key(|(id, _)| *id);
    let mut tokens: Vec<AddedToken> = decoder.into_iter().map(|(_, token)| token).collect();
    tokens.extend(special_tokens(config, map).into_values());
    for name in ["additional_special_tokens", "extra_special_tokens"] {
        let listed = [config, map].into_iter().find_map(|source| source.get(name));
        match listed {
            Some(Value::Array(list)) => tokens.extend(list.iter().filter_map(added_token)),
            Some(Value::Object(named)) => tokens.extend(named.values().filter_map(added_token)),
            _ => {}
        }
    }
    tokens
}

fn add_bos_eos(config: &Map<String, Value>) -> Option<AddBosEos> {
    let flag = |name: &str| config.get(name).and_then(Value::as_bool);
    let (bos, eos) = (flag("add_bos_token"), flag("add_eos_token"));
    (bos.is_some() || eos.is_some())
        .then_some(AddBosEos { bos: bos.unwrap_or(false), eos: eos.unwrap_or(false) })
}

/// The template of `chat_template.jinja`, or of the `chat_template` in `tokenizer_config.json` or `chat_template.json`.
fn chat_template(folder: &Path, config: &Map<String, Value>) -> Result<Option<(String, PathBuf)>, DataError> {
    let path = folder.join("chat_template.jinja");
    if let Some(bytes) = read_file(&path)? {
        let source = String::from_utf8(bytes);
        let problem = "is no UTF-8 text".to_owned();
        return match source {
            Ok(source) => Ok(Some((source, path))),
            Err(_) => Err(DataError::BadTemplate { path, problem }),
        };
    }
    let file = read_object(folder, "chat_template.json")?;
    for (object, name) in [(config, "tokenizer_config.json"), (&file, "chat_template.json")] {
        let path = folder.join(name);
        match object.get("chat_template") {
            None | Some(Value::Null) => {}
            Some(Value::String(source)) => return Ok(Some((source.clone(), path))),
            Some(Value::Array(named)) => return named_template(named, path).map(Some),
            Some(_) => {
                let problem = "`chat_template` is neither a text nor a list of named texts".to_owned();
                return Err(DataError::BadTemplate { path, problem });
            }
        }
    }
    Ok(None)
}

/// The template named `default`, or the only one.
fn named_template(named: &[Value], path: PathBuf) -> Result<(String, PathBuf), DataError> {
    let entry = match named {
        [only] => Some(only),
        several => several.iter().find(|entry| entry["name"] == "default"),
    };
    if let Some(source) = entry.and_then(|entry| entry["template"].as_str()) {
        return Ok((source.to_owned(), path));
    }
    let names: Vec<&str> = named.iter().filter_map(|entry| entry["name"].as_str()).collect();
    let problem = format!(
        "none of its chat templates ({}) is named `default`; write the one that is meant to chat_template.jinja",
        names.join(", ")
    );
    Err(DataError::BadTemplate { path, problem })
}

/// `eos_token_id`, a number or a list, of `generation_config.json` or else `config.json`.
fn eos_ids(folder: &Path) -> Result<Vec<u32>, DataError> {
    for name in ["generation_config.json", "config.json"] {
        let config = read_object(folder, name)?;
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids: Vec<u32> = match config.get("eos_token_id") {
            Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
            Some(value) => id(value).into_iter().collect(),
            None => Vec::new(),
        };
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    Ok(Vec::new())
}
