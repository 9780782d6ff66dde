//! Planted faults are found, and nothing else is.

#![allow(clippy::unwrap_used)]

mod planted;

use super::*;
use crate::{RowId, Text};

const WORDS: [&str; 32] = [
    "river", "candle", "orbit", "meadow", "violin", "harbour", "lantern", "pepper", "saddle", "thunder",
    "willow", "anchor", "basket", "copper", "dragon", "engine", "falcon", "garden", "hammer", "island",
    "jacket", "kettle", "ladder", "marble", "needle", "oyster", "pillow", "quarry", "ribbon", "silver",
    "temple", "walnut",
];

/// A sentence of `n` words that depends on `seed` alone; different seeds share few runs of characters.
fn sentence(seed: u64, n: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 33) as usize % WORDS.len()]
    };
    (0..n).map(|_| word()).collect::<Vec<_>>().join(" ")
}

pub(super) fn pair(row: u64, prompt: &str, chosen: &str, rejected: &str) -> PreferenceExample {
    PreferenceExample {
        row: RowId { file: 0, row },
        prompt: Text::Plain(prompt.to_owned()),
        completions: [chosen, rejected].map(|text| Text::Plain(text.to_owned())).to_vec(),
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
        template_kwargs: serde_json::Map::new(),
    }
}

/// Rows 1 to `n`, all different.
fn clean(n: u64) -> Vec<PreferenceExample> {
    let row = |n: u64| pair(n, &sentence(3 * n, 20), &sentence(3 * n + 1, 30), &sentence(3 * n + 2, 30));
    (1..=n).map(row).collect()
}

fn texts(example: &PreferenceExample) -> [String; 3] {
    let text = |text: &Text| match text {
        Text::Plain(text) => text.clone(),
        Text::Messages(_) => String::new(),
    };
    [text(&example.prompt), text(&example.completions[0]), text(&example.completions[1])]
}

fn rows(findings: &Findings, fault: Fault) -> Vec<u64> {
    let found = &findings.faults[&fault];
    assert_eq!(found.count, found.rows.len() as u64);
    found.rows.iter().map(|found| found.row.row).collect()
}

/// Adds a row made of row `of`'s texts.
fn plant(rows: &mut Vec<PreferenceExample>, of: usize, change: impl Fn([String; 3]) -> [String; 3]) -> u64 {
    let [prompt, chosen, rejected] = change(texts(&rows[of - 1]));
    let number = rows.len() as u64 + 1;
    rows.push(pair(number, &prompt, &chosen, &rejected));
    number
}

#[test]
fn a_clean_set_is_clean() {
    let findings = check_examples(&clean(2000), Some(&[]));
    for (fault, found) in &findings.faults {
        assert_eq!(found.rows, [], "{fault:?}");
    }
    let length = findings.length.unwrap();
    assert!(length.ci[0] < 0.5 && 0.5 < length.ci[1], "{:?}", length.ci);
}

/// Each fault is planted in its own rows; each finding is these rows, no more and no less.
#[test]
fn planted_faults_are_found_and_no_others() {
    let mut set = clean(2000);
    let copies: Vec<u64> = (1..=40).map(|of| plant(&mut set, of, |texts| texts)).collect();
    let near: Vec<u64> = (101..=140)
        .map(|of| {
            plant(&mut set, of, |[p, c, r]| [p.to_uppercase() + "?", c.replacen(' ', ", ", 3), r + " indeed"])
        })
        .collect();
    let turned: Vec<u64> = (201..=230).map(|of| plant(&mut set, of, |[p, c, r]| [p, r, c])).collect();
    let mut cycles = Vec::new();
    for of in 301..=310 {
        let third = sentence(1_000_000 + of as u64, 30);
        plant(&mut set, of, |[p, _, r]| [p, r, third.clone()]);
        cycles.push(plant(&mut set, of, |[p, c, _]| [p, third.clone(), c]));
    }
    let keys: Vec<u64> = (401..=405)
        .map(|of| {
            plant(&mut set, of, |[_, _, r]| {
                [
                    sentence(2_000_000 + of as u64, 20),
                    sentence(3_000_000 + of as u64, 9) + " AKIAABCDEFGHIJKLMNOP",
                    r,
                ]
            })
        })
        .collect();
    let addresses: Vec<u64> = (501..=505)
        .map(|of| {
            plant(&mut set, of, |[_, c, _]| {
                [
                    format!("{} jo@corp.org", sentence(4_000_000 + of as u64, 20)),
                    c,
                    sentence(5_000_000 + of as u64, 30),
                ]
            })
        })
        .collect();
    let eval: Vec<PreferenceExample> = (601..=625)
        .map(|of| PreferenceExample {
            row: RowId { file: 1, row: of },
            ..pair(of, &texts(&set[of as usize - 1])[0], "x", "y")
        })
        .collect();
    let findings = check_examples(&set, Some(&eval));
    let expected = [
        (Fault::ExactDuplicates, copies),
        (Fault::NearDuplicates, near),
        (Fault::Contradictions, [turned, cycles].concat()),
        (Fault::PromptLeakage, (601..=625).collect()),
        (Fault::Secrets, keys),
        (Fault::EmailAddresses, addresses),
        (Fault::SidesInDifferentLanguages, Vec::new()),
    ];
    for (fault, expected) in expected {
        assert_eq!(rows(&findings, fault), expected, "{fault:?}");
    }
}

