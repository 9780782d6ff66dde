//! The rows of a check, read and looked at.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use dpo_data::{
    Cause, Clock, DataReport, Fault, FileReport, Findings, Found, FoundRow, FoundRows, PreferenceExample,
    Severity, check_examples, read_examples,
    report::{CauseRows, Effect},
};

use super::{CheckArgs, model::ModelChecks, own::OwnAnswers, tokens::TokenChecks};
use crate::{
    data::{Selection, refuse_no_such_group, source_config, special_text},
    device,
    hub::Hub,
    model_source::ModelSource,
    run_file::{choices::Annotators, config::DataConfig},
};

/// Prompts that a model answers itself where nobody says how many.
const OWN_BY_DEFAULT: usize = 16;

/// What a check came to.
pub(crate) struct Checked {
    /// As the user named them.
    pub(crate) names: Vec<String>,
    /// What the reader said of the rows, and the tokenizer if there is one.
    pub(crate) report: DataReport,
    /// All files, those that are measured on last.
    pub(crate) files: Vec<FileReport>,
    pub(crate) findings: Findings,
    /// What the rows have, which a loss is chosen by.
    pub(crate) found: Found,
    pub(crate) tokens: Option<TokenChecks>,
    pub(crate) model: Option<ModelChecks>,
    pub(crate) own: Option<OwnAnswers>,
}

/// A kind of finding with its rows.
pub(crate) struct Entry {
    /// Its key in JSON.
    pub(crate) name: String,
    /// For people, to follow the number of rows.
    pub(crate) phrase: &'static str,
    pub(crate) severity: Severity,
    pub(crate) found: FoundRows,
}

impl Entry {
    pub(crate) fn is_serious(&self) -> bool {
        self.severity == Severity::Serious && self.found.count > 0
    }
}

impl Checked {
    /// Reads what `args` names and looks at it.
    pub(crate) fn new(args: &CheckArgs) -> Result<Self> {
        let config = args.rows.config(&args.data, args.only_group.as_ref())?;
        let hub = Hub::from_env(true)?;
        let (examples, mut report) = read(&hub, &args.data, "train", &config)?;
        let (mut eval, eval_report) = read(&hub, &args.eval_data, "test", &config)?;
        let first_file = report.files.len() as u32;
        eval.iter_mut().for_each(|example| example.row.file += first_file);
        let mut findings = check_examples(&examples, (!args.eval_data.is_empty()).then_some(&eval));
        if args.rows.annotators == Annotators::Each {
            // The groups are the annotators, whose agreement the reader counted row by row.
            findings.agreement = None;
        }
        let (mut tokens, mut model, mut own) = (None, None, None);
        if let Some(name) = &args.model {
            let device = device::open(args.backend)?;
            let source = ModelSource::open(name, &hub, Clock::now())?;
            let written = special_text(args.rows.special_text);
            let read = TokenChecks::new(&source, &examples, written, &mut report, &mut findings)?;
            let n_own = args.own.unwrap_or(if args.read > 0 { OWN_BY_DEFAULT } else { 0 });
            if args.read > 0 || n_own > 0 {
                let weights = source.load(&device)?;
                let (limit, files) = (source.config().longest_text(), &report.files);
                if args.read > 0 {
                    model = Some(ModelChecks::new(&weights, &read.trees, args.read, limit, files)?);
                }
                if n_own > 0 {
                    own = Some(OwnAnswers::new(&weights, &read.trees, n_own, source.stop_ids(), files)?);
                }
            }
            tokens = Some(read);
        }
        let files = report.files.iter().chain(&eval_report.files).cloned().collect();
        let found = Found::of(&examples);
        Ok(Self { names: args.data.clone(), report, files, findings, found, tokens, model, own })
    }

    /// Everything that was looked for, what the reader of the files noted too.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        entries(&self.findings, &self.report)
    }

    /// Rows that can be trained on.
    pub(crate) fn n_rows(&self) -> u64 {
        self.report.rows_kept()
    }
}

/// What was looked for in rows, whatever their reader noted of them.
pub(crate) fn entries_of(findings: &Findings) -> Vec<Entry> {
    findings.faults.clone().into_iter().map(of_fault).collect()
}

fn of_fault((fault, found): (Fault, FoundRows)) -> Entry {
    Entry { name: key(&fault), phrase: fault.phrase(), severity: fault.severity(), found }
}

/// What was looked for in rows, and what their reader noted of them.
fn entries(findings: &Findings, report: &DataReport) -> Vec<Entry> {
    let mut faults = findings.faults.clone();
    for cause in [Cause::IdenticalSides, Cause::EmptyCompletion, Cause::ScoresDisagree] {
        if let Some(fault) = Fault::of_cause(cause) {
            faults.insert(fault, report.causes.get(&cause).map(found).unwrap_or_default());
        }
    }
    let is_other = |cause: &Cause| Fault::of_cause(*cause).is_none() && cause.effect() != Effect::SetAside;
    let of_cause = |(cause, rows): (&Cause, &CauseRows)| Entry {
        name: key(cause),
        phrase: cause.phrase(),
        severity: if cause.effect() == Effect::Dropped { Severity::Serious } else { Severity::Look },
        found: found(rows),
    };
    let causes = report.causes.iter().filter(|(cause, _)| is_other(cause));
    faults.into_iter().map(of_fault).chain(causes.map(of_cause)).collect()
}

fn found(rows: &CauseRows) -> FoundRows {
    FoundRows { count: rows.count, rows: rows.rows.iter().copied().map(FoundRow::new).collect() }
}

/// The name that a variant has in JSON.
fn key(variant: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(variant).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn read(
    hub: &Hub,
    names: &[String],
    split: &str,
    config: &DataConfig,
) -> Result<(Vec<PreferenceExample>, DataReport)> {
    let mut report = DataReport::default();
    if names.is_empty() {
        return Ok((Vec::new(), report));
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for name in names {
        paths.extend(hub.dataset(name, split)?);
    }
    let mut examples = read_examples(&paths, &source_config(config), &mut report)?;
    if let Some(group) = &config.only_group {
        let groups = examples.iter().filter_map(|example| example.group.clone()).collect();
        refuse_no_such_group(names, group, &groups)?;
        let selection = Selection::training(config);
        examples.retain(|example| {
            let refusal = selection.refusal(example.group.as_deref(), false);
            refusal.inspect(|cause| report.count(*cause, example.row)).is_none()
        });
    }
    if examples.is_empty() {
        return Err(anyhow!("{}: no row can be used:\n  {}", names.join(", "), report.lines().join("\n  ")));
    }
    Ok((examples, report))
}
