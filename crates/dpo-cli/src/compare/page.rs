//! `compare.html`: one page, complete in itself, with the answers side by side.
//!
//! Prompts and answers are anybody's: nothing of them is read as HTML.

use std::fmt::Write as _;

use dpo_model::generate::Finish;

use super::{
    Answers, Comparison,
    diff::{self, Piece},
    tokens,
};
use crate::{
    columns::turns_direction,
    generate::Prompt,
    report::html::{self, count},
};

const STYLE: &str = include_str!("style.css");
/// More prompts would make a page that browsers are slow with.
const MOST_PROMPTS: usize = 1000;

/// The page.
pub(super) fn page(comparison: &Comparison) -> String {
    let labels: Vec<&str> = comparison.models.iter().map(|answers| answers.label.as_str()).collect();
    let title = upright(&labels.join(" · "));
    let n_shown = comparison.prompts.len().min(MOST_PROMPTS);
    let n_left = comparison.prompts.len() - n_shown;
    let rest = match n_left {
        0 => String::new(),
        n => format!("<p class=\"quiet\">{} more are in compare.jsonl.</p>\n", count(n as f64)),
    };
    let body = [
        format!("<header><p class=\"kicker\">Answers side by side</p><h1>{}</h1></header>\n", escape(&title)),
        summary(comparison),
        legend(labels[0]),
        comparison.system.as_deref().map(system).unwrap_or_default(),
        (0..n_shown).map(|prompt_idx| article(comparison, prompt_idx)).collect(),
        rest,
    ];
    html::page(&title, STYLE, &body.concat())
}

/// Numbers of each model.
fn summary(comparison: &Comparison) -> String {
    let first = &comparison.models[0].completions;
    let row = |(model_idx, answers): (usize, &Answers)| {
        let completions = &answers.completions;
        let n_tokens: usize = completions.iter().map(|completion| completion.n_tokens).sum();
        let n_cut = completions.iter().filter(|completion| completion.finish == Finish::Length).count();
        let n_same = completions.iter().zip(first).filter(|(one, other)| one.text == other.text).count();
        format!(
            "<tr><td><b>{}</b><small>{}</small></td><td>{:.1}</td><td>{}</td><td>{}</td></tr>",
            escape(&answers.label),
            escape(&answers.model),
            n_tokens as f64 / completions.len().max(1) as f64,
            count(n_cut as f64),
            if model_idx == 0 { "—".to_owned() } else { count(n_same as f64) },
        )
    };
    let rows: String = comparison.models.iter().enumerate().map(row).collect();
    format!(
        "<table class=\"numbers\"><thead><tr><th>{} prompt{}</th><th>tokens an answer</th><th>cut off</th>\
         <th>same as the first</th></tr></thead><tbody>{rows}</tbody></table>\n",
        count(comparison.prompts.len() as f64),
        if comparison.prompts.len() == 1 { "" } else { "s" },
    )
}

fn legend(first: &str) -> String {
    format!(
        "<p class=\"quiet legend\">Marked are, in the answer of {}, the <mark>words</mark> that no other answer has at \
         that place, and in the other answers the words that this one does not have.</p>\n",
        escape(first)
    )
}

fn system(text: &str) -> String {
    let text = escape(text);
    format!(
        "<article class=\"sample\"><h2>System message</h2><div class=\"text prompt\" dir=\"auto\">{text}</div></article>\n"
    )
}

/// A prompt with all answers to it.
fn article(comparison: &Comparison, prompt_idx: usize) -> String {
    let (first, others) = (&comparison.models[0], &comparison.models[1..]);
    let text = |answers: &Answers| answers.completions[prompt_idx].text.clone();
    let first_text = text(first);
    let mut is_shared = vec![false; first_text.split_whitespace().count()];
    let mut cards = String::new();
    for answers in others {
        let [of_first, of_other] = diff::shared(&first_text, &text(answers));
        is_shared.iter_mut().zip(of_first).for_each(|(any, this)| *any |= this);
        let is_same = text(answers) == first_text;
        cards += &card(answers, prompt_idx, &of_other, if is_same { ", the same as the first" } else { "" });
    }
    format!(
        "<article class=\"sample\"><h2>Prompt {}</h2>{}<div class=\"answers\">{}{cards}</div></article>\n",
        prompt_idx + 1,
        prompt(&comparison.prompts[prompt_idx]),
        card(first, prompt_idx, &is_shared, ""),
    )
}

