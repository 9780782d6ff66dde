//! Special tokens that people wrote into their texts, kept apart from those that stand for something.
//!
//! `<|im_end|>` in a review is a word like any other. Were it parsed, whoever writes a row could end a turn or start
//! one of the system's. Most rows hold no such word and are tokenised as ever. A row that does takes this way:
//!
//! 1. [`SpecialTokens::mark`] puts the word between two markers, noncharacters that no text has.
//! 2. The template renders; its own special tokens are the ones without markers.
//! 3. [`LiteralTokenizer`] is the same tokenizer, every id as it was, in which each special token goes by another name
//!    that no text has. The template's own take that name, the marked ones lose their markers, and nothing is left in the
//!    text that could be taken for a special token. Splits, normalisation and merges run over one text as always.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

/// Before a special token that a person wrote.
const OPEN: char = '\u{FDD0}';
/// After it.
const CLOSE: char = '\u{FDD1}';
/// First character of the other name of a special token, before its number.
const NAME_START: char = '\u{FDD2}';
/// Last character of it.
const NAME_END: char = '\u{FDD3}';

/// The texts that a tokenizer parses as special tokens.
#[derive(Debug, Default)]
pub(crate) struct SpecialTokens {
    ids: HashMap<String, u32>,
    /// Lengths in bytes that occur, longest first.
    lengths: Vec<usize>,
    first_bytes: Vec<u8>,
}

