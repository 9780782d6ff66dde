//! The cheap part of `dpo check`, before every run.

use dpo_data::{DataReport, FileReport, Findings, TokenTree, check_trees};
use serde_json::{Map, Value, json};

use super::{rows::HeldOutRows, scan::WholeSet};
use crate::{
    check::{Entry, entries_of},
    data::LoadedData,
};

/// What was found in the rows of a run.
pub(super) struct DataCheck {
    findings: Findings,
    entries: Vec<Entry>,
    /// Files of the rows, those that are measured on last.
    files: Vec<FileReport>,
    looked_at: LookedAt,
}

/// The rows to train on that were looked at.
enum LookedAt {
    /// All that were read.
    Rows,
    /// Those of the first window of a stream.
    FirstWindow,
    /// All rows of a stream, of which the rows of one prompt in so many were compared with each other.
    Stream { report: Box<DataReport>, one_in: u64 },
}

impl DataCheck {
    /// Looks for copies and contradictions among the rows to train on, and for prompts of the held-out ones.
    pub(super) fn new(train: &LoadedData, held_out: &[HeldOutRows], stream: Option<usize>) -> Self {
        let mut files = train.report.files.clone();
        let mut sets: Vec<(u32, &[TokenTree])> = Vec::new();
        for set in held_out {
            sets.push((files.len() as u32, &set.data.trees));
            files.extend(set.data.report.files.iter().cloned());
        }
        let findings = check_trees(&train.trees, &sets);
        let looked_at = if stream.is_some() { LookedAt::FirstWindow } else { LookedAt::Rows };
        Self { entries: entries_of(&findings), findings, files, looked_at }
    }

    /// What was found in all rows of a stream.
    pub(super) fn of_stream(whole: WholeSet) -> Self {
        let WholeSet { scanned, report, files } = whole;
        let looked_at = LookedAt::Stream { report: Box::new(report), one_in: scanned.one_in };
        Self { entries: entries_of(&scanned.findings), findings: scanned.findings, files, looked_at }
    }

    /// The training files, where all their rows were looked at.
    pub(super) fn files_of_stream(&self) -> Option<&[FileReport]> {
        match &self.looked_at {
            LookedAt::Stream { report, .. } => Some(&report.files),
            LookedAt::Rows | LookedAt::FirstWindow => None,
        }
    }

    /// Lines for people: what became of all rows of a stream, and what was found, if anything was.
    pub(super) fn lines(&self) -> Vec<String> {
        let found = self.found();
        match &self.looked_at {
            LookedAt::Rows => found.into_iter().collect(),
            LookedAt::FirstWindow => {
                found.map(|line| format!("of the first window: {line}")).into_iter().collect()
            }
            LookedAt::Stream { report, one_in } => {
                let mut lines = vec!["of all rows, as they are read:".to_owned()];
                lines.extend(report.lines());
                if *one_in > 1 {
                    lines.push(format!(
                        "copies and contradictions are estimates from the rows of one prompt in {one_in}"
                    ));
                }
                lines.push(found.unwrap_or_else(|| "nothing else was found".to_owned()));
                lines
            }
        }
    }

    /// What was found, in a line; `None` where nothing was.
    fn found(&self) -> Option<String> {
        let found = self.entries.iter().filter(|entry| entry.found.count > 0);
        let named: Vec<String> =
            found.map(|entry| format!("{} × {}", entry.found.count, entry.phrase)).collect();
        (!named.is_empty()).then(|| format!("{}; `dpo check` shows the rows and more", named.join(", ")))
    }

    /// For `data_report.json`: what was found as the data report has its causes, and the length bias.
    pub(super) fn json(&self) -> Value {
        let mut found = Map::new();
        for Entry { name, phrase, severity, found: rows } in &self.entries {
            let entry =
                json!({ "count": rows.count, "effect": severity, "phrase": phrase, "rows": rows.rows });
            found.insert(name.clone(), entry);
        }
        let mut check = json!({ "files": self.files, "found": found, "length_bias": self.findings.length });
        match &self.looked_at {
            LookedAt::Rows => {}
            LookedAt::FirstWindow => check["of"] = json!("the first window"),
            LookedAt::Stream { report, one_in } => {
                check["of"] = json!("all rows");
                check["rows"] = json!(report);
                check["compared_prompts"] = json!({ "one_in": one_in });
            }
        }
        check
    }
}
