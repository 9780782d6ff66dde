//! Token trees as text for people: what is only read and what is trained on.

use super::TextEncoder;
use crate::{DataError, TokenTree};

/// A part of a text, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that is read but not trained on.
    Prompt(String),
    /// Text that is trained on.
    Trained(String),
}

impl TextEncoder {
    /// The text of a prompt and one of its completions in pieces, special tokens written out.
    ///
    /// A character whose bytes lie in tokens on both sides of the boundary is shown with the completion.
    pub fn pieces(&self, tree: &TokenTree, completion_idx: usize) -> Result<Vec<Piece>, DataError> {
        let Some(completion) = tree.completions.get(completion_idx) else {
            return Ok(Vec::new());
        };
        // Without a prompt the first token has nothing that predicts it.
        let n_unscored = tree.prompt.len().max(1);
        let ids = [&tree.prompt[..], completion].concat();
        let unscored = self.decode_with_special_tokens(&ids[..n_unscored.min(ids.len())])?;
        let whole = self.decode_with_special_tokens(&ids)?;
        let (prompt, trained) = whole.split_at(common_prefix(&unscored, &whole));
        let pieces = [Piece::Prompt(prompt.to_owned()), Piece::Trained(trained.to_owned())];
        Ok(pieces.into_iter().filter(|piece| !piece.text().is_empty()).collect())
    }
}

impl Piece {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Prompt(text) | Self::Trained(text) => text,
        }
    }
}

/// Bytes of whole characters that two texts start with in common.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}
