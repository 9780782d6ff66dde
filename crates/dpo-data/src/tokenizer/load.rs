//! `tokenizer.json` as training needs it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use tokenizers::{AddedToken, PostProcessorWrapper, Tokenizer};

use super::folder::AddBosEos;

/// `tokenizer.json` without what has no place in training: truncation, padding, random merges.
pub(super) fn load(bytes: &[u8]) -> Result<Tokenizer, String> {
    let mut json: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
    if !json["model"].is_object() {
        return Err("has no `model`; is this a tokenizer.json of the tokenizers library?".to_owned());
    }
    let random = json["model"]["dropout"].take();
    let bytes = if random.is_null() { bytes } else { &serde_json::to_vec(&json).unwrap_or_default() };
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// Adds the tokens of the configuration that `tokenizer.json` lacks.
pub(super) fn add_missing(tokenizer: &mut Tokenizer, tokens: Vec<AddedToken>) -> Result<(), String> {
    let known = tokenizer.get_added_tokens_decoder();
    let mut known: HashSet<String> = known.into_values().map(|token| token.content).collect();
    let missing: Vec<AddedToken> =
        tokens.into_iter().filter(|token| known.insert(token.content.clone())).collect();
    tokenizer.add_tokens(missing).map(drop).map_err(|error| error.to_string())
}

/// Puts BOS and EOS around texts as `tokenizer_config.json` wants it, which goes before `tokenizer.json`.
pub(super) fn set_post_processor(
    tokenizer: &mut Tokenizer,
    add: AddBosEos,
    named: &BTreeMap<String, String>,
) -> Result<(), String> {
    let token = |wanted: bool, name: &str| {
        let token = named.get(name).filter(|_| wanted)?;
        Some((token.clone(), tokenizer.token_to_id(token)?))
    };
    let (bos, eos) = (token(add.bos, "bos_token"), token(add.eos, "eos_token"));
    let json = template_processing(bos.as_ref(), eos.as_ref());
    let processor: PostProcessorWrapper = serde_json::from_value(json).map_err(|error| error.to_string())?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

/// `TemplateProcessing` of `tokenizer.json` with these tokens before and after every text.
pub(super) fn template_processing(bos: Option<&(String, u32)>, eos: Option<&(String, u32)>) -> Value {
    let side = |sequence: &str, type_id: u32| {
        let special = |(token, _): &(String, u32)| json!({"SpecialToken": {"id": token, "type_id": type_id}});
        let text = json!({"Sequence": {"id": sequence, "type_id": type_id}});
        bos.map(special).into_iter().chain([text]).chain(eos.map(special)).collect::<Vec<_>>()
    };
    let pair = [side("A", 0), side("B", 1)].concat();
    let special = bos.into_iter().chain(eos);
    let special =
        special.map(|(token, id)| (token.clone(), json!({"id": token, "ids": [id], "tokens": [token]})));
    json!({
        "type": "TemplateProcessing",
        "single": side("A", 0),
        "pair": pair,
        "special_tokens": Value::Object(special.collect()),
    })
}
