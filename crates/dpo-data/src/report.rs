//! What happened to the rows: every dropped, changed or odd one, counted by cause.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::RowId;

/// Rows listed by number for each cause; the others are counted only.
pub const LISTED_ROWS: usize = 1000;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is not trained on.
    Dropped,
    /// It is trained on, but not as it was written.
    Changed,
    /// It is trained on as it was written; worth a look.
    Noted,
    /// It is not of this set, but of another one that was asked for.
    SetAside,
}

/// Why a row was dropped, changed or worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Chosen and rejected are the same.
    IdenticalSides,
    /// A completion has no text.
    EmptyCompletion,
    /// Chosen and rejected answer different prompts.
    DifferingPrompts,
    /// A conversation does not end with an assistant turn, so there is nothing to train on.
    MissingAnswerTurn,
    /// The prompt leaves no room for a completion.
    PromptTooLong,
    /// The row is longer than the limit and overlong rows are dropped.
    Overlong,
    /// The start of the prompt was cut to fit the limit.
    PromptCut,
    /// The end of a completion was cut to fit the limit.
    CompletionCut,
    /// A token straddles prompt and completion, so the end of the prompt belongs to the completions.
    BoundaryStraddle,
    /// Chosen and rejected differ in spaces and line breaks only.
    DifferInSpaceOnly,
    /// The prompt has no text.
    BlankPrompt,
    /// The prompt column says something else than the conversations do; these were taken.
    PromptColumnDiffers,
    /// A completion has turns of others between the assistant's, and they are trained on too.
    TurnsInCompletion,
    /// Chosen and rejected both start with the prompt again.
    PromptRepeated,
    /// Turns of one speaker in a row were joined into one.
    TurnsJoined,
    /// A text has a NUL character.
    NulCharacter,
    /// A text has a special token of the tokenizer written out.
    SpecialTokenInText,
    /// The prompt has no tokens, so that nothing predicts the first one of a completion.
    UnscoredFirstToken,
    /// Chosen and rejected are the same tokens, if perhaps not the same text.
    SameTokens,
    /// It is of another group than the one that was asked for.
    OtherGroup,
    /// It is of no group, and one was asked for.
    NoGroup,
    /// Its prompt was drawn to be held out of training.
    HeldOut,
    /// Its prompt was not drawn to be held out, and the held-out rows were asked for.
    NotHeldOut,
    /// More people prefer the rejected completion, so that the sides were swapped.
    SidesSwapped,
    /// A completion is a number or a truth value, and was read as the text of it.
    ReadAsText,
    /// Completions as good as another one of the list were left out.
    TiesLeftOut,
    /// Replies without a rank were left out of the list.
    UnrankedLeftOut,
    /// A list was made into pairs.
    MadeIntoPairs,
    /// A pair was made into a desirable and an undesirable completion.
    Unpaired,
    /// There are no two completions of different rank.
    NothingRanked,
    /// A list has the same completion twice.
    RepeatedCompletion,
    /// Neither completion is preferred, and the loss needs one that is.
    Tied,
    /// The loss needs scores, and the row has none.
    NoGap,
    /// The loss needs a better score for the chosen completion, and it is not better.
    NoWinner,
    /// The rejected completion has the higher score.
    ScoresDisagree,
}

impl Cause {
    /// What it does to the row.
    pub fn effect(self) -> Effect {
        match self {
            Self::IdenticalSides
            | Self::EmptyCompletion
            | Self::DifferingPrompts
            | Self::MissingAnswerTurn
            | Self::PromptTooLong
            | Self::Overlong
            | Self::NothingRanked
            | Self::RepeatedCompletion
            | Self::Tied
            | Self::NoGap
            | Self::NoWinner => Effect::Dropped,
            Self::PromptCut
            | Self::CompletionCut
            | Self::TurnsJoined
            | Self::SidesSwapped
            | Self::ReadAsText
            | Self::TiesLeftOut
            | Self::UnrankedLeftOut
            | Self::MadeIntoPairs
            | Self::Unpaired => Effect::Changed,
            Self::BoundaryStraddle
            | Self::DifferInSpaceOnly
            | Self::BlankPrompt
            | Self::PromptColumnDiffers
            | Self::TurnsInCompletion
            | Self::PromptRepeated
            | Self::NulCharacter
            | Self::SpecialTokenInText
            | Self::UnscoredFirstToken
            | Self::SameTokens
            | Self::ScoresDisagree => Effect::Noted,
            Self::OtherGroup | Self::NoGroup | Self::HeldOut | Self::NotHeldOut => Effect::SetAside,
        }
    }

    /// A phrase for people, to follow the number of rows.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::IdenticalSides => "chosen and rejected are the same",
            Self::EmptyCompletion => "a completion has no text",
            Self::DifferingPrompts => "chosen and rejected answer different prompts",
            Self::MissingAnswerTurn => "the conversation does not end with an assistant turn",
            Self::PromptTooLong => "the prompt leaves no room for a completion",
            Self::Overlong => "longer than the limit",
            Self::PromptCut => "the start of the prompt was cut to fit the limit",
            Self::CompletionCut => "the end of a completion was cut to fit the limit",
            Self::BoundaryStraddle => {
                "a token straddles prompt and completion; it is trained on with the completions"
            }
            Self::DifferInSpaceOnly => "chosen and rejected differ in spaces and line breaks only",
            Self::BlankPrompt => "the prompt has no text",
            Self::PromptColumnDiffers => {
                "the prompt column differs from the conversations; the conversations were taken"
            }
            Self::TurnsInCompletion => {
                "a completion has turns of others between the assistant's; they are trained on too"
            }
            Self::PromptRepeated => "chosen and rejected both start with the prompt again",
            Self::TurnsJoined => "turns of one speaker in a row were joined into one",
            Self::NulCharacter => "a text has a NUL character",
            Self::SpecialTokenInText => "a special token of the tokenizer is written out in a text",
            Self::UnscoredFirstToken => {
                "the prompt has no tokens; the first token of each completion is not scored"
            }
            Self::SameTokens => "chosen and rejected are the same tokens; nothing is learnt from them",
            Self::OtherGroup => "of another group",
            Self::NoGroup => "of no group",
            Self::HeldOut => "held out by their prompt",
            Self::NotHeldOut => "not held out, but trained on",
            Self::SidesSwapped => "more votes for the rejected side; the sides were swapped",
            Self::ReadAsText => "a completion is a number or a truth value; its text was taken",
            Self::TiesLeftOut => "completions as good as another of their list were left out",
            Self::UnrankedLeftOut => "replies without a rank were left out of the list",
            Self::MadeIntoPairs => "a list was made into pairs",
            Self::Unpaired => "a pair was made into a desirable and an undesirable completion",
            Self::NothingRanked => "no two completions of different rank",
            Self::RepeatedCompletion => "a list has the same completion twice",
            Self::Tied => "neither completion is preferred",
            Self::NoGap => "no scores",
            Self::NoWinner => "the chosen completion has no better score",
            Self::ScoresDisagree => "the rejected side has the higher score",
        }
    }
}

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataReport {
    /// The files, in the order that [`RowId::file`] counts.
    pub files: Vec<FileReport>,
    /// Rows read from all files.
    pub rows_read: u64,
    /// Rows that were made of others besides them: of a list that became three pairs, two.
    pub rows_added: u64,
    /// Rows by cause.
    pub causes: BTreeMap<Cause, CauseRows>,
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

impl Effect {
    fn verb(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Changed => "changed",
            Self::Noted => "noted",
            Self::SetAside => "set aside",
        }
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
