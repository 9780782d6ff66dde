//! An answer while its tokens come: its text, and the stop strings that end it.

use anyhow::Result;
use dpo_data::TextEncoder;
use dpo_model::generate::Next;

/// An answer that grows token by token.
pub(super) struct Answer<'a> {
    stream: TextStream<'a>,
    stops: &'a [String],
    /// What the tokens so far say for certain.
    text: String,
    /// Bytes of it that were handed out.
    n_shown: usize,
}

impl<'a> Answer<'a> {
    /// Nothing yet; it ends before the first of `stops`, none of which is empty.
    pub(super) fn new(encoder: &'a TextEncoder, stops: &'a [String]) -> Self {
        Self { stream: TextStream::new(encoder), stops, text: String::new(), n_shown: 0 }
    }

    /// Adds a token; [`Next::Stop`] where the text holds a stop string.
    pub(super) fn push(&mut self, token: u32) -> Result<Next> {
        self.text += &self.stream.push(token)?;
        let is_over = first_stop(&self.text, self.stops).is_some();
        Ok(if is_over { Next::Stop } else { Next::Continue })
    }

    /// Text that was not handed out yet. What may become a stop string waits until it is one or none.
    pub(super) fn fresh(&mut self) -> &str {
        let begun = self.stops.iter().map(|stop| begun(&self.text, stop)).max().unwrap_or(0);
        let end = first_stop(&self.text, self.stops).unwrap_or(self.text.len() - begun);
        let start = self.n_shown.min(end);
        self.n_shown = end;
        &self.text[start..end]
    }

    /// The whole answer, and the part of it that was not handed out.
    pub(super) fn finish(self) -> Result<(String, String)> {
        let mut text = self.stream.whole()?;
        text.truncate(first_stop(&text, self.stops).unwrap_or(text.len()));
        let rest = text.strip_prefix(&self.text[..self.n_shown]).unwrap_or_default().to_owned();
        Ok((text, rest))
    }
}

/// Where the first stop string begins.
fn first_stop(text: &str, stops: &[String]) -> Option<usize> {
    stops.iter().filter_map(|stop| text.find(stop.as_str())).min()
}

/// Bytes at the end of `text` that `stop` begins with.
fn begun(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(end, _)| end).rev();
    ends.filter(|end| text.ends_with(&stop[..*end])).max().unwrap_or(0)
}

/// Text of tokens, each piece as soon as no later token can change it.
///
/// A few tokens are decoded at a time: the last ones whose text is known, because a token may say something else at the
/// beginning of a text (where SentencePiece has no space), and those after them.
struct TextStream<'a> {
    encoder: &'a TextEncoder,
    tokens: Vec<u32>,
    /// The first token that is decoded again.
    anchor: usize,
    /// Tokens before it end with a whole character.
    n_whole: usize,
    /// Bytes of the text from `anchor` on that were handed out.
    n_given: usize,
}

impl<'a> TextStream<'a> {
    fn new(encoder: &'a TextEncoder) -> Self {
        Self { encoder, tokens: Vec::new(), anchor: 0, n_whole: 0, n_given: 0 }
    }

    /// Adds a token and gives the text that is certain now.
    fn push(&mut self, token: u32) -> Result<String> {
        self.tokens.push(token);
        let text = self.encoder.decode(&self.tokens[self.anchor..])?;
        // Bytes that are no whole character, or not yet, are decoded as `�`.
        let certain = text.trim_end_matches('\u{fffd}');
        let fresh = certain.get(self.n_given..).unwrap_or_default().to_owned();
        self.n_given = self.n_given.max(certain.len());
        if certain.len() == text.len() {
            let last = self.encoder.decode(&self.tokens[self.n_whole..])?;
            // Special tokens say nothing, and are no beginning of a text either.
            if !last.is_empty() {
                (self.anchor, self.n_whole, self.n_given) = (self.n_whole, self.tokens.len(), last.len());
            }
        }
        Ok(fresh)
    }

