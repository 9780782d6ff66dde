//! The cheap part of `dpo check`, before every run.

use dpo_data::{FileReport, Findings, TokenTree, check_trees};
use serde_json::{Map, Value, json};

use super::rows::HeldOutRows;
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
}

impl DataCheck {
    /// Looks for copies and contradictions among the rows to train on, and for prompts of the held-out ones.
    pub(super) fn new(train: &LoadedData, held_out: &[HeldOutRows]) -> Self {
        let mut files = train.report.files.clone();
        let mut sets: Vec<(u32, &[TokenTree])> = Vec::new();
        for set in held_out {
            sets.push((files.len() as u32, &set.data.trees));
            files.extend(set.data.report.files.iter().cloned());
        }
        let findings = check_trees(&train.trees, &sets);
        Self { entries: entries_of(&findings), findings, files }
    }

    /// What was found, in a line; `None` where nothing was.
    pub(super) fn line(&self) -> Option<String> {
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
        json!({ "files": self.files, "found": found, "length_bias": self.findings.length })
    }
}
