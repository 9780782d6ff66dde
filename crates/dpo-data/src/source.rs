//! From files to examples: JSON Lines, JSON and Parquet, in the column layouts that people use.

mod assemble;
mod ballots;
mod candidates;
mod columns;
mod conversation;
mod forest;
mod grades;
mod json;
mod known;
mod layout;
mod lines;
mod list;
mod nesting;
mod open;
mod parquet;
mod plan;
mod prefix;
mod preset;
mod role;
mod row;
mod split;
mod stream;
mod transcript;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::preset::Preset;
pub use self::stream::{ExampleChunk, ExampleStream};

use self::columns::Columns;
use self::layout::Layout;
use self::open::{Source, TextSource};
use self::row::RowReader;
use crate::report::FileReport;
use crate::{DataError, DataReport, Place, PreferenceExample, RowId, Spot};

/// How the rows of data files are read. A missing field takes its default, an unknown one is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Names of columns that are not called what they are usually called.
    pub columns: ColumnNames,
    /// The well-known set that the rows are of, where their columns do not say how they are meant.
    pub preset: Option<Preset>,
    /// What becomes of the votes of several annotators on the same two completions.
    pub annotators: Annotators,
    /// What prompts and completions that are strings are read as.
    pub strings: Strings,
    /// Most bytes that a row may have in JSON; a longer one is an error before it fills the memory.
    pub max_row_bytes: u64,
    /// What the rows are for; the training objective says so, not the user.
    #[serde(skip)]
    pub purpose: Purpose,
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            columns: ColumnNames::default(),
            preset: None,
            annotators: Annotators::default(),
            strings: Strings::default(),
            max_row_bytes: 64 << 20,
            purpose: Purpose::default(),
        }
    }
}

/// Names of columns, where they are not the usual ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColumnNames {
    /// The prompt: a string or a list of messages.
    pub prompt: Option<String>,
    /// The preferred completion.
    pub chosen: Option<String>,
    /// The other completion.
    pub rejected: Option<String>,
    /// The completion of a demonstration.
    pub completion: Option<String>,
    /// The system message.
    pub system: Option<String>,
    /// The row's weight.
    pub weight: Option<String>,
    /// Whose row it is: a text or a number. It has no usual name, and rows may be without it.
    pub group: Option<String>,
    /// Score of the chosen completion, or of the first of two.
    pub score_chosen: Option<String>,
    /// Score of the rejected completion, or of the second of two.
    pub score_rejected: Option<String>,
    /// How much better the chosen completion is.
    pub margin: Option<String>,
    /// Votes on two completions: the share of the first, or counts.
    pub votes: Option<String>,
    /// Columns of one vote each, between commas.
    pub annotators: Option<String>,
    /// Whether neither of two completions is better.
    pub tie: Option<String>,
    /// The verdict on a single completion: true or false.
    pub label: Option<String>,
    /// The first of two completions that nobody put in order.
    pub first: Option<String>,
    /// The second of them.
    pub second: Option<String>,
    /// The one vote on them.
    pub verdict: Option<String>,
    /// A list of completions, best first unless they have ranks or scores.
    pub completions: Option<String>,
    /// The rank of each of the list, the lowest for the best.
    pub ranks: Option<String>,
    /// The score of each of the list, the highest for the best.
    pub scores: Option<String>,
}

/// What becomes of the votes of several annotators, who have a column each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Annotators {
    /// They are counted: a row stays one row, with the shares of its votes.
    #[default]
    Together,
    /// Each vote becomes a row, whose group is the annotator's column.
    Each,
}

/// What prompts and completions that are strings are read as. Lists of messages are always messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strings {
    /// Messages for `Human:`/`Assistant:` transcripts, for `instruction` and `question` columns and for rows with a
    /// system message or a history; plain text otherwise.
    #[default]
    Auto,
    /// Text that no chat template touches.
    Plain,
    /// A user turn and an assistant turn, for the chat template.
    Messages,
}

