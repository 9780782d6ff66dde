//! The true reward: how positive a text is, by rules that are known exactly.
//!
//! 1. A text falls into sentences at `. ! ?` and line ends, a sentence into clauses at `, ; :` and at the words of
//!    [`lexicon::BOUNDARIES`], [`lexicon::CONTRASTS`], [`lexicon::CONCESSIONS`] and "nor".
//! 2. A sentiment word adds its valence (±1, ±2, ±3), times the factor of an intensifier or downtoner among the two
//!    words before it, times −1 for every negator earlier in its clause.
//! 3. A clause counts 1, or ½ where it is granted: after "although" up to the next comma, or anywhere before "but".
//! 4. With the sum `s` over all clauses the reward is `r = 5·tanh(s / 5)`: a text that heaps up praise gains little.
//!
//! Matching ignores ASCII case and takes the longest phrase first; all other words mean nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::lexicon;

/// The reward's bound: `|r| ≤ 5`.
pub(crate) const BOUND: f64 = 5.0;

/// A clause and what it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Clause {
    /// Where its first word begins, in bytes of the text (after the conjunction that opened the clause).
    pub(crate) start: usize,
    /// The sum of its words, before its weight.
    pub(crate) sum: f64,
    /// 1, or ½ when granted.
    pub(crate) weight: f64,
}

/// The true reward `r(text)` on the logit scale: positive for praise, 0 when nothing is said, within ±5.
pub(crate) fn sentiment(text: &str) -> f64 {
    let sum: f64 = clauses(text).iter().map(|clause| clause.sum * clause.weight).sum();
    BOUND * (sum / BOUND).tanh()
}

/// Whether a text praises more than it blames; a text that says nothing is not positive.
pub(crate) fn is_positive(text: &str) -> bool {
    sentiment(text) > 0.0
}

/// The clauses of a text, in order.
pub(crate) fn clauses(text: &str) -> Vec<Clause> {
    let lower = text.to_ascii_lowercase();
    let tokens = tokens(&lower);
    let mut reader = Reader::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += reader.read(token, &tokens[at..]);
    }
    reader.end_clause(text.len());
    reader.done
}

/// What an entry of the table does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    Valence(f64),
    Negator,
    Scale(f64),
    Concession,
    Contrast,
    Boundary,
    Nor,
    Inert,
}

/// The entries that begin with a word, longest first, each with its remaining words.
type Entries = Vec<(Vec<&'static str>, Meaning)>;

static TABLE: LazyLock<HashMap<&'static str, Entries>> = LazyLock::new(|| {
    let mut table: HashMap<&'static str, Entries> = HashMap::new();
    for (phrase, meaning) in meanings() {
        let mut words = phrase.split(' ');
        let first = words.next().unwrap_or_default();
        table.entry(first).or_default().push((words.collect(), meaning));
    }
    for entries in table.values_mut() {
        entries.sort_by_key(|(rest, _)| std::cmp::Reverse(rest.len()));
    }
    table
});

/// Every phrase with what it means.
fn meanings() -> impl Iterator<Item = (&'static str, Meaning)> {
    let valences = lexicon::ALL.into_iter().flat_map(|class| {
        let praise = class.positive.entries().map(|(word, strength)| (word, f64::from(strength)));
        let blame = class.negative.entries().map(|(word, strength)| (word, -f64::from(strength)));
        praise.chain(blame).map(|(word, valence)| (word, Meaning::Valence(valence)))
    });
    let lists = [
        (lexicon::NEGATORS, Meaning::Negator),
        (lexicon::INTENSIFIERS, Meaning::Scale(lexicon::STRONGER)),
        (lexicon::SUPERLATIVE_INTENSIFIERS, Meaning::Scale(lexicon::STRONGER)),
        (lexicon::FAINT_PRAISE, Meaning::Scale(lexicon::WEAKER)),
        (lexicon::DOWNTONERS, Meaning::Scale(lexicon::WEAKER)),
        (lexicon::CONCESSIONS, Meaning::Concession),
        (lexicon::CONTRASTS, Meaning::Contrast),
        (lexicon::BOUNDARIES, Meaning::Boundary),
        (lexicon::INERT, Meaning::Inert),
        ("nor", Meaning::Nor),
    ];
    let others = lists
        .into_iter()
        .flat_map(|(list, meaning)| lexicon::entries(list).map(move |phrase| (phrase, meaning)));
    valences.chain(others)
}

