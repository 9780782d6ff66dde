//! Writing a GGUF file, version 3: one tensor in memory at a time.

use super::value::put_string;
use super::{GgmlType, GgufValue, MAX_DIMS, alignment};
use crate::error::ModelError;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes of a tensor's name; ggml keeps 64 with a zero at the end.
const MAX_NAME_BYTES: usize = 63;

/// Values converted at a time, whole blocks of every type.
const CHUNK_VALUES: usize = 1 << 18;

/// A tensor of a file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensorSpec {
    /// Its name, as llama.cpp has it.
    pub name: String,
    /// Its axes, outermost first (the file has them the other way round).
    pub shape: Vec<usize>,
    /// How its values are stored, one of [`GgmlType::WRITABLE`].
    pub ggml_type: GgmlType,
}

impl GgufTensorSpec {
    fn n_values(&self) -> usize {
        self.shape.iter().product()
    }

    fn n_bytes(&self) -> u64 {
        self.ggml_type.n_bytes(self.n_values())
    }
}

/// A GGUF file that is to be written.
#[derive(Debug)]
pub struct GgufWriter {
    path: PathBuf,
    metadata: Vec<(String, GgufValue)>,
}

impl GgufWriter {
    /// A file without metadata.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), metadata: Vec::new() }
    }

    /// Adds a metadata value after those that are there.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: GgufValue) -> Self {
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// Writes metadata and tensors; `values` is asked for one tensor at a time, row-major, which is then rounded to its
    /// type.
    ///
    /// The file is complete on the disk when this returns. To make it appear at once, write beside it and rename.
    pub fn write<'v, E: From<ModelError>>(
        self,
        tensors: &[GgufTensorSpec],
        mut values: impl FnMut(&GgufTensorSpec) -> Result<Cow<'v, [f32]>, E>,
    ) -> Result<(), E> {
        self.check_metadata()?;
        self.check_tensors(tensors)?;
        let alignment = alignment(&self.path, &self.metadata)?;
        let failed = ModelError::writing;
        let file = File::create(&self.path).map_err(failed(&self.path))?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let mut header = self.header(tensors, alignment);
        pad(&mut header, alignment);
        writer.write_all(&header).map_err(failed(&self.path))?;
        for tensor in tensors {
            self.write_tensor(&mut writer, tensor, &values(tensor)?, alignment)?;
        }
        let file = writer.into_inner().map_err(|error| failed(&self.path)(error.into_error()))?;
        file.sync_all().and_then(|()| self.sync_folder()).map_err(failed(&self.path))?;
        Ok(())
    }

    /// The name of a new file is in its folder, which has to reach the disk too; Windows has no such call.
    fn sync_folder(&self) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if cfg!(unix) { File::open(folder.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
    }

    fn check_metadata(&self) -> Result<(), ModelError> {
        let mut seen = HashSet::new();
        match self.metadata.iter().find(|(key, _)| !seen.insert(key)) {
            Some((key, _)) => {
                Err(ModelError::bad_file(&self.path, format!("would have the metadata key `{key}` twice")))
            }
            None => Ok(()),
        }
    }

    fn check_tensors(&self, tensors: &[GgufTensorSpec]) -> Result<(), ModelError> {
        let mut seen = HashSet::new();
        for tensor in tensors {
            let problem = if seen.insert(&tensor.name) {
                unwritable(tensor)
            } else {
                Some("is there twice".to_owned())
            };
            if let Some(problem) = problem {
                return Err(ModelError::bad_tensor(&self.path, &tensor.name, problem));
            }
            if !GgmlType::WRITABLE.contains(&tensor.ggml_type) {
                return Err(ModelError::NotWritable { ggml_type: tensor.ggml_type });
            }
        }
        Ok(())
    }

    fn header(&self, tensors: &[GgufTensorSpec], alignment: u64) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_string(&mut bytes, key);
            value.write(&mut bytes);
        }
        let mut offset = 0u64;
        for tensor in tensors {
            put_string(&mut bytes, &tensor.name);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            bytes.extend(tensor.shape.iter().rev().flat_map(|&size| (size as u64).to_le_bytes()));
            bytes.extend(tensor.ggml_type.code().to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset += tensor.n_bytes().next_multiple_of(alignment);
        }
        bytes
    }

    fn write_tensor(
        &self,
        writer: &mut impl Write,
        tensor: &GgufTensorSpec,
        values: &[f32],
        alignment: u64,
    ) -> Result<(), ModelError> {
        let GgufTensorSpec { name, shape, ggml_type } = tensor;
        assert_eq!(values.len(), tensor.n_values(), "{name} of shape {shape:?} was given other values");
        if let Some(value) = ggml_type.first_unfit(values) {
            let problem = format!("{value} does not fit {}; write it as BF16 or F32", ggml_type.name());
            return Err(ModelError::bad_tensor(&self.path, name, problem));
        }
        let mut bytes = Vec::new();
        for chunk in values.chunks(CHUNK_VALUES) {
            bytes.clear();
            ggml_type.encode(chunk, &mut bytes)?;
            writer.write_all(&bytes).map_err(ModelError::writing(&self.path))?;
        }
        // ggml wants the padding after the last tensor too.
        let n_bytes = tensor.n_bytes();
        let padding = n_bytes.next_multiple_of(alignment) - n_bytes;
        writer.write_all(&vec![0; padding as usize]).map_err(ModelError::writing(&self.path))
    }
}

/// What no file can have.
fn unwritable(tensor: &GgufTensorSpec) -> Option<String> {
    let GgufTensorSpec { name, shape, ggml_type } = tensor;
    if name.len() > MAX_NAME_BYTES {
        return Some(format!(
            "its name has {} bytes, at most {MAX_NAME_BYTES} are read elsewhere",
            name.len()
        ));
    }
    if shape.len() > MAX_DIMS as usize {
        return Some(format!("has {} axes, at most {MAX_DIMS} exist", shape.len()));
    }
    let (row, block_len) = (shape.last().copied().unwrap_or(1), ggml_type.block_len());
    if !row.is_multiple_of(block_len) {
        let type_name = ggml_type.name();
        return Some(format!(
            "rows of {row} values are no whole {type_name} blocks of {block_len}; write it as F16"
        ));
    }
    None
}

fn pad(bytes: &mut Vec<u8>, alignment: u64) {
    bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
}
