//! Texts that start alike, of which the start is tokenised once.
//!
//! A tokenizer first takes a text apart at its special tokens, and what lies between two of them becomes tokens by itself. So a text
//! can be cut behind one of them: the ids of both parts, one after the other, are those of the whole. The sides of a row and its
//! prompt share all turns but the last.

use serde_json::Value;
use tokenizers::Tokenizer;

use super::literal::SpecialTokens;
use super::{Surroundings, TextEncoder};
use crate::encode::common_prefix;

/// The tokens behind which texts can be cut.
#[derive(Debug)]
pub(super) struct Seams {
    tokens: SpecialTokens,
    /// Bytes of the longest of them.
    longest: usize,
}

impl Seams {
    /// `None` for tokenizers of which it is not known that they look at each piece by itself.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        if !looks_at_pieces(tokenizer) {
            return None;
        }
        let added = tokenizer.get_added_tokens_decoder();
        // Those that are looked for in the normalised text are looked for within the pieces.
        let seams: Vec<_> = added.into_iter().filter(|(_, token)| !token.normalized).collect();
        if seams.iter().any(|(_, token)| token.single_word || token.lstrip || token.rstrip) {
            return None;
        }
        let tokens = SpecialTokens::of_ids(seams.into_iter().map(|(id, token)| (token.content, id)));
        let longest = tokens.longest()?;
        Some(Self { tokens, longest })
    }

    /// Bytes that all texts start with, up to the end of a token that no longer one could replace in any of them; 0 if there is none.
    fn shared(&self, texts: &[String]) -> usize {
        let Some((first, others)) = texts.split_first() else { return 0 };
        let alike = |other: &String| common_prefix(first.as_bytes(), other.as_bytes());
        let mut n_alike = others.iter().map(alike).min().unwrap_or(0);
        while !first.is_char_boundary(n_alike) {
            n_alike -= 1;
        }
        let (mut end, mut rest) = (0, &first[..n_alike]);
        while let Some((start, token, _)) = self.tokens.find(rest) {
            let found = n_alike - rest.len() + start;
            if found + self.longest > n_alike {
                break;
            }
            end = found + token.len();
            rest = &first[end..n_alike];
        }
        end
    }
}

/// Whether normalisation and splits see nothing of a piece but the piece.
fn looks_at_pieces(tokenizer: &Tokenizer) -> bool {
    let json = |part: Option<Value>| part.unwrap_or(Value::Null);
    let of = |part: &dyn Fn() -> Option<Value>| json(part());
    let normalizer = of(&|| serde_json::to_value(tokenizer.get_normalizer()?).ok());
    let splits = of(&|| serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok());
    is_made_of(&normalizer, "normalizers", &["NFC", "NFD", "NFKC", "NFKD"])
        && is_made_of(
            &splits,
            "pretokenizers",
            &["ByteLevel", "Digits", "Split", "Punctuation", "Whitespace"],
        )
}

/// Whether a part of `tokenizer.json` is nothing, one of these kinds, or a sequence of them.
fn is_made_of(part: &Value, members: &str, kinds: &[&str]) -> bool {
    match part["type"].as_str() {
        None => part.is_null(),
        Some("Sequence") => {
            let members = part[members].as_array();
            members.is_some_and(|members| members.iter().all(|part| is_made_of(part, "", kinds)))
        }
        Some(kind) => kinds.contains(&kind),
    }
}

impl TextEncoder {
    /// Ids of texts, special tokens in them parsed; what they start with alike is tokenised once.
    pub(crate) fn encode_together(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, String> {
        let n_shared = self.seams.as_ref().map_or(0, |seams| seams.shared(texts));
        let encode = |text: &str| self.encode_parsed(text, Surroundings::Rendered);
        if n_shared == 0 {
            return texts.iter().map(|text| encode(text)).collect();
        }
        let start = encode(&texts[0][..n_shared])?;
        let whole = |text: &String| {
            let mut ids = start.clone();
            ids.extend(encode(&text[n_shared..])?);
            Ok(ids)
        };
        texts.iter().map(whole).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A tokenizer of bytes with a few merges, and tokens of which some begin others.
    fn tokenizer(normalizer: Value, splits: Value) -> Tokenizer {
        let bytes = ["a", "b", "Ġ", "1", "<", "s", ">", "/", "Ċ", "|", "e", "Ã", "©"];
        let merged = ["ab", "Ġa", "<s", "aa", "Ġab", "ÃĠ"];
        let vocab = bytes.iter().chain(&merged[..5]).zip(0..);
        let vocab: serde_json::Map<String, Value> =
            vocab.map(|(token, id)| ((*token).to_owned(), json!(id))).collect();
        let added = ["<s>", "</s>", "<s>|", "<|a|>"].iter().zip(vocab.len()..).map(|(content, id)| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": *content == "<|a|>", "special": true })
        });
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": normalizer, "pre_tokenizer": splits, "post_processor": null, "decoder": null,
            "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                       "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                       "vocab": vocab, "merges": ["a b", "Ġ a", "< s", "a a", "Ġ ab"] },
        });
        Tokenizer::from_bytes(json.to_string()).unwrap()
    }

    fn byte_level() -> Value {
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true })
    }

    #[test]
    fn only_what_looks_at_pieces_is_cut() {
        let splits = json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true }, byte_level() ] });
        assert!(Seams::of(&tokenizer(json!({ "type": "NFC" }), splits)).is_some());
        let words =
            json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true });
        assert!(Seams::of(&tokenizer(Value::Null, words)).is_none());
        let prepend = json!({ "type": "Prepend", "prepend": "▁" });
        assert!(Seams::of(&tokenizer(prepend, byte_level())).is_none());
    }

    /// `<s>` may become `<s>|`, and is not cut behind where one text goes on that way.
    #[test]
    fn a_token_that_may_be_longer_is_no_seam() {
        let seams = Seams::of(&tokenizer(Value::Null, byte_level())).unwrap();
        let shared = |a: &str, b: &str| seams.shared(&[a.to_owned(), b.to_owned()]);
        assert_eq!(shared("a<s>", "a<s>|b"), 0);
        assert_eq!(shared("a<s>ab", "a<s>aa"), 4);
        assert_eq!(shared("</s>é<s>|é b", "</s>é<s>|ê b"), 10);
        assert_eq!(shared("ab", "ab"), 0);
    }

    proptest! {
        /// The ids are those of each text by itself.
        #[test]
        fn texts_together_are_the_texts_alone(
            start in "(<s>|</s>|<s>\\||<|\\||a|b|é| |1|\n|s|>|/){0,14}",
            ends in prop::collection::vec("(<s>|</s>|<s>\\||<|\\||a|b|é| |1|\n|s|>|/){0,8}", 1..4),
        ) {
            let tokenizer = tokenizer(Value::Null, byte_level());
            let texts: Vec<String> = ends.iter().map(|end| format!("{start}{end}")).collect();
            let alone = |text: &String| tokenizer.encode_fast(text.as_str(), false).unwrap().get_ids().to_vec();
            let expected: Vec<Vec<u32>> = texts.iter().map(alone).collect();
            let seams = Seams::of(&tokenizer).unwrap();
            let n_shared = seams.shared(&texts);
            let parts = texts.iter().map(|text| {
                let part = |text: &str| tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec();
                [part(&text[..n_shared]), part(&text[n_shared..])].concat()
            });
            prop_assert_eq!(parts.collect::<Vec<_>>(), expected);
        }
    }
}
