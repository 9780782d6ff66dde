//! One test a form of row.

use dpo_data::{Cause, ColumnNames, Relation, SourceConfig, Strings};
use proptest::prelude::*;
use serde_json::json;

use crate::{plain, read, read_demonstrations, read_with, turns};

#[test]
fn explicit_strings_are_plain_text() {
    let outcome = read("a.jsonl", r#"{"prompt": "2+2=", "chosen": "4", "rejected": "5", "id": 7}"#);
    let pair = outcome.only();
    assert_eq!(pair.prompt, plain("2+2="));
    assert_eq!(pair.completions, [plain("4"), plain("5")]);
    assert_eq!((&pair.relation, pair.weight, pair.row.row), (&Relation::Pair, 1.0, 1));
    assert_eq!(outcome.report.files[0].recognised[0].ignored, ["id"]);
}

#[test]
fn explicit_messages_keep_their_extra_keys() {
    let row = json!({
        "prompt": [{"role": "user", "content": "Hi", "name": "Ada"}],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "you"}]}],
        "rejected": [{"role": "assistant", "content": "No"}],
        "weight": 0.5, "tools": "[{\"name\": \"f\"}]", "chat_template_kwargs": {"enable_thinking": false},
    });
    let outcome = read("a.jsonl", row.to_string());
    let pair = outcome.only();
    let dpo_data::Text::Messages(prompt) = &pair.prompt else { panic!("plain") };
    assert_eq!(prompt[0].extra["name"], "Ada");
    assert_eq!(pair.completions[0], turns(&[("assistant", "Hello you")]));
    assert!((pair.weight - 0.5).abs() < f64::EPSILON);
    assert_eq!(pair.template_kwargs["tools"], json!([{"name": "f"}]));
    assert_eq!(pair.template_kwargs["enable_thinking"], json!(false));
}

#[test]
fn implicit_strings_share_their_start() {
    let outcome = read("a.jsonl", r#"{"chosen": "The sky is blue", "rejected": "The sky is green"}"#);
    let pair = outcome.only();
    assert_eq!(pair.prompt, plain("The sky is"));
    assert_eq!(pair.completions, [plain(" blue"), plain(" green")]);
}

#[test]
fn implicit_conversations_share_their_first_turns() {
    let user = json!({"role": "user", "content": "Hi"});
    let says = |text: &str| json!({"role": "assistant", "content": text});
    let row = json!({"chosen": [user, says("Hello")], "rejected": [user, says("Go away")]});
    let outcome = read("a.jsonl", row.to_string());
    assert_eq!(outcome.only().prompt, turns(&[("user", "Hi")]));
    assert_eq!(outcome.only().completions[1], turns(&[("assistant", "Go away")]));
}

/// UltraFeedback, binarized: the prompt as a string, and again in both conversations.
#[test]
fn a_prompt_string_beside_whole_conversations_is_not_repeated() {
    let conversation =
        |text: &str| json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}]);
    let row = json!({"prompt": "Hi", "messages": conversation("a"), "chosen": conversation("a"), "rejected": conversation("b")});
    let outcome = read("a.jsonl", row.to_string());
    assert_eq!(outcome.only().prompt, turns(&[("user", "Hi")]));
    assert_eq!(outcome.only().completions, [turns(&[("assistant", "a")]), turns(&[("assistant", "b")])]);
    assert_eq!(outcome.count(Cause::PromptColumnDiffers), 0);
    let other = read("a.jsonl", row.to_string().replacen("\"Hi\"", "\"Ho\"", 1));
    assert_eq!((other.count(Cause::PromptColumnDiffers), other.report.rows_kept()), (1, 1));
}

#[test]
fn a_prompt_list_repeated_in_both_sides_is_not_repeated() {
    let conversation =
        |text: &str| json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}]);
    let row = json!({"prompt": [{"role": "user", "content": "Hi"}], "chosen": conversation("a"), "rejected": conversation("b")});
    let outcome = read("a.jsonl", row.to_string());
    assert_eq!(outcome.only().prompt, turns(&[("user", "Hi")]));
    assert_eq!(outcome.only().completions, [turns(&[("assistant", "a")]), turns(&[("assistant", "b")])]);
}

