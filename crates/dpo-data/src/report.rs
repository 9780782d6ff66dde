//! What happened to the rows: every dropped, changed or odd one, counted by cause.

mod cause;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::{Agreement, RowId};

pub use cause::{Cause, Effect};

/// Rows listed by number for each cause; the others are counted only.
pub const LISTED_ROWS: usize = 1000;

/// Rows of one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CauseRows {
    /// How many there are.
    pub count: u64,
    /// The first [`LISTED_ROWS`] of them.
    pub rows: Vec<RowId>,
}

/// What a column was taken for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ColumnUse {
    /// Its name in the file.
    pub column: String,
    /// What it is: `prompt`, `chosen`, …
    pub role: String,
}

/// How the rows of a file were understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recognised {
    /// Name of the format, for people.
    pub format: String,
    /// Columns that are read.
    pub columns: Vec<ColumnUse>,
    /// Columns that are not read.
    pub ignored: Vec<String>,
    /// Rows of this kind.
    pub rows: u64,
}

/// One input file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// As it was named.
    pub path: PathBuf,
    /// Size on disk.
    pub bytes: u64,
    /// BLAKE3 digest of these bytes, in hexadecimal.
    pub blake3: String,
    /// How it is stored, for people: `JSON Lines, gzip`.
    pub storage: String,
    /// Rows read from it.
    pub rows: u64,
    /// How its rows were understood; more than one entry if its rows differ.
    pub recognised: Vec<Recognised>,
    /// What is odd about the file itself.
    pub notes: Vec<String>,
}

/// Counts of rows by cause, and what each file was taken for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataReport {
    /// The files, in the order that [`RowId::file`] counts.
    pub files: Vec<FileReport>,
    /// Rows read from all files.
    pub rows_read: u64,
    /// Rows that were made of others besides them: of a list that became three pairs, two.
    pub rows_added: u64,
    /// Rows by cause.
    pub causes: BTreeMap<Cause, CauseRows>,
    /// How far annotators agree, where they have a column each.
    pub agreement: Agreement,
}

impl DataReport {
    /// Counts `row` under `cause`. A row is dropped for one cause only; it may be changed or noted for several.
    pub fn count(&mut self, cause: Cause, row: RowId) {
        let rows = self.causes.entry(cause).or_default();
        rows.count += 1;
        if rows.rows.len() < LISTED_ROWS {
            rows.rows.push(row);
        }
    }

    /// Rows that are not trained on.
    pub fn rows_dropped(&self) -> u64 {
        self.rows_with(Effect::Dropped)
    }

    /// Rows of another set.
    pub fn rows_set_aside(&self) -> u64 {
        self.rows_with(Effect::SetAside)
    }

    /// Rows that went on to training.
    pub fn rows_kept(&self) -> u64 {
        (self.rows_read + self.rows_added).saturating_sub(self.rows_dropped() + self.rows_set_aside())
    }

    fn rows_with(&self, effect: Effect) -> u64 {
        let causes = self.causes.iter().filter(|(cause, _)| cause.effect() == effect);
        causes.map(|(_, rows)| rows.count).sum()
    }

    /// How many rows have this cause.
    pub fn rows_of(&self, cause: Cause) -> u64 {
        self.causes.get(&cause).map_or(0, |rows| rows.count)
    }

    /// Adds what `other` counted. Its rows must name files as this report numbers them: `other` is either a part of
    /// the work on the same files, with `files` empty, or holds the files that follow.
    pub fn merge(&mut self, other: Self) {
        self.files.extend(other.files);
        self.rows_read += other.rows_read;
        self.rows_added += other.rows_added;
        self.agreement.merge(&other.agreement);
        for (cause, rows) in other.causes {
            let mine = self.causes.entry(cause).or_default();
            mine.count += rows.count;
            let room = LISTED_ROWS.saturating_sub(mine.rows.len());
            mine.rows.extend(rows.rows.into_iter().take(room));
        }
    }

    /// The report for people, a line each: the files, what their columns were taken for, the rows by cause.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.files.iter().flat_map(FileReport::lines).collect();
        let set_aside = match self.rows_set_aside() {
            0 => String::new(),
            n => format!(", {n} set aside"),
        };
        let added = match self.rows_added {
            0 => String::new(),
            n => format!("{n} more made of them, "),
        };
        lines.push(format!(
            "rows: {} read, {added}{} kept, {} dropped{set_aside}",
            self.rows_read,
            self.rows_kept(),
            self.rows_dropped()
        ));
        for (cause, rows) in &self.causes {
            lines.push(format!(
                "  {} {}: {} ({})",
                cause.effect().verb(),
                rows.count,
                cause.phrase(),
                self.first_rows(rows)
            ));
        }
        lines
    }

    /// The first few rows of a cause: `rows 3, 17, 20, …`.
    fn first_rows(&self, rows: &CauseRows) -> String {
        const SHOWN: usize = 5;
        let name = |id: &RowId| match self.files.get(id.file as usize) {
            Some(file) if self.files.len() > 1 => format!("{}:{}", file.path.display(), id.row),
            _ => id.row.to_string(),
        };
        let mut names: Vec<String> = rows.rows.iter().take(SHOWN).map(name).collect();
        if rows.count > names.len() as u64 {
            names.push("…".to_owned());
        }
        let noun = if rows.count == 1 { "row" } else { "rows" };
        format!("{noun} {}", names.join(", "))
    }
}