/// Two say A is better, one says B is, and came first: it is the one to go.
#[test]
fn the_verdict_of_fewer_rows_falls() {
    let set = [pair(1, "q", "b", "a"), pair(2, "q", "a", "b"), pair(3, "q", "a", "b")];
    let findings = check_examples(&set, None);
    assert_eq!(rows(&findings, Fault::Contradictions), [1]);
    assert_eq!(rows(&findings, Fault::ExactDuplicates), [3]);
    assert_eq!(findings.faults[&Fault::Contradictions].rows[0].of, Some(set[1].row));
}

/// People may differ; one person may not.
#[test]
fn other_peoples_verdicts_are_no_contradiction() {
    let of = |group: &str, example: PreferenceExample| PreferenceExample {
        group: Some(group.to_owned()),
        ..example
    };
    let set =
        [of("x", pair(1, "q", "a", "b")), of("y", pair(2, "q", "b", "a")), of("y", pair(3, "q", "a", "b"))];
    assert_eq!(rows(&check_examples(&set, None), Fault::Contradictions), [3]);
    let same = [of("x", pair(1, "q", "a", "b")), of("y", pair(2, "q", "a", "b"))];
    assert_eq!(rows(&check_examples(&same, None), Fault::ExactDuplicates), Vec::<u64>::new());
}

/// Sides that differ by one letter, and the same turned around: a contradiction, not a near duplicate.
#[test]
fn a_turned_pair_of_similar_sides_is_no_near_duplicate() {
    let (prompt, side) = (sentence(1, 20), sentence(2, 30));
    let (a, b) = (format!("{side} red"), format!("{side} blue"));
    let set = [pair(1, &prompt, &a, &b), pair(2, &prompt, &b, &a)];
    let findings = check_examples(&set, None);
    assert_eq!(rows(&findings, Fault::NearDuplicates), Vec::<u64>::new());
    assert_eq!(rows(&findings, Fault::Contradictions), [2]);
}

/// Many answers to one prompt are no duplicates of each other, though most of each row is the same.
#[test]
fn rows_that_share_a_long_prompt_are_no_duplicates() {
    let prompt = sentence(9, 400);
    let row = |n: u64| pair(n, &prompt, &sentence(50 + 2 * n, 12), &sentence(51 + 2 * n, 12));
    let findings = check_examples(&(1..=60).map(row).collect::<Vec<_>>(), None);
    assert_eq!(rows(&findings, Fault::NearDuplicates), Vec::<u64>::new());
}

/// Of a chain in which each row is like the one before, every second one can go, whatever else it is like.
#[test]
fn a_row_is_removed_for_one_that_stays() {
    let side = sentence(7, 30);
    let row = |n: u64| pair(n, &sentence(8, 20), &format!("{side} end {n}"), &sentence(10, 30));
    let set: Vec<_> = (1..=5).map(row).collect();
    let findings = check_examples(&set, None);
    assert_eq!(rows(&findings, Fault::NearDuplicates), [2, 3, 4, 5]);
    let of = |found: &FoundRow| found.of.unwrap().row;
    assert!(findings.faults[&Fault::NearDuplicates].rows.iter().all(|found| of(found) == 1));
}

#[test]
fn sides_in_other_languages_are_told() {
    let set = [pair(
        1,
        "q",
        "The cat is on the mat and that is all.",
        "Das ist nicht der Hund und die Katze ist auf dem Dach.",
    )];
    let findings = check_examples(&set, None);
    let found = &findings.faults[&Fault::SidesInDifferentLanguages].rows[0];
    assert_eq!(found.what.as_deref(), Some("chosen: English; rejected: German"));
}
