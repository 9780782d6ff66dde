use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn squashed(sum: f64) -> f64 {
    5.0 * (sum / 5.0).tanh()
}

#[track_caller]
fn assert_sum(text: &str, sum: f64) {
    let reward = sentiment(text);
    assert!((reward - squashed(sum)).abs() < 1e-12, "{text:?}: {reward}, expected the sum {sum}");
}

/// good = 2, superb = 3, dull = −1; words that mean nothing add nothing.
#[test]
fn words_add_up() {
    assert_sum("The soup was good.", 2.0);
    assert_sum("The soup was good, the bread superb, the room dull", 4.0);
    assert_sum("We sat by the window.", 0.0);
    assert_sum("", 0.0);
}

/// Every way to negate turns the sign to the end of the clause; two negators cancel.
#[test]
fn negators_flip_to_the_end_of_their_clause() {
    assert_sum("It was not good.", -2.0);
    assert_sum("It wasn't good, it was superb", 1.0);
    assert_sum("Never dull.", 1.0);
    assert_sum("Hardly disappointing!", 2.0);
    assert_sum("It was far from dull and good", 3.0);
    assert_sum("It was anything but dull", 1.0);
    assert_sum("Nobody would not call it good", 2.0);
    assert_sum("Neither the plot nor the music was dull.", 1.0);
    assert_sum("A good room without a good bed", 0.0);
    assert_sum("Not only good", 2.0);
}

/// very dull = −1.5, a little dull = −0.5; the factor reaches two words ahead, and not a third.
#[test]
fn intensifiers_scale_the_next_word() {
    assert_sum("very dull", -1.5);
    assert_sum("a little dull", -0.5);
    assert_sum("so very dull", -1.5);
    assert_sum("not very good", -3.0);
    assert_sum("really a good room", 3.0);
    assert_sum("really one of the good ones", 2.0);
}

/// A granted clause counts half: −0.5 + 3, and 3 − 0.5, and "dull, but superb" alike.
#[test]
fn granted_clauses_count_half() {
    assert_sum("Although the plot was dull, the acting was wonderful.", 2.5);
    assert_sum("The acting was wonderful, although the plot was dull.", 2.5);
    assert_sum("The plot was dull, but the acting was wonderful.", 2.5);
    assert_sum("Despite the dull plot and the bad sound, it was good.", 0.5);
    assert_sum("The plot was dull. But the acting was wonderful.", 2.0);
    assert_sum("Even though it was dull, it was anything but bad", 1.5);
}

/// Long phrases win over their words: "could not have been better" is praise.
#[test]
fn phrases_come_first() {
    assert_sum("It could not have been better.", 3.0);
    assert_sum("The plot made no sense.", -2.0);
    assert_sum("MONEY WELL SPENT", 2.0);
}

/// No word has two meanings, so that the order of the table does not matter.
#[test]
fn each_phrase_has_one_meaning() {
    let mut seen: HashMap<&str, Meaning> = HashMap::new();
    for (phrase, meaning) in meanings() {
        let before = *seen.entry(phrase).or_insert(meaning);
        assert_eq!(before, meaning, "{phrase}");
    }
}

/// Writes "not" at the head of every clause.
fn negate(text: &str) -> String {
    let mut negated = String::new();
    let mut from = 0;
    for clause in clauses(text) {
        let _ = write!(negated, "{} not ", &text[from..clause.start]);
        from = clause.start;
    }
    negated.push_str(&text[from..]);
    negated
}

#[test]
fn negating_every_clause_of_a_review_flips_the_sign() {
    for idx in 0..2000 {
        let text = crate::experiment::grammar::Review::generate(9, idx).text();
        let (before, after) = (sentiment(&text), sentiment(&negate(&text)));
        assert!((before + after).abs() < 1e-12, "{text} {before}\n{} {after}", negate(&text));
    }
}

proptest! {
    /// Any text has a finite reward within the bound, however odd.
    #[test]
    fn any_text_has_a_bounded_reward(text in any::<String>()) {
        prop_assert!(sentiment(&text).abs() <= BOUND);
    }

    /// Any row of known words too; and saying it twice keeps the sign.
    #[test]
    fn any_words_have_a_bounded_reward(picks in prop::collection::vec(0..meanings().count(), 0..30)) {
        let all: Vec<&str> = meanings().map(|(phrase, _)| phrase).collect();
        let words: Vec<&str> = picks.into_iter().map(|pick| all[pick]).collect();
        let text = words.join(" ");
        let (once, twice) = (sentiment(&text), sentiment(&format!("{text}.\n{text}")));
        prop_assert!(once.abs() <= BOUND && once * twice >= 0.0);
    }
}