fn prompt(prompt: &Prompt) -> String {
    let div = |role: &str, text: &str| {
        format!("<div class=\"text prompt\" dir=\"auto\">{role}{}</div>", escape(text.trim_matches('\n')))
    };
    match prompt {
        Prompt::Text(text) => div("", text),
        Prompt::Messages(messages) => messages
            .iter()
            .map(|message| div(&format!("<small>{}</small>\n", escape(&message.role)), &message.content))
            .collect(),
    }
}

/// One answer; `is_shared` has an entry a word.
fn card(answers: &Answers, prompt_idx: usize, is_shared: &[bool], remark: &str) -> String {
    let completion = &answers.completions[prompt_idx];
    let mut text = String::new();
    for piece in diff::pieces(completion.text.trim_matches('\n'), is_shared) {
        let _ = match piece {
            Piece::Shared(piece) => write!(text, "{}", escape(piece)),
            Piece::Own(piece) => write!(text, "<mark>{}</mark>", escape(piece)),
        };
    }
    let text = match completion.text.trim().is_empty() {
        true => "<div class=\"empty\">(nothing)</div>".to_owned(),
        false => format!("<div class=\"text\" dir=\"auto\">{text}</div>"),
    };
    let (label, tokens) = (escape(&answers.label), tokens(completion));
    format!("<div><h3>{label} <small>{tokens}{remark}</small></h3>{text}</div>")
}

/// `text` for the inside of an element; it cannot turn the direction of what is beside it.
fn escape(text: &str) -> String {
    html::escape(&upright(text))
}

/// Characters that turn the direction of a line become `�`: they could make an answer read as another one.
fn upright(text: &str) -> String {
    text.chars().map(|c| if turns_direction(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Completion;

    /// What must never be seen as HTML.
    const HOSTILE: &str =
        "</div></style><script>alert('x')</script>\" onload=\"y\u{0}\u{1b}\u{202e}&amp; é猫";

    fn answers(label: &str, texts: &[&str]) -> Answers {
        let completion =
            |text: &&str| Completion { text: (*text).to_owned(), n_tokens: 7, finish: Finish::Stop };
        Answers {
            model: format!("runs/{label}"),
            label: label.to_owned(),
            completions: texts.iter().map(completion).collect(),
        }
    }

    fn of(prompts: &[&str], models: Vec<Answers>) -> Comparison {
        let prompts = prompts.iter().map(|prompt| Prompt::Text((*prompt).to_owned())).collect();
        Comparison { system: None, prompts, models }
    }

    #[test]
    fn nothing_of_a_prompt_a_label_or_an_answer_is_read_as_html() {
        let models = vec![answers(HOSTILE, &[HOSTILE]), answers("b", &["x <b>y</b>"]), answers("c", &[""])];
        let mut comparison = of(&[HOSTILE], models);
        comparison.system = Some(HOSTILE.to_owned());
        let page = page(&comparison);
        let (head, body) = page.split_once("</style>").unwrap_or_default();
        assert!(!body.contains("<script") && !body.contains("</style") && !body.contains("<b>y"), "{body}");
        assert!(!page.contains(['\u{0}', '\u{1b}', '\u{202e}']));
        assert_eq!(page.matches("<div").count(), page.matches("</div>").count());
        assert!(head.contains("default-src 'none'") && !page.contains("http:") && !page.contains("https:"));
        assert!(
            body.contains("&lt;/div&gt;&lt;/style&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;")
        );
        assert!(body.contains("&amp;amp; é猫") && body.contains("(nothing)"));
    }

    /// The first answer differs from the second at `cat`, from the third at `sat`, and from both nowhere else.
    #[test]
    fn words_that_differ_are_marked() {
        let models = vec![
            answers("a", &["A cat sat."]),
            answers("b", &["A dog sat."]),
            answers("c", &["A cat ran."]),
            answers("d", &["A cat sat."]),
        ];
        let page = page(&of(&["p"], models));
        for text in [">A cat sat.<", ">A <mark>dog</mark> sat.<", ">A cat <mark>ran.</mark><"] {
            assert!(page.contains(text), "{text}");
        }
        assert!(page.contains("d <small>7 tokens, the same as the first</small>"));
        let pair = vec![answers("a", &["A cat sat."]), answers("b", &["A dog sat."])];
        assert!(super::page(&of(&["p"], pair)).contains(">A <mark>cat</mark> sat.<"));
    }
}
