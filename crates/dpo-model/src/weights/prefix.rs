//! Checkpoints of the bare model, whose names lack the prefix of the model with a head.

use super::{TensorInfo, WeightSource};
use crate::{DecoderConfig, ModelError};
use std::path::Path;

/// A source whose names got the prefix that they lack.
#[derive(Debug)]
struct Prefixed {
    source: Box<dyn WeightSource>,
    prefix: &'static str,
    tensors: Vec<TensorInfo>,
}

/// `source` under the names that the family of `config` has for a model with a head.
///
/// Some checkpoints, such as the original GPT-2, were saved from the bare model: `wte.weight` for
/// `transformer.wte.weight`. All others are given back as they are.
pub fn with_prefix(source: Box<dyn WeightSource>, config: &DecoderConfig) -> Box<dyn WeightSource> {
    let names = config.names();
    let embedding = names.of_module("embedding") + ".weight";
    let bare = embedding.strip_prefix(names.prefix).unwrap_or(&embedding);
    if source.info(&embedding).is_some() || source.info(bare).is_none() {
        return source;
    }
    let head = names.of_module("head");
    let prefixed = |info: &TensorInfo| {
        let name = if info.name.starts_with(&head) {
            info.name.clone()
        } else {
            format!("{}{}", names.prefix, info.name)
        };
        TensorInfo { name, ..info.clone() }
    };
    let tensors = source.tensors().iter().map(prefixed).collect();
    Box::new(Prefixed { source, prefix: names.prefix, tensors })
}

impl WeightSource for Prefixed {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|info| info.name == name)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.source.read_f32(name.strip_prefix(self.prefix).unwrap_or(name))
    }
}
