//! The list of a checkpoint's files, by which it is known to be whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::files::{read_bounded, sync_dir};

/// Its name beside the files it lists.
pub(crate) const MANIFEST: &str = "MANIFEST.json";
const FORMAT: u32 = 1;
const MAX_MANIFEST_BYTES: u64 = 16 << 20;

/// Every file of a checkpoint with its length and digest.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    /// Steps made before the checkpoint.
    pub(crate) step: u64,
    /// By path from the checkpoint's folder, with `/` between its parts.
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    bytes: u64,
    blake3: String,
}

impl Manifest {
    /// Digests all files in the folder, and makes them and the folders they lie in survive a power cut.
    pub(crate) fn of_synced(dir: &Path, step: u64) -> Result<Self, TrainError> {
        let mut manifest = Self { format: FORMAT, step, files: BTreeMap::new() };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let path = dir.join(&folder);
            let entries = fs::read_dir(&path).map_err(TrainError::io("read the directory", &path))?;
            for entry in entries {
                let entry = entry.map_err(TrainError::io("read the directory", &path))?;
                let name = folder.join(entry.file_name());
                let kind = entry.file_type().map_err(TrainError::io("read", &entry.path()))?;
                if kind.is_dir() {
                    folders.push(name);
                } else {
                    manifest.add_synced(dir, &name)?;
                }
            }
            sync_dir(&path).map_err(TrainError::io("write", &path))?;
        }
        Ok(manifest)
    }

    fn add_synced(&mut self, dir: &Path, name: &Path) -> Result<(), TrainError> {
        let path = dir.join(name);
        let file = File::open(&path).map_err(TrainError::io("read", &path))?;
        file.sync_all().map_err(TrainError::io("write", &path))?;
        let entry = Entry::of(&path).map_err(TrainError::io("read", &path))?;
        let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        self.files.insert(parts.join("/"), entry);
        Ok(())
    }

    /// Writes it to its place in the folder.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), TrainError> {
        let path = dir.join(MANIFEST);
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        let bytes = bytes.map_err(TrainError::io("write", &path))?;
        crate::files::write_atomically(&path, &bytes)
    }

    /// Reads it, without a look at the files.
    pub(crate) fn read(dir: &Path) -> Result<Self, TrainError> {
        let damaged = |what: String| TrainError::CheckpointDamaged { path: dir.to_owned(), what };
        let path = dir.join(MANIFEST);
        let bytes = match read_bounded(&path, MAX_MANIFEST_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(format!("it has no {MANIFEST}")));
            }
            other => other.map_err(TrainError::io("read", &path))?,
        };
        let bytes = bytes.ok_or_else(|| damaged(format!("{MANIFEST} is too long")))?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(format!("{MANIFEST} is no manifest: {error}")))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("it has format {}, this version reads {FORMAT}", manifest.format)));
        }
        Ok(manifest)
    }

    /// Compares every file with what was written.
    pub(crate) fn verify(&self, dir: &Path) -> Result<(), TrainError> {
        let damaged = |what: String| TrainError::CheckpointDamaged { path: dir.to_owned(), what };
        for (name, wanted) in &self.files {
            let is_inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_inside {
                return Err(damaged(format!("{MANIFEST} names `{name}`, which lies outside")));
            }
            let path = dir.join(name);
            let found = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(damaged(format!("`{name}` is missing")));
                }
                other => other.map_err(TrainError::io("read", &path))?,
            };
            if !found.is_file() || found.len() != wanted.bytes {
                return Err(damaged(format!(
                    "`{name}` has {} bytes, {} were written",
                    found.len(),
                    wanted.bytes
                )));
            }
            if Entry::of(&path).map_err(TrainError::io("read", &path))? != *wanted {
                return Err(damaged(format!("`{name}` has other content than was written")));
            }
        }
        Ok(())
    }
}

impl Entry {
    fn of(path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(Self { bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
    }
}
