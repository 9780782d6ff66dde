//! GGUF files (little endian), read with bounds in versions 2 and 3, written in version 3: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod architecture;
mod block;
mod config_in;
mod config_out;
mod cursor;
mod export;
mod model;
mod tokenizer;
mod value;
mod writer;

pub use block::GgmlType;
pub use export::{write_adapter, write_model};
pub use model::GgufModel;
pub use tokenizer::GgufTokenizer;
pub use value::{GgufArray, GgufValue};
pub use writer::{GgufTensorSpec, GgufWriter};

use crate::error::ModelError;
use crate::weights::open_file;
use cursor::Cursor;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Axes of a tensor; ggml itself has no more.
const MAX_DIMS: u32 = 4;

/// Bytes in flight while a tensor is converted, rounded down to whole blocks.
const CHUNK_BYTES: usize = 1 << 20;

/// A GGUF file: its metadata, and where its tensors are.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    version: u32,
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<GgufTensor>,
}

/// A tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Its name in the file, as llama.cpp has it.
    pub name: String,
    /// Its axes, outermost first (the file has them the other way round).
    pub shape: Vec<usize>,
    /// How its values are stored.
    pub ggml_type: GgmlType,
    /// First byte, from the start of the file.
    start: u64,
}

impl GgufTensor {
    fn n_values(&self) -> usize {
        self.shape.iter().product()
    }
}

