//! A model's tensors by name, wherever they are stored, read one at a time as `f32`.

mod dtype;
mod folder;
mod json;
mod save;
mod shard;

pub use dtype::WeightDtype;
pub use folder::HfFolder;
pub use save::{COMPANION_FILES, DEFAULT_MAX_SHARD_BYTES, copy_companions, save_folder};
pub use shard::SafetensorsFile;

use crate::error::{ModelError, TensorMismatch, WrongShape};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a file says about one of its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The tensor's Hugging Face name.
    pub name: String,
    /// Its axes, outermost first.
    pub shape: Vec<usize>,
    /// The format that its values are stored in; quantised ones count as what they stand for, `f32`.
    pub dtype: WeightDtype,
}

impl TensorInfo {
    fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    fn n_bytes(&self) -> u64 {
        (self.n_values() * self.dtype.size()) as u64
    }
}

/// A tensor that a configuration calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// Its Hugging Face name.
    pub name: String,
    /// Its axes, outermost first.
    pub shape: Vec<usize>,
}

impl ExpectedTensor {
    /// A tensor of this name and shape.
    pub fn new(name: &str, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec() }
    }
}

/// Named tensors in files: nothing is in memory but their names, shapes and places.
pub trait WeightSource: std::fmt::Debug + Send + Sync {
    /// The folder or file, for messages.
    fn path(&self) -> &Path;

    /// Every tensor, in the order in which it is stored.
    fn tensors(&self) -> &[TensorInfo];

    /// What the file says about one tensor; `None` when there is none of that name.
    fn info(&self, name: &str) -> Option<&TensorInfo>;

    /// The values of one tensor, row-major.
    fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelError>;

    /// Compares what is stored with what a configuration calls for, and names every difference at once.
    ///
    /// Not counted as differences: the rotation frequencies that old Llama checkpoints carry, and the copy of the
    /// embedding that some tied models store as `lm_head.weight`, provided that it is a copy.
    fn check(&self, expected: &[ExpectedTensor]) -> Result<(), ModelError> {
        let mut mismatch = compare(expected, |name| self.info(name));
        let known: HashSet<&str> = expected.iter().map(|tensor| tensor.name.as_str()).collect();
        for TensorInfo { name, .. } in self.tensors() {
            if known.contains(name.as_str()) || name.ends_with(".rotary_emb.inv_freq") {
                continue;
            }
            if name == HEAD { self.check_tied_head()? } else { mismatch.unexpected.push(name.clone()) }
        }
        if mismatch.is_empty() {
            return Ok(());
        }
        Err(ModelError::WrongTensors { path: self.path().to_path_buf(), mismatch })
    }

    /// The `expected` tensors in the order and formats in which they are stored, to be saved again in the same way.
    ///
    /// A tied head is not expected, hence not saved, even where it is stored.
    fn tensors_to_save(&self, expected: &[ExpectedTensor]) -> Vec<TensorInfo> {
        let names: HashSet<&str> = expected.iter().map(|tensor| tensor.name.as_str()).collect();
        self.tensors().iter().filter(|info| names.contains(info.name.as_str())).cloned().collect()
    }

    /// A stored head that the configuration ties to the embedding has to be that embedding.
    fn check_tied_head(&self) -> Result<(), ModelError> {
        if self.info(EMBEDDING).is_none() || self.read_f32(HEAD)? == self.read_f32(EMBEDDING)? {
            return Ok(());
        }
        let problem = format!(
            "differs from `{EMBEDDING}` although `tie_word_embeddings` is true; set it to false to keep both, or \
             remove this tensor"
        );
        Err(ModelError::bad_tensor(self.path(), HEAD, problem))
    }
}

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Missing and misshapen tensors.
fn compare<'a>(expected: &[ExpectedTensor], find: impl Fn(&str) -> Option<&'a TensorInfo>) -> TensorMismatch {
    let mut mismatch = TensorMismatch::default();
    for ExpectedTensor { name, shape } in expected {
        match find(name) {
            None => mismatch.missing.push(name.clone()),
            Some(info) if info.shape != *shape => mismatch.wrong_shape.push(WrongShape {
                name: name.clone(),
                found: info.shape.clone(),
                expected: shape.clone(),
            }),
            Some(_) => {}
        }
    }
    mismatch
}

/// Opens a plain file for reading and tells its length; a directory, pipe or device is an error, not a wait.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64), ModelError> {
    let metadata = std::fs::metadata(path).map_err(ModelError::reading(path))?;
    if !metadata.is_file() {
        return Err(ModelError::bad_file(path, "not a file"));
    }
    let file = File::open(path).map_err(ModelError::reading(path))?;
    Ok((file, metadata.len()))
}

/// Reads a whole file that has no reason to be large.
pub(crate) fn read_small_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let (file, len) = open_file(path)?;
    if len > max_bytes {
        return Err(ModelError::bad_file(path, format!("{len} bytes, at most {max_bytes} make sense here")));
    }
    let mut bytes = Vec::with_capacity(len as usize);
    file.take(max_bytes).read_to_end(&mut bytes).map_err(ModelError::reading(path))?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
