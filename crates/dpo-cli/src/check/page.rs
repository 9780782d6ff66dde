//! A check as one page, complete in itself: it loads nothing, runs no script, and escapes everything it was given.

mod people;

use std::{fmt::Write as _, path::Path};

use anyhow::Result;
use dpo_data::Severity;

use super::{
    advice::{Advice, advice},
    bars::{Bar, bars},
    checked::{Checked, Entry},
    text::{by_share, length_sentence, rows_named},
    tokens::TokenChecks,
};
use crate::report::{
    histogram::{Words, distribution},
    html::{self, count, escape, number, percent},
    section, write_page,
};

/// Room between a table or figure and what belongs to it.
const STYLE: &str = ".causes + .quiet, .pair + .quiet, figure + table { margin-top: 1rem; }\n";
/// Languages that have a bar.
const MOST_LANGUAGES: usize = 10;

/// Writes the page to `path`.
pub(super) fn write(checked: &Checked, path: &Path) -> Result<()> {
    write_page(path, &page(checked))
}

fn page(checked: &Checked) -> String {
    let title = format!("Check of {}", names(checked));
    let entries = checked.entries();
    let mut body = vec![header(checked, &entries), warnings(&entries)];
    body.push(section("Findings", &findings(checked, &entries), "Nothing was found."));
    body.push(section("Length", &length(checked), "There are no pairs whose lengths could be compared."));
    if let Some(tokens) = &checked.tokens {
        body.push(section("Tokens", &truncation(tokens), "There are no tokens."));
    }
    if let Some(model) = &checked.model {
        body.push(section("What the model says before training", &people::said(model), "It read no pairs."));
    }
    if let Some(own) = &checked.own {
        body.push(section("What the model says itself", &people::own(own), "It was asked for nothing."));
    }
    let agreement = people::agreement(checked);
    if !agreement.is_empty() {
        body.push(section("Agreement", &agreement, ""));
    }
    body.push(section("What fits", &fits(checked), ""));
    body.push(section("Languages", &languages(checked), "There are no letters."));
    body.push(section("Files", &files(checked), "There are no files."));
    html::page(&title, STYLE, &body.concat())
}

fn names(checked: &Checked) -> String {
    let short = |name: &String| name.trim_end_matches('/').rsplit('/').next().unwrap_or(name).to_owned();
    checked.names.iter().map(short).collect::<Vec<_>>().join(", ")
}

fn header(checked: &Checked, entries: &[Entry]) -> String {
    let n_serious = entries.iter().filter(|entry| entry.is_serious()).count();
    let lead = match n_serious {
        0 => "Nothing serious was found.".to_owned(),
        1 => "One thing is serious: look at it before training.".to_owned(),
        n => format!("{n} things are serious: look at them before training."),
    };
    format!(
        "<header><p class=\"kicker\">Preference data before training</p><h1>{}</h1><p class=\"lead\">{lead}</p></header>\n{}",
        escape(&names(checked)),
        cards(checked, entries),
    )
}

fn cards(checked: &Checked, entries: &[Entry]) -> String {
    let removable = ["exact_duplicates", "near_duplicates", "contradictions"];
    let n_removable: u64 = entries
        .iter()
        .filter(|entry| removable.contains(&entry.name.as_str()))
        .map(|entry| entry.found.count)
        .sum();
    let mut cards = vec![
        (
            "rows to train on",
            count(checked.n_rows() as f64),
            format!("{} read", count(checked.report.rows_read as f64)),
        ),
        ("copies and contradictions", count(n_removable as f64), "rows that could be removed".to_owned()),
    ];
    if let Some(length) = &checked.findings.length {
        let ci = format!("AUC, 95 % from {:.3} to {:.3}", length.ci[0], length.ci[1]);
        cards.push(("longer is chosen", format!("{:.3}", length.auc), ci));
        cards.push(("margin of length alone", number(length.margin), format!("loss {:.3}", length.loss)));
    }
    if let Some(tokens) = &checked.tokens {
        let longest = format!("longest {}", count(tokens.length_at(1.0)));
        cards.push(("tokens, 99 % within", count(tokens.length_at(0.99)), longest));
    }
    let card = |(name, value, note): &(&str, String, String)| {
        format!("<div><dt>{name}</dt><dd><b>{}</b><small>{}</small></dd></div>", escape(value), escape(note))
    };
    format!("<dl class=\"cards\">{}</dl>\n", cards.iter().map(card).collect::<String>())
}

