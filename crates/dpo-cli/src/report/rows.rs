//! What became of the rows: which were dropped, changed or worth a look, and why.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    html::{bytes, count, escape},
    input::Run,
};

const MOST_ROWS: usize = 24;

/// What the data report says: of one set, or of each of several.
pub(super) fn html(run: &Run) -> String {
    let report = &run.data_report;
    if is_report(report) {
        return of_set(report, &configured(run, "train"));
    }
    let sets = report.as_object().into_iter().flatten().filter(|(_, set)| is_report(set));
    sets.fold(String::new(), |html, (name, set)| {
        html + &format!("<h3>{}</h3>{}", escape(name), of_set(set, &configured(run, name)))
    })
}

/// What the check before the run found; nothing where it found nothing or was not made.
pub(super) fn check_html(run: &Run) -> String {
    let check = &run.data_report["check"];
    let found = check["found"].as_object().into_iter().flatten();
    let found: Vec<Cause<'_>> = found.map(Cause::new).filter(|cause| cause.total != Some(0.0)).collect();
    let files = check["files"].as_array().into_iter().flatten();
    let names: Vec<String> = files.filter_map(|file| Some(file_name(file["path"].as_str()?))).collect();
    let length = &check["length_bias"];
    let bias = match (length["auc"].as_f64(), length["ci"][0].as_f64(), length["ci"][1].as_f64()) {
        (Some(auc), Some(low), Some(high)) => format!(
            "<p>The longer side is the chosen one with probability {auc:.3} (95 % from {low:.3} to {high:.3}).</p>"
        ),
        _ => String::new(),
    };
    let all_well = if check.is_object() && found.is_empty() { "<p>Nothing was found.</p>" } else { "" };
    format!("{all_well}{}{bias}", cause_table(&found, &names))
}

fn is_report(value: &Value) -> bool {
    value.get("causes").is_some() || value.get("rows_read").is_some()
}

/// The names of the files, for reports that do not name them.
fn configured(run: &Run, key: &str) -> Vec<String> {
    let list = run.setting("data", key).and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(|source| Some(file_name(source.as_str()?))).collect()
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn of_set(report: &Value, configured: &[String]) -> String {
    let n = |key: &str| report[key].as_f64().map_or("an unknown number".to_owned(), count);
    let files: Vec<&Value> = report["files"].as_array().into_iter().flatten().collect();
    let named: Vec<String> =
        files.iter().filter_map(|file| Some(file_name(file["path"].as_str()?))).collect();
    let sources = if named.is_empty() { configured } else { &named };
    let mut causes: Vec<Cause<'_>> =
        report["causes"].as_object().into_iter().flatten().map(Cause::new).collect();
    causes.sort_by_key(Cause::rank);
    let all_well = if causes.is_empty() { " Nothing was dropped or changed." } else { "" };
    format!(
        "<p>{} rows were read, {} were trained on.{all_well}</p>{}{}",
        n("rows_read"),
        n("rows_kept"),
        cause_table(&causes, sources),
        file_table(&files),
    )
}

/// A reason with its rows.
struct Cause<'a> {
    phrase: String,
    effect: &'a str,
    total: Option<f64>,
    rows: &'a [Value],
}

impl<'a> Cause<'a> {
    /// From `{"count", "rows", "effect", "phrase"}`, from a list of rows, or from their number.
    fn new((name, value): (&'a String, &'a Value)) -> Self {
        let rows = value.as_array().or(value["rows"].as_array()).map_or(&[][..], Vec::as_slice);
        let total = value.as_f64().or(value["count"].as_f64());
        Self {
            phrase: value["phrase"].as_str().map_or_else(|| name.replace('_', " "), str::to_owned),
            effect: value["effect"].as_str().unwrap_or_default(),
            total: total.or((!rows.is_empty()).then_some(rows.len() as f64)),
            rows,
        }
    }

    /// What is lost comes first.
    fn rank(&self) -> usize {
        ["dropped", "changed", "set_aside", "noted"]
            .iter()
            .position(|effect| *effect == self.effect)
            .unwrap_or(4)
    }
}

fn cause_table(causes: &[Cause<'_>], sources: &[String]) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<table class=\"causes\"><thead><tr><th scope=\"col\">why</th>\
         <th scope=\"col\" class=\"n\">rows</th><th scope=\"col\">which</th></tr></thead><tbody>",
    );
    for cause in causes {
        let _ = write!(
            html,
            "<tr><td>{}<small>{}</small></td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&cause.phrase),
            escape(&cause.effect.replace('_', " ")),
            cause.total.map_or("—".to_owned(), count),
            escape(&row_list(cause.rows, cause.total, sources)),
        );
    }
    html + "</tbody></table>"
}

/// `3, 17 and 5 more`; with the file's name before its first row when there are several files.
fn row_list(rows: &[Value], total: Option<f64>, sources: &[String]) -> String {
    let mut text = String::new();
    let (mut current, mut n_shown) = (None, 0);
    for row in rows.iter().take(MOST_ROWS) {
        let Some(number) = row.as_u64().or(row["row"].as_u64()) else { continue };
        let file = row["file"].as_u64();
        let separator = if text.is_empty() { "" } else { ", " };
        if sources.len() > 1 && file != current {
            let name = file.and_then(|idx| sources.get(usize::try_from(idx).ok()?));
            let _ = write!(text, "{separator}{}: {number}", name.map_or("?", String::as_str));
        } else {
            let _ = write!(text, "{separator}{number}");
        }
        current = file;
        n_shown += 1;
    }
    let rest = total.unwrap_or(rows.len() as f64) - f64::from(n_shown);
    if rest > 0.0 && n_shown > 0 {
        let _ = write!(text, " and {} more", count(rest));
    }
    text
}

/// What each file was taken for.
pub(crate) fn file_table(files: &[&Value]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<table class=\"files\"><thead><tr><th scope=\"col\">file</th><th scope=\"col\" class=\"n\">rows</th>\
         <th scope=\"col\" class=\"n\">size</th><th scope=\"col\">read as</th></tr></thead><tbody>",
    );
    for file in files {
        let list = |key: &str| file[key].as_array().into_iter().flatten();
        let formats = list("recognised").filter_map(|format| format["format"].as_str());
        let notes = list("notes").filter_map(Value::as_str);
        let read_as: Vec<&str> = file["storage"].as_str().into_iter().chain(formats).chain(notes).collect();
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(file["path"].as_str().unwrap_or("?")),
            file["rows"].as_f64().map_or("—".to_owned(), count),
            file["bytes"].as_f64().map_or("—".to_owned(), bytes),
            escape(&read_as.join("; ")),
        );
    }
    html + "</tbody></table>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_by_file_when_there_are_several() {
        let rows: Vec<Value> = [(0, 3), (0, 9), (1, 2)]
            .map(|(file, row)| serde_json::json!({"file": file, "row": row}))
            .to_vec();
        let sources = ["a.jsonl".to_owned(), "b.jsonl".to_owned()];
        assert_eq!(row_list(&rows, None, &sources), "a.jsonl: 3, 9, b.jsonl: 2");
        assert_eq!(row_list(&rows, Some(5.0), &sources[..1]), "3, 9, 2 and 2 more");
        let many: Vec<Value> = (0..30).map(Value::from).collect();
        assert!(row_list(&many, None, &[]).ends_with("23 and 6 more"));
    }
}