/// A word or a mark, with the byte at which it begins and ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Word { text: &'a str, start: usize },
    Comma { end: usize },
    Stop { end: usize },
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut word_start = None;
    let ends = text.char_indices().chain(std::iter::once((text.len(), '\n')));
    for (at, c) in ends {
        if c.is_alphanumeric() || matches!(c, '\'' | '’') {
            word_start.get_or_insert(at);
            continue;
        }
        if let Some(start) = word_start.take() {
            let text = text[start..at].trim_matches(['\'', '’']); // A quoted word is the word.
            tokens.push(Token::Word { text, start });
        }
        let end = (at + c.len_utf8()).min(text.len());
        match c {
            ',' | ';' | ':' => tokens.push(Token::Comma { end }),
            '.' | '!' | '?' | '\n' => tokens.push(Token::Stop { end }),
            _ => {}
        }
    }
    tokens
}

/// The state of reading: the clause so far, and the finished ones.
#[derive(Debug)]
struct Reader {
    done: Vec<Clause>,
    /// How many of `done` belong to earlier sentences.
    earlier: usize,
    clause: Clause,
    sign: f64,
    /// A factor, and for how many more words it holds.
    scale: (f64, usize),
}

impl Default for Reader {
    fn default() -> Self {
        let clause = Clause { start: 0, sum: 0.0, weight: 1.0 };
        Self { done: Vec::new(), earlier: 0, clause, sign: 1.0, scale: (1.0, 0) }
    }
}

impl Reader {
    /// Takes in what stands at the head of `rest`; returns how many tokens that was.
    fn read(&mut self, token: &Token<'_>, rest: &[Token<'_>]) -> usize {
        match *token {
            Token::Comma { end } => {
                self.end_clause(end);
                self.clause.weight = 1.0;
            }
            Token::Stop { end } => {
                self.end_clause(end);
                self.clause.weight = 1.0;
                self.earlier = self.done.len();
            }
            Token::Word { text, .. } => {
                let (meaning, n_words) = lookup(text, rest);
                let end = match rest[n_words - 1] {
                    Token::Word { text, start } => start + text.len(),
                    Token::Comma { end } | Token::Stop { end } => end,
                };
                self.apply(meaning, end);
                return n_words;
            }
        }
        1
    }

    fn apply(&mut self, meaning: Option<Meaning>, end: usize) {
        match meaning {
            Some(Meaning::Valence(valence)) => {
                let factor = if self.scale.1 > 0 { self.scale.0 } else { 1.0 };
                self.clause.sum += self.sign * factor * valence;
                self.scale = (1.0, 0);
            }
            Some(Meaning::Negator) => self.sign = -self.sign,
            Some(Meaning::Scale(factor)) => self.scale = (factor, 2),
            Some(Meaning::Boundary) => self.end_clause(end),
            Some(Meaning::Nor) => {
                self.end_clause(end);
                self.sign = -1.0;
            }
            Some(Meaning::Concession) => {
                self.end_clause(end);
                self.clause.weight = lexicon::GRANTED;
            }
            Some(Meaning::Contrast) => {
                self.end_clause(end);
                self.clause.weight = 1.0;
                self.done[self.earlier..].iter_mut().for_each(|clause| clause.weight = lexicon::GRANTED);
            }
            Some(Meaning::Inert) | None => self.scale.1 = self.scale.1.saturating_sub(1),
        }
    }

    /// Puts the clause away and begins another at `next`, with the same weight and nothing negated.
    fn end_clause(&mut self, next: usize) {
        let begun = Clause { start: next, sum: 0.0, weight: self.clause.weight };
        self.done.push(std::mem::replace(&mut self.clause, begun));
        self.sign = 1.0;
        self.scale = (1.0, 0);
    }
}

/// What the words at the head of `rest` mean, and how many of them say it.
fn lookup(first: &str, rest: &[Token<'_>]) -> (Option<Meaning>, usize) {
    let follows = |words: &[&str]| {
        let next = rest.get(1..=words.len());
        next.is_some_and(|next| {
            next.iter()
                .zip(words)
                .all(|(token, word)| matches!(token, Token::Word { text, .. } if text == word))
        })
    };
    let found = TABLE.get(first).and_then(|entries| entries.iter().find(|(words, _)| follows(words)));
    if let Some((words, meaning)) = found {
        return (Some(*meaning), 1 + words.len());
    }
    let is_negated_verb = first.ends_with("n't") || first.ends_with("n’t");
    (is_negated_verb.then_some(Meaning::Negator), 1)
}

#[cfg(test)]
mod tests;