impl SpecialTokens {
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let added = tokenizer.get_added_tokens_decoder();
        let special = added.into_iter().filter(|(_, token)| token.special && !token.content.is_empty());
        Self::of_ids(special.map(|(id, token)| (token.content, id)))
    }

    /// These texts, of which none is empty.
    pub(super) fn of_ids(ids: impl Iterator<Item = (String, u32)>) -> Self {
        let ids: HashMap<String, u32> = ids.filter(|(text, _)| !text.is_empty()).collect();
        let mut lengths: Vec<usize> = ids.keys().map(String::len).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let mut first_bytes: Vec<u8> = ids.keys().map(|text| text.as_bytes()[0]).collect();
        first_bytes.sort_unstable();
        first_bytes.dedup();
        Self { ids, lengths, first_bytes }
    }

    /// Bytes of the longest one; `None` without any.
    pub(super) fn longest(&self) -> Option<usize> {
        self.lengths.first().copied()
    }

    /// Whether a special token is written out in `text`.
    pub(crate) fn occur_in(&self, text: &str) -> bool {
        self.find(text).is_some()
    }

    /// The special token that `text` starts with, the longest, and its id.
    fn at_start<'t>(&self, text: &'t str) -> Option<(&'t str, u32)> {
        let candidates = self.lengths.iter().filter_map(|length| text.get(..*length));
        candidates.into_iter().find_map(|token| self.ids.get(token).map(|id| (token, *id)))
    }

    /// The leftmost special token, the longest there: where it starts, it and its id.
    pub(super) fn find<'t>(&self, text: &'t str) -> Option<(usize, &'t str, u32)> {
        let starts =
            text.bytes().enumerate().filter(|(_, byte)| self.first_bytes.binary_search(byte).is_ok());
        starts.into_iter().find_map(|(start, _)| {
            let (token, id) = self.at_start(text.get(start..)?)?;
            Some((start, token, id))
        })
    }

    /// `text` with markers around its special tokens. The noncharacters that serve as markers are taken out of it first,
    /// so that nobody can forge one.
    pub(crate) fn mark(&self, text: &str) -> String {
        let clean = text.replace([OPEN, CLOSE, NAME_START, NAME_END], "");
        let mut marked = String::with_capacity(clean.len() + 16);
        let mut rest = clean.as_str();
        while let Some((start, token, _)) = self.find(rest) {
            marked.push_str(&rest[..start]);
            marked.push(OPEN);
            marked.push_str(token);
            marked.push(CLOSE);
            rest = &rest[start + token.len()..];
        }
        marked + rest
    }

    /// Marks every text inside a JSON value, keys excepted.
    pub(crate) fn mark_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mark(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mark_value(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.mark_value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Whether a special token is written out in any text inside a JSON value, keys excepted.
    pub(crate) fn occur_in_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.occur_in(text),
            Value::Array(items) => items.iter().any(|item| self.occur_in_value(item)),
            Value::Object(map) => map.values().any(|item| self.occur_in_value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// A marked text for [`LiteralTokenizer`]: marked tokens as they are, all others by their other name.
    fn rename(&self, marked: &str) -> String {
        let mut renamed = String::with_capacity(marked.len());
        let mut rest = marked;
        while let Some(char) = rest.chars().next() {
            let literal = rest.strip_prefix(OPEN).and_then(|inside| {
                let (token, _) = self.at_start(inside)?;
                inside[token.len()..].starts_with(CLOSE).then_some(token)
            });
            if let Some(token) = literal {
                renamed.push_str(token);
                rest = &rest[OPEN.len_utf8() + token.len() + CLOSE.len_utf8()..];
            } else if let Some((token, id)) = self.at_start(rest) {
                renamed.push_str(&other_name(id));
                rest = &rest[token.len()..];
            } else {
                // A template can tear markers from their token; alone they are dropped, and what stood between them
                // stays text because no special token has its own name any more.
                if char != OPEN && char != CLOSE {
                    renamed.push(char);
                }
                rest = &rest[char.len_utf8()..];
            }
        }
        renamed
    }
}

fn other_name(id: u32) -> String {
    format!("{NAME_START}{id}{NAME_END}")
}

/// A tokenizer in which special tokens go by names that no text has.
#[derive(Debug)]
pub(crate) struct LiteralTokenizer {
    tokenizer: Tokenizer,
}

impl LiteralTokenizer {
    pub(crate) fn new(original: &Tokenizer, special: &SpecialTokens) -> Result<Self, String> {
        let json = original.to_string(false).map_err(|error| error.to_string())?;
        let mut json: Value = serde_json::from_str(&json).map_err(|error| error.to_string())?;
        rename_added_tokens(&mut json["added_tokens"], special);
        rename_in_model(&mut json["model"], special);
        let bytes = serde_json::to_vec(&json).map_err(|error| error.to_string())?;
        let tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
        match special.ids.iter().find(|(_, id)| tokenizer.token_to_id(&other_name(**id)) != Some(**id)) {
            Some((token, _)) => Err(format!("the special token `{token}` cannot be told from text")),
            None => Ok(Self { tokenizer }),
        }
    }

    /// Ids of a text made by [`SpecialTokens::mark`] and a template.
    pub(crate) fn encode(
        &self,
        marked: &str,
        special: &SpecialTokens,
        add_special_tokens: bool,
    ) -> tokenizers::Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(special.rename(marked), add_special_tokens)?;
        Ok(encoding.get_ids().to_vec())
    }
}

fn rename_added_tokens(added: &mut Value, special: &SpecialTokens) {
    for token in added.as_array_mut().into_iter().flatten() {
        if let Some(id) = token["content"].as_str().and_then(|content| special.ids.get(content)) {
            token["content"] = other_name(*id).into();
        }
    }
}

/// Renames special tokens in the model's vocabulary too, so that no text can be merged into one.
fn rename_in_model(model: &mut Value, special: &SpecialTokens) {
    let name_of = |token: &str| special.ids.get(token).map(|id| other_name(*id));
    if let Some(name) = model["unk_token"].as_str().and_then(name_of) {
        model["unk_token"] = name.into();
    }
    match model.get_mut("vocab") {
        Some(Value::Object(vocab)) => {
            let renamed =
                std::mem::take(vocab).into_iter().map(|(token, id)| (name_of(&token).unwrap_or(token), id));
            *vocab = renamed.collect::<Map<_, _>>();
        }
        Some(Value::Array(pieces)) => {
            for piece in pieces {
                if let Some(name) = piece[0].as_str().and_then(name_of) {
                    piece[0] = name.into();
                }
            }
        }
        _ => {}
    }
    if let Some(Value::Array(merges)) = model.get_mut("merges") {
        merges.retain(|merge| {
            let (left, right) = match merge {
                Value::String(pair) => pair.split_once(' ').unwrap_or((pair, "")),
                pair => (pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or("")),
            };
            let made = format!("{left}{right}");
            ![left, right, &made].into_iter().any(|token| special.ids.contains_key(token))
        });
    }
}
