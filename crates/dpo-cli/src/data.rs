//! Rows as a user names them: files or hub data sets, read and tokenised, with an account of every row.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::{Context, Result, anyhow};
use dpo_core::{Objective, PartLoss};
use dpo_data::{
    Cause, ColumnNames, DataError, DataReport, EncodeConfig, Found, HeldOut, Needed, Overlong, Pairing,
    PreferenceExample, Purpose, RowId, SourceConfig, SpecialText, Strings, TextEncoder, TokenTree,
    encode_all, read_examples, shaped,
};
use dpo_model::DecoderConfig;

use crate::{
    hub::Hub,
    model_source::ModelSource,
    run_file::{choices, config::DataConfig, values::ColumnName},
    train::note,
};

/// Rows of one set, ready for batches.
pub(crate) struct LoadedData {
    /// The rows that are left.
    pub(crate) trees: Vec<TokenTree>,
    /// What became of all of them.
    pub(crate) report: DataReport,
}

/// Which rows of its files a set takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Those of this group alone.
    pub(crate) group: Option<String>,
    part: Part,
}

/// The side of a [`HeldOut`] share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    /// All rows: no share is held out of these files.
    #[default]
    Whole,
    /// Those that are left to train on.
    Training,
    /// Those that are held out.
    HeldOut,
}

/// Files that were read and tokenised, for whoever asks for them again in the same way.
pub(crate) type RowCache = Rc<RefCell<HashMap<(PathBuf, String), Rc<FileRows>>>>;

/// All rows of a file.
#[derive(Debug)]
pub(crate) struct FileRows {
    trees: Vec<TokenTree>,
    /// Numbers of the rows that are held out.
    held_out: HashSet<u64>,
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
        let mut loaded = LoadedData { trees: Vec::new(), report: DataReport::default() };
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
        if let Some(rows) = self.cache.borrow().get(&key) {
            return Ok(Rc::clone(rows));
        }
        let rows = Rc::new(self.read(path)?);
        self.cache.borrow_mut().insert(key, Rc::clone(&rows));
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

    fn read(&self, path: &Path) -> Result<FileRows> {
        let mut report = DataReport::default();
        let examples = read_examples(&[path.to_owned()], &self.source, &mut report)?;
        let found = Found::of(&examples);
        let mut examples = self
            .shaped(examples, &mut report)
            .with_context(|| format!("{} cannot be used as it is", path.display()))?;
        if let (Some(file), Some(unread)) = (report.files.last_mut(), unread(&found, &self.needs)) {
            file.notes.push(unread);
        }
        let trees = encode_all(self.encoder, &examples, &self.encode.init()?, &mut report)?;
        // The first prompt of a conversation tree decides for all of it: the others hold it too.
        examples.dedup_by_key(|example| example.row);
        let is_held_out = |example: &&_| self.held_out.is_some_and(|held_out| held_out.takes(example));
        let held_out = examples.iter().filter(is_held_out).map(|example| example.row.row).collect();
        Ok(FileRows { trees, held_out, report })
    }
}