impl GgufFile {
    /// Reads metadata and tensor entries, and checks all of them against the file's length.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let (file, file_len) = open_file(path)?;
        let mut cursor = Cursor::new(file, path, file_len);
        let version = read_magic(&mut cursor)?;
        let n_tensors = cursor.u64("the number of tensors")?;
        let n_values = cursor.u64("the number of metadata values")?;
        let metadata = read_metadata(&mut cursor, n_values)?;
        let mut tensors = read_tensors(&mut cursor, n_tensors)?;
        let alignment = alignment(path, &metadata)?;
        let data_start = cursor.position().next_multiple_of(alignment);
        place_tensors(path, &mut tensors, data_start, alignment, file_len)?;
        Ok(Self { path: path.to_path_buf(), version, metadata, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// All metadata, in the file's order.
    pub fn metadata(&self) -> &[(String, GgufValue)] {
        &self.metadata
    }

    /// The metadata value of `key`.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The error that `key` is not as `expected`; it shows what the file has there.
    fn wrong(&self, key: &str, expected: &str) -> ModelError {
        ModelError::Config {
            path: self.path.clone(),
            key: key.to_owned(),
            found: self.get(key).map_or("absent".to_owned(), ToString::to_string),
            expected: expected.to_owned(),
        }
    }

    /// All tensors, in the file's order.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// The bytes of one of [`Self::tensors`] as they are in the file.
    pub(crate) fn read_bytes(&self, tensor: &GgufTensor) -> Result<Vec<u8>, ModelError> {
        let (mut file, _) = open_file(&self.path)?;
        file.seek(SeekFrom::Start(tensor.start)).map_err(ModelError::reading(&self.path))?;
        let mut bytes = vec![0; tensor.ggml_type.n_bytes(tensor.n_values()) as usize];
        file.read_exact(&mut bytes).map_err(ModelError::reading(&self.path))?;
        Ok(bytes)
    }

    /// The values of one of [`Self::tensors`], row-major, as ggml dequantises them.
    pub fn read_f32(&self, tensor: &GgufTensor) -> Result<Vec<f32>, ModelError> {
        let (mut file, _) = open_file(&self.path)?;
        file.seek(SeekFrom::Start(tensor.start)).map_err(ModelError::reading(&self.path))?;
        let (ggml_type, n_values) = (tensor.ggml_type, tensor.n_values());
        let (block_len, block_bytes) = (ggml_type.block_len(), ggml_type.block_bytes());
        let mut n_blocks = n_values / block_len;
        let mut values = Vec::with_capacity(n_values);
        let mut chunk = vec![0; (CHUNK_BYTES / block_bytes).min(n_blocks) * block_bytes];
        while n_blocks > 0 {
            let n_bytes = chunk.len().min(n_blocks * block_bytes);
            file.read_exact(&mut chunk[..n_bytes]).map_err(ModelError::reading(&self.path))?;
            ggml_type.decode(&chunk[..n_bytes], &mut values);
            n_blocks -= n_bytes / block_bytes;
        }
        Ok(values)
    }
}

fn read_magic(cursor: &mut Cursor) -> Result<u32, ModelError> {
    if cursor.u32("the magic number")? != u32::from_le_bytes(*b"GGUF") {
        return Err(cursor.error("does not begin with `GGUF`: no GGUF file"));
    }
    match cursor.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        version if version.trailing_zeros() >= 16 => {
            Err(cursor.error("is big endian; only little-endian GGUF is read here"))
        }
        version => Err(cursor.error(format!("has version {version}; versions 2 and 3 are read here"))),
    }
}

fn read_metadata(cursor: &mut Cursor, n_values: u64) -> Result<Vec<(String, GgufValue)>, ModelError> {
    // A key's length, a type and one byte of value are the least that an entry takes.
    cursor.expect_room(n_values, 13, "metadata values")?;
    let mut metadata = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..n_values {
        let key = cursor.string("a metadata key")?;
        let value = GgufValue::read(cursor, &key)?;
        if !seen.insert(key.clone()) {
            return Err(cursor.error(format!("has the metadata key `{key}` twice")));
        }
        metadata.push((key, value));
    }
    Ok(metadata)
}

/// Entries of the tensors; `start` is still the offset within the data.
fn read_tensors(cursor: &mut Cursor, n_tensors: u64) -> Result<Vec<GgufTensor>, ModelError> {
    cursor.expect_room(n_tensors, 24, "tensors")?;
    let mut tensors: Vec<GgufTensor> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..n_tensors {
        let tensor = read_tensor(cursor)?;
        if !seen.insert(tensor.name.clone()) {
            return Err(ModelError::bad_tensor(cursor.path(), &tensor.name, "is there twice"));
        }
        tensors.push(tensor);
    }
    Ok(tensors)
}

fn read_tensor(cursor: &mut Cursor) -> Result<GgufTensor, ModelError> {
    let name = cursor.string("a tensor's name")?;
    let bad = |path: &Path, problem: String| ModelError::bad_tensor(path, &name, problem);
    let n_dims = cursor.u32("a tensor's number of axes")?;
    if n_dims > MAX_DIMS {
        return Err(bad(cursor.path(), format!("has {n_dims} axes, at most {MAX_DIMS} exist")));
    }
    let mut sizes = Vec::new();
    for _ in 0..n_dims {
        sizes.push(cursor.u64("a tensor's size")?);
    }
    let code = cursor.u32("a tensor's type")?;
    let start = cursor.u64("a tensor's offset")?;
    let ggml_type = GgmlType::from_code(code).ok_or_else(|| {
        let (found, known) = (GgmlType::describe_code(code), GgmlType::ALL.map(GgmlType::name).join(", "));
        bad(cursor.path(), format!("has type {found}, known here: {known}; take such a file of the model"))
    })?;
    let n_values = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    // Four bytes a value have to be countable, whatever the type.
    if n_values.and_then(|n| n.checked_mul(4)).is_none_or(|n| isize::try_from(n).is_err()) {
        return Err(bad(cursor.path(), format!("sizes {sizes:?} are impossibly large")));
    }
    let row = sizes.first().copied().unwrap_or(1);
    if !row.is_multiple_of(ggml_type.block_len() as u64) {
        let (type_name, block) = (ggml_type.name(), ggml_type.block_len());
        return Err(bad(
            cursor.path(),
            format!("rows of {row} values are no whole {type_name} blocks of {block}"),
        ));
    }
    let shape = sizes.iter().rev().map(|&size| size as usize).collect();
    Ok(GgufTensor { name, shape, ggml_type, start })
}

/// `general.alignment`, a power of two; 32 where the file does not say.
fn alignment(path: &Path, metadata: &[(String, GgufValue)]) -> Result<u64, ModelError> {
    let key = "general.alignment";
    let Some((_, value)) = metadata.iter().find(|(name, _)| name == key) else { return Ok(32) };
    let alignment = value.as_u64().filter(|n| n.is_power_of_two() && *n <= 1 << 30);
    alignment.ok_or_else(|| ModelError::Config {
        path: path.to_path_buf(),
        key: key.to_owned(),
        found: value.to_string(),
        expected: "a power of two up to 2^30".to_owned(),
    })
}

/// Turns offsets into positions in the file; every tensor has to be aligned, inside the file and beside the others.
fn place_tensors(
    path: &Path,
    tensors: &mut [GgufTensor],
    data_start: u64,
    alignment: u64,
    file_len: u64,
) -> Result<(), ModelError> {
    let mut ranges = HashMap::new();
    for tensor in tensors.iter_mut() {
        let n_bytes = tensor.ggml_type.n_bytes(tensor.n_values());
        let start = data_start.checked_add(tensor.start);
        let end = start.and_then(|start| start.checked_add(n_bytes));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= file_len)) else {
            let problem = format!(
                "{n_bytes} bytes at offset {} of the data reach past the file's {file_len} bytes; it is cut off, \
                 download it again",
                tensor.start
            );
            return Err(ModelError::bad_tensor(path, &tensor.name, problem));
        };
        if !tensor.start.is_multiple_of(alignment) {
            let problem = format!("offset {} is no multiple of the alignment, {alignment}", tensor.start);
            return Err(ModelError::bad_tensor(path, &tensor.name, problem));
        }
        tensor.start = start;
        ranges.insert(tensor.name.as_str(), start..end);
    }
    let mut ranges: Vec<_> = ranges.into_iter().filter(|(_, range)| !range.is_empty()).collect();
    ranges.sort_by_key(|(_, range)| range.start);
    for pair in ranges.windows(2) {
        if pair[1].1.start < pair[0].1.end {
            return Err(ModelError::bad_tensor(path, pair[1].0, format!("overlaps `{}`", pair[0].0)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
