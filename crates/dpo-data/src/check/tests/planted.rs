//! Faults planted in clean rows of every shape, and the table of `docs/check.md` that says how many are found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::{Judgement, Label, Ranking, Votes};

/// What the table stands between.
const MARKS: [&str; 2] = ["<!-- planted -->\n", "<!-- end of planted -->\n"];

/// Rows under construction: the clean ones first, then those with faults, which are numbered on.
struct Set {
    rows: Vec<PreferenceExample>,
    /// What was planted where, by what the table calls it.
    planted: BTreeMap<&'static str, (Fault, BTreeSet<u64>)>,
    /// Source of sentences that nobody has used.
    seed: u64,
}

fn plain(texts: &[String]) -> Vec<Text> {
    texts.iter().cloned().map(Text::Plain).collect()
}

fn plain_text(text: &Text) -> String {
    match text {
        Text::Plain(text) => text.clone(),
        Text::Messages(_) => String::new(),
    }
}

impl Set {
    fn new() -> Self {
        Self { rows: Vec::new(), planted: BTreeMap::new(), seed: 1 }
    }

    fn sentence(&mut self, n: usize) -> String {
        self.seed += 1;
        sentence(self.seed, n)
    }

    fn add(&mut self, prompt: &str, completions: &[String], relation: Relation) -> u64 {
        let row = self.rows.len() as u64 + 1;
        let example = pair(row, prompt, "", "");
        self.rows.push(PreferenceExample { completions: plain(completions), relation, ..example });
        row
    }

    /// `n` rows of new texts; the number of the first.
    fn clean(&mut self, n: usize, n_completions: usize, relation: &Relation) -> usize {
        let first = self.rows.len();
        for _ in 0..n {
            let prompt = self.sentence(20);
            let completions: Vec<String> = (0..n_completions).map(|_| self.sentence(30)).collect();
            self.add(&prompt, &completions, relation.clone());
        }
        first
    }

    fn texts(&self, idx: usize) -> (String, Vec<String>) {
        let example = &self.rows[idx];
        (plain_text(&example.prompt), example.completions.iter().map(plain_text).collect())
    }

    fn note(&mut self, what: &'static str, fault: Fault, row: u64) {
        self.planted.entry(what).or_insert_with(|| (fault, BTreeSet::new())).1.insert(row);
    }

