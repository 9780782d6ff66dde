//! Rows out of a JSON list, or out of the one list in a JSON object, without holding more than a row.

use std::io::{self, BufRead};
use std::path::Path;

use serde_json::{Map, Value};

use super::json::{Start, json_error, parse_row, parse_value};
use super::nesting::Nesting;
use super::{RowAt, read_error};
use crate::{DataError, Place, Spot};

type Sink<'a> = &'a mut dyn FnMut(RowAt, Map<String, Value>) -> Result<(), DataError>;

/// Reads `[row, row, …]`.
pub(super) fn read_list(
    reader: &mut dyn BufRead,
    path: &Path,
    limit: u64,
    sink: Sink<'_>,
) -> Result<(), DataError> {
    let mut text = Splitter::new(reader, path, limit);
    text.expect(b'[', "a list")?;
    text.rows(sink)?;
    text.end()
}

/// Reads `{"data": [row, row, …], …}`: the rows of the only list of objects whose key is no column.
pub(super) fn read_object(
    reader: &mut dyn BufRead,
    path: &Path,
    limit: u64,
    is_column: &dyn Fn(&str) -> bool,
    sink: Sink<'_>,
) -> Result<(), DataError> {
    let mut text = Splitter::new(reader, path, limit);
    let mut list: Option<String> = None;
    let mut keys = Vec::new();
    text.expect(b'{', "an object")?;
    while let Some(key) = text.next_key()? {
        if !text.enters_list_of_objects()? || is_column(&key) {
            text.skip_rest()?;
        } else if let Some(first) = list {
            return Err(DataError::SeveralLists { place: text.place(), first, second: key });
        } else {
            text.rows(sink)?;
            list = Some(key.clone());
        }
        keys.push(key);
    }
    text.end()?;
    match list {
        Some(_) => Ok(()),
        None => Err(DataError::NoList { path: path.to_path_buf(), found: keys }),
    }
}

/// Whether the object that `text` starts with, which may be cut anywhere, has a list of rows before any column.
pub(super) fn wraps_a_list(text: &[u8], is_column: &dyn Fn(&str) -> bool) -> bool {
    let wraps = || -> Result<bool, DataError> {
        let mut reader = text;
        let mut text = Splitter::new(&mut reader, Path::new(""), u64::MAX);
        text.expect(b'{', "an object")?;
        while let Some(key) = text.next_key()? {
            if is_column(&key) {
                return Ok(false);
            }
            if text.enters_list_of_objects()? {
                return Ok(true);
            }
            text.skip_rest()?;
        }
        Ok(false)
    };
    wraps().unwrap_or(false)
}

/// Cuts JSON text into values without parsing them.
struct Splitter<'a> {
    reader: &'a mut dyn BufRead,
    path: &'a Path,
    limit: u64,
    at: Start,
    n_rows: u64,
    /// What is open of the value that is being read.
    nesting: Nesting,
}

impl<'a> Splitter<'a> {
    fn new(reader: &'a mut dyn BufRead, path: &'a Path, limit: u64) -> Self {
        let at = Start { line: 1, column: 1 };
        Self { reader, path, limit, at, n_rows: 0, nesting: Nesting::default() }
    }

    /// The rows of a list whose `[` was read, and its `]`.
    fn rows(&mut self, sink: Sink<'_>) -> Result<(), DataError> {
        let mut row = Vec::new();
        if self.peek()? == Some(b']') {
            self.advance(1);
            return Ok(());
        }
        loop {
            self.peek()?;
            let start = self.at;
            let at = RowAt::element(start.line, self.n_rows + 1);
            self.value(&mut row, Spot::Element { line: start.line, element: self.n_rows + 1 })?;
            sink(at, parse_row(&row, start, at, self.path)?)?;
            self.n_rows += 1;
            match self.peek()? {
                Some(b',') => self.advance(1),
                Some(b']') => {
                    self.advance(1);
                    return Ok(());
                }
                found => return Err(self.unexpected(found, "`,` or `]` after a row")),
            }
            if let found @ (None | Some(b']' | b',')) = self.peek()? {
                return Err(self.unexpected(found, "a row after `,`"));
            }
        }
    }

