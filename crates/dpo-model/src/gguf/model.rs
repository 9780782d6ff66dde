//! A GGUF file as a Hugging Face model: names, layouts, configuration.

use super::architecture::{Architecture, Change, HEAD, gguf_name};
use super::config_in::{ROPE_TENSORS, read_config};
use super::{GgmlType, GgufFile, GgufTensor, GgufTokenizer, GgufValue};
use crate::config::{HfConfig, ParameterInfo};
use crate::error::ModelError;
use crate::weights::{TensorInfo, WeightSource};
use std::collections::HashMap;
use std::path::Path;

/// A model in a GGUF file, seen as Hugging Face has it.
#[derive(Debug)]
pub struct GgufModel {
    file: GgufFile,
    config: HfConfig,
    /// Tensors under their Hugging Face names, in the file's order.
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, Mapped>,
}

/// Where a tensor comes from.
#[derive(Debug, Clone)]
struct Mapped {
    info_idx: usize,
    file_idx: usize,
    /// The parameter it is, `None` for a tensor that the configuration does not call for.
    parameter: Option<Parameter>,
}

/// A parameter, and how its values in the file differ from the decoder's.
type Parameter = (ParameterInfo, Change);

impl GgufModel {
    /// Reads the file's metadata and maps its tensors; no tensor is dequantised but the rotation's factors.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = GgufFile::open(path)?;
        let found = file.get("general.architecture").and_then(GgufValue::as_str).unwrap_or("absent");
        let Some(architecture) = Architecture::named(found) else {
            return Err(ModelError::UnknownFamily {
                path: path.to_path_buf(),
                found: found.chars().take(60).collect(),
                known: Architecture::list(),
            });
        };
        let config = read_config(&file, architecture)?;
        let mut known: HashMap<String, ParameterInfo> = HashMap::new();
        for info in config.decoder.expected_tensors() {
            known.extend(gguf_name(&info.path).map(|name| (name, info)));
        }
        let (mut tensors, mut by_name) = (Vec::new(), HashMap::new());
        for (file_idx, tensor) in file.tensors().iter().enumerate() {
            if ROPE_TENSORS.contains(&tensor.name.as_str()) {
                continue;
            }
            let parameter = known.get(&tensor.name).map(|info| {
                let change = Change::of(architecture, &config.decoder, info);
                (info.clone(), change)
            });
            let info = described(tensor, parameter.as_ref().map(|(info, _)| info), &config);
            let mapped = Mapped { info_idx: tensors.len(), file_idx, parameter };
            by_name.insert(info.name.clone(), mapped);
            tensors.push(info);
        }
        Ok(Self { file, config, tensors, by_name })
    }

    /// The configuration, as a `config.json` would have it.
    pub fn config(&self) -> &HfConfig {
        &self.config
    }

    /// The file as it is.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// The vocabulary and chat template.
    pub fn tokenizer(&self) -> Result<GgufTokenizer, ModelError> {
        GgufTokenizer::from_file(&self.file)
    }
}

/// A tensor under its Hugging Face name; an unknown one keeps its own, so that it is reported by it.
fn described(tensor: &GgufTensor, info: Option<&ParameterInfo>, config: &HfConfig) -> TensorInfo {
    let dtype = tensor.ggml_type.saved_as();
    match info {
        Some(info) if info.shape == tensor.shape => {
            TensorInfo { name: info.name.clone(), shape: info.stored_shape(), dtype }
        }
        Some(info) => TensorInfo { name: info.name.clone(), shape: tensor.shape.clone(), dtype },
        // A head where the configuration ties it: compared with the embedding under its own name.
        None if tensor.name == HEAD => {
            let name = config.decoder.names().of_path("head.weight");
            TensorInfo { name, shape: tensor.shape.clone(), dtype }
        }
        None => TensorInfo { name: tensor.name.clone(), shape: tensor.shape.clone(), dtype },
    }
}

impl GgufModel {
    /// The tensor of a name and the parameter it is; an error where its rows cannot be regrouped.
    fn mapped(&self, name: &str) -> Result<(&GgufTensor, Option<&Parameter>), ModelError> {
        let not_there = || ModelError::bad_tensor(self.path(), name, "not in this file");
        let mapped = self.by_name.get(name).ok_or_else(not_there)?;
        let tensor = &self.file.tensors()[mapped.file_idx];
        if let Some((_, change)) = &mapped.parameter {
            let n_rows = tensor.shape.first().copied().unwrap_or(0);
            if n_rows == 0 || !n_rows.is_multiple_of(change.rows_of()) {
                let problem = format!("has {n_rows} rows, expected a multiple of {}", change.rows_of());
                return Err(ModelError::bad_tensor(self.path(), &tensor.name, problem));
            }
        }
        Ok((tensor, mapped.parameter.as_ref()))
    }
}

impl WeightSource for GgufModel {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|mapped| &self.tensors[mapped.info_idx])
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let (tensor, parameter) = self.mapped(name)?;
        let values = self.file.read_f32(tensor)?;
        let Some((info, change)) = parameter else { return Ok(values) };
        let values = change.read(values, tensor.shape.first().copied().unwrap_or(0));
        Ok(if info.shape == tensor.shape { info.to_stored(values) } else { values })
    }

    fn read_blocks(&self, name: &str) -> Result<Option<(GgmlType, Vec<u8>)>, ModelError> {
        let (tensor, parameter) = self.mapped(name)?;
        let Some((_, change)) = parameter else { return Ok(None) };
        if tensor.ggml_type.block_len() == 1 || tensor.shape.len() != 2 || *change == Change::LessOne {
            return Ok(None);
        }
        let bytes = self.file.read_bytes(tensor)?;
        let row_bytes = bytes.len() / tensor.shape[0];
        let order = change.order(tensor.shape[0]);
        let rows = order.iter().flat_map(|row| &bytes[row * row_bytes..(row + 1) * row_bytes]);
        Ok(Some((tensor.ggml_type, rows.copied().collect())))
    }
}