fn warnings(entries: &[Entry]) -> String {
    let item = |entry: &Entry| {
        let n = count(entry.found.count as f64);
        format!("<li>{n} × {}</li>", escape(entry.phrase))
    };
    let items: String = entries.iter().filter(|entry| entry.is_serious()).map(item).collect();
    if items.is_empty() {
        return String::new();
    }
    format!("<aside class=\"warnings\"><h2>Serious</h2><ul>{items}</ul></aside>\n")
}

/// Every finding with its first rows, and what was not found.
fn findings(checked: &Checked, entries: &[Entry]) -> String {
    let mut found: Vec<&Entry> = entries.iter().filter(|entry| entry.found.count > 0).collect();
    found.sort_by_key(|entry| std::cmp::Reverse((entry.severity, entry.found.count)));
    let mut html = String::new();
    if !found.is_empty() {
        html += "<table class=\"causes\"><thead><tr><th scope=\"col\">what</th>\
                 <th scope=\"col\" class=\"n\">rows</th><th scope=\"col\">which</th></tr></thead><tbody>";
        for entry in found {
            let severity = if entry.severity == Severity::Serious { "serious" } else { "worth a look" };
            let _ = write!(
                html,
                "<tr><td>{}<small>{} · {severity}</small></td><td class=\"n\">{}</td><td>{}</td></tr>",
                escape(entry.phrase),
                escape(&entry.name),
                count(entry.found.count as f64),
                escape(&rows_named(&entry.found.rows, entry.found.count, &checked.files)),
            );
        }
        html += "</tbody></table>";
    }
    let clean: Vec<&str> =
        entries.iter().filter(|entry| entry.found.count == 0).map(|entry| entry.phrase).collect();
    if !clean.is_empty() {
        let _ =
            write!(html, "<p class=\"quiet\">Looked for and not found: {}.</p>", escape(&clean.join("; ")));
    }
    html
}

fn length(checked: &Checked) -> String {
    let of_tokens = checked.tokens.as_ref().and_then(|tokens| tokens.length.as_ref());
    let Some(length) = of_tokens.or(checked.findings.length.as_ref()) else { return String::new() };
    let axis = match length.unit {
        dpo_data::check::Unit::Tokens => {
            "pairs by length of the chosen side less the rejected one's, in tokens"
        }
        dpo_data::check::Unit::Characters => {
            "pairs by length of the chosen side less the rejected one's, in characters"
        }
    };
    let words = Words {
        title: "Difference of lengths",
        above: "chosen is as long or longer",
        below: "chosen is shorter",
        axis,
    };
    let mut sentence = length_sentence(length);
    sentence.replace_range(..1, &sentence[..1].to_uppercase());
    format!(
        "<div class=\"pair\">{}<div class=\"beside\"><p>{}.</p><p class=\"quiet\">An AUC of 0.5 says that length tells \
         nothing. What length alone can earn, a model will earn by length.</p></div></div>\n",
        distribution(&length.differences, &words),
        escape(&sentence),
    )
}