#[test]
fn a_prompt_string_with_answers_as_messages_is_a_user_turn() {
    let says = |text: &str| json!([{"role": "assistant", "content": text}]);
    let row = json!({"prompt": "Hi", "chosen": says("a"), "rejected": says("b")});
    assert_eq!(read("a.jsonl", row.to_string()).only().prompt, turns(&[("user", "Hi")]));
}

#[test]
fn sharegpt_names_become_those_of_templates() {
    let row = json!({
        "conversations": [{"from": "system", "value": "Be kind"}, {"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "No"},
    });
    let outcome = read("a.jsonl", row.to_string());
    assert_eq!(outcome.only().prompt, turns(&[("system", "Be kind"), ("user", "Hi")]));
    assert_eq!(outcome.only().completions[0], turns(&[("assistant", "Hello")]));
}

/// OpenAI's preference form: the request in `input`.
#[test]
fn a_request_object_is_taken_apart() {
    let row = json!({
        "input": {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "f"}]},
        "preferred_output": [{"role": "assistant", "content": "a"}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}],
    });
    let outcome = read("a.jsonl", row.to_string());
    assert_eq!(outcome.only().prompt, turns(&[("user", "Hi")]));
    assert_eq!(outcome.only().template_kwargs["tools"], json!([{"name": "f"}]));
}

#[test]
fn instructions_are_user_turns_with_the_input_below() {
    let row = json!({
        "system": "Be brief", "instruction": "Translate", "input": "chat", "history": [["Hi", "Hello"]],
        "chosen": "cat", "rejected": "dog",
    });
    let outcome = read("a.jsonl", row.to_string());
    let prompt =
        [("system", "Be brief"), ("user", "Hi"), ("assistant", "Hello"), ("user", "Translate\nchat")];
    assert_eq!(outcome.only().prompt, turns(&prompt));
    let config = SourceConfig { strings: Strings::Plain, ..SourceConfig::default() };
    let outcome = read_with("a.jsonl", row.to_string(), &config);
    assert_eq!(outcome.only().prompt, plain("Be brief\n\nHi\n\nHello\n\nTranslate\nchat"));
}

