//! Chat templates: programs from elsewhere.

use std::fs;

use super::{assert_says, models::model, score};
use crate::{program::Sandbox, support::golden};

/// A template and what has to be said of it.
const TEMPLATES: &[(&str, &[&str])] = &[
    ("{{ raise_exception('roles must alternate') }}", &["row 1: ", "refuses this row: roles must alternate"]),
    ("{% for %}", &["chat_template.jinja: the chat template cannot be used: syntax error"]),
    (
        "{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}",
        &["refuses this row: "],
    ),
    ("{{ 'x' * 10000000000 }}", &["refuses this row: "]),
    ("{{ range(10000000000) | list }}", &["range has too many elements"]),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", &["recursion limit exceeded"]),
    ("always the same", &["no row is left to use", "dropped 64: "]),
];

#[test]
fn a_bad_chat_template_is_refused_in_bounded_work() {
    let sandbox = Sandbox::new();
    let data = golden("runs/train_conv.json");
    for (template, parts) in TEMPLATES {
        let folder = model(&sandbox);
        fs::write(folder.join("chat_template.jinja"), template).unwrap();
        assert_says(template, &score(&sandbox, &folder, data.to_str().unwrap(), ""), 1, parts);
    }
}

#[test]
fn conversations_need_a_chat_template() {
    let sandbox = Sandbox::new();
    let folder = model(&sandbox);
    fs::remove_file(folder.join("chat_template.jinja")).unwrap();
    let ended = score(&sandbox, &folder, golden("runs/train_conv.json").to_str().unwrap(), "");
    assert_says("no template", &ended, 1, &["has no chat template; put a chat_template.jinja there"]);
}