impl FileReport {
    fn lines(&self) -> Vec<String> {
        let Self { path, storage, rows, bytes, .. } = self;
        let mut lines = vec![format!("{}: {rows} rows, {bytes} bytes of {storage}", path.display())];
        lines.extend(self.recognised.iter().map(|kind| format!("  {kind}")));
        lines.extend(self.notes.iter().map(|note| format!("  {note}")));
        lines
    }
}

impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<String> = self.columns.iter().map(ColumnUse::to_string).collect();
        write!(f, "{} rows are {}: {}", self.rows, self.format, columns.join(", "))?;
        if !self.ignored.is_empty() {
            write!(f, "; not read: {}", self.ignored.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for ColumnUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column == self.role {
            f.write_str(&self.column)
        } else {
            write!(f, "{} as {}", self.column, self.role)
        }
    }
}

/// As `data_report.json` has it: the fields, and the counts that follow from them.
impl Serialize for DataReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            effect: Effect,
            phrase: &'static str,
            #[serde(flatten)]
            rows: &'a CauseRows,
        }
        let mut causes = BTreeMap::new();
        for (cause, rows) in &self.causes {
            causes.insert(cause, Entry { effect: cause.effect(), phrase: cause.phrase(), rows });
        }
        let mut report = serializer.serialize_struct("DataReport", 7)?;
        report.serialize_field("rows_read", &self.rows_read)?;
        report.serialize_field("rows_added", &self.rows_added)?;
        report.serialize_field("rows_kept", &self.rows_kept())?;
        report.serialize_field("rows_dropped", &self.rows_dropped())?;
        report.serialize_field("rows_set_aside", &self.rows_set_aside())?;
        report.serialize_field("causes", &causes)?;
        report.serialize_field("files", &self.files)?;
        report.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(row: u64) -> RowId {
        RowId { file: 0, row }
    }

    #[test]
    fn dropped_rows_are_not_kept_and_noted_ones_are() {
        let mut report = DataReport { rows_read: 5, ..DataReport::default() };
        report.count(Cause::IdenticalSides, row(1));
        report.count(Cause::CompletionCut, row(2));
        report.count(Cause::BlankPrompt, row(2));
        assert_eq!((report.rows_dropped(), report.rows_kept()), (1, 4));
    }

    /// A row of another set is lost to nobody: it is neither kept nor dropped.
    #[test]
    fn rows_of_another_set_are_counted_apart() {
        let mut report = DataReport { rows_read: 5, ..DataReport::default() };
        report.count(Cause::IdenticalSides, row(1));
        report.count(Cause::OtherGroup, row(2));
        report.count(Cause::HeldOut, row(3));
        assert_eq!((report.rows_dropped(), report.rows_set_aside(), report.rows_kept()), (1, 2, 2));
        assert_eq!(report.lines()[0], "rows: 5 read, 2 kept, 1 dropped, 2 set aside");
    }

    #[test]
    fn all_rows_are_counted_and_the_first_thousand_listed() {
        let mut report = DataReport::default();
        (0..1500).for_each(|number| report.count(Cause::BlankPrompt, row(number)));
        let mut other = DataReport { rows_read: 7, ..DataReport::default() };
        other.merge(report.clone());
        other.merge(report);
        let rows = &other.causes[&Cause::BlankPrompt];
        assert_eq!((rows.count, rows.rows.len(), other.rows_read), (3000, LISTED_ROWS, 7));
    }

    #[test]
    fn the_file_has_the_counts_and_their_meaning() {
        let mut report = DataReport { rows_read: 2, ..DataReport::default() };
        report.count(Cause::IdenticalSides, row(1));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["rows_kept"], &json["rows_dropped"]), (&1.into(), &1.into()));
        let cause = &json["causes"]["identical_sides"];
        assert_eq!((&cause["count"], &cause["effect"]), (&1.into(), &"dropped".into()));
        assert_eq!(cause["rows"][0]["row"], 1);
    }

    #[test]
    fn lines_name_each_cause_and_its_first_rows() {
        let mut report = DataReport { rows_read: 9, ..DataReport::default() };
        (1..8).for_each(|number| report.count(Cause::IdenticalSides, row(number)));
        assert_eq!(
            report.lines(),
            [
                "rows: 9 read, 2 kept, 7 dropped",
                "  dropped 7: chosen and rejected are the same (rows 1, 2, 3, 4, 5, …)"
            ]
        );
    }
}
