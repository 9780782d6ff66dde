//! Words whose tokens are known already.
//!
//! Tokenizers of the byte-level kind split a text by a regular expression, and every piece of it becomes tokens by itself. None of the
//! expressions below takes a space together with what is not white space before it: `a b` is always cut before the space, and both
//! parts give what they give alone. So a text is a list of words with the space before each, most of which were there already.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::literal::SpecialTokens;

/// Words that a thread remembers; then it begins anew.
const MOST: usize = 1 << 15;
/// Bytes of the longest word that is remembered.
const LONGEST: usize = 64;

/// Expressions of `Split` that never take a space with what comes before it: of Llama 3, of Qwen 2 and its relatives, and of GPT-4.
const SPLITS: [&str; 3] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
];

/// The tokens of words, for each thread by itself.
#[derive(Debug)]
pub(super) struct Words {
    /// Tokens that texts are taken apart at first.
    added: SpecialTokens,
    /// Whether texts are normalised, which leaves those in ASCII as they are.
    is_normalised: bool,
    /// One for each thread of the pool, and one for all others.
    known: Box<[Mutex<Known>]>,
}

type Known = HashMap<Box<str>, Box<[u32]>>;

impl Words {
    /// `None` for tokenizers of which it is not known that words become tokens by themselves.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let normalizer = tokenizer.get_normalizer().map(serde_json::to_value).transpose().ok()?;
        let is_normalised = match normalizer {
            None => false,
            Some(normalizer) if normalizer["type"] == "NFC" => true,
            Some(_) => return None,
        };
        let splits = serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok()?;
        let added = tokenizer.get_added_tokens_decoder();
        let is_plain = added
            .values()
            .all(|token| !token.normalized && !token.single_word && !token.lstrip && !token.rstrip);
        if !is_plain || !splits_before_spaces(&splits) {
            return None;
        }
        let added = SpecialTokens::of_ids(added.into_iter().map(|(id, token)| (token.content, id)));
        let n_threads = rayon::current_num_threads() + 1;
        Some(Self { added, is_normalised, known: (0..n_threads).map(|_| Mutex::default()).collect() })
    }

    /// Ids of a text without tokens around it; `tokenize` says what a word is that is not known yet. `None` where words are not
    /// looked up.
    pub(super) fn encode(
        &self,
        text: &str,
        tokenize: impl Fn(&str) -> Result<Vec<u32>, String>,
    ) -> Option<Result<Vec<u32>, String>> {
        if self.is_normalised && !text.is_ascii() {
            return None;
        }
        let slot = rayon::current_thread_index().map_or(0, |thread| 1 + thread % (self.known.len() - 1));
        let mut known = self.known[slot].lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut rest = text;
        while let Some((start, token, id)) = self.added.find(rest) {
            if let Err(problem) = add(&rest[..start], &mut known, &tokenize, &mut ids) {
                return Some(Err(problem));
            }
            ids.push(id);
            rest = &rest[start + token.len()..];
        }
        Some(add(rest, &mut known, &tokenize, &mut ids).map(|()| ids))
    }
}

/// Adds the ids of the words of `text`.
fn add(
    text: &str,
    known: &mut Known,
    tokenize: &impl Fn(&str) -> Result<Vec<u32>, String>,
    ids: &mut Vec<u32>,
) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(word_end(rest));
        rest = after;
        if let Some(word) = known.get(word) {
            ids.extend_from_slice(word);
            continue;
        }
        let of_word = tokenize(word)?;
        ids.extend_from_slice(&of_word);
        if word.len() <= LONGEST {
            if known.len() == MOST {
                known.clear();
            }
            known.insert(word.into(), of_word.into());
        }
    }
    Ok(())
}

/// Where the first word of `text` ends: before a space between two characters that are no white space.
fn word_end(text: &str) -> usize {
    let is_cut = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + 1..].chars().next();
        [before, after].iter().all(|c| c.is_some_and(|c| !c.is_whitespace() && !c.is_control()))
    };
    let spaces = text.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b' ');
    spaces.into_iter().map(|(at, _)| at).find(|at| is_cut(*at)).unwrap_or(text.len())
}

