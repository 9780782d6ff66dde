//! A check as one JSON object, for programs.

use dpo_data::Findings;
use serde_json::{Map, Value, json};

use super::{
    advice::{Advice, advice},
    checked::{Checked, Entry},
    opinions,
};

/// The object: every finding under its name as `{"count", "rows", "severity"}`, and what was measured.
///
/// A row is `{"file": index into `files`, "row": its line, element or row from 1}`, with the row it is held against in
/// `of`, and in `what` where in it and what kind of thing was seen.
pub(super) fn object(checked: &Checked) -> Value {
    let report = &checked.report;
    let mut object = Map::new();
    object.insert("files".to_owned(), json!(checked.files));
    object.insert("rows_read".to_owned(), json!(report.rows_read));
    object.insert("rows_kept".to_owned(), json!(report.rows_kept()));
    let entries = checked.entries();
    let serious: Vec<&str> =
        entries.iter().filter(|entry| entry.is_serious()).map(|entry| entry.name.as_str()).collect();
    object.insert("serious".to_owned(), json!(serious));
    object.extend(found(&entries, &checked.findings));
    object.insert("languages".to_owned(), json!(checked.findings.languages));
    object.extend(opinions::json(checked));
    if let Some(tokens) = &checked.tokens {
        object.extend(tokens.json());
    }
    if let Some(model) = &checked.model {
        object.extend(model.json());
    }
    if let Some(own) = &checked.own {
        object.insert("own_answers".to_owned(), own.json());
    }
    let advice: Vec<Value> = advice(checked).iter().map(Advice::json).collect();
    object.insert("advice".to_owned(), json!(advice));
    Value::Object(object)
}

/// The findings by their names, and the length bias.
fn found(entries: &[Entry], findings: &Findings) -> Map<String, Value> {
    let mut object = Map::new();
    for Entry { name, severity, found, .. } in entries {
        let found = json!({ "count": found.count, "severity": severity, "rows": found.rows });
        object.insert(name.clone(), found);
    }
    object.insert("length_bias".to_owned(), json!(findings.length));
    object
}