/// What the rows are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Preferences of any shape: pairs, two completions with votes or scores, ranked lists, labelled completions.
    #[default]
    Pairs,
    /// Supervised fine-tuning: every row has a completion to imitate; of a pair, the chosen one.
    Demonstrations,
}

/// Reads all rows of all files. What happened to each is added to `report`, whose files must be none yet.
///
/// # Errors
/// The first thing that is wrong with a file or its form. Rows whose form is right but that nothing can be learnt from
/// are counted in `report` instead.
pub fn read_examples(
    paths: &[PathBuf],
    config: &SourceConfig,
    report: &mut DataReport,
) -> Result<Vec<PreferenceExample>, DataError> {
    if paths.is_empty() {
        return Err(DataError::NoFiles);
    }
    let columns = Columns::new(config)?;
    let mut examples = Vec::new();
    for path in paths {
        let rows = RowReader::new(path, report.files.len() as u32, config, &columns, report, &mut examples);
        let file = read_file(path, config, &columns, rows)?;
        report.rows_read += file.rows;
        report.files.push(file);
    }
    Ok(examples)
}

fn read_file(
    path: &Path,
    config: &SourceConfig,
    columns: &Columns,
    mut rows: RowReader<'_>,
) -> Result<FileReport, DataError> {
    let (storage, notes, digest) = match open::open(path)? {
        Source::Text(text) => read_text(text, path, config, columns, &mut rows)?,
        Source::Parquet(file, digest) => {
            parquet::read_parquet(file, path, &|name| columns.is_column(name), &mut rows)?;
            ("Parquet".to_owned(), Vec::new(), digest)
        }
    };
    rows.join_lists();
    if rows.n_rows() == 0 {
        return Err(DataError::NoRows { path: path.to_path_buf() });
    }
    rows.check_group()?;
    Ok(FileReport {
        path: path.to_path_buf(),
        bytes: digest.bytes,
        blake3: digest.blake3,
        storage,
        rows: rows.n_rows(),
        recognised: rows.into_recognised(),
        notes,
    })
}

fn read_text(
    text: TextSource,
    path: &Path,
    config: &SourceConfig,
    columns: &Columns,
    rows: &mut RowReader<'_>,
) -> Result<(String, Vec<String>, open::Digest), DataError> {
    let is_column = |name: &str| columns.is_column(name);
    let layout = Layout::of(&text.start, text.whole, &is_column);
    let storage = format!("{}{}", layout.name(), text.compression);
    let mut notes = Vec::new();
    if text.had_bom {
        notes.push("starts with a byte order mark, which was passed over".to_owned());
    }
    let limit = config.max_row_bytes;
    let mut sink = |at, row| rows.read(at, row);
    let (n_blank, digest) = text.read(path, |reader| match layout {
        Layout::Lines => lines::read_lines(reader, path, limit, &mut sink),
        Layout::List => list::read_list(reader, path, limit, &mut sink).map(|()| 0),
        Layout::Object => list::read_object(reader, path, limit, &is_column, &mut sink).map(|()| 0),
    })?;
    if n_blank > 0 {
        notes.push(format!("{n_blank} blank lines between the rows were passed over"));
    }
    Ok((storage, notes, digest))
}

/// Where a row is: its number for reports, its position for messages.
#[derive(Debug, Clone, Copy)]
struct RowAt {
    number: u64,
    spot: Spot,
}

impl RowAt {
    fn line(line: u64) -> Self {
        Self { number: line, spot: Spot::Line(line) }
    }

    fn element(line: u64, element: u64) -> Self {
        Self { number: element, spot: Spot::Element { line, element } }
    }

    fn table_row(row: u64) -> Self {
        Self { number: row, spot: Spot::Row(row) }
    }

    fn place(self, path: &Path) -> Place {
        Place { path: path.to_path_buf(), spot: self.spot }
    }

    fn id(self, file: u32) -> RowId {
        RowId { file, row: self.number }
    }
}

fn read_error(path: &Path, rows: u64, source: io::Error) -> DataError {
    DataError::Read { path: path.to_path_buf(), rows, source }
}