/// Whether a pre-tokenizer is one of those that always cut before such a space.
fn splits_before_spaces(splits: &Value) -> bool {
    let parts = match splits["type"].as_str() {
        Some("Sequence") => splits["pretokenizers"].as_array().map(Vec::as_slice).unwrap_or_default(),
        _ => std::slice::from_ref(splits),
    };
    // Digits stand alone or together, and nothing else is changed.
    let parts = match parts {
        [first, rest @ ..] if first["type"] == "Digits" => rest,
        parts => parts,
    };
    let is_byte_level = |part: &Value, uses_regex: bool| {
        part["type"] == "ByteLevel" && part["add_prefix_space"] == false && part["use_regex"] == uses_regex
    };
    let is_known = |part: &Value| {
        let pattern = part["pattern"]["Regex"].as_str();
        part["type"] == "Split"
            && part["behavior"] == "Isolated"
            && part["invert"] == false
            && pattern.is_some_and(|pattern| SPLITS.contains(&pattern))
    };
    match parts {
        [bytes] => is_byte_level(bytes, true),
        [split, bytes] => is_known(split) && is_byte_level(bytes, false),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// All bytes, some merges, and a special token.
    fn tokenizer(normalizer: Value, splits: &Value) -> Tokenizer {
        // GPT-2's characters for bytes: printable ones stand for themselves, others lie behind U+0100.
        let is_itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let mut others = 0x100_u32..;
        let char_of = (0..=255_u8).map(|byte| match is_itself(byte) {
            true => char::from(byte),
            false => others.next().and_then(char::from_u32).unwrap(),
        });
        let mut vocab: serde_json::Map<String, Value> =
            char_of.zip(0..).map(|(char, id)| (char.to_string(), json!(id))).collect();
        let merges = ["a b", "Ġ a", "Ġa b", "Ċ Ċ", "Ġ Ġ", "a a", "' s", "1 2", ", Ċ", "Ġ ,"];
        for merge in merges {
            let id = vocab.len();
            vocab.insert(merge.replace(' ', ""), json!(id));
        }
        let added = json!([{ "id": vocab.len(), "content": "<|e|>", "single_word": false, "lstrip": false, "rstrip": false,
                             "normalized": false, "special": true }]);
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": normalizer, "pre_tokenizer": splits, "post_processor": null, "decoder": null,
            "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                       "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                       "vocab": vocab, "merges": merges },
        });
        Tokenizer::from_bytes(json.to_string()).unwrap()
    }

    fn byte_level(use_regex: bool) -> Value {
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex })
    }

    fn sequence(first: &Value, second: &Value) -> Value {
        json!({ "type": "Sequence", "pretokenizers": [first, second] })
    }

    /// GPT-2's, SmolLM2's, and each of the expressions.
    fn all_splits() -> Vec<Value> {
        let digits = |individual: bool| json!({ "type": "Digits", "individual_digits": individual });
        let mut all = vec![
            byte_level(true),
            sequence(&digits(true), &byte_level(true)),
            sequence(&digits(false), &byte_level(true)),
        ];
        all.extend(SPLITS.iter().map(|pattern| {
            let split = json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
            sequence(&split, &byte_level(false))
        }));
        all
    }

    #[test]
    fn a_word_ends_before_a_space_between_words() {
        let words = |text: &str| {
            let (mut words, mut rest) = (Vec::new(), text.to_owned());
            while !rest.is_empty() {
                let after = rest.split_off(word_end(&rest));
                words.push(std::mem::replace(&mut rest, after));
            }
            words
        };
        assert_eq!(words("a b,  c\nd e "), ["a", " b,  c\nd", " e "]);
        assert_eq!(words(" a\u{a0} b é ü"), [" a\u{a0} b", " é", " ü"]);
    }

    #[test]
    fn other_tokenizers_are_left_alone() {
        let words = |normalizer: Value, splits: &Value| Words::of(&tokenizer(normalizer, splits)).is_some();
        assert!(all_splits().iter().all(|splits| words(Value::Null, splits)));
        assert!(words(json!({ "type": "NFC" }), &byte_level(true)));
        assert!(!words(json!({ "type": "Lowercase" }), &byte_level(true)));
        let with_prefix =
            json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true });
        assert!(!words(Value::Null, &with_prefix));
        let split = json!({ "type": "Split", "pattern": { "Regex": "a b" }, "behavior": "Isolated", "invert": false });
        assert!(!words(Value::Null, &sequence(&split, &byte_level(false))));
    }

    proptest! {
        /// White space of all kinds, digits, signs, letters with marks, special tokens: the ids are those of the tokenizer, the first
        /// time and from memory.
        #[test]
        fn words_are_what_the_tokenizer_makes_of_the_text(
            text in "(a|b|A|é|e\u{301}|ж|字|1|²|'|'s|,|\\.|-| |  |\n|\r\n|\t|\u{a0}|\u{3000}|\u{85}|<\\|e\\|>|<|\\|){0,30}",
        ) {
            for splits in all_splits() {
                for normalizer in [Value::Null, json!({ "type": "NFC" })] {
                    let tokenizer = tokenizer(normalizer, &splits);
                    let whole = |text: &str| -> Result<Vec<u32>, String> {
                        Ok(tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec())
                    };
                    let words = Words::of(&tokenizer).unwrap();
                    for _ in 0..2 {
                        if let Some(ids) = words.encode(&text, whole) {
                            prop_assert_eq!(ids.unwrap(), whole(&text).unwrap(), "{:?}", splits);
                        }
                    }
                }
            }
        }
    }
}
