//! What is wrong with a run file or with the flags, all of it at once.

use std::{collections::BTreeMap, fmt, ops::Range};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `section.key`, where it concerns a key.
    pub(crate) key: Option<String>,
    /// Where it stands: `run.toml:3:8`, or the flag.
    pub(crate) place: Option<String>,
    /// What was found and what was expected.
    pub(crate) text: String,
}

impl Problem {
    /// A problem of `key`, in whatever place it was set.
    pub(super) fn of(key: &str, text: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), place: None, text: text.into() }
    }

    /// A problem of a place in a file.
    pub(super) fn at(place: String, text: impl Into<String>) -> Self {
        Self { key: None, place: Some(place), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}` ")?;
        }
        f.write_str(&self.text)
    }
}

/// A run that cannot start as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidRunFile {
    /// At least one.
    pub(crate) problems: Vec<Problem>,
}

impl std::error::Error for InvalidRunFile {}

impl fmt::Display for InvalidRunFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return problem.fmt(f);
        }
        write!(f, "{} settings are wrong", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// `Ok` while `problems` is empty.
pub(super) fn verdict<T>(value: T, problems: Vec<Problem>) -> Result<T, InvalidRunFile> {
    if problems.is_empty() { Ok(value) } else { Err(InvalidRunFile { problems }) }
}

/// Adds where the key of each problem was set; `places` has that by `section.key`.
pub(super) fn locate(problems: &mut [Problem], places: &BTreeMap<String, String>) {
    for problem in problems {
        problem.place = problem.key.as_ref().and_then(|key| places.get(key).cloned());
    }
}

/// `name:line:column` of a byte in `text`, both counted from 1, the column in characters.
pub(super) fn place(name: &str, text: &str, span: &Range<usize>) -> String {
    let before = &text.as_bytes()[..span.start.min(text.len())];
    let lines: Vec<&[u8]> = before.split(|&b| b == b'\n').collect();
    let line = lines.len();
    // Bytes that go on a character do not count.
    let is_first_byte = |b: &&u8| *b & 0xC0 != 0x80;
    let column = 1 + lines.last().map_or(0, |line| line.iter().filter(is_first_byte).count());
    format!("{name}:{line}:{column}")
}