#[test]
fn strings_can_be_read_as_turns() {
    let config = SourceConfig { strings: Strings::Messages, ..SourceConfig::default() };
    let outcome = read_with("a.jsonl", r#"{"prompt": "Hi", "chosen": "a", "rejected": "b"}"#, &config);
    assert_eq!(outcome.only().prompt, turns(&[("user", "Hi")]));
    assert_eq!(outcome.only().completions[1], turns(&[("assistant", "b")]));
}

#[test]
fn transcripts_become_messages_or_stay_text() {
    let text =
        |reply: &str| format!("\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Well?\n\nAssistant: {reply}");
    let row = json!({"chosen": text("Good"), "rejected": text("Bad")}).to_string();
    let outcome = read("a.jsonl", &row);
    let prompt = [("user", "Hi"), ("assistant", "Hello."), ("user", "Well?")];
    assert_eq!(outcome.only().prompt, turns(&prompt));
    assert_eq!(outcome.only().completions, [turns(&[("assistant", "Good")]), turns(&[("assistant", "Bad")])]);
    let config = SourceConfig { strings: Strings::Plain, ..SourceConfig::default() };
    let outcome = read_with("a.jsonl", &row, &config);
    assert_eq!(
        outcome.only().prompt,
        plain("\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Well?\n\nAssistant:")
    );
    assert_eq!(outcome.only().completions, [plain(" Good"), plain(" Bad")]);
}

#[test]
fn a_transcript_prompt_with_replies_becomes_messages() {
    let row = json!({"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " Hello", "rejected": " No"});
    let outcome = read("a.jsonl", row.to_string());
    assert_eq!(outcome.only().prompt, turns(&[("user", "Hi")]));
    assert_eq!(outcome.only().completions[0], turns(&[("assistant", "Hello")]));
}

#[test]
fn broken_transcripts_are_dropped_by_cause() {
    let rows = [
        json!({"chosen": "\n\nHuman: Hi\n\nAssistant: ", "rejected": "\n\nHuman: Hi\n\nAssistant: No"}),
        json!({"chosen": "\n\nHuman: Hi\n\nAssistant: Yes", "rejected": "\n\nHuman: Ho\n\nAssistant: No"}),
        json!({"chosen": "\n\nHuman: Hi\n\nAssistant: Yes\n\nHuman: So", "rejected": "\n\nHuman: Hi\n\nAssistant: No"}),
    ];
    let outcome = read("a.jsonl", rows.map(|row| row.to_string()).join("\n"));
    assert_eq!((outcome.count(Cause::EmptyCompletion), outcome.count(Cause::DifferingPrompts)), (1, 2));
    assert_eq!((outcome.report.rows_read, outcome.report.rows_kept()), (3, 0));
}

fn by_annotator() -> SourceConfig {
    let columns = ColumnNames { group: Some("annotator".into()), ..ColumnNames::default() };
    SourceConfig { columns, ..SourceConfig::default() }
}

/// Texts and numbers name a group; null, blank and absent ones none.
#[test]
fn a_row_may_say_whose_it_is() {
    let row = |group: &str| format!(r#"{{"prompt": "Q", "chosen": "a", "rejected": "b"{group}}}"#);
    let groups =
        [r#""ann""#, "3", "3.0", "2.5", "null", r#"" ""#].map(|value| format!(", \"annotator\": {value}"));
    let mut lines: Vec<String> = groups.iter().map(|group| row(group)).collect();
    lines.push(row(""));
    let outcome = read_with("a.jsonl", lines.join("\n"), &by_annotator());
    let found: Vec<_> = outcome.examples().iter().map(|example| example.group.as_deref()).collect();
    assert_eq!(found, [Some("ann"), Some("3"), Some("3"), Some("2.5"), None, None, None]);
    let used = outcome.report.files[0].recognised[0].to_string();
    assert_eq!(used, "6 rows are pairs: plain text: prompt, chosen, rejected, annotator as group");
}

#[test]
fn a_column_of_groups_that_no_row_has_is_an_error() {
    let row = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "anotator": 1}"#;
    assert_eq!(
        read_with("a.jsonl", row, &by_annotator()).message(),
        "a.jsonl: no row has the column `annotator`, which `columns.group` names; found prompt, chosen, rejected, \
         anotator; did you mean `anotator`?"
    );
    let row = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "annotator": true}"#;
    assert_eq!(
        read_with("a.jsonl", row, &by_annotator()).message(),
        "a.jsonl:1: `annotator` is true; expected a string or a number"
    );
}

#[test]
fn named_columns_are_taken_and_missed() {
    let columns = ColumnNames {
        prompt: Some("q".into()),
        chosen: Some("good".into()),
        rejected: Some("bad".into()),
        ..ColumnNames::default()
    };
    let config = SourceConfig { columns, ..SourceConfig::default() };
    let outcome = read_with("a.jsonl", r#"{"q": "Q", "good": "a", "bad": "b"}"#, &config);
    assert_eq!(outcome.only().prompt, plain("Q"));
    let outcome = read_with("a.jsonl", r#"{"q": "Q", "good": "a", "rejected": "b"}"#, &config);
    assert_eq!(
        outcome.message(),
        "a.jsonl:1: no column `bad`, which `columns.rejected` names; found q, good, rejected"
    );
}

#[test]
fn useless_and_odd_pairs_are_counted_by_cause() {
    let rows = [
        r#"{"prompt": "Q", "chosen": "a", "rejected": "a"}"#,
        r#"{"prompt": "Q", "chosen": " ", "rejected": "a"}"#,
        r#"{"prompt": "Q", "chosen": "a b", "rejected": "a  b "}"#,
        r#"{"prompt": " ", "chosen": "a", "rejected": "b"}"#,
        r#"{"prompt": "Q", "chosen": "Q: a", "rejected": "Q: b"}"#,
        r#"{"prompt": "Q\u0000", "chosen": "a", "rejected": "b"}"#,
    ];
    let outcome = read("a.jsonl", rows.join("\n"));
    for (cause, row) in [
        (Cause::IdenticalSides, 1),
        (Cause::EmptyCompletion, 2),
        (Cause::DifferInSpaceOnly, 3),
        (Cause::BlankPrompt, 4),
        (Cause::PromptRepeated, 5),
        (Cause::NulCharacter, 6),
    ] {
        assert_eq!(outcome.report.causes[&cause].rows[0].row, row, "{cause:?}");
        assert_eq!(outcome.count(cause), 1, "{cause:?}");
    }
    assert_eq!(outcome.report.rows_kept(), 4);
    assert_eq!(outcome.examples().len(), 4);
}

#[test]
fn demonstrations_come_in_every_form() {
    let rows = [
        json!({"prompt": "Q", "completion": "A"}),
        json!({"text": "A"}),
        json!({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}),
        json!({"instruction": "Q", "input": "", "output": "A"}),
        json!({"prompt": "Q", "chosen": "A", "rejected": "A"}),
        json!({"chosen": "Q: A", "rejected": "Q: B"}),
        json!({"messages": [{"role": "user", "content": "Q"}]}),
    ];
    let outcome = read_demonstrations(rows.map(|row| row.to_string()).join("\n"));
    let read: Vec<_> =
        outcome.examples().iter().map(|row| (row.prompt.clone(), row.completions.clone())).collect();
    let as_turns = (turns(&[("user", "Q")]), vec![turns(&[("assistant", "A")])]);
    assert_eq!(read[0], (plain("Q"), vec![plain("A")]));
    assert_eq!(read[1], (plain(""), vec![plain("A")]));
    assert_eq!(read[2], as_turns);
    assert_eq!(read[3], as_turns);
    assert_eq!(read[4], (plain("Q"), vec![plain("A")]));
    assert_eq!(read[5], (plain("Q:"), vec![plain(" A")]));
    assert_eq!((read.len(), outcome.count(Cause::MissingAnswerTurn)), (6, 1));
    assert!(outcome.examples().iter().all(|row| row.relation == Relation::Demonstration));
}

#[test]
fn mixed_rows_are_each_read_and_reported_as_what_they_are() {
    let outcome = read(
        "a.jsonl",
        "{\"prompt\": \"Q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n{\"chosen\": \"x1\", \"rejected\": \"x2\"}\n",
    );
    assert_eq!(outcome.examples().len(), 2);
    assert_eq!(outcome.report.files[0].recognised.len(), 2);
    assert_eq!(outcome.format(), "pairs: plain text");
}

proptest! {
    /// Any strings come through untouched, however they are escaped.
    #[test]
    fn strings_survive(prompt in ".{1,20}", chosen in ".{1,20}", rejected in ".{1,20}") {
        let row = json!({"prompt": prompt, "chosen": format!("c{chosen}"), "rejected": format!("r{rejected}")});
        for text in [row.to_string(), format!("[{row}]"), serde_json::to_string_pretty(&json!({"data": [row]})).unwrap()] {
            let outcome = read("a.json", text);
            let example = outcome.only();
            prop_assert_eq!(&example.prompt, &plain(&prompt));
            prop_assert_eq!(&example.completions, &[plain(&format!("c{chosen}")), plain(&format!("r{rejected}"))]);
        }
    }

    /// Whatever the bytes are, there is an answer and no panic.
    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(read("a.jsonl", bytes));
    }

    /// The same for almost good files.
    #[test]
    fn damaged_files_give_an_answer(at in 0_usize..120, byte in any::<u8>()) {
        let row = r#"{"prompt": [{"role": "user", "content": "Q"}], "chosen": "a\n", "rejected": "b"}"#;
        let mut list = format!("{{\"data\": [{row}, {row}]}}").into_bytes();
        list[at] = byte;
        drop(read("a.json", &list));
        list.truncate(at);
        drop(read("a.json", &list));
    }
}