impl LoadedData {
    /// Adds the rows of the next file that `selection` takes, and counts the others.
    fn add(&mut self, rows: &FileRows, selection: &Selection) {
        let file = self.report.files.len() as u32;
        let mut report = rows.report.clone();
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

impl Selection {
    /// The rows to train on.
    pub(crate) fn training(config: &DataConfig) -> Self {
        Self::of(config, Part::Training)
    }

    /// The rows to measure on: of sets of their own, or of the training rows' files.
    pub(crate) fn held_out(config: &DataConfig) -> Self {
        Self::of(config, Part::HeldOut)
    }

    /// The same of all groups.
    #[must_use]
    pub(crate) fn of_all_groups(self) -> Self {
        Self { group: None, ..self }
    }

    /// `part` of a share, if there is one.
    fn of(config: &DataConfig, part: Part) -> Self {
        let part = if config.held_out.is_some() { part } else { Part::Whole };
        Self { group: config.only_group.clone(), part }
    }

    /// Why a row of this group is not taken.
    pub(crate) fn refusal(&self, group: Option<&str>, is_held_out: bool) -> Option<Cause> {
        match (self.group.as_deref(), group) {
            (Some(_), None) => return Some(Cause::NoGroup),
            (Some(wanted), Some(found)) if wanted != found => return Some(Cause::OtherGroup),
            _ => {}
        }
        match self.part {
            Part::Training if is_held_out => Some(Cause::HeldOut),
            Part::HeldOut if !is_held_out => Some(Cause::NotHeldOut),
            _ => None,
        }
    }
}

/// What an objective reads of a row: what each of its losses does. Likelihood alone takes every row, and beside a loss of pairs
/// it is that of the chosen completion.
fn needs(objective: &Objective) -> Vec<Needed> {
    if *objective == Objective::Sft {
        return vec![Needed::Anything];
    }
    let of_sft_weight = objective.modifiers().sft_weight.map(|_| Needed::Pairs);
    let mut needs = Vec::new();
    for needed in objective.parts().iter().map(|part| needed(&part.loss)).chain(of_sft_weight) {
        if !needs.contains(&needed) {
            needs.push(needed);
        }
    }
    needs
}

fn needed(loss: &PartLoss) -> Needed {
    match loss {
        PartLoss::Pairwise { .. }
        | PartLoss::Coupled(_)
        | PartLoss::ReferenceFree(_)
        | PartLoss::GroupRobust(_)
        | PartLoss::Sft => Needed::Pairs,
        PartLoss::Voted { .. } => Needed::Votes,
        PartLoss::Scored { loss, .. } if loss.needs_a_winner() => Needed::Winners,
        PartLoss::Scored { .. } => Needed::Gaps,
        PartLoss::Ranked(loss) if loss.reads_scores() => Needed::ScoredLists,
        PartLoss::Ranked(_) => Needed::Lists,
        PartLoss::Unpaired(_) => Needed::Labels,
    }
}

/// What the rows have and nobody reads.
fn unread(found: &Found, needs: &[Needed]) -> Option<String> {
    let reads_votes = needs.iter().any(|needed| matches!(needed, Needed::Votes | Needed::Anything));
    let reads_scores = needs.iter().any(|needed| {
        matches!(needed, Needed::Gaps | Needed::Winners | Needed::ScoredLists | Needed::Anything)
    });
    let mut parts = Vec::new();
    if found.divided > 0 && !reads_votes {
        parts.push(format!("divided votes of {} rows, of which the majority is taken", found.divided));
    }
    if found.gaps > 0 && !reads_scores {
        parts.push(format!("scores of {} rows", found.gaps));
    }
    (!parts.is_empty()).then(|| format!("this loss does not read the {}", parts.join(", nor the ")))
}

/// Says so where it is the model that limits the length of texts.
pub(crate) fn note_max_length(config: &DataConfig, model: &DecoderConfig) {
    let max_length = max_length(config, model);
    if max_length != config.max_length {
        note(&format!("max_length {max_length}: this model has learnt positions for so many tokens"));
    }
}

/// Tokens of the longest text, 0 for no limit: positions that are learnt end somewhere.
fn max_length(config: &DataConfig, model: &DecoderConfig) -> usize {
    match model.longest_text() {
        Some(longest) if config.max_length == 0 || config.max_length > longest => longest,
        _ => config.max_length,
    }
}

/// How the rows of a run file are read from their files.
pub(crate) fn source_config(config: &DataConfig) -> SourceConfig {
    SourceConfig {
        columns: columns(&config.columns),
        preset: config.preset.map(choices::Preset::of_data),
        strings: strings(config.strings),
        ..SourceConfig::default()
    }
}

pub(crate) fn columns(names: &[ColumnName]) -> ColumnNames {
    let of = |role: &str| names.iter().find(|name| name.role == role).map(|name| name.column.clone());
    ColumnNames {
        prompt: of("prompt"),
        chosen: of("chosen"),
        rejected: of("rejected"),
        completion: of("completion"),
        system: of("system"),
        weight: of("weight"),
        group: of("group"),
        score_chosen: of("score_chosen"),
        score_rejected: of("score_rejected"),
        margin: of("margin"),
        votes: of("votes"),
        annotators: of("annotators"),
        tie: of("tie"),
        label: of("label"),
        first: of("first"),
        second: of("second"),
        verdict: of("verdict"),
        completions: of("completions"),
        ranks: of("ranks"),
        scores: of("scores"),
    }
}

pub(crate) fn strings(choice: choices::Strings) -> Strings {
    match choice {
        choices::Strings::Auto => Strings::Auto,
        choices::Strings::Plain => Strings::Plain,
        choices::Strings::Messages => Strings::Messages,
    }
}

fn overlong(choice: choices::Overlong) -> Overlong {
    match choice {
        choices::Overlong::Refuse => Overlong::Refuse,
        choices::Overlong::Drop => Overlong::Drop,
        choices::Overlong::Truncate => Overlong::Truncate,
        choices::Overlong::KeepStart => Overlong::KeepStart,
    }
}

pub(crate) fn special_text(choice: choices::SpecialText) -> SpecialText {
    match choice {
        choices::SpecialText::Literal => SpecialText::Literal,
        choices::SpecialText::Parse => SpecialText::Parse,
    }
}
