//! Mistral, with a window on all blocks or none.

use super::{
    Definition,
    common::{Defaults, llama_like, window},
};
use crate::config::{DecoderConfig, fields::Fields, names::LLAMA};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "mistral", parse, names: &LLAMA };

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults { n_kv_heads: Some(8), max_positions: 4096 * 32, ..Defaults::default() };
    let mut config = llama_like(&FAMILY, fields, defaults)?;
    let window = window(fields, Some(4096))?;
    config.layers.iter_mut().for_each(|layer| layer.window = window);
    Ok(config)
}
