//! A check as lines for people.

use dpo_data::{FileReport, FoundRow, LengthBias, Severity, check::Unit};

use super::{
    advice::{Advice, advice},
    checked::{Checked, Entry},
    opinions,
};
use crate::{
    report::html::{count, number, percent},
    table::aligned,
};

/// Rows that are named of each finding.
const MOST_ROWS: usize = 5;

/// The report.
pub(super) fn report(checked: &Checked) -> String {
    let mut text = String::new();
    for line in file_lines(checked) {
        text += &format!("{line}\n");
    }
    let entries = checked.entries();
    for (title, severity) in [("serious", Severity::Serious), ("worth a look", Severity::Look)] {
        let found: Vec<&Entry> =
            entries.iter().filter(|entry| entry.severity == severity && entry.found.count > 0).collect();
        if !found.is_empty() {
            let grid: Vec<Vec<String>> = found.iter().map(|entry| line(entry, &checked.files)).collect();
            text += &format!("\n{title}\n{}", aligned_left(&grid));
        }
    }
    let clean: Vec<&str> =
        entries.iter().filter(|entry| entry.found.count == 0).map(|entry| entry.name.as_str()).collect();
    if !clean.is_empty() {
        text += &format!("\nlooked for and not found: {}\n", clean.join(", "));
    }
    if let Some(length) = &checked.findings.length {
        text += &format!("\nlength     {}\n", length_sentence(length));
    }
    text += &format!("languages  {}\n", languages(checked));
    text += &opinions::text(checked);
    if let Some(tokens) = &checked.tokens {
        text += &tokens.text();
    }
    if let Some(model) = &checked.model {
        text += &model.text();
    }
    if let Some(own) = &checked.own {
        text += &format!("own        {}\n", own.sentence());
    }
    text += "\nwhat fits\n";
    for Advice { setting, reason } in advice(checked) {
        text += &format!("  {setting}\n    {reason}\n");
    }
    text
}

/// The files and how many rows there are; what became of them comes with the findings.
fn file_lines(checked: &Checked) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for FileReport { path, storage, rows, recognised, notes, .. } in &checked.files {
        lines.push(format!("{}: {rows} rows of {storage}", path.display()));
        lines.extend(recognised.iter().map(|kind| format!("  {kind}")));
        lines.extend(notes.iter().map(|note| format!("  {note}")));
    }
    let report = &checked.report;
    let (read, kept) = (report.rows_read, report.rows_kept());
    lines.push(format!("rows: {read} read, {kept} can be trained on"));
    lines
}

/// `  12  contradictions  what that means (rows 3, 17, …)`
fn line(entry: &Entry, files: &[FileReport]) -> Vec<String> {
    let rows = rows_named(&entry.found.rows, entry.found.count, files);
    vec![format!("  {}", entry.name), entry.found.count.to_string(), format!("{} ({rows})", entry.phrase)]
}

/// Names, counts to the right, then words to the left.
fn aligned_left(grid: &[Vec<String>]) -> String {
    let numbers: Vec<Vec<String>> = grid.iter().map(|row| row[..2].to_vec()).collect();
    let numbers = aligned(&numbers);
    let lines = numbers.lines().zip(grid);
    lines.fold(String::new(), |text, (numbers, row)| text + numbers + "   " + &row[2] + "\n")
}

/// The first few rows: `rows 3, 17 of 2, …`; with their files where there are several.
pub(crate) fn rows_named(rows: &[FoundRow], n: u64, files: &[FileReport]) -> String {
    let name = |file: u32, row: u64| match files.get(file as usize) {
        Some(file) if files.len() > 1 => format!("{}:{row}", file.path.display()),
        _ => row.to_string(),
    };
    let named = |found: &FoundRow| {
        let of = found.of.map(|of| format!(" of {}", name(of.file, of.row))).unwrap_or_default();
        let what = found.what.as_ref().map(|what| format!(" {what}")).unwrap_or_default();
        format!("{}{of}{what}", name(found.row.file, found.row.row))
    };
    let mut names: Vec<String> = rows.iter().take(MOST_ROWS).map(named).collect();
    if n > names.len() as u64 {
        names.push("…".to_owned());
    }
    format!("{} {}", if n == 1 { "row" } else { "rows" }, names.join(", "))
}

/// How much length says, in a sentence.
pub(crate) fn length_sentence(length: &LengthBias) -> String {
    let LengthBias { auc, ci: [low, high], n_pairs, longer_chosen, margin, loss, .. } = length;
    let unit = match length.unit {
        Unit::Characters => "characters",
        Unit::Tokens => "tokens",
    };
    format!(
        "in {unit}, the longer side is chosen in {longer_chosen} of {n_pairs} pairs (AUC {auc:.3}, 95 % from {low:.3} to \
         {high:.3}); a reward of nothing but length earns a margin of {} and a loss of {loss:.3}, where ln 2 = 0.693 \
         knows nothing",
        number(*margin),
    )
}

/// `English 97.3 %, Cyrillic 2.7 %`, the most first.
pub(crate) fn languages(checked: &Checked) -> String {
    let languages = by_share(checked);
    let total: u64 = languages.iter().map(|(_, n)| n).sum();
    let share = |n: u64| percent(n as f64 / total.max(1) as f64);
    let named = |(name, n): &(&str, u64)| format!("{name} {} ({})", count(*n as f64), share(*n));
    languages.iter().map(named).collect::<Vec<_>>().join(", ")
}

/// Languages by the number of their rows.
pub(crate) fn by_share(checked: &Checked) -> Vec<(&'static str, u64)> {
    let mut languages: Vec<(&str, u64)> =
        checked.findings.languages.iter().map(|(name, n)| (*name, *n)).collect();
    languages.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    languages
}
