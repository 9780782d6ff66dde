//! The reference's log-probs, computed once and kept.
//!
//! An entry is found by what it was computed from: the model's digest, its number format and the row's token ids.
//! A row that changed has another key and is computed again; all others are still there. Each process appends to a
//! shard of its own, so that several may work at once and none can harm what another wrote; every entry carries a
//! checksum and is trusted only if that holds.

mod key;
mod record;
mod repair;
mod scan;
mod shard;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::TrainError;
use record::Record;
use repair::repair;
use scan::scan;
use shard::ShardWriter;

pub use key::{CacheScope, RowKey};

/// What a shard's name ends in.
const SHARD: &str = ".logps";

/// The cache of one reference in one number format.
///
/// Memory: some 60 bytes a wanted row, and one entry at a time.
#[derive(Debug)]
pub struct ReferenceCache {
    dir: PathBuf,
    shards: Vec<Shard>,
    entries: HashMap<RowKey, Location>,
    writer: Option<ShardWriter>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
}

/// Where a wanted entry lies.
#[derive(Debug, Clone, Copy)]
struct Location {
    shard: usize,
    offset: u64,
    len: u64,
}

/// What was found of the rows asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Rows whose log-probs are there.
    pub hits: usize,
    /// Indices of the rows to compute, in order; of equal rows the first alone.
    pub misses: Vec<usize>,
    /// Entries in the cache, of whatever rows, that were cut off or failed their checksum; they have been taken out
    /// of it unless another process holds them.
    pub damaged: usize,
}

impl ReferenceCache {
    /// Opens the cache in this folder, makes it if it is absent, and looks up all rows at once; entries of other
    /// rows are passed over.
    pub fn open(root: &Path, scope: &CacheScope, rows: &[RowKey]) -> Result<(Self, Lookup), TrainError> {
        let dir = root.join(scope.folder());
        fs::create_dir_all(&dir).map_err(TrainError::io("make the directory", &dir))?;
        let mut cache = Self { dir, shards: Vec::new(), entries: HashMap::new(), writer: None };
        // A key stays without a location until a shard has it.
        let mut wanted: HashMap<RowKey, Option<Location>> = rows.iter().map(|&key| (key, None)).collect();
        let mut damaged = 0;
        for path in cache.shard_paths()? {
            damaged += cache.read_shard(path, &mut wanted)?;
        }
        let lookup = Lookup { damaged, ..look_up(rows, &wanted) };
        cache.entries = wanted.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
        Ok((cache, lookup))
    }

    /// The log-probs of a row's completions, a list each, or none if they were neither found nor inserted. They are
    /// verified again.
    pub fn get(&mut self, key: &RowKey) -> Result<Option<Vec<Vec<f32>>>, TrainError> {
        let Some(at) = self.entries.get(key) else { return Ok(None) };
        let shard = &self.shards[at.shard];
        let bytes =
            shard::read_at(&shard.file, at.offset, at.len).map_err(TrainError::io("read", &shard.path))?;
        match bytes.as_deref().and_then(Record::decode) {
            Some(record) if record.key == *key => Ok(Some(record.completions)),
            _ => Err(TrainError::CacheChanged { path: shard.path.clone(), offset: at.offset }),
        }
    }

    /// Keeps a row's log-probs, a list for each completion. Call [`sync`](Self::sync) after each batch.
    pub fn insert(&mut self, key: RowKey, completions: &[Vec<f32>]) -> Result<(), TrainError> {
        refuse_not_finite(completions)?;
        if self.entries.contains_key(&key) {
            return Ok(());
        }
        let bytes = record::encode(&key, completions);
        if self.writer.is_none() {
            let (writer, file) = ShardWriter::create(&self.dir)?;
            self.shards.push(Shard { path: writer.path().to_owned(), file });
            self.writer = Some(writer);
        }
        if let Some(writer) = &mut self.writer {
            let (shard, len) = (self.shards.len() - 1, bytes.len() as u64);
            let offset = writer.append(&bytes)?;
            self.entries.insert(key, Location { shard, offset, len });
        }
        Ok(())
    }

    /// Makes what was inserted survive a power cut, so that an interrupted pass goes on from here.
    pub fn sync(&mut self) -> Result<(), TrainError> {
        self.writer.as_mut().map_or(Ok(()), ShardWriter::sync)
    }

    /// Shards in the order of their names, so that which of two equal entries is read is always the same.
    fn shard_paths(&self) -> Result<Vec<PathBuf>, TrainError> {
        let at = || TrainError::io("read the directory", &self.dir);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at())? {
            let path = entry.map_err(at())?.path();
            if path.to_string_lossy().ends_with(SHARD) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Notes where wanted entries lie, counts the damaged, and takes them out of the shard.
    fn read_shard(
        &mut self,
        mut path: PathBuf,
        wanted: &mut HashMap<RowKey, Option<Location>>,
    ) -> Result<usize, TrainError> {
        let mut file = match File::open(&path) {
            // Another process has just repaired it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            opened => opened.map_err(TrainError::io("read", &path))?,
        };
        let shard = self.shards.len();
        let mut note = |key: &RowKey, offset, len| {
            if let Some(at) = wanted.get_mut(key).filter(|at| at.is_none_or(|at| at.shard == shard)) {
                *at = Some(Location { shard, offset, len });
            }
        };
        let damaged = scan(&file, &mut note).map_err(TrainError::io("read", &path))?;
        if damaged > 0
            && let Some((new_path, new_file)) = repair(&path, &file)
        {
            (path, file) = (new_path, new_file);
            // The same entries, in other places.
            scan(&file, &mut note).map_err(TrainError::io("read", &path))?;
        }
        self.shards.push(Shard { path, file });
        Ok(damaged)
    }
}

/// Sorts rows into those that have a place and those that have none.
fn look_up(rows: &[RowKey], wanted: &HashMap<RowKey, Option<Location>>) -> Lookup {
    let mut lookup = Lookup { hits: 0, misses: Vec::new(), damaged: 0 };
    let mut missed = std::collections::HashSet::new();
    for (row, key) in rows.iter().enumerate() {
        if wanted.get(key).is_some_and(Option::is_some) {
            lookup.hits += 1;
        } else if missed.insert(key) {
            lookup.misses.push(row);
        }
    }
    lookup
}

/// What is not a number now would be none in every later run.
fn refuse_not_finite(completions: &[Vec<f32>]) -> Result<(), TrainError> {
    for (completion, logps) in completions.iter().enumerate() {
        if let Some(token) = logps.iter().position(|logp| !logp.is_finite()) {
            return Err(TrainError::ReferenceNotFinite { completion, token, value: logps[token] });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
