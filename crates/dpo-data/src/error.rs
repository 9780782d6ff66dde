//! The one error type of this crate.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::GgufProblem;

/// Where in the input something is: `pairs.jsonl:3:17`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub path: PathBuf,
    /// Where in it.
    pub spot: Spot,
}

/// A position in a file; all numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// The file as a whole.
    File,
    /// A line of text.
    Line(u64),
    /// A character of a line.
    Column {
        /// The line.
        line: u64,
        /// The character in it.
        column: u64,
    },
    /// An element of a JSON list.
    Element {
        /// The line it starts on.
        line: u64,
        /// Its number.
        element: u64,
    },
    /// A row of a table.
    Row(u64),
}

impl Place {
    /// The file as a whole.
    pub fn file(path: &Path) -> Self {
        Self { path: path.to_path_buf(), spot: Spot::File }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.spot {
            Spot::File => write!(f, "{path}"),
            Spot::Line(line) => write!(f, "{path}:{line}"),
            Spot::Column { line, column } => write!(f, "{path}:{line}:{column}"),
            Spot::Element { line, element } => write!(f, "{path}:{line} (element {element})"),
            Spot::Row(row) => write!(f, "{path}: row {row}"),
        }
    }
}

/// Why data cannot be read or prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data file was named.
    #[error("no data file was named")]
    NoFiles,
    /// Rows are read in the background for somebody who wants no more of them.
    #[error("nobody wants the rows any more")]
    NotWanted,
    /// There is no such file.
    #[error("{}: no such file", path.display())]
    NotFound {
        /// The file as it was named.
        path: PathBuf,
    },
    /// A folder was named in place of a file.
    #[error("{}: is a folder; name the data files in it ({})", path.display(), or_none(files))]
    Folder {
        /// The folder as it was named.
        path: PathBuf,
        /// Files in it, a few.
        files: Vec<String>,
    },
    /// The operating system or a decompressor gave up.
    #[error("{}: cannot be read{}", path.display(), beyond(*rows))]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// Whole rows read before.
        rows: u64,
        /// What it said.
        source: io::Error,
    },
    /// The file has no bytes.
    #[error("{}: the file is empty", path.display())]
    EmptyFile {
        /// The file as it was named.
        path: PathBuf,
    },
    /// The file has no rows.
    #[error("{}: the file holds no rows", path.display())]
    NoRows {
        /// The file as it was named.
        path: PathBuf,
    },
    /// The file is of a kind that is not read.
    #[error("{}: looks like {found}; JSON Lines, JSON (also .gz and .zst) and Parquet are read", path.display())]
    Storage {
        /// The file as it was named.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
    },
    /// Text that is not JSON.
    #[error("{place}: {problem}: {excerpt}")]
    Json {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
        /// The text around it.
        excerpt: String,
    },
    /// JSON that is no list of rows.
    #[error(
        "{place}: found {found}; every row must be an object like {{\"prompt\": …, \"chosen\": …, \"rejected\": …}}"
    )]
    NotARow {
        /// Where.
        place: Place,
        /// What was found.
        found: String,
    },
    /// An object with more than one list of rows.
    #[error(
        "{place}: a second list, `{second}`, after `{first}`; save the one that is meant as a list of its own"
    )]
    SeveralLists {
        /// Where the second starts.
        place: Place,
        /// Key of the first list.
        first: String,
        /// Key of the second list.
        second: String,
    },
    /// An object without a list of rows.
    #[error(
        "{}: one object without a list of rows (found {}); write a row a line, or all rows as a list",
        path.display(), or_none(found)
    )]
    NoList {
        /// The file as it was named.
        path: PathBuf,
        /// Keys of the object.
        found: Vec<String>,
    },
    /// A row of more bytes than the limit.
    #[error(
        "{place}: longer than {limit} bytes, the most that one row may take (`max_row_bytes`); is this one row a line?"
    )]
    RowTooLong {
        /// Where it starts.
        place: Place,
        /// The limit.
        limit: u64,
    },
    /// Columns that are needed are missing.
    #[error("{place}: {need}; found {}{hint}", or_none(found))]
    Columns {
        /// Where.
        place: Place,
        /// What is needed.
        need: String,
        /// The columns of the row.
        found: Vec<String>,
        /// A guess at what was meant, starting with `; `, or nothing.
        hint: String,
    },
    /// A value of the wrong type.
    #[error("{place}: `{column}` is {found}; expected {expected}")]
    Type {
        /// Where.
        place: Place,
        /// Column, with the path inside it.
        column: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A Parquet file that cannot be read.
    #[error("{place}: not a readable Parquet file: {problem}")]
    Parquet {
        /// Where.
        place: Place,
        /// What the reader said.
        problem: String,
    },
    /// Tokenizer files cannot be used.
    #[error("{}: {problem}", path.display())]
    Tokenizer {
        /// The file, or the folder it should be in.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// GGUF has no way to say what a tokenizer does.
    #[error("{}: the tokenizer cannot be written to a GGUF file", path.display())]
    NotGguf {
        /// Where the tokenizer was read from.
        path: PathBuf,
        /// What is in the way.
        source: GgufProblem,
    },
    /// A chat template that cannot be compiled.
    #[error("{}: the chat template cannot be used: {problem}", path.display())]
    BadTemplate {
        /// The file it is in.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The chat template does not render a row.
    #[error("{place}: the chat template in {} refuses this row: {problem}", template.display())]
    Template {
        /// The row.
        place: Place,
        /// The file the template is in.
        template: PathBuf,
        /// The template's own message, or what went wrong in it.
        problem: String,
    },
    /// A conversation for a model without a chat template.
    #[error("{place}: the row is a conversation, and {} has no chat template; put a chat_template.jinja there, or write the rows as plain text", tokenizer.display())]
    NoTemplate {
        /// The row.
        place: Place,
        /// Where the tokenizer was found.
        tokenizer: PathBuf,
    },
    /// A tokenizer without an end-of-sequence token.
    #[error("{}: plain completions end with the end-of-sequence token, and none is named; set `eos_token` in tokenizer_config.json", tokenizer.display())]
    NoEos {
        /// Where the tokenizer was found.
        tokenizer: PathBuf,
    },
    /// A row that cannot be tokenised.
    #[error("{place}: the row cannot be tokenised: {problem}")]
    Tokenise {
        /// The row.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// A row of more tokens than the limit, where that is refused.
    #[error(
        "{place}: the row has {length} tokens, {prompt} of them prompt, and `max_length` is {max_length}; raise it, or have such rows dropped or truncated"
    )]
    TooLong {
        /// The row.
        place: Place,
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the prompt and the longest completion.
        length: usize,
        /// The limit.
        max_length: usize,
    },
    /// Settings that contradict each other.
    #[error("{problem}")]
    Config {
        /// What is wrong and what to do.
        problem: String,
    },
}

fn beyond(rows: u64) -> String {
    if rows == 0 { String::new() } else { format!(" beyond row {rows}; is the file whole?") }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
