//! Rows as a user names them: files or hub data sets, read and tokenised, with an account of every row.

mod cache;
mod needs;
mod selection;
mod settings;

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
    rc::Rc,
};

use anyhow::{Context, Result, anyhow};
use dpo_core::Objective;
use dpo_data::{
    Cause, DataError, DataReport, EncodeConfig, FileReport, Found, HeldOut, Needed, Pairing,
    PreferenceExample, Purpose, RowId, SourceConfig, TextEncoder, TokenTree, encode_all, shaped,
};

use crate::{hub::Hub, model_source::ModelSource, run_file::config::DataConfig};

pub(crate) use cache::RowCache;
use needs::{needs, unread};
use selection::Part;
pub(crate) use selection::Selection;
use settings::{max_length, overlong};
pub(crate) use settings::{note_max_length, source_config, special_text};

/// Rows of one set, ready for batches.
pub(crate) struct LoadedData {
    /// The rows that are left.
    pub(crate) trees: Vec<TokenTree>,
    /// What became of all of them.
    pub(crate) report: DataReport,
    /// The groups that rows are of, also where none of theirs is left.
    pub(crate) groups: BTreeSet<String>,
}

/// All rows of a file.
#[derive(Debug)]
pub(crate) struct FileRows {
    trees: Vec<TokenTree>,
    /// Numbers of the rows that are held out.
    held_out: HashSet<u64>,
    groups: BTreeSet<String>,
    report: DataReport,
}

/// How rows are read, whatever set they are of.
pub(crate) struct DataReader<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) encoder: &'a TextEncoder,
    pub(crate) source: SourceConfig,
    /// What is read of a row; it has to have all of this.
    pub(crate) needs: Vec<Needed>,
    /// Which pairs are made of lists.
    pairing: Option<Pairing>,
    pub(crate) encode: EncodeConfig,
    pub(crate) held_out: Option<HeldOut>,
    cache: RowCache,
}

impl<'a> DataReader<'a> {
    /// As a run file says it, for `model`: no text is longer than it can compute. What is read stays in `cache`.
    pub(crate) fn new(
        hub: &'a Hub,
        model: &'a ModelSource,
        config: &DataConfig,
        objective: &Objective,
        cache: RowCache,
    ) -> Self {
        let purpose = match objective {
            Objective::Sft => Purpose::Demonstrations,
            _ => Purpose::Pairs,
        };
        let encode = EncodeConfig {
            max_length: max_length(config, model.config()),
            overlong: overlong(config.overlong),
            special_text: special_text(config.special_text),
        };
        let source = SourceConfig { purpose, ..source_config(config) };
        let (needs, pairing) = (needs(objective), config.pairing);
        Self {
            hub,
            encoder: &model.encoder,
            source,
            needs,
            pairing,
            encode,
            held_out: config.held_out,
            cache,
        }
    }

    /// Reads and tokenises a set; `split` is the one to take of a hub data set. A set without rows is an error.
    pub(crate) fn load(&self, names: &[String], split: &str, selection: &Selection) -> Result<LoadedData> {
        let mut loaded =
            LoadedData { trees: Vec::new(), report: DataReport::default(), groups: BTreeSet::new() };
        for name in names {
            for path in self.hub.dataset(name, split)? {
                loaded.add(&*self.file(&path)?, selection);
            }
        }
        if self.pairing.is_some() && loaded.report.rows_of(Cause::MadeIntoPairs) == 0 {
            return Err(anyhow!(
                "{}: `data.pairs` makes pairs of ranked lists, and no row is one; remove it",
                names.join(", ")
            ));
        }
        if let Some(group) = &selection.group {
            refuse_no_such_group(names, group, &loaded.groups)?;
        }
        if loaded.trees.is_empty() {
            let report = loaded.report.lines().join("\n  ");
            let error = anyhow!("{}: no row is left to use:\n  {report}", names.join(", "));
            return Err(match selection.part {
                Part::HeldOut => error.context(
                    "no prompt was drawn to be held out; raise `data.heldout`, or name files in `data.eval`",
                ),
                Part::Whole | Part::Training => error,
            });
        }
        Ok(loaded)
    }