fn truncation(tokens: &TokenChecks) -> String {
    let n_rows = tokens.trees.len().max(1) as f64;
    let bar = |cut: &dpo_data::check::Truncation| Bar {
        name: format!("max_length {}", cut.max_length),
        share: cut.rows as f64 / n_rows,
        note: format!("{} rows", count(cut.rows as f64)),
    };
    let figure = bars(
        "Rows that a limit cuts",
        "share of the rows",
        &tokens.truncation.iter().map(bar).collect::<Vec<_>>(),
    );
    let table = tokens.truncation_table();
    let cells = |row: &Vec<String>, tag: &str| {
        let cell = |cell: &String| format!("<{tag}>{}</{tag}>", escape(cell));
        format!("<tr>{}</tr>", row.iter().map(cell).collect::<String>())
    };
    let (titles, rows) = table.split_at(1);
    let head: String = titles.iter().map(|row| cells(row, "th")).collect();
    let rows: String = rows.iter().map(|row| cells(row, "td")).collect();
    format!("{figure}<table class=\"numbers\"><thead>{head}</thead><tbody>{rows}</tbody></table>")
}

fn fits(checked: &Checked) -> String {
    let item = |Advice { setting, reason }: &Advice| {
        format!("<dt><code>{}</code></dt><dd>{}</dd>", escape(setting), escape(reason))
    };
    format!("<dl class=\"facts\">{}</dl>\n", advice(checked).iter().map(item).collect::<String>())
}

fn languages(checked: &Checked) -> String {
    let languages = by_share(checked);
    let total: u64 = languages.iter().map(|(_, n)| n).sum();
    let bar = |(name, n): &(&str, u64)| Bar {
        name: (*name).to_owned(),
        share: *n as f64 / total.max(1) as f64,
        note: format!("{} rows, {}", count(*n as f64), percent(*n as f64 / total.max(1) as f64)),
    };
    let shown: Vec<Bar> = languages.iter().take(MOST_LANGUAGES).map(bar).collect();
    bars("What completions are written in", "share of the rows", &shown)
}

fn files(checked: &Checked) -> String {
    let files: Vec<serde_json::Value> =
        checked.files.iter().filter_map(|file| serde_json::to_value(file).ok()).collect();
    crate::report::rows::file_table(&files.iter().collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dpo_data::{
        DataReport, Fault, FileReport, Findings, Found, FoundRow, LengthBias, RowId, check::Unit,
    };

    use super::*;

    fn checked() -> Checked {
        let mut findings =
            Findings { length: LengthBias::of(&[[5, 3], [2, 9]], Unit::Characters), ..Findings::default() };
        findings.add(Fault::Contradictions, vec![FoundRow::new(RowId { file: 0, row: 7 })]);
        findings.add(Fault::ExactDuplicates, Vec::new());
        findings.languages.insert("English", 2);
        let file = FileReport { path: "<b>.jsonl".into(), rows: 2, ..FileReport::default() };
        let report = DataReport { rows_read: 2, files: vec![file.clone()], ..DataReport::default() };
        Checked {
            names: vec!["<b>.jsonl".to_owned()],
            report,
            files: vec![file],
            findings,
            tokens: None,
            found: Found::default(),
            model: None,
            own: None,
        }
    }

    /// A name that is HTML stays text; what was found has its row, what was not is said.
    #[test]
    fn the_page_tells_what_was_found_and_escapes_names() {
        let page = page(&checked());
        assert!(!page.contains("<b>.jsonl") && page.contains("&lt;b&gt;.jsonl"), "{page}");
        assert!(page.contains("One thing is serious") && page.contains("row 7"), "{page}");
        assert!(page.contains("Looked for and not found") && !page.contains("NaN"), "{page}");
        assert!(!page.contains("<script") && !page.contains("://"), "{page}");
    }

    #[test]
    fn a_page_of_nothing_is_a_page() {
        let nothing = Checked {
            names: Vec::new(),
            report: DataReport::default(),
            files: Vec::new(),
            findings: Findings::default(),
            tokens: None,
            found: Found::default(),
            model: None,
            own: None,
        };
        let page = page(&nothing);
        assert!(page.contains("Nothing serious was found.") && !page.contains("NaN"), "{page}");
    }
}
