//! Rows as JSON objects into examples, with the report of what became of each.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::assemble::Assembled;
use super::ballots;
use super::candidates::in_order;
use super::columns::Columns;
use super::conversation::WrongType;
use super::grades::Cast;
use super::plan::Plan;
use super::preset::Preset;
use super::split::Format;
use super::stream::{CHUNK, ExampleChunk};
use super::{Annotators, Purpose, RowAt, SourceConfig, assemble};
use crate::report::Recognised;
use crate::{Cause, DataError, DataReport, Place, PreferenceExample, Ranking, Relation, RowId};

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
    /// Those of other files.
    n_before: usize,
    plan: Option<Rc<Plan>>,
    kinds: Vec<Kind>,
    unread: Vec<String>,
    n_rows: u64,
    /// Takes what was read as soon as it is a chunk.
    sink: Option<ChunkSink<'a>>,
    n_handed_on: u64,
}

type ChunkSink<'a> = &'a mut dyn FnMut(ExampleChunk) -> Result<(), DataError>;

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
        let n_before = examples.len();
        Self {
            path,
            file,
            config,
            columns,
            report,
            examples,
            n_before,
            plan: None,
            kinds,
            unread,
            n_rows: 0,
            sink: None,
            n_handed_on: 0,
        }
    }

    /// Hands on what was read whenever it is a chunk.
    pub(super) fn in_chunks(self, sink: ChunkSink<'a>) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// Names columns that the file has and that the rows come without, because no format reads them.
    pub(super) fn leaves_out(&mut self, columns: Vec<String>) {
        self.unread = columns;
    }

    /// Turns a row into its examples, or counts why not. Each list of a conversation tree counts as a row.
    pub(super) fn read(&mut self, at: RowAt, row: Map<String, Value>) -> Result<(), DataError> {
        let plan = self.plan_of(&row, at)?;
        let read = assemble::assemble(&plan, row, self.config).map_err(|wrong| self.type_error(wrong, at))?;
        for example in read {
            self.add(&plan, example, at.id(self.file));
        }
        self.hand_on()
    }

    /// Empties the examples and the report into the sink, if there is one and enough was read.
    fn hand_on(&mut self) -> Result<(), DataError> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let n_new = self.n_rows - self.n_handed_on;
        if n_new < CHUNK {
            return Ok(());
        }
        self.n_handed_on = self.n_rows;
        let mut report = std::mem::take(self.report);
        report.rows_read = n_new;
        sink(ExampleChunk { examples: std::mem::take(self.examples), report })
    }

    fn add(&mut self, plan: &Rc<Plan>, read: Assembled, id: RowId) {
        self.n_rows += 1;
        self.recognise(Rc::clone(plan), read.format);
        let content = match read.content {
            Ok(content) => content,
            Err(cause) => {
                self.report.count(cause, id);
                return;
            }
        };
        for cause in read.notes {
            self.report.count(cause, id);
        }
        if !read.cast.is_empty() {
            let named = |&(annotator, choice): &Cast| (plan.grades.annotators[annotator].as_str(), choice);
            self.report.agreement.add(&read.cast.iter().map(named).collect::<Vec<_>>());
        }
        let example = PreferenceExample {
            row: id,
            prompt: content.prompt,
            completions: content.completions,
            relation: read.relation,
            weight: read.weight,
            group: read.group,
            template_kwargs: read.template_kwargs,
        };
        match self.config.annotators {
            Annotators::Together => self.examples.push(example),
            Annotators::Each => self.examples.extend(ballots::votes(&example, &read.cast, plan, self.report)),
        }
    }

    /// Makes one list of the single rated completions that follow each other and answer the same prompt.
    pub(super) fn join_lists(&mut self) {
        if self.config.preset.and_then(Preset::rating).is_none() || self.config.purpose != Purpose::Pairs {
            return;
        }
        let rated = self.examples.split_off(self.n_before);
        let mut lists: Vec<Vec<PreferenceExample>> = Vec::new();
        for example in rated {
            match lists.last_mut() {
                Some(list) if list[0].prompt == example.prompt => list.push(example),
                _ => lists.push(vec![example]),
            }
        }
        for list in lists {
            self.n_rows -= list.len() as u64 - 1;
            let row = list[0].row;
            match joined(list) {
                Ok(example) => self.examples.push(example),
                Err(cause) => self.report.count(cause, row),
            }
        }
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
            format: kind.format.name(kind.plan.rows(purpose)),
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

/// Rated completions of one prompt as a list, best first.
fn joined(rated: Vec<PreferenceExample>) -> Result<PreferenceExample, Cause> {
    let score = |example: &PreferenceExample| match &example.relation {
        Relation::Ranking(Ranking { scores: Some(scores), .. }) => {
            scores.first().copied().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    };
    let scores: Vec<f64> = rated.iter().map(score).collect();
    let (order, places) = in_order(&scores.iter().map(|score| -score).collect::<Vec<_>>());
    if places.last().is_none_or(|last| *last == 0) {
        return Err(Cause::NothingRanked);
    }
    let completions: Vec<_> = order.iter().flat_map(|idx| rated[*idx].completions.clone()).collect();
    if (1..completions.len()).any(|idx| completions[..idx].contains(&completions[idx])) {
        return Err(Cause::RepeatedCompletion);
    }
    let scores = Some(order.iter().map(|idx| scores[*idx]).collect());
    let relation = Relation::Ranking(Ranking { places, scores });
    let first = rated.into_iter().next().ok_or(Cause::NothingRanked)?;
    Ok(PreferenceExample { completions, relation, ..first })
}
