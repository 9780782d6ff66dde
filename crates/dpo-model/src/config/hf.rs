//! `config.json` of a Hugging Face folder, in the spelling of transformers 5 and of version 4.

use super::{DecoderConfig, Family, fields::Fields};
use crate::error::ModelError;
use crate::weights::read_small_file;
use serde_json::{Map, Value};
use std::path::Path;

/// Larger than any real `config.json` by a factor of a hundred.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// A `config.json`: what the decoder needs of it, and every key as it was, to be saved again.
#[derive(Debug, Clone, PartialEq)]
pub struct HfConfig {
    /// The decoder's shape.
    pub decoder: DecoderConfig,
    /// All keys of the file, in their order.
    pub raw: Map<String, Value>,
}

impl HfConfig {
    /// Reads and checks `path`.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = read_small_file(path, MAX_CONFIG_BYTES)?;
        let json = |source| ModelError::Json { path: path.to_path_buf(), source };
        let value: Value = serde_json::from_slice(&text).map_err(json)?;
        let Value::Object(raw) = value else {
            return Err(ModelError::bad_file(path, "expected a JSON object"));
        };
        Self::from_json(raw, path)
    }

    /// Checks an object that was parsed before; `path` is for the errors.
    pub fn from_json(raw: Map<String, Value>, path: &Path) -> Result<Self, ModelError> {
        let fields = Fields { path, prefix: "", map: &raw };
        let model_type = fields.text("model_type")?;
        let Some(family) = model_type.and_then(Family::of_model_type) else {
            return Err(ModelError::UnknownFamily {
                path: path.to_path_buf(),
                found: model_type.unwrap_or("absent").chars().take(60).collect(),
                known: Family::list(),
            });
        };
        Ok(Self { decoder: family.parse(&fields)?, raw })
    }
}
