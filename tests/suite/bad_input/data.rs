//! Data files.

use std::fs::File;

use super::{assert_says, limited, score};
use crate::{
    program::{Sandbox, flags},
    support::golden,
};

const GOOD: &str = r#"{"prompt": "Q", "chosen": "a", "rejected": "b"}"#;

/// A file's name, its content, and what has to be said of it.
type Case = (&'static str, Vec<u8>, &'static [&'static str]);

fn cases() -> Vec<Case> {
    let with_good = |line: &str| format!("{GOOD}\n{line}\n").into_bytes();
    let utf16 = GOOD.encode_utf16().flat_map(u16::to_le_bytes);
    vec![
        ("empty.jsonl", Vec::new(), &["empty.jsonl: the file is empty"]),
        ("none.json", b"[]".into(), &["none.json: the file holds no rows"]),
        (
            "line.jsonl",
            with_good(r#"{"prompt": "Q", "chosen": good}"#),
            &["line.jsonl:2:27: not JSON", "without its quotes"],
        ),
        ("cut.jsonl", with_good(r#"{"prompt": "Q", "cho"#), &["cut.jsonl:2:20: ", "cut short?"]),
        ("nul.jsonl", with_good("{\"prompt\": \"Q\0\"}"), &["nul.jsonl:2:14: a NUL byte"]),
        ("half.jsonl", with_good(r#"{"prompt": "\ud800"}"#), &["half.jsonl:2:19: a lone surrogate"]),
        (
            "latin.jsonl",
            b"{\"prompt\": \"caf\xe9\"}".into(),
            &["latin.jsonl:1:16: ", "save the file as UTF-8"],
        ),
        ("utf16.jsonl", [0xff, 0xfe].into_iter().chain(utf16).collect(), &["UTF-16", "save it as UTF-8"]),
        (
            "deep.jsonl",
            with_good(&format!(r#"{{"prompt": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000))),
            &["deep.jsonl:2:", "nested more than 127 levels deep"],
        ),
        ("open.json", "[".repeat(100_000).into(), &["open.json:1:", "cut short?"]),
        (
            "misspelt.jsonl",
            br#"{"prompt": "Q", "choosen": "a", "rejected": "b"}"#.into(),
            &["misspelt.jsonl:1: no column `chosen`", "found prompt, choosen, rejected", "rename it"],
        ),
        (
            "other.jsonl",
            br#"{"question": "Q", "label": 1}"#.into(),
            &["other.jsonl:1: no column `chosen`", "found question, label"],
        ),
        ("parts.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".into(), &["parts.jsonl.gz: "]),
        ("table.parquet", b"PAR1 nothing".into(), &["table.parquet: not a readable Parquet file"]),
        (
            "same.jsonl",
            br#"{"prompt": "Q", "chosen": "a", "rejected": "a"}"#.into(),
            &["same.jsonl: no row is left to use", "chosen and rejected are the same (row 1)"],
        ),
        (
            "blank.jsonl",
            br#"{"prompt": "Q", "chosen": "", "rejected": "a"}"#.into(),
            &["blank.jsonl: no row is left to use", "a completion has no text (row 1)"],
        ),
    ]
}

#[test]
fn a_bad_file_is_refused_with_its_name_and_place() {
    let sandbox = Sandbox::new();
    for (name, content, parts) in cases() {
        std::fs::write(sandbox.path(name), content).unwrap();
        assert_says(name, &score(&sandbox, &golden("runs/model"), name, ""), 1, parts);
    }
    let absent = score(&sandbox, &golden("runs/model"), "absent.jsonl", "");
    assert_says("an absent file", &absent, 1, &["`absent.jsonl`: no such file"]);
    let folder = score(&sandbox, &golden("runs/model"), ".", "");
    assert_says("a folder", &folder, 1, &["is a folder; name the data files in it"]);
}

/// What can be read is read, and what cannot be used is counted.
#[test]
fn odd_rows_are_counted_and_the_others_used() {
    let sandbox = Sandbox::new();
    let rows = [
        GOOD,
        r#"{"prompt": "Q", "chosen": "a", "rejected": "a"}"#,
        "",
        r#"{"prompt": "Q", "chosen": "a", "rejected": ""}"#,
    ];
    sandbox.file("pairs.jsonl", &format!("\u{feff}{}\r\n", rows.join("\r\n")));
    let ended = score(&sandbox, &golden("runs/model"), "pairs.jsonl", "");
    let parts = [
        "starts with a byte order mark",
        "rows: 3 read, 1 kept, 2 dropped",
        "chosen and rejected are the same (row 2)",
        "a completion has no text (row 4)",
    ];
    assert_says("odd rows", &ended, 0, &parts);
    assert_eq!(ended.out.lines().count(), 1);
}

#[test]
fn a_line_of_2_gib_is_refused_without_being_read() {
    let sandbox = Sandbox::new();
    File::create(sandbox.path("line.jsonl")).unwrap().set_len(2 << 30).unwrap();
    let ended = score(&sandbox, &golden("runs/model"), "line.jsonl", "");
    assert_says("2 GiB", &ended, 1, &["line.jsonl:1: longer than 67108864 bytes", "is this one row a line?"]);
}

#[test]
fn a_prompt_over_the_limit_is_refused_dropped_or_cut_as_told() {
    let sandbox = Sandbox::new();
    let long = format!(r#"{{"prompt": "{}", "chosen": " a", "rejected": " b"}}"#, "word ".repeat(400));
    sandbox.file("long.jsonl", &long);
    let cases = [
        ("refuse", 1, "long.jsonl: row 1: the row has "),
        ("drop", 1, "dropped 1: longer than the limit (row 1)"),
        ("keep_start", 1, "the prompt leaves no room for a completion (row 1)"),
        ("truncate", 0, "the start of the prompt was cut to fit the limit (row 1)"),
    ];
    for (overlong, code, part) in cases {
        let settings = format!("--max-length 64 --overlong {overlong}");
        let ended = score(&sandbox, &golden("runs/model"), "long.jsonl", &settings);
        assert_says(overlong, &ended, code, &[part]);
    }
}

#[test]
fn held_out_rows_of_another_kind_are_refused_before_training() {
    let sandbox = Sandbox::new();
    sandbox.file("chats.jsonl", r#"{"messages": [{"role": "user", "content": "Hi"}]}"#);
    let text = format!(
        "--model {} --data {} --eval-data chats.jsonl --out run",
        golden("runs/model").display(),
        golden("runs/train_conv.json").display()
    );
    let ended = limited(&sandbox, "true", "train", &flags(&text));
    assert_says("held out", &ended, 1, &["chats.jsonl:1: no column `chosen`", "found messages"]);
    assert!(!sandbox.path("run").exists(), "nothing is made for a run that cannot start");
}