    fn whole(&self) -> Result<String> {
        Ok(self.encoder.decode(&self.tokens)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use dpo_data::{Clock, SpecialText, Text};
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;

    /// A byte a token in `runs/model`, a word a token in `models/llama_gqa_tied`.
    fn encoder(model: &str) -> TextEncoder {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        TextEncoder::from_folder(&golden.join(model), Clock::now()).unwrap()
    }

    fn ids(encoder: &TextEncoder, text: &str) -> Vec<u32> {
        encoder.encode_prompt(&Text::Plain(text.to_owned()), &Map::new(), SpecialText::Literal).unwrap()
    }

    /// The pieces handed out token by token until a stop string, and the answer.
    fn pieces(encoder: &TextEncoder, tokens: &[u32], stops: &[&str]) -> (Vec<String>, String) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut answer = Answer::new(encoder, &stops);
        let mut pieces = Vec::new();
        for token in tokens {
            let next = answer.push(*token).unwrap();
            pieces.push(answer.fresh().to_owned());
            if next == Next::Stop {
                break;
            }
        }
        let (text, rest) = answer.finish().unwrap();
        pieces.push(rest);
        (pieces, text)
    }

    /// `é` has two bytes, `€` three, `😀` four.
    #[test]
    fn a_character_comes_when_its_last_byte_does() {
        let encoder = encoder("runs/model");
        let (pieces, text) = pieces(&encoder, &ids(&encoder, "aé€😀b"), &[]);
        assert_eq!(pieces, ["a", "", "é", "", "", "€", "", "", "", "😀", "b", ""]);
        assert_eq!(text, "aé€😀b");
    }

    #[test]
    fn bytes_that_are_no_character_come_with_what_follows() {
        let encoder = encoder("runs/model");
        let euro = ids(&encoder, "€");
        let x = ids(&encoder, "x");
        let (pieces, text) = pieces(&encoder, &[&euro[..2], &x, &euro[..1]].concat(), &[]);
        assert_eq!(pieces, ["", "", "�x", "", "�"]);
        assert_eq!(text, "�x�");
    }

    /// `€EN` looks like the beginning of the stop string, and `€END` is it.
    #[test]
    fn a_stop_string_is_never_seen_in_part() {
        let encoder = encoder("runs/model");
        let (pieces, text) = pieces(&encoder, &ids(&encoder, "a€EN€END, and more"), &["€END", "zzz"]);
        assert_eq!(pieces.concat(), "a€EN");
        assert_eq!(pieces.len(), "a€EN€END".len() + 1, "it stops with the last byte of the stop string");
        assert_eq!(text, "a€EN");
    }

    #[test]
    fn the_stop_string_that_comes_first_ends_the_answer() {
        let encoder = encoder("runs/model");
        let ids = ids(&encoder, "one two three");
        let text = |stops: &[&str]| pieces(&encoder, &ids, stops).1;
        assert_eq!(text(&["three", "two"]), "one ");
        assert_eq!(text(&["one"]), "");
        assert_eq!(text(&["four", "e t"]), "on");
        assert_eq!(text(&["threes"]), "one two three");
    }

    proptest! {
        /// Special tokens and broken characters among them: nothing is lost, doubled or changed.
        #[test]
        fn pieces_make_up_what_is_decoded_at_once(tokens in prop::collection::vec(0u32..262, 0..60)) {
            let encoder = encoder("runs/model");
            let (pieces, text) = pieces(&encoder, &tokens, &[]);
            prop_assert_eq!(pieces.concat(), text.as_str());
            prop_assert_eq!(text, encoder.decode(&tokens).unwrap());
        }

        #[test]
        fn so_do_words(tokens in prop::collection::vec(0u32..320, 0..30)) {
            let encoder = encoder("models/llama_gqa_tied");
            let (pieces, text) = pieces(&encoder, &tokens, &[]);
            prop_assert_eq!(pieces.concat(), text);
        }
    }
}
