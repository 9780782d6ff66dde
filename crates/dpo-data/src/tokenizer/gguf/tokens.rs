//! Texts and kinds of tokens, as llama.cpp's converter has them.

use serde_json::Value;

use super::kind;
use super::pieces::SPACE;
use super::problem::GgufProblem;

/// Texts and kinds of all tokens, by id.
pub(super) struct Tokens {
    pub(super) texts: Vec<String>,
    pub(super) types: Vec<i32>,
}

impl Tokens {
    /// Those of a `tokenizer.json`, and a placeholder of no text for every other id below `n_rows`.
    pub(super) fn of(json: &Value, n_rows: usize) -> Result<Self, GgufProblem> {
        let texts = (0..n_rows).map(|id| format!("[PAD{id}]")).collect();
        let mut tokens = Self { texts, types: vec![kind::UNUSED; n_rows] };
        let is_sentence_piece = json["model"]["byte_fallback"] == true;
        for (text, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
            let is_byte =
                is_sentence_piece && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
            tokens.set(id, text.clone(), if is_byte { kind::BYTE } else { kind::NORMAL })?;
        }
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let text = token["content"].as_str().unwrap_or_default();
            if token["special"] == true || looks_special(text) {
                tokens.set(&token["id"], text.to_owned(), kind::CONTROL)?;
            } else {
                tokens.set(&token["id"], text.replace(SPACE, " "), kind::USER_DEFINED)?;
            }
        }
        Ok(tokens)
    }

    fn set(&mut self, id: &Value, text: String, token_type: i32) -> Result<(), GgufProblem> {
        let (id, n_rows) = (id.as_u64().unwrap_or(u64::MAX), self.texts.len());
        let Some(place) = self.texts.get_mut(id as usize) else {
            return Err(GgufProblem::TooFewRows { id, n_rows });
        };
        // A placeholder of an earlier conversion is one again.
        let is_placeholder = token_type == kind::NORMAL && *place == text;
        *place = text;
        self.types[id as usize] = if is_placeholder { kind::UNUSED } else { token_type };
        Ok(())
    }
}

/// Added tokens that llama.cpp's converter takes for control tokens although `tokenizer.json` does not say so.
fn looks_special(text: &str) -> bool {
    let between = |start: &str, end: &str| text.starts_with(start) && text.ends_with(end);
    ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(&text)
        || between("<|", "|>")
        || between("<｜", "｜>")
        || between("<unused", ">")
}
