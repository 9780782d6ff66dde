//! One row of JSON text, and errors that say where and what to do.

use std::path::Path;

use serde_json::{Map, Value};

use super::RowAt;
use crate::{DataError, Place, Spot};

/// Where a piece of JSON text starts in its file; both numbers count from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Start {
    /// The position behind `bytes`, which may end anywhere.
    pub(super) fn after(self, bytes: &[u8]) -> Self {
        let newlines = bytes.split(|&byte| byte == b'\n').count() as u64 - 1;
        let line_start = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        // Every byte but the continuations of UTF-8 starts a character.
        let n_chars = bytes[line_start..].iter().filter(|&&byte| byte & 0xC0 != 0x80).count() as u64;
        let column = if newlines == 0 { self.column } else { 1 };
        Self { line: self.line + newlines, column: column + n_chars }
    }
}

/// Parses the text of one row.
pub(super) fn parse_row(
    text: &[u8],
    start: Start,
    at: RowAt,
    path: &Path,
) -> Result<Map<String, Value>, DataError> {
    match parse_value(text, start, path)? {
        Value::Object(row) => Ok(row),
        other => Err(DataError::NotARow { place: at.place(path), found: describe(&other) }),
    }
}

/// Parses any JSON value.
pub(super) fn parse_value(text: &[u8], start: Start, path: &Path) -> Result<Value, DataError> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let byte = text[error.valid_up_to()];
            let problem = format!("byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
            return Err(json_error(text, error.valid_up_to(), problem, start, path));
        }
    };
    serde_json::from_str(text).map_err(|error| {
        let offset = offset_of(text, error.line(), error.column());
        let problem = explain(&error, &text.as_bytes()[offset..], offset == 0);
        json_error(text.as_bytes(), offset, problem, start, path)
    })
}

/// What a value is, for people.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(list) if list.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// An error at byte `offset` of the text that starts at `start`.
pub(super) fn json_error(
    text: &[u8],
    offset: usize,
    problem: String,
    start: Start,
    path: &Path,
) -> DataError {
    let before = &text[..offset.min(text.len())];
    let Start { line, column } = start.after(before);
    let spot = Spot::Column { line, column };
    let place = Place { path: path.to_path_buf(), spot };
    DataError::Json { place, problem, excerpt: excerpt(text, offset) }
}

/// The byte that serde_json's line and column point at.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut offset = (line_start + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// serde_json's message without its position, or a clearer one.
fn explain(error: &serde_json::Error, rest: &[u8], at_start: bool) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    if let Some(what) = message.strip_prefix("EOF while parsing ") {
        return format!("the JSON ends inside {what}; is it cut short?", what = article(what));
    }
    match message {
        "recursion limit exceeded" => {
            "nested more than 127 levels deep; a row is flat text or messages".to_owned()
        }
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "a lone surrogate: an escape from \\ud800 to \\udfff without its other half is no character"
                .to_owned()
        }
        "trailing characters" => "text after the end of the row; each row is one object on a line".to_owned(),
        _ if message.starts_with("control character") => match rest.first() {
            Some(0) => "a NUL byte in a string; is the file damaged?".to_owned(),
            Some(byte) if *byte < 0x20 => format!("an unescaped control character U+{byte:04X} in a string"),
            _ => "an unescaped control character in a string".to_owned(),
        },
        "expected value" if at_start => "not JSON; every row must be an object in { }".to_owned(),
        "expected value" => "not JSON, expected a value (is a string without its quotes?)".to_owned(),
        _ => format!("not JSON, {message}"),
    }
}

fn article(what: &str) -> String {
    match what.strip_prefix("an ").or_else(|| what.strip_prefix("a ")) {
        Some(_) => what.to_owned(),
        None => format!("a {what}"),
    }
}

/// Some characters around `offset`, with control characters escaped.
fn excerpt(text: &[u8], offset: usize) -> String {
    const AROUND: usize = 30;
    let offset = offset.min(text.len());
    let from = offset.saturating_sub(AROUND);
    let to = (offset + AROUND).min(text.len());
    let cut = String::from_utf8_lossy(&text[from..to]);
    // A cut may have halved the first or last character.
    let cut = cut.trim_matches(char::REPLACEMENT_CHARACTER).trim();
    let shown: String = cut.chars().flat_map(|c| escaped(c).collect::<Vec<_>>()).collect();
    let dots = |cut: bool| if cut { "…" } else { "" };
    format!("{}{shown}{}", dots(from > 0), dots(to < text.len()))
}

fn escaped(c: char) -> Box<dyn Iterator<Item = char>> {
    if c.is_control() { Box::new(c.escape_default()) } else { Box::new(std::iter::once(c)) }
}
