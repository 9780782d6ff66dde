//! What the model says, and what people say, on the page.

use dpo_data::{Agreement, RowId};
use dpo_train::SidesSaid;

use super::super::{checked::Checked, model::ModelChecks, opinions, own::OwnAnswers};
use crate::report::{
    histogram::{Words, distribution},
    html::{count, escape, percent},
};

/// Rows that are named.
const MOST_NAMED: usize = 24;

pub(super) fn said(model: &ModelChecks) -> String {
    if model.margins.is_empty() {
        return String::new();
    }
    let words = Words {
        title: "Margins before training",
        above: "finds chosen likelier",
        below: "finds rejected likelier",
        axis: "pairs by log-probability of the chosen side less the rejected one's, in nats",
    };
    let rows = |rows: &[(RowId, SidesSaid)]| {
        let mut names: Vec<String> =
            rows.iter().take(MOST_NAMED).map(|(row, _)| row.row.to_string()).collect();
        names.extend((rows.len() > MOST_NAMED).then(|| "…".to_owned()));
        names.join(", ")
    };
    format!(
        "<div class=\"pair\">{}<table class=\"numbers\"><tbody>\
         <tr><th scope=\"row\">pairs read</th><td>{} of {}</td></tr>\
         <tr><th scope=\"row\">right already</th><td>{}</td></tr>\
         <tr><th scope=\"row\">surprises, perhaps mislabelled</th><td>{}</td></tr>\
         <tr><th scope=\"row\">sides nearly the same to it</th><td>{}</td></tr></tbody></table></div>\
         <p class=\"quiet\">Surprises, the largest first: {}. Nearly the same: {}.</p>\n",
        distribution(&model.margins, &words),
        count(model.n_read as f64),
        count(model.n_pairs as f64),
        percent(model.already_right()),
        model.surprises.len(),
        model.displacement.len(),
        none_or(rows(&model.surprises)),
        none_or(rows(&model.displacement)),
    )
}

fn none_or(rows: String) -> String {
    if rows.is_empty() { "none".to_owned() } else { format!("rows {rows}") }
}

/// The answers of the model beside the completions that it is to learn.
pub(super) fn own(own: &OwnAnswers) -> String {
    if own.rows.is_empty() {
        return String::new();
    }
    let words = Words {
        title: "Completions beside the model's own answers",
        above: "finds the completion likelier",
        below: "finds its own answer likelier",
        axis: "rows by mean log-probability of a token of the completion less that of the answer's, in nats",
    };
    let gaps: Vec<f64> = own.rows.iter().map(|row| -row.gap()).collect();
    let mut sentence = own.sentence();
    sentence.replace_range(..1, &sentence[..1].to_uppercase());
    format!(
        "<div class=\"pair\">{}<div class=\"beside\"><p>{}.</p></div></div>\n",
        distribution(&gaps, &words),
        escape(&sentence)
    )
}

/// How far annotators and groups agree.
pub(super) fn agreement(checked: &Checked) -> String {
    let of = |(what, agreement): (&str, &Agreement)| {
        let table = opinions::table(agreement);
        let cells = |row: &Vec<String>, tag: &str| {
            let cell = |cell: &String| format!("<{tag}>{}</{tag}>", escape(cell));
            format!("<tr>{}</tr>", row.iter().map(cell).collect::<String>())
        };
        let rows: String = table[1..].iter().map(|row| cells(row, "td")).collect();
        format!(
            "<p>{}.</p><table class=\"numbers\"><thead>{}</thead><tbody>{rows}</tbody></table>\n",
            escape(&opinions::sentence(what, agreement)),
            cells(&table[0], "th"),
        )
    };
    opinions::counted(checked).into_iter().map(of).collect()
}
