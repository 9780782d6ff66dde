//! Rows as JSON objects into examples, with the report of what became of each.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::columns::{Columns, Plan};
use super::conversation::WrongType;
use super::split::Format;
use super::{Purpose, RowAt, SourceConfig, assemble};
use crate::report::Recognised;
use crate::{DataError, DataReport, Place, PreferenceExample};

/// Most names of unread columns that a report lists.
const LISTED_COLUMNS: usize = 100;

/// Reads the rows of one file, whichever way they are stored.
pub(super) struct RowReader<'a> {
    path: &'a Path,
    file: u32,
    config: &'a SourceConfig,
    columns: &'a Columns,
    report: &'a mut DataReport,
    examples: &'a mut Vec<PreferenceExample>,
    plan: Option<Rc<Plan>>,
    kinds: Vec<Kind>,
    unread: Vec<String>,
    n_rows: u64,
}

/// Rows that were understood alike.
struct Kind {
    plan: Rc<Plan>,
    format: Format,
    n_rows: u64,
    unread: Vec<String>,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(
        path: &'a Path,
        file: u32,
        config: &'a SourceConfig,
        columns: &'a Columns,
        report: &'a mut DataReport,
        examples: &'a mut Vec<PreferenceExample>,
    ) -> Self {
        let (kinds, unread) = (Vec::new(), Vec::new());
        Self { path, file, config, columns, report, examples, plan: None, kinds, unread, n_rows: 0 }
    }

    /// Names columns that the file has and that the rows come without, because no format reads them.
    pub(super) fn leaves_out(&mut self, columns: Vec<String>) {
        self.unread = columns;
    }

    /// Turns a row into an example or counts why not.
    pub(super) fn read(&mut self, at: RowAt, row: Map<String, Value>) -> Result<(), DataError> {
        self.n_rows += 1;
        let plan = self.plan_of(&row, at)?;
        let read = assemble::assemble(&plan, row, self.config).map_err(|wrong| self.type_error(wrong, at))?;
        self.recognise(plan, read.format);
        let id = at.id(self.file);
        let content = match read.content {
            Ok(content) => content,
            Err(cause) => {
                self.report.count(cause, id);
                return Ok(());
            }
        };
        for cause in read.notes {
            self.report.count(cause, id);
        }
        self.examples.push(PreferenceExample {
            row: id,
            prompt: content.prompt,
            completions: content.completions,
            relation: read.relation,
            weight: read.weight,
            group: read.group,
            template_kwargs: read.template_kwargs,
        });
        Ok(())
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// An error when a group column is named and no row has it.
    pub(super) fn check_group(&self) -> Result<(), DataError> {
        let Some(name) = self.columns.group() else { return Ok(()) };
        if self.kinds.iter().any(|kind| kind.plan.group.is_some()) {
            return Ok(());
        }
        let mut found: Vec<String> = Vec::new();
        for key in self.kinds.iter().flat_map(|kind| &kind.plan.keys).chain(&self.unread) {
            if !found.contains(key) && found.len() < LISTED_COLUMNS {
                found.push(key.clone());
            }
        }
        let need = format!("no row has the column `{name}`, which `columns.group` names");
        let near = found.iter().min_by_key(|key| strsim::damerau_levenshtein(key, name));
        let near = near.filter(|key| strsim::damerau_levenshtein(key, name) <= 2);
        let hint = near.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default();
        Err(DataError::Columns { place: Place::file(self.path), need, found, hint })
    }

    /// How the rows were understood.
    pub(super) fn into_recognised(self) -> Vec<Recognised> {
        let purpose = self.config.purpose;
        let describe = |kind: Kind| Recognised {
            format: kind.format.name(purpose == Purpose::Pairs),
            columns: kind.plan.uses(),
            ignored: kind.unread,
            rows: kind.n_rows,
        };
        self.kinds.into_iter().map(describe).collect()
    }

    /// The plan of the row before, if the columns are the same.
    fn plan_of(&mut self, row: &Map<String, Value>, at: RowAt) -> Result<Rc<Plan>, DataError> {
        if let Some(plan) = self.plan.as_ref().filter(|plan| row.keys().eq(&plan.keys)) {
            return Ok(Rc::clone(plan));
        }
        let keys: Vec<String> = row.keys().cloned().collect();
        let plan = self.columns.plan(keys, &self.unread).map_err(|mismatch| DataError::Columns {
            place: at.place(self.path),
            need: mismatch.need,
            found: row.keys().chain(&self.unread).cloned().collect(),
            hint: mismatch.hint,
        })?;
        let plan = Rc::new(plan);
        self.plan = Some(Rc::clone(&plan));
        Ok(plan)
    }

    fn recognise(&mut self, plan: Rc<Plan>, format: Format) {
        let same_plan = |kind: &&mut Kind| kind.format == format && Rc::ptr_eq(&kind.plan, &plan);
        if let Some(kind) = self.kinds.iter_mut().find(same_plan) {
            kind.n_rows += 1;
            return;
        }
        let uses = plan.uses();
        let is_read = |key: &&String| uses.iter().any(|column| column.column == **key);
        let unread: Vec<String> =
            plan.keys.iter().chain(&self.unread).filter(|key| !is_read(key)).cloned().collect();
        let alike = self.kinds.iter_mut().find(|kind| kind.format == format && kind.plan.uses() == uses);
        if let Some(kind) = alike {
            kind.n_rows += 1;
            kind.plan = plan;
            for name in unread {
                if !kind.unread.contains(&name) && kind.unread.len() < LISTED_COLUMNS {
                    kind.unread.push(name);
                }
            }
        } else {
            self.kinds.push(Kind { plan, format, n_rows: 1, unread });
        }
    }

    fn type_error(&self, wrong: WrongType, at: RowAt) -> DataError {
        let WrongType { column, found, expected } = wrong;
        DataError::Type { place: at.place(self.path), column, found, expected }
    }
}
