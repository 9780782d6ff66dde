//! The families of models: how each one's configuration is read, and what its tensors are called.
//!
//! A new family is one file in `family/` and a line in [`ALL`]; `docs/families.md` shows how.

mod common;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod mistral;
mod olmo2;
mod phi3;
mod qwen2;
mod qwen3;
mod smollm3;

use super::{DecoderConfig, TensorNames, fields::Fields};
use crate::error::ModelError;
use serde::{Serialize, Serializer};
use std::fmt;

/// Every family, in the order in which they are listed to users.
const ALL: [Family; 13] = [
    Family(&llama::FAMILY),
    Family(&mistral::FAMILY),
    Family(&qwen2::FAMILY),
    Family(&qwen3::FAMILY),
    Family(&gemma::FAMILY),
    Family(&gemma2::FAMILY),
    Family(&gemma3::FAMILY),
    Family(&phi3::FAMILY),
    Family(&gpt2::FAMILY),
    Family(&gpt_neox::FAMILY),
    Family(&olmo2::FAMILY),
    Family(&smollm3::FAMILY),
    Family(&granite::FAMILY),
];

/// What is particular to a family.
pub(crate) struct Definition {
    /// `model_type` in `config.json`.
    pub(crate) model_type: &'static str,
    /// From `config.json` to the decoder's shape.
    parse: fn(&Fields) -> Result<DecoderConfig, ModelError>,
    /// What its tensors are called.
    names: &'static TensorNames,
}

/// A family of models.
#[derive(Clone, Copy)]
pub struct Family(&'static Definition);

impl Family {
    /// All families that the decoder can compute.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The family that `config.json` calls so.
    pub fn of_model_type(model_type: &str) -> Option<Self> {
        ALL.into_iter().find(|family| family.model_type() == model_type)
    }

    /// Its `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        self.0.model_type
    }

    pub(super) fn names(self) -> &'static TensorNames {
        self.0.names
    }

    pub(super) fn parse(self, fields: &Fields) -> Result<DecoderConfig, ModelError> {
        (self.0.parse)(fields)
    }

    /// The names of all families, for messages.
    pub(crate) fn list() -> String {
        ALL.map(Self::model_type).join(", ")
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.model_type() == other.model_type()
    }
}

impl Eq for Family {}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.model_type())
    }
}
