//! A Hugging Face folder: one safetensors file, or an index and its shards.

use super::{SafetensorsFile, TensorInfo, WeightSource, json::Entries, read_small_file};
use crate::error::ModelError;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// An index has a line per tensor; the limit is that of a header.
const MAX_INDEX_BYTES: u64 = 100_000_000;

/// The weights of a Hugging Face folder.
#[derive(Debug)]
pub struct HfFolder {
    path: PathBuf,
    shards: Vec<SafetensorsFile>,
    tensors: Vec<TensorInfo>,
    /// Place in `tensors` and shard of each name.
    by_name: HashMap<String, (usize, usize)>,
}

impl HfFolder {
    /// Finds the weights in `folder` and checks every header; no tensor is read.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        if folder.join(SINGLE).exists() {
            let file = SafetensorsFile::open(&folder.join(SINGLE))?;
            return Self::from_shards(folder, vec![file]);
        }
        let index = folder.join(INDEX);
        if index.exists() {
            return Self::from_index(folder, &index);
        }
        std::fs::read_dir(folder).map_err(ModelError::reading(folder))?;
        Err(no_weights(folder))
    }

    fn from_index(folder: &Path, index: &Path) -> Result<Self, ModelError> {
        let weight_map = read_index(index)?;
        let files: BTreeSet<&str> = weight_map.iter().map(|(_, file)| file.as_str()).collect();
        let absent = |file: &&&str| !folder.join(file).exists();
        let missing: Vec<String> = files.iter().filter(absent).map(|file| (*file).to_owned()).collect();
        if !missing.is_empty() {
            return Err(ModelError::MissingShards { index: index.to_path_buf(), missing });
        }
        let shards: Result<Vec<_>, _> =
            files.iter().map(|file| SafetensorsFile::open(&folder.join(file))).collect();
        let folder = Self::from_shards(folder, shards?)?;
        for (name, file) in &weight_map {
            let shard = folder.by_name.get(name).map(|&(_, shard)| folder.shards[shard].path());
            if shard != Some(&folder.path.join(file)) {
                return Err(ModelError::bad_tensor(
                    index,
                    name,
                    format!("not in `{file}`, where the index puts it"),
                ));
            }
        }
        Ok(folder)
    }

    fn from_shards(folder: &Path, shards: Vec<SafetensorsFile>) -> Result<Self, ModelError> {
        let (mut tensors, mut by_name) = (Vec::new(), HashMap::new());
        for (shard_idx, shard) in shards.iter().enumerate() {
            for info in shard.tensors() {
                if let Some((_, other)) = by_name.insert(info.name.clone(), (tensors.len(), shard_idx)) {
                    let problem = format!("also in `{}`", shards[other].path().display());
                    return Err(ModelError::bad_tensor(shard.path(), &info.name, problem));
                }
                tensors.push(info.clone());
            }
        }
        Ok(Self { path: folder.to_path_buf(), shards, tensors, by_name })
    }
}

impl WeightSource for HfFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&(idx, _)| &self.tensors[idx])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let not_there = || ModelError::bad_tensor(&self.path, name, "not in this folder");
        let &(_, shard) = self.by_name.get(name).ok_or_else(not_there)?;
        self.shards[shard].read_f32(name)
    }
}

/// Tensor names with the shard that each lies in; every shard is below the index's own folder.
fn read_index(index: &Path) -> Result<Vec<(String, String)>, ModelError> {
    let json = |source| ModelError::Json { path: index.to_path_buf(), source };
    let bytes = read_small_file(index, MAX_INDEX_BYTES)?;
    let Index { weight_map: Entries(entries) } = serde_json::from_slice(&bytes).map_err(json)?;
    let mut weight_map = Vec::with_capacity(entries.len());
    for (name, file) in entries {
        let inside = |file: &&str| is_inside(file);
        let Some(file) = file.as_str().filter(inside) else {
            let problem = format!("its file is {file}, expected the name of a file in this folder");
            return Err(ModelError::bad_tensor(index, &name, problem));
        };
        weight_map.push((name, file.to_owned()));
    }
    Ok(weight_map)
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: Entries<Value>,
}

fn is_inside(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    let plain = |part: Component| matches!(part, Component::Normal(_));
    !file.is_empty() && !file.contains('\\') && parts.all(plain)
}

fn no_weights(folder: &Path) -> ModelError {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let pickle = |name: &String| {
        Path::new(name)
            .extension()
            .is_some_and(|end| end == "bin" || end == "pt" || end == "pth" || end == "ckpt")
    };
    match names.into_iter().find(pickle) {
        Some(file) => ModelError::PickleOnly { folder: folder.to_path_buf(), file },
        None => ModelError::NoWeights { folder: folder.to_path_buf() },
    }
}