    /// Plants a row made of each of `n` clean ones.
    fn plant(
        &mut self,
        (what, fault): (&'static str, Fault),
        clean: std::ops::Range<usize>,
        change: impl Fn(String, Vec<String>) -> (String, Vec<String>, Relation),
    ) {
        for idx in clean {
            let (prompt, completions) = self.texts(idx);
            let (prompt, completions, relation) = change(prompt, completions);
            let row = self.add(&prompt, &completions, relation);
            self.note(what, fault, row);
        }
    }
}

fn votes(first: f64, second: f64) -> Relation {
    Relation::Judged(Judgement { votes: Votes::of_counts(first, 0.0, second), gap: None })
}

fn reversed(mut completions: Vec<String>) -> Vec<String> {
    completions.reverse();
    completions
}

/// A few words in another case and with other signs.
fn scribbled(text: &str) -> String {
    text.to_uppercase().replacen(' ', ", ", 3) + "!"
}

/// Clean rows of every shape, those with a fault, and some that only look like one; the rows to measure on.
fn set() -> (Set, Vec<PreferenceExample>) {
    let mut set = Set::new();
    let list = Relation::Ranking(Ranking::in_order(4));
    let (pairs, lists) = (set.clean(2000, 2, &Relation::Pair), set.clean(500, 4, &list));
    let voted = set.clean(500, 2, &votes(2.0, 1.0));
    let labelled = set.clean(600, 1, &Relation::Label(Label::Desirable));
    let at = |first: usize, from: usize, n: usize| first + from..first + from + n;

    let copy = ("exact copies", Fault::ExactDuplicates);
    set.plant(copy, at(pairs, 0, 30), |p, c| (p, c, Relation::Pair));
    set.plant(copy, at(lists, 0, 10), |p, c| (p, c, Relation::Ranking(Ranking::in_order(4))));
    let near = ("copies but for case and signs", Fault::NearDuplicates);
    set.plant(near, at(pairs, 100, 30), |p, c| (scribbled(&p), c, Relation::Pair));
    set.plant(near, at(lists, 20, 10), |p, c| {
        (p, c.iter().map(|c| scribbled(c)).collect(), Relation::Ranking(Ranking::in_order(4)))
    });
    let turned = |what| (what, Fault::Contradictions);
    set.plant(turned("pairs turned around"), at(pairs, 200, 30), |p, c| (p, reversed(c), Relation::Pair));
    set.plant(turned("votes turned around"), at(voted, 0, 20), |p, c| (p, reversed(c), votes(3.0, 1.0)));
    set.plant(turned("lists turned around"), at(lists, 40, 20), |p, c| {
        (p, reversed(c), Relation::Ranking(Ranking::in_order(4)))
    });
    set.plant(turned("pairs against a list"), at(lists, 80, 20), |p, c| {
        (p, vec![c[3].clone(), c[1].clone()], Relation::Pair)
    });
    set.plant(turned("good once, bad once"), at(labelled, 0, 20), |p, c| {
        (p, c, Relation::Label(Label::Undesirable))
    });
    cycles(&mut set, at(pairs, 300, 20), at(lists, 120, 20));
    texts_with_something(&mut set, at(pairs, 400, 26));

    // What looks like a fault and is none: an undecided vote on a known pair, and another one of the same mind.
    for idx in at(voted, 100, 20) {
        let (prompt, completions) = set.texts(idx);
        set.add(&prompt, &completions, votes(1.0, 1.0));
    }
    for idx in at(pairs, 500, 20) {
        let (prompt, mut completions) = set.texts(idx);
        completions.push(set.sentence(30));
        set.add(&prompt, &completions, Relation::Ranking(Ranking::in_order(3)));
    }
    let eval = measured_on(&mut set, at(pairs, 600, 40), at(lists, 200, 40));
    (set, eval)
}

/// Two more rows that close a circle with a clean one, the last of which has to go.
fn cycles(set: &mut Set, pairs: std::ops::Range<usize>, lists: std::ops::Range<usize>) {
    for idx in pairs {
        let (prompt, c) = set.texts(idx);
        let third = set.sentence(30);
        set.add(&prompt, &[c[1].clone(), third.clone()], Relation::Pair);
        let row = set.add(&prompt, &[third, c[0].clone()], Relation::Pair);
        set.note("circles of pairs", Fault::Contradictions, row);
    }
    for idx in lists {
        let (prompt, c) = set.texts(idx);
        let other = set.sentence(30);
        let in_order = || Relation::Ranking(Ranking::in_order(3));
        let more = set.sentence(30);
        set.add(&prompt, &[c[3].clone(), more, other.clone()], in_order());
        let last = set.sentence(30);
        let row = set.add(&prompt, &[other, last, c[0].clone()], in_order());
        set.note("circles of lists", Fault::Contradictions, row);
    }
}

/// Keys, addresses and other languages.
fn texts_with_something(set: &mut Set, rows: std::ops::Range<usize>) {
    const ENGLISH: &str =
        "This is what the people of the town have said to him, and that is all that they know about it.";
    const GERMAN: &str =
        "Das ist nicht der Hund, und die Katze ist auf dem Dach, weil sie es so will und nicht anders.";
    for idx in rows {
        let (prompt, chosen, rejected) = (set.sentence(20), set.sentence(20), set.sentence(20));
        let texts = [chosen, rejected];
        let (what, fault, texts) = match idx % 3 {
            0 => ("keys", Fault::Secrets, texts.map(|text| text + " AKIAABCDEFGHIJKLMNOP")),
            1 => ("e-mail addresses", Fault::EmailAddresses, texts.map(|text| text + " jo@corp.org")),
            _ => {
                let [chosen, rejected] = texts;
                let sides = [format!("{ENGLISH} {chosen}"), format!("{GERMAN} {rejected}")];
                ("sides in two languages", Fault::SidesInDifferentLanguages, sides)
            }
        };
        let row = set.add(&prompt, &texts, Relation::Pair);
        set.note(what, fault, row);
    }
}

/// Held-out rows with the prompts of some rows, and with prompts that are nearly those of others.
fn measured_on(
    set: &mut Set,
    same: std::ops::Range<usize>,
    nearly: std::ops::Range<usize>,
) -> Vec<PreferenceExample> {
    let mut eval = Vec::new();
    let cases = [
        (same, "prompts that are measured on", Fault::PromptLeakage),
        (nearly, "nearly such prompts", Fault::NearPromptLeakage),
    ];
    for (range, what, fault) in cases {
        for idx in range {
            let (prompt, _) = set.texts(idx);
            let words: Vec<&str> = prompt.split(' ').collect();
            let prompt = match fault {
                // The last two of twenty words are others.
                Fault::NearPromptLeakage => format!("{} something else", words[..18].join(" ")),
                _ => prompt.clone(),
            };
            let (a, b) = (set.sentence(20), set.sentence(20));
            let row = pair(eval.len() as u64 + 1, &prompt, &a, &b);
            eval.push(PreferenceExample { row: RowId { file: 1, ..row.row }, ..row });
            set.note(what, fault, idx as u64 + 1);
        }
    }
    for _ in 0..400 {
        let texts = [set.sentence(20), set.sentence(20), set.sentence(20)];
        let row = pair(eval.len() as u64 + 1, &texts[0], &texts[1], &texts[2]);
        eval.push(PreferenceExample { row: RowId { file: 1, ..row.row }, ..row });
    }
    eval
}

/// The table, and whether every planted row was found and no other.
fn table() -> (String, bool) {
    let (set, eval) = set();
    let findings = check_examples(&set.rows, Some(&eval));
    let mut text = String::from("| planted | key | rows | found |\n|---|---|---|---|\n");
    let mut is_exact = true;
    for (what, (fault, planted)) in &set.planted {
        let found: BTreeSet<u64> = rows(&findings, *fault).into_iter().collect();
        let n_found = planted.intersection(&found).count();
        is_exact &= n_found == planted.len();
        let key = serde_json::to_value(fault).unwrap();
        text += &format!("| {what} | `{}` | {} | {n_found} |\n", key.as_str().unwrap(), planted.len());
    }
    let mut false_alarms = Vec::new();
    for (fault, found) in &findings.faults {
        let planted: BTreeSet<u64> =
            set.planted.values().filter(|(of, _)| of == fault).flat_map(|(_, rows)| rows).copied().collect();
        let others = found.rows.iter().filter(|found| !planted.contains(&found.row.row));
        false_alarms.extend(others.map(|found| format!("{fault:?} in row {}", found.row.row)));
    }
    let n_planted: usize = set.planted.values().map(|(_, rows)| rows.len()).sum();
    text += &format!(
        "| everything | | {n_planted} of {} | false alarms: {} |\n",
        set.rows.len(),
        false_alarms.len()
    );
    (text, is_exact && false_alarms.is_empty())
}

/// Pairs, votes, lists and labels; what only looks like a fault is none. `DPO_UPDATE=1` writes the table into the page.
#[test]
fn faults_planted_in_rows_of_every_shape_are_found_and_no_others() {
    let (table, is_exact) = table();
    assert!(is_exact, "{table}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/check.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let [start, end] =
        MARKS.map(|mark| page.find(mark).unwrap_or_else(|| panic!("docs/check.md has no {mark}")));
    if std::env::var_os("DPO_UPDATE").is_some() {
        let page = page[..start + MARKS[0].len()].to_owned() + &table + &page[end..];
        std::fs::write(&path, page).unwrap();
        return;
    }
    let written = &page[start + MARKS[0].len()..end];
    assert!(written == table, "docs/check.md is out of date; run this test with DPO_UPDATE=1\n{table}");
}

/// Two people judge ten pairs and differ on all; both are right in their own group. Another pair of rows is of nobody.
#[test]
fn groups_that_judge_the_same_pairs_are_compared() {
    let mut set = Vec::new();
    for n in 0..10 {
        let (prompt, a, b) = (sentence(3 * n + 1, 12), sentence(3 * n + 2, 20), sentence(3 * n + 3, 20));
        for (group, (chosen, rejected)) in [("x", (&a, &b)), ("y", (&b, &a))] {
            let row = pair(set.len() as u64 + 1, &prompt, chosen, rejected);
            set.push(PreferenceExample { group: Some(group.to_owned()), ..row });
        }
    }
    let findings = check_examples(&set, None);
    assert_eq!(rows(&findings, Fault::Contradictions), Vec::<u64>::new());
    assert_eq!(rows(&findings, Fault::NearDuplicates), Vec::<u64>::new());
    let agreement = findings.agreement.unwrap();
    let voters = agreement.voters();
    assert_eq!((agreement.n_pairs(), voters.len(), voters[0].with_others), (10, 2, Some(0.0)));
    assert!(agreement.alpha().unwrap() < 0.0);
    assert_eq!(check_examples(&set[..1], None).agreement, None);
}

/// Of labels the good and the bad completion of a prompt are compared, of a list the best and the worst: here the longer is good.
#[test]
fn length_is_compared_in_every_shape() {
    let mut set = Set::new();
    for _ in 0..20 {
        let (prompt, long, short) = (set.sentence(12), set.sentence(30), set.sentence(10));
        let (middle, other) = (set.sentence(20), set.sentence(12));
        set.add(&prompt, std::slice::from_ref(&long), Relation::Label(Label::Desirable));
        set.add(&prompt, std::slice::from_ref(&short), Relation::Label(Label::Undesirable));
        set.add(&other, &[long, middle, short], Relation::Ranking(Ranking::in_order(3)));
    }
    let length = check_examples(&set.rows, None).length.unwrap();
    assert_eq!((length.n_pairs, length.longer_chosen, length.auc), (40, 40, 1.0));
}
