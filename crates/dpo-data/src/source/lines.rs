//! JSON Lines: one row a line.

use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::json::{Start, parse_row};
use super::{RowAt, read_error};
use crate::DataError;

/// Hands each line to `sink`; returns how many lines between the rows are blank.
pub(super) fn read_lines(
    reader: &mut dyn BufRead,
    path: &Path,
    limit: u64,
    sink: &mut dyn FnMut(RowAt, Map<String, Value>) -> Result<(), DataError>,
) -> Result<u64, DataError> {
    let mut line = Vec::new();
    let (mut number, mut n_rows, mut n_blank) = (0, 0, 0);
    let mut n_blank_since_row = 0;
    while next_line(reader, limit, &mut line).map_err(|source| read_error(path, n_rows, source))? {
        number += 1;
        let at = RowAt::line(number);
        let indent = line.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let text = line.trim_ascii();
        if text.len() as u64 > limit {
            return Err(DataError::RowTooLong { place: at.place(path), limit });
        }
        if text.is_empty() {
            n_blank_since_row += 1;
            continue;
        }
        let start = Start { line: number, column: 1 + indent as u64 };
        sink(at, parse_row(text, start, at, path)?)?;
        n_rows += 1;
        n_blank += std::mem::take(&mut n_blank_since_row);
    }
    Ok(n_blank)
}

/// Reads a line, but never more than a byte beyond the limit and the line break.
fn next_line(reader: &mut dyn BufRead, limit: u64, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let line_break = 2;
    let n_read = Read::take(reader, limit.saturating_add(line_break + 1)).read_until(b'\n', line)?;
    Ok(n_read > 0)
}
