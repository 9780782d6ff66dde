//! What the rows are written in: the script of most letters, and for Latin letters the language of the commonest words.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::keys::pieces;
use super::{FoundRow, PreferenceExample, verdict};
use crate::Text;

/// Characters of a text that are looked at.
const MOST_CHARACTERS: usize = 4000;
/// Common words that a language needs, so that it is not taken for another.
const FEWEST_WORDS: usize = 3;

/// Words that are common in one language and rare in the others of this list.
const WORDS: [(&str, &[&str]); 7] = [
    (
        "English",
        &["the", "and", "is", "of", "to", "that", "you", "it", "for", "with", "are", "not", "have", "be"],
    ),
    (
        "German",
        &["der", "die", "und", "das", "ist", "nicht", "ein", "eine", "ich", "sie", "mit", "zu", "auf", "für"],
    ),
    (
        "French",
        &["le", "les", "et", "des", "est", "une", "pas", "vous", "dans", "qui", "pour", "sur", "je", "du"],
    ),
    (
        "Spanish",
        &["el", "los", "y", "las", "por", "una", "con", "como", "pero", "es", "lo", "más", "del", "se"],
    ),
    (
        "Italian",
        &["il", "di", "che", "è", "non", "per", "della", "sono", "gli", "più", "questo", "una", "con", "si"],
    ),
    (
        "Portuguese",
        &["o", "não", "uma", "os", "é", "com", "você", "para", "em", "ao", "dos", "mais", "um", "são"],
    ),
    (
        "Dutch",
        &[
            "het", "een", "van", "niet", "dat", "zijn", "voor", "met", "op", "ik", "je", "ook", "maar",
            "wordt",
        ],
    ),
];

/// The script of a letter, for people.
fn script(c: char) -> &'static str {
    match u32::from(c) {
        0x0041..=0x024f | 0x1e00..=0x1eff => "Latin",
        0x0370..=0x03ff | 0x1f00..=0x1fff => "Greek",
        0x0400..=0x052f => "Cyrillic",
        0x0530..=0x058f => "Armenian",
        0x0590..=0x05ff => "Hebrew",
        0x0600..=0x06ff | 0x0750..=0x077f | 0xfb50..=0xfdff | 0xfe70..=0xfeff => "Arabic",
        0x0900..=0x097f => "Devanagari",
        0x0980..=0x09ff => "Bengali",
        0x0b80..=0x0bff => "Tamil",
        0x0e00..=0x0e7f => "Thai",
        0x10a0..=0x10ff => "Georgian",
        0x3040..=0x30ff => "Japanese",
        0x1100..=0x11ff | 0xac00..=0xd7af => "Korean",
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x2fa1f => "Chinese",
        _ => "other scripts",
    }
}

/// What a text is written in; `None` without enough letters to say.
fn language(pieces: &[&str]) -> Option<&'static str> {
    let mut scripts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for piece in pieces {
        for c in piece.chars().take(MOST_CHARACTERS).filter(|c| c.is_alphabetic()) {
            *scripts.entry(script(c)).or_default() += 1;
        }
    }
    let n_letters: usize = scripts.values().sum();
    // Japanese is written with Chinese characters too.
    if scripts.get("Japanese").is_some_and(|n| 10 * n > n_letters) {
        return Some("Japanese");
    }
    let (script, n) = scripts.into_iter().max_by_key(|(_, n)| *n)?;
    if n_letters < 4 || 2 * n < n_letters {
        return None;
    }
    Some(if script == "Latin" { latin_language(pieces).unwrap_or("Latin letters") } else { script })
}

/// The language with by far the most of its common words.
fn latin_language(pieces: &[&str]) -> Option<&'static str> {
    let mut n_words = [0_usize; WORDS.len()];
    let start = |piece: &&'_ str| piece.char_indices().nth(MOST_CHARACTERS).map_or(piece.len(), |(at, _)| at);
    for piece in pieces {
        let words = piece[..start(piece)].split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        for word in words {
            let word = word.to_lowercase();
            for (n, (_, common)) in n_words.iter_mut().zip(WORDS) {
                *n += usize::from(common.contains(&word.as_str()));
            }
        }
    }
    let best = (0..WORDS.len()).max_by_key(|at| n_words[*at])?;
    let second = (0..WORDS.len()).filter(|at| *at != best).map(|at| n_words[at]).max()?;
    (n_words[best] >= FEWEST_WORDS && n_words[best] >= 2 * second).then_some(WORDS[best].0)
}

/// Rows by language, and those whose sides are in different ones.
///
/// Latin letters of no known language differ from no language in Latin letters.
pub(super) fn mix(examples: &[PreferenceExample]) -> (BTreeMap<&'static str, u64>, Vec<FoundRow>) {
    let of_row = |example: &PreferenceExample| {
        let texts: Vec<&str> = example.completions.iter().flat_map(pieces).collect();
        (language(&texts).unwrap_or("too short to say"), difference(example))
    };
    let rows: Vec<_> = examples.par_iter().map(of_row).collect();
    let (mut counts, mut mixed) = (BTreeMap::new(), Vec::new());
    for (example, (language, difference)) in examples.iter().zip(rows) {
        *counts.entry(language).or_default() += 1;
        mixed.extend(difference.map(|what| FoundRow::with(example.row, what)));
    }
    (counts, mixed)
}

fn difference(example: &PreferenceExample) -> Option<String> {
    let (chosen, rejected) = verdict(&example.relation, example.completions.len())?;
    let of = |text: &Text| language(&pieces(text));
    let (chosen, rejected) = (of(&example.completions[chosen])?, of(&example.completions[rejected])?);
    let is_latin = |language: &str| WORDS.iter().any(|(name, _)| *name == language);
    let unknown = |a: &str, b: &str| a == "Latin letters" && is_latin(b);
    let is_same = chosen == rejected || unknown(chosen, rejected) || unknown(rejected, chosen);
    (!is_same).then(|| format!("chosen: {chosen}; rejected: {rejected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_known_by_script_and_common_words() {
        let cases = [
            ("The cat is on the mat, and that is all there is to it.", "English"),
            ("Das ist nicht der Hund, und die Katze ist auf dem Dach.", "German"),
            ("Le chat est sur le toit et les chiens sont dans la rue.", "French"),
            ("El perro y los gatos están en la casa por una razón.", "Spanish"),
            ("Кошка сидит на крыше.", "Cyrillic"),
            ("猫在屋顶上。", "Chinese"),
            ("猫は屋根の上にいます。", "Japanese"),
            ("zebra kangaroo", "Latin letters"),
        ];
        for (text, expected) in cases {
            assert_eq!(language(&[text]), Some(expected), "{text}");
        }
        assert_eq!(language(&["42"]), None);
    }
}
