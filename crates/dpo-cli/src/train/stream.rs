//! `data.stream`: rows that are read while they are trained on.

use std::{collections::VecDeque, fmt, path::PathBuf, rc::Rc};

use anyhow::{Context, Result, anyhow};
use dpo_data::{DataReport, ExampleStream, FileReport, Found, TokenTree};
use dpo_train::{ReferenceLogps, TrainError, Window, Windows, write_atomically};
use serde_json::Value;

use super::{
    progress::{StopFlag, note},
    reference::{Reference, check_reference},
    session::what_it_says,
    workshop::Workshop,
};
use crate::{
    data::{DataReader, RowCache, Selection},
    model_source::ModelSource,
    run_file::RunConfig,
};

/// The rows of the training files, window after window and pass after pass.
pub(super) struct RowStream {
    config: Rc<RunConfig>,
    workshop: Rc<Workshop>,
    paths: Vec<PathBuf>,
    /// Rows of a window.
    window: usize,
    pass: u64,
    /// The file that is read, and where it is.
    file: usize,
    open: Option<ExampleStream>,
    /// Rows that were read and are in no window yet.
    ahead: VecDeque<TokenTree>,
    /// Rows of this pass that were handed out.
    n_in_pass: u64,
    /// What became of the rows of the first pass, as far as it has come.
    report: DataReport,
    /// What was said of scores or votes that nobody reads.
    unread: Option<String>,
}

impl RowStream {
    /// Finds the files; nothing is read yet.
    pub(super) fn open(config: &RunConfig, workshop: &Rc<Workshop>, window: usize) -> Result<Self> {
        let mut paths = Vec::new();
        for name in &config.data.train {
            paths.extend(workshop.hub.dataset(name, "train")?);
        }
        Ok(Self {
            config: Rc::new(config.clone()),
            workshop: Rc::clone(workshop),
            paths,
            window,
            pass: 0,
            file: 0,
            open: None,
            ahead: VecDeque::new(),
            n_in_pass: 0,
            report: DataReport::default(),
            unread: None,
        })
    }

    /// What became of the rows that were read so far.
    pub(super) fn report(&self) -> &DataReport {
        &self.report
    }

    /// The next rows; those of a pass that are left are a window of their own.
    pub(super) fn next_window(&mut self) -> Result<Window> {
        loop {
            while self.ahead.len() < self.window && self.read_on()? {}
            if !self.ahead.is_empty() {
                break;
            }
            self.next_pass()?;
        }
        let n = self.ahead.len().min(self.window);
        self.n_in_pass += n as u64;
        Ok(Window { trees: self.ahead.drain(..n).collect(), pass: self.pass })
    }

    fn next_pass(&mut self) -> Result<()> {
        if self.n_in_pass == 0 {
            let names = self.config.data.train.join(", ");
            let report = self.report.lines().join("\n  ");
            return Err(anyhow!("{names}: no row is left to use:\n  {report}"));
        }
        (self.pass, self.file, self.n_in_pass) = (self.pass + 1, 0, 0);
        Ok(())
    }

    /// Reads a chunk; `false` at the end of a pass.
    fn read_on(&mut self) -> Result<bool> {
        let Some(path) = self.paths.get(self.file).cloned() else { return Ok(false) };
        let (workshop, config) = (Rc::clone(&self.workshop), Rc::clone(&self.config));
        let reader = reader(&workshop, &config);
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => ExampleStream::open(path, self.file as u32, reader.source.clone())?,
        };
        let Some(chunk) = stream.next() else {
            self.file += 1;
            return Ok(true);
        };
        let mut chunk = chunk?;
        let found = Found::of(&chunk.examples);
        let trees = reader.prepare(chunk.examples, &self.names(), &mut chunk.report)?;
        let selection = Selection::training(&self.config.data);
        for tree in trees {
            match selection.refusal(tree.group.as_deref(), false) {
                Some(cause) => chunk.report.count(cause, tree.row),
                None => self.ahead.push_back(tree),
            }
        }
        if let Some(unread) = reader.unread(&found).filter(|_| self.unread.is_none()) {
            note(&unread);
            self.unread = Some(unread);
        }
        if self.pass == 0 {
            self.report.merge(chunk.report);
        }
        self.open = Some(stream);
        Ok(true)
    }

    /// The files' names, for messages about rows.
    fn names(&self) -> Vec<FileReport> {
        let of = |path: &PathBuf| FileReport { path: path.clone(), ..FileReport::default() };
        self.paths.iter().map(of).collect()
    }
}

fn reader<'a>(workshop: &'a Workshop, config: &RunConfig) -> DataReader<'a> {
    DataReader::new(&workshop.hub, &workshop.base, &config.data, &config.loss, RowCache::default())
}

/// The windows of a run with what its reference says of them.
pub(super) struct StreamedRows {
    pub(super) rows: RowStream,
    /// `None` where the objective has none.
    pub(super) reference: Option<Reference>,
    /// Whether it is asked for completions that answer other prompts, too.
    pub(super) drifts: bool,
    /// The reference and the policy, where they are different models.
    pub(super) models: Option<(ModelSource, ModelSource)>,
    pub(super) stop: StopFlag,
    /// `data_report.json`, and what is in it beside the training rows.
    pub(super) report: (PathBuf, Value),
    pub(super) n_windows: u64,
}

impl fmt::Debug for StreamedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedRows").field("n_windows", &self.n_windows).finish_non_exhaustive()
    }
}

impl StreamedRows {
    fn write_report(&mut self) -> Result<()> {
        let (path, report) = &mut self.report;
        report["train"] = serde_json::to_value(self.rows.report())?;
        Ok(write_atomically(path, &serde_json::to_vec_pretty(report)?)?)
    }
}

impl Windows for StreamedRows {
    fn next(&mut self) -> Result<Window, TrainError> {
        if self.stop.is_set() {
            return Err(TrainError::Stopped);
        }
        let window = self.rows.next_window().map_err(of_run)?;
        self.n_windows += 1;
        if let Some((reference, policy)) = &self.models {
            check_reference(reference, policy, &window.trees).map_err(of_run)?;
        }
        self.write_report().map_err(of_run)?;
        Ok(window)
    }

    fn reference(&mut self, trees: &[TokenTree]) -> Result<Option<ReferenceLogps>, TrainError> {
        let Some(reference) = &self.reference else { return Ok(None) };
        let what = format!("window {} of the training rows", self.n_windows);
        let said = what_it_says(reference, &what, trees, self.drifts, &self.stop);
        said.context("the reference cannot be asked").map(Some).map_err(of_run)
    }
}

/// What ends a run stays what it is; what is wrong with rows is said of rows.
fn of_run(error: anyhow::Error) -> TrainError {
    match error.downcast::<TrainError>() {
        Ok(error) => error,
        Err(error) => TrainError::Rows { source: error.into() },
    }
}
