//! What each mistake says; `docs/data.md` has the same table.

use dpo_data::{DataError, DataReport, SourceConfig, read_examples};

use crate::{read, read_with};

const GOOD: &str = r#"{"prompt": "Q", "chosen": "a", "rejected": "b"}"#;

/// Contents of `f.jsonl`, and the message.
const MISTAKES: &[(&str, &str)] = &[
    ("", "f.jsonl: the file is empty"),
    ("\n\n", "f.jsonl: the file holds no rows"),
    ("[]", "f.jsonl: the file holds no rows"),
    (
        r#"{"prompt": "Q", "chosen": good, "rejected": "b"}"#,
        r#"f.jsonl:1:27: not JSON, expected a value (is a string without its quotes?): {"prompt": "Q", "chosen": good, "rejected": "b"}"#,
    ),
    (
        r#"{"prompt": "Q", "cho"#,
        r#"f.jsonl:1:20: the JSON ends inside a string; is it cut short?: {"prompt": "Q", "cho"#,
    ),
    ("prompt,chosen\nQ,a\n", "f.jsonl:1:1: not JSON; every row must be an object in { }: prompt,chosen"),
    (
        "42",
        r#"f.jsonl:1: found the number 42; every row must be an object like {"prompt": …, "chosen": …, "rejected": …}"#,
    ),
    (
        r#"{"prompt": "\ud800", "chosen": "a", "rejected": "b"}"#,
        r#"f.jsonl:1:19: a lone surrogate: an escape from \ud800 to \udfff without its other half is no character: {"prompt": "\ud800", "chosen": "a", "rejected":…"#,
    ),
    (
        "{\"prompt\": \"Q\0\"}",
        r#"f.jsonl:1:14: a NUL byte in a string; is the file damaged?: {"prompt": "Q\u{0}"}"#,
    ),
    (
        r#"{"prompt": "Q", "choosen": "a", "rejected": "b"}"#,
        "f.jsonl:1: no column `chosen`: a pair needs `chosen` and `rejected`; found prompt, choosen, rejected; if `choosen` is the chosen, rename it or set `columns.chosen = \"choosen\"`",
    ),
    (
        r#"{"promt": "Q", "chosen": "a", "rejected": "b"}"#,
        "f.jsonl:1: no column `prompt`; found promt, chosen, rejected; if `promt` is the prompt, rename it or set `columns.prompt = \"promt\"`",
    ),
    (
        r#"{"question": "Q", "label": true}"#,
        "f.jsonl:1: no column `chosen`: a pair needs `chosen` and `rejected`; found question, label",
    ),
    (
        r#"{"prompt": 3, "chosen": "a", "rejected": "b"}"#,
        "f.jsonl:1: `prompt` is the number 3; expected a string or a list of messages",
    ),
    (
        r#"{"prompt": "Q", "chosen": [{"role": "assistant"}], "rejected": "b"}"#,
        "f.jsonl:1: `chosen[0].content` is null; expected a string",
    ),
    (
        r#"{"prompt": [{"who": "me"}], "chosen": "a", "rejected": "b"}"#,
        "f.jsonl:1: `prompt[0]` is an object with who; expected a message with `role` and `content`",
    ),
    (
        r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "weight": -1}"#,
        "f.jsonl:1: `weight` is the number -1; expected a number, 0 or more",
    ),
    (
        "[\n  {\"prompt\": \"Q\", \"chosen\": \"a\", \"rejected\": 5}\n]",
        "f.jsonl:2 (element 1): `rejected` is the number 5; expected a string or a list of messages",
    ),
    (
        "[\n  {\"prompt\": \"Q\" \"chosen\": \"a\"}\n]",
        "f.jsonl:2:18: not JSON, expected `,` or `}`: {\"prompt\": \"Q\" \"chosen\": \"a\"}",
    ),
    ("[{\"prompt\": \"Q\"", "f.jsonl:1:16: the file ends inside the list; is it cut short?: (end of file)"),
    (
        "{\n \"prompt\": \"Q\"\n}",
        "f.jsonl: one object without a list of rows (found prompt); write a row a line, or all rows as a list",
    ),
    (
        "PK\u{3}\u{4}",
        "f.jsonl: looks like a zip archive; JSON Lines, JSON (also .gz and .zst) and Parquet are read",
    ),
];

#[test]
fn each_mistake_says_where_what_and_what_to_do() {
    for (contents, message) in MISTAKES {
        assert_eq!(read("f.jsonl", contents).message(), *message, "{contents}");
    }
}

#[test]
fn bytes_that_are_no_text_are_pointed_at() {
    let outcome = read("f.jsonl", b"{\"prompt\": \"caf\xe9\"}");
    assert!(outcome.message().starts_with("f.jsonl:1:16: byte 0xe9 is not UTF-8; save the file as UTF-8"));
}

#[test]
fn deep_nesting_is_an_error_in_lines_and_lists() {
    let deep = format!("{{\"prompt\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [deep.clone(), format!("[{deep}]"), format!("{{\"data\": [{deep}]}}")] {
        assert!(read("f.json", text).message().contains("nested more than 127 levels deep"));
    }
}

#[test]
fn a_long_row_is_refused_at_the_limit() {
    let config = SourceConfig { max_row_bytes: GOOD.len() as u64, ..SourceConfig::default() };
    assert_eq!(read_with("f.jsonl", format!("{GOOD}\r\n{GOOD}"), &config).examples().len(), 2);
    let message =
        "longer than 46 bytes, the most that one row may take (`max_row_bytes`); is this one row a line?";
    let config = SourceConfig { max_row_bytes: GOOD.len() as u64 - 1, ..SourceConfig::default() };
    let lines = read_with("f.jsonl", GOOD, &config).message();
    assert_eq!(lines, format!("f.jsonl:1: {message}"));
    let list = read_with("f.json", format!("[\n{GOOD}]"), &config).message();
    assert_eq!(list, format!("f.json:2 (element 1): {message}"));
}

#[test]
fn missing_files_and_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.jsonl"), GOOD).unwrap();
    let read =
        |path| read_examples(&[path], &SourceConfig::default(), &mut DataReport::default()).unwrap_err();
    assert!(matches!(read(folder.path().join("b.jsonl")), DataError::NotFound { .. }));
    let message = read(folder.path().to_path_buf()).to_string();
    assert!(message.ends_with("is a folder; name the data files in it (a.jsonl)"), "{message}");
    let nothing = read_examples(&[], &SourceConfig::default(), &mut DataReport::default());
    assert!(matches!(nothing, Err(DataError::NoFiles)));
}
