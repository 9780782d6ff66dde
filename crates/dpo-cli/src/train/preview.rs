//! `--dry-run`: one row as the model sees it.

use anyhow::Result;
use dpo_data::{Piece, TextEncoder, TokenTree};

use crate::columns::{Style, style};

/// The first row, its completions coloured by what is trained on (in brackets where there is no colour).
pub(crate) fn rendered(encoder: &TextEncoder, tree: &TokenTree) -> Result<String> {
    let (on, off, mark) = match style() {
        Style::Colour => ("\x1b[32m", "\x1b[0m", "green"),
        Style::Plain => ("⟦", "⟧", "in ⟦brackets⟧"),
    };
    let mut text = format!("row {} of file {}:\n", tree.row.row, tree.row.file + 1);
    for (idx, completion) in tree.completions.iter().enumerate() {
        let name = match (idx, tree.completions.len()) {
            (0, 2) => "chosen".to_owned(),
            (1, 2) => "rejected".to_owned(),
            (_, 1) => "completion".to_owned(),
            (idx, n) => format!("completion {} of {n}, best first", idx + 1),
        };
        text += &format!(
            "--- {name}: {} prompt tokens, {} trained on ({mark})\n",
            tree.prompt.len(),
            completion.len(),
        );
        for piece in encoder.pieces(tree, idx)? {
            match piece {
                Piece::Prompt(part) => text += &printable(&part),
                Piece::Trained(part) => text += &format!("{on}{}{off}", printable(&part)),
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// Control characters but for line ends and tabs would steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