    /// The next key of an object and its `:`, or nothing after the `}`.
    fn next_key(&mut self) -> Result<Option<String>, DataError> {
        loop {
            match self.peek()? {
                Some(b',') => self.advance(1),
                Some(b'}') => {
                    self.advance(1);
                    return Ok(None);
                }
                Some(b'"') => break,
                found => return Err(self.unexpected(found, "a key or `}`")),
            }
        }
        let start = self.at;
        let mut key = Vec::new();
        self.value(&mut key, Spot::Line(start.line))?;
        let key = parse_value(&key, start, self.path)?;
        self.expect(b':', "`:` after a key")?;
        Ok(Some(key.as_str().unwrap_or_default().to_owned()))
    }

    /// Whether the next value is a list that starts with an object; if it is a list, its `[` is read.
    fn enters_list_of_objects(&mut self) -> Result<bool, DataError> {
        self.nesting = Nesting::default();
        if self.peek()? != Some(b'[') {
            return Ok(false);
        }
        self.advance(1);
        self.nesting.depth = 1;
        Ok(self.peek()? == Some(b'{'))
    }

    /// Passes over what is left of the value that [`Self::enters_list_of_objects`] looked at.
    fn skip_rest(&mut self) -> Result<(), DataError> {
        self.take_value(None, Spot::File)
    }

    /// Reads the next value into `into`.
    fn value(&mut self, into: &mut Vec<u8>, spot: Spot) -> Result<(), DataError> {
        into.clear();
        self.nesting = Nesting::default();
        self.take_value(Some(into), spot)
    }

    fn take_value(&mut self, mut into: Option<&mut Vec<u8>>, spot: Spot) -> Result<(), DataError> {
        loop {
            let chunk = fill(self.reader).map_err(|source| read_error(self.path, self.n_rows, source))?;
            if chunk.is_empty() {
                return if self.nesting.depth == 0 && !self.nesting.in_string {
                    Ok(())
                } else {
                    Err(self.cut_short())
                };
            }
            let end = self.nesting.find_end(chunk);
            let n_bytes = end.unwrap_or(chunk.len());
            if let Some(into) = into.as_deref_mut() {
                if (into.len() + n_bytes) as u64 > self.limit {
                    let place = Place { path: self.path.to_path_buf(), spot };
                    return Err(DataError::RowTooLong { place, limit: self.limit });
                }
                into.extend_from_slice(&chunk[..n_bytes]);
            }
            self.advance(n_bytes);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The next byte that is no white space, which stays unread.
    fn peek(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            let chunk = fill(self.reader).map_err(|source| read_error(self.path, self.n_rows, source))?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let found = chunk.iter().position(|byte| !byte.is_ascii_whitespace());
            let byte = found.map(|idx| chunk[idx]);
            let n_bytes = found.unwrap_or(chunk.len());
            self.advance(n_bytes);
            if byte.is_some() {
                return Ok(byte);
            }
        }
    }

    /// Passes over bytes of the current chunk and keeps the position.
    fn advance(&mut self, n_bytes: usize) {
        // The chunk is there already: this reads nothing and cannot fail.
        let chunk = &self.reader.fill_buf().unwrap_or_default()[..n_bytes];
        self.at = self.at.after(chunk);
        self.reader.consume(n_bytes);
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), DataError> {
        match self.peek()? {
            Some(found) if found == byte => {
                self.advance(1);
                Ok(())
            }
            found => Err(self.unexpected(found, what)),
        }
    }

    /// Nothing but white space may follow.
    fn end(&mut self) -> Result<(), DataError> {
        match self.peek()? {
            None => Ok(()),
            found => Err(self.unexpected(found, "the end of the file")),
        }
    }

    fn unexpected(&mut self, found: Option<u8>, expected: &str) -> DataError {
        if found.is_none() {
            return self.cut_short();
        }
        let problem = format!("expected {expected}");
        let chunk = self.reader.fill_buf().unwrap_or_default();
        json_error(&chunk[..chunk.len().min(60)], 0, problem, self.at, self.path)
    }

    fn cut_short(&self) -> DataError {
        let problem = "the file ends inside the list; is it cut short?".to_owned();
        json_error(b"(end of file)", 0, problem, self.at, self.path)
    }

    fn place(&self) -> Place {
        Place { path: self.path.to_path_buf(), spot: Spot::Line(self.at.line) }
    }
}

/// `fill_buf` that goes on after an interrupt.
fn fill(reader: &mut dyn BufRead) -> io::Result<&[u8]> {
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    reader.fill_buf()
}
