//! Parquet, written here with the low-level writer: strings, lists of messages, and damage.

use std::sync::Arc;

use dpo_data::Cause;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use crate::{Outcome, plain, read, turns};

/// A column's values with their definition and repetition levels.
struct Column<'a> {
    values: &'a [&'a [u8]],
    definition: &'a [i16],
    repetition: &'a [i16],
}

fn parquet(schema: &str, columns: &[Column<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::default())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in columns {
        let values: Vec<ByteArray> = column.values.iter().map(|value| value.to_vec().into()).collect();
        let mut into = group.next_column().unwrap().unwrap();
        into.typed::<ByteArrayType>()
            .write_batch(&values, Some(column.definition), Some(column.repetition))
            .unwrap();
        into.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn strings(values: &'static [&'static [u8]]) -> Column<'static> {
    Column { values, definition: &[1, 1, 1][..values.len()], repetition: &[0, 0, 0][..values.len()] }
}

fn pairs(prompt_name: &str, prompts: &'static [&'static [u8]]) -> Vec<u8> {
    let schema = format!(
        "message rows {{ optional binary {prompt_name} (UTF8); optional binary chosen (UTF8);
         optional binary rejected (UTF8); optional binary image; }}"
    );
    let columns =
        [strings(prompts), strings(&[b"a", b"c"]), strings(&[b"b", b"c"]), strings(&[b"\xff\xd8", b"\xff"])];
    parquet(&schema, &columns)
}

fn message(outcome: &Outcome) -> String {
    outcome.message()
}

#[test]
fn string_columns_are_read_and_pictures_are_not() {
    let outcome = read("a.parquet", pairs("prompt", &[b"Q", b"R"]));
    assert_eq!(outcome.only().prompt, plain("Q"));
    assert_eq!(outcome.only().completions, [plain("a"), plain("b")]);
    assert_eq!(outcome.report.causes[&Cause::IdenticalSides].rows[0].row, 2);
    assert_eq!(outcome.report.files[0].recognised[0].ignored, ["image"]);
}

/// One row: the prompt is a user turn, each side an assistant turn.
#[test]
fn lists_of_messages_are_read() {
    let list = |name: &str| {
        format!(
            "optional group {name} (LIST) {{ repeated group list {{ optional group element {{
             optional binary content (UTF8); optional binary role (UTF8); }} }} }}"
        )
    };
    let schema = format!("message rows {{ {} {} {} }}", list("prompt"), list("chosen"), list("rejected"));
    // Two prompt turns in one row: the second repeats at level 1.
    let prompt = |values| Column { values, definition: &[4, 4], repetition: &[0, 1] };
    let side = |values| Column { values, definition: &[4], repetition: &[0] };
    let columns = [
        prompt(&[b"Be kind", b"Hi"]),
        prompt(&[b"system", b"user"]),
        side(&[b"Hello"]),
        side(&[b"assistant"]),
        side(&[b"No"]),
        side(&[b"assistant"]),
    ];
    let outcome = read("a.parquet", parquet(&schema, &columns));
    assert_eq!(outcome.only().prompt, turns(&[("system", "Be kind"), ("user", "Hi")]));
    assert_eq!(outcome.only().completions, [turns(&[("assistant", "Hello")]), turns(&[("assistant", "No")])]);
}

#[test]
fn misspelt_columns_are_guessed_in_tables_too() {
    let outcome = read("a.parquet", pairs("promt", &[b"Q", b"R"]));
    assert_eq!(
        message(&outcome),
        "a.parquet: row 1: no column `prompt`; found chosen, rejected, promt, image; if `promt` is the prompt, rename it or set `columns.prompt = \"promt\"`"
    );
}

#[test]
fn damaged_tables_are_errors() {
    let bytes = pairs("prompt", &[b"Q", b"R"]);
    let outcome = read("a.parquet", &bytes[..bytes.len() - 9]);
    assert!(message(&outcome).starts_with("a.parquet: not a readable Parquet file"), "{}", message(&outcome));
    assert!(message(&read("a.parquet", b"PAR1")).starts_with("a.parquet: not a readable Parquet file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Three bytes changed anywhere: an answer, and no panic gets out.
    #[test]
    fn any_damage_gives_an_answer(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = pairs("prompt", &[b"Q", b"R"]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        drop(read("a.parquet", bytes));
    }
}
