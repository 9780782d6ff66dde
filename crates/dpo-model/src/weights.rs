//! A model's tensors by name, wherever they are stored, read one at a time as `f32`.

mod dtype;
mod folder;
mod json;
mod prefix;
mod save;
mod shard;

pub use dtype::WeightDtype;
pub use folder::HfFolder;
pub use prefix::with_prefix;
pub use save::{COMPANION_FILES, DEFAULT_MAX_SHARD_BYTES, copy_companions, save_folder};
pub(crate) use save::{write_file, write_shard as write_tensors};
pub use shard::SafetensorsFile;

use crate::config::{DecoderConfig, ParameterInfo};
use crate::error::{ModelError, TensorMismatch, WrongShape};
use crate::gguf::GgmlType;
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

    /// The blocks of a quantised matrix as the decoder has its rows, if that is how it is stored.
    fn read_blocks(&self, _name: &str) -> Result<Option<(GgmlType, Vec<u8>)>, ModelError> {
        Ok(None)
    }

    /// Compares what is stored with what a configuration calls for, and names every difference at once.
    ///
    /// Not counted as differences: constants that old checkpoints carry ([`is_constant`]), and the copy of the
    /// embedding that some tied models store as their head, provided that it is a copy.
    fn check(&self, config: &DecoderConfig) -> Result<(), ModelError> {
        let expected = config.expected_tensors();
        let mut mismatch = compare(&expected, |name| self.info(name));
        let known: HashSet<&str> = expected.iter().map(|tensor| tensor.name.as_str()).collect();
        let [embedding, head] =
            ["embedding", "head"].map(|module| config.names().of_module(module) + ".weight");
        for TensorInfo { name, .. } in self.tensors() {
            if known.contains(name.as_str()) || is_constant(name) {
                continue;
            }
            if *name == head {
                self.check_tied_head(&embedding, &head)?;
            } else {
                mismatch.unexpected.push(name.clone());
            }
        }
        if mismatch.is_empty() {
            return Ok(());
        }
        Err(ModelError::WrongTensors { path: self.path().to_path_buf(), mismatch })
    }

    /// The tensors of `config` in the order and formats in which they are stored, to be saved again in the same way.
    ///
    /// A tied head is not expected, hence not saved, even where it is stored.
    fn tensors_to_save(&self, config: &DecoderConfig) -> Vec<TensorInfo> {
        let expected = config.expected_tensors();
        let names: HashSet<&str> = expected.iter().map(|tensor| tensor.name.as_str()).collect();
        self.tensors().iter().filter(|info| names.contains(info.name.as_str())).cloned().collect()
    }

    /// A stored head that the configuration ties to the embedding has to be that embedding.
    fn check_tied_head(&self, embedding: &str, head: &str) -> Result<(), ModelError> {
        if self.info(embedding).is_none() || self.read_f32(head)? == self.read_f32(embedding)? {
            return Ok(());
        }
        let problem = format!(
            "differs from `{embedding}` although `tie_word_embeddings` is true; set it to false to keep both, or \
             remove this tensor"
        );
        Err(ModelError::bad_tensor(self.path(), head, problem))
    }
}

/// Constants that old checkpoints store although the configuration has them: rotation frequencies, causal masks.
pub(crate) fn is_constant(name: &str) -> bool {
    let endings = [
        ".rotary_emb.inv_freq",
        ".attn.bias",
        ".attn.masked_bias",
        ".attention.bias",
        ".attention.masked_bias",
    ];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Missing and misshapen tensors.
fn compare<'a>(expected: &[ParameterInfo], find: impl Fn(&str) -> Option<&'a TensorInfo>) -> TensorMismatch {
    let mut mismatch = TensorMismatch::default();
    for parameter in expected {
        let (name, shape) = (&parameter.name, parameter.stored_shape());
        match find(name) {
            None => mismatch.missing.push(name.clone()),
            Some(info) if info.shape != shape => mismatch.wrong_shape.push(WrongShape {
                name: name.clone(),
                found: info.shape.clone(),
                expected: shape,
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
