//! Keys, passwords and e-mail addresses in texts. Where they are is told, never what they are.

use std::sync::LazyLock;

use rayon::prelude::*;
use regex::Regex;

use super::keys::pieces;
use super::{FoundRow, PreferenceExample, verdict};
use crate::{RowId, Text};

/// What looks like a secret, by the forms that their issuers document.
const SECRETS: [(&str, &str); 9] = [
    ("private key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    ("AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("GitHub token", r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{60,})"),
    ("GitLab token", r"\bglpat-[0-9A-Za-z_-]{20,}"),
    ("Slack token", r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}"),
    ("Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("API key", r"\bsk-(?:[a-z]+-)*[0-9A-Za-z_-]{20,}|\bsk_live_[0-9A-Za-z]{16,}"),
    ("Hugging Face token", r"\bhf_[0-9A-Za-z]{30,}"),
    ("JSON web token", r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}"),
];

/// An address with a name of two letters or more for its last part.
const ADDRESS: &str =
    r"[0-9A-Za-z._%+-]+@[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?(?:\.[0-9A-Za-z-]+)*\.[A-Za-z]{2,}";

/// Domains that are kept free for examples: <https://www.rfc-editor.org/rfc/rfc2606>.
const EXAMPLE_DOMAINS: [&str; 4] = ["example.com", "example.org", "example.net", ".example"];

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let compiled = |pattern: &str| Regex::new(&format!("(?-u){pattern}")).ok();
    Patterns {
        secrets: SECRETS.iter().filter_map(|(name, pattern)| Some((*name, compiled(pattern)?))).collect(),
        address: compiled(ADDRESS),
    }
});

struct Patterns {
    secrets: Vec<(&'static str, Regex)>,
    address: Option<Regex>,
}

/// The rows with secrets, and those with addresses, with the places.
pub(super) fn find(examples: &[PreferenceExample]) -> (Vec<FoundRow>, Vec<FoundRow>) {
    let found: Vec<Seen> = examples.par_iter().filter_map(in_example).collect();
    let rows = |places: fn(&Seen) -> &[String]| {
        let seen = found.iter().filter(|seen| !places(seen).is_empty());
        seen.map(|seen| FoundRow::with(seen.row, places(seen).join("; "))).collect()
    };
    (rows(|seen| &seen.secrets), rows(|seen| &seen.addresses))
}

/// Where something was seen in a row.
struct Seen {
    row: RowId,
    /// Place and kind.
    secrets: Vec<String>,
    /// Places.
    addresses: Vec<String>,
}

fn in_example(example: &PreferenceExample) -> Option<Seen> {
    let (mut secrets, mut addresses) = (Vec::new(), Vec::new());
    for (place, text) in places(example) {
        for piece in pieces(text) {
            let kinds = PATTERNS.secrets.iter().filter(|(_, pattern)| pattern.is_match(piece));
            secrets.extend(kinds.map(|(kind, _)| format!("{place}: {kind}")));
            if has_address(piece) {
                addresses.push(place.clone());
            }
        }
    }
    secrets.dedup();
    addresses.dedup();
    let is_clean = secrets.is_empty() && addresses.is_empty();
    (!is_clean).then_some(Seen { row: example.row, secrets, addresses })
}

fn has_address(text: &str) -> bool {
    let is_real =
        |address: &str| !EXAMPLE_DOMAINS.iter().any(|domain| address.to_lowercase().ends_with(domain));
    let addresses = PATTERNS.address.iter().filter(|_| text.contains('@'));
    addresses.flat_map(|pattern| pattern.find_iter(text)).any(|address| is_real(address.as_str()))
}

/// The texts of a row by their names.
fn places(example: &PreferenceExample) -> Vec<(String, &Text)> {
    let sides = verdict(&example.relation, example.completions.len());
    let name = |idx: usize| match sides {
        Some((chosen, _)) if idx == chosen => "chosen".to_owned(),
        Some((_, rejected)) if idx == rejected => "rejected".to_owned(),
        _ => format!("completion {}", idx + 1),
    };
    let completions = example.completions.iter().enumerate().map(|(idx, text)| (name(idx), text));
    std::iter::once(("prompt".to_owned(), &example.prompt)).chain(completions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(PATTERNS.secrets.len(), SECRETS.len());
        assert!(PATTERNS.address.is_some());
    }

    #[test]
    fn addresses_of_people_are_told_from_examples_and_from_other_signs() {
        assert!(has_address("write to jane.doe+news@mail.corp.co.uk, please"));
        for text in ["me@example.com", "a @ b.com", "@handle", "x@localhost", "user@host.1"] {
            assert!(!has_address(text), "{text}");
        }
    }

    /// Made-up keys in the documented forms, and words that only begin like one.
    #[test]
    fn keys_are_known_by_their_forms() {
        let kinds = |text: &str| {
            let found = PATTERNS.secrets.iter().filter(|(_, pattern)| pattern.is_match(text));
            found.map(|(kind, _)| *kind).collect::<Vec<_>>()
        };
        let many = "0aB1".repeat(12);
        assert_eq!(kinds(&format!("ghp_{many}")), ["GitHub token"]);
        assert_eq!(kinds(&format!("AKIA{}", "ABCD".repeat(4))), ["AWS access key"]);
        assert_eq!(kinds(&format!("sk-proj-{many}")), ["API key"]);
        assert_eq!(kinds(&format!("hf_{many}")), ["Hugging Face token"]);
        assert_eq!(kinds("-----BEGIN RSA PRIVATE KEY-----"), ["private key"]);
        for text in
            ["AKIA", "risk-adjusted returns", "sk-learn", "hf_hub", "eyJ", "a task-force of many people"]
        {
            assert!(kinds(text).is_empty(), "{text}: {:?}", kinds(text));
        }
    }
}
