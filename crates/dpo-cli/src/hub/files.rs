//! Which files of a repository are needed.

use super::id::{RepoId, is_plain_path};
use anyhow::{Context, Result, bail};
use hf_hub::RepoType;
use std::collections::BTreeSet;
use std::path::Path;

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Files of a model beside its weights; a model has some of them.
const SMALL_FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

pub(super) fn kind(repo_type: RepoType) -> &'static str {
    match repo_type {
        RepoType::Model => "model",
        RepoType::Dataset => "data set",
        RepoType::Space => "space",
    }
}

/// Whether a folder of the cache has all that a model needs.
pub(super) fn is_model(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).is_file();
    let has_shards = || {
        let index = std::fs::read_to_string(folder.join(INDEX)).ok();
        let shards = index.and_then(|text| shards(&text).ok());
        shards.is_some_and(|shards| !shards.is_empty() && shards.iter().all(|shard| has(shard)))
    };
    has("config.json")
        && (has("tokenizer.json") || has("tokenizer_config.json"))
        && (has(WEIGHTS) || has_shards())
}

/// The small files among `names`; an error when it is no model at all.
pub(super) fn small_model_files(id: &str, names: &[String]) -> Result<Vec<String>> {
    let small: Vec<String> =
        names.iter().filter(|name| SMALL_FILES.contains(&name.as_str())).cloned().collect();
    if small.iter().any(|name| name == "config.json") {
        return Ok(small);
    }
    match names.iter().find(|name| has_ending(name, "gguf")) {
        Some(gguf) => bail!(
            "model `{id}` is a collection of GGUF files; download one, such as `{gguf}`, and give its path"
        ),
        None => bail!("model `{id}` has no `config.json`; it is not in the format of transformers"),
    }
}

/// The one weight file, or the index and its shards; `read` fetches the index.
pub(super) fn weight_files(
    id: &str,
    names: &[String],
    read: impl FnOnce(&str) -> Result<String>,
) -> Result<Vec<String>> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has(WEIGHTS) {
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    if !has(INDEX) {
        bail!(
            "model `{id}` has no safetensors; other formats, such as pickles, can run code and are not read here"
        );
    }
    let shards = shards(&read(INDEX)?).with_context(|| format!("model `{id}`, file `{INDEX}`"))?;
    if let Some(absent) = shards.iter().find(|shard| !has(shard)) {
        bail!("model `{id}` lacks the shard `{absent}`, which its index names");
    }
    Ok(shards.into_iter().collect())
}

fn shards(index: &str) -> Result<BTreeSet<String>> {
    let index: serde_json::Value = serde_json::from_str(index)?;
    let map = index.get("weight_map").and_then(|map| map.as_object()).context("no `weight_map`")?;
    let file =
        |value: &serde_json::Value| value.as_str().filter(|name| is_plain_path(name)).map(str::to_owned);
    map.values()
        .map(|value| file(value).with_context(|| format!("{value} is no file of this model")))
        .collect()
}

pub(super) fn is_parquet(name: &str) -> bool {
    has_ending(name, "parquet")
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

/// Parquet files below a folder of the cache, by their names in the repository.
pub(super) fn parquet_below(folder: &Path) -> Result<Vec<String>> {
    let (mut names, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner).with_context(|| inner.display().to_string())? {
            let entry = entry?;
            let name = entry.path().strip_prefix(folder)?.to_string_lossy().replace('\\', "/");
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if is_parquet(&name) && entry.path().is_file() {
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// A Parquet file's place: `FOLDER/SPLIT-00000-of-00002.parquet`, `FOLDER/SPLIT/0000.parquet`, `SPLIT.parquet`.
struct Place<'a> {
    folder: &'a str,
    split: &'a str,
    part: Option<Part>,
}

/// Number of a part and, where the name tells, how many there are.
struct Part {
    number: usize,
    total: Option<usize>,
}

impl<'a> Place<'a> {
    fn of(name: &'a str) -> Self {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        if let Ok(number) = stem.parse() {
            let (folder, split) = folder.rsplit_once('/').unwrap_or(("", folder));
            return Self { folder, split, part: Some(Part { number, total: None }) };
        }
        match Self::numbered(stem) {
            Some((split, part)) => Self { folder, split, part: Some(part) },
            None => Self { folder, split: stem, part: None },
        }
    }

    /// `SPLIT-00000-of-00002`, with or without a hash behind it.
    fn numbered(stem: &'a str) -> Option<(&'a str, Part)> {
        let (before, after) = stem.rsplit_once("-of-")?;
        let (split, number) = before.rsplit_once('-')?;
        let total = after.split('-').next()?.parse().ok()?;
        Some((split, Part { number: number.parse().ok()?, total: Some(total) }))
    }
}

/// The Parquet files of one split, in order; an error names the splits or subsets that there are.
pub(super) fn split_files(id: &RepoId, names: &[String], split: &str) -> Result<Vec<String>> {
    let RepoId { name: repo, subset, .. } = id;
    let files = || names.iter().filter(|name| is_parquet(name)).map(|name| (name, Place::of(name)));
    let within = |place: &Place| {
        subset.as_ref().is_none_or(|subset| place.folder.split('/').any(|part| part == subset))
    };
    let found: Vec<_> = files().filter(|(_, place)| place.split == split && within(place)).collect();
    let folders: BTreeSet<&str> = found.iter().map(|(_, place)| place.folder).collect();
    if folders.len() > 1 {
        let list = folders.into_iter().collect::<Vec<_>>().join("`, `");
        bail!("data set `{repo}` has several subsets: `{list}`; give one as `{repo}/SUBSET`");
    }
    if found.is_empty() {
        let known: BTreeSet<String> =
            files().map(|(_, place)| format!("{}/{}", place.folder, place.split)).collect();
        let list = known.iter().map(|name| name.trim_start_matches('/')).collect::<Vec<_>>().join("`, `");
        let wanted = subset.as_ref().map_or_else(|| split.to_owned(), |subset| format!("{subset}/{split}"));
        bail!("data set `{repo}` has no split `{wanted}`; it has `{list}`");
    }
    let mut found: Vec<String> = found.into_iter().map(|(name, _)| name.clone()).collect();
    found.sort();
    Ok(found)
}

/// Whether no part of a split is missing, as far as the names tell.
pub(super) fn is_whole(names: &[String]) -> bool {
    let parts: Vec<_> = names.iter().filter_map(|name| Place::of(name).part).collect();
    let total = parts.iter().find_map(|part| part.total).unwrap_or(parts.len());
    let numbers: BTreeSet<usize> = parts.iter().map(|part| part.number).collect();
    numbers.len() == total && numbers.into_iter().eq(0..total)
}