    fn file(&self, path: &Path) -> Result<Rc<FileRows>> {
        let key = (path.to_owned(), self.settings());
        if let Some(rows) = self.cache.get(&key) {
            return Ok(rows);
        }
        let rows = Rc::new(self.read(path)?);
        self.cache.insert(key, &rows);
        Ok(rows)
    }

    /// All that decides what becomes of a file.
    fn settings(&self) -> String {
        let Self { source, needs, pairing, encode, held_out, .. } = self;
        format!("{source:?} {needs:?} {pairing:?} {encode:?} {held_out:?}")
    }

    /// Rows in the shape that is needed: what several losses read, one after the other.
    fn shaped(
        &self,
        examples: Vec<PreferenceExample>,
        report: &mut DataReport,
    ) -> Result<Vec<PreferenceExample>, DataError> {
        let mut pairing = self.pairing;
        let shape = |examples, &needed: &Needed| shaped(examples, needed, pairing.take(), report);
        self.needs.iter().try_fold(examples, shape)
    }

    /// Rows that were read apart, shaped and tokenised; `files` are named where one of them is at fault.
    pub(crate) fn prepare(
        &self,
        examples: Vec<PreferenceExample>,
        files: &[FileReport],
        report: &mut DataReport,
    ) -> Result<Vec<TokenTree>> {
        let of_file = std::mem::replace(&mut report.files, files.to_vec());
        let examples = self.shaped(examples, report).context("the rows cannot be used as they are")?;
        let trees = encode_all(self.encoder, &examples, &self.encode.init()?, report)?;
        report.files = of_file;
        Ok(trees)
    }

    /// What rows have and the loss does not read, in a sentence.
    pub(crate) fn unread(&self, found: &Found) -> Option<String> {
        unread(found, &self.needs)
    }

    fn read(&self, path: &Path) -> Result<FileRows> {
        let cache::ReadFile { examples, mut report, .. } = self.cache.read(path, &self.source)?;
        let found = Found::of(&examples);
        let mut examples = self
            .shaped(examples, &mut report)
            .with_context(|| format!("{} cannot be used as it is", path.display()))?;
        if let (Some(file), Some(unread)) = (report.files.last_mut(), unread(&found, &self.needs)) {
            file.notes.push(unread);
        }
        let trees = encode_all(self.encoder, &examples, &self.encode.init()?, &mut report)?;
        let groups = examples.iter().filter_map(|example| example.group.clone()).collect();
        // The first prompt of a conversation tree decides for all of it: the others hold it too.
        examples.dedup_by_key(|example| example.row);
        let is_held_out = |example: &&_| self.held_out.is_some_and(|held_out| held_out.takes(example));
        let held_out = examples.iter().filter(is_held_out).map(|example| example.row.row).collect();
        Ok(FileRows { trees, held_out, groups, report })
    }
}

/// Refuses a group that no row of these files is of, with those that there are.
pub(crate) fn refuse_no_such_group(names: &[String], group: &str, groups: &BTreeSet<String>) -> Result<()> {
    const SHOWN: usize = 10;
    if groups.contains(group) {
        return Ok(());
    }
    let names = names.join(", ");
    let shown: Vec<String> = groups.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let others = match groups.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Err(match shown.as_slice() {
        [] => anyhow!("{names}: no row is of the group `{group}`, nor of any other"),
        shown => anyhow!("{names}: no row is of the group `{group}`; there are {}{others}", shown.join(", ")),
    })
}

impl LoadedData {
    /// Adds the rows of the next file that `selection` takes, and counts the others.
    fn add(&mut self, rows: &FileRows, selection: &Selection) {
        let file = self.report.files.len() as u32;
        let mut report = rows.report.clone();
        self.groups.extend(rows.groups.iter().cloned());
        for tree in &rows.trees {
            if let Some(cause) =
                selection.refusal(tree.group.as_deref(), rows.held_out.contains(&tree.row.row))
            {
                report.count(cause, tree.row);
            } else {
                let row = RowId { file, ..tree.row };
                self.trees.push(TokenTree { row, ..tree.clone() });
            }
        }
        for row in report.causes.values_mut().flat_map(|cause| &mut cause.rows) {
            row.file = file;
        }
        self.report.merge(report);
    }
}
