//! Published data, read whole.

use std::path::{Path, PathBuf};

use dpo_data::{Cause, DataReport, PreferenceExample, SourceConfig, Text, read_examples};

fn read(name: &str) -> Option<(Vec<PreferenceExample>, DataReport)> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DPO_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("data").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    let mut report = DataReport::default();
    let examples = read_examples(&[path], &SourceConfig::default(), &mut report).unwrap();
    Some((examples, report))
}

fn n_turns(text: &Text) -> usize {
    match text {
        Text::Plain(_) => panic!("plain text"),
        Text::Messages(turns) => turns.len(),
    }
}

/// Rows 87, 517, 926 and 1104 have an empty reply; in five the conversations part before the last reply.
#[test]
fn all_2312_transcripts_are_read() {
    let Some((examples, report)) = read("hh/harmless-base-test.jsonl.gz") else { return };
    assert_eq!((report.rows_read, report.rows_kept(), examples.len()), (2312, 2303, 2303));
    let rows = |cause| report.causes[&cause].rows.iter().map(|row| row.row).collect::<Vec<_>>();
    assert_eq!(rows(Cause::EmptyCompletion), [87, 517, 926, 1104]);
    assert_eq!(rows(Cause::DifferingPrompts), [1255, 1689, 1951, 1953, 2037]);
    assert_eq!(report.rows_of(Cause::TurnsJoined), 4);
    for example in &examples {
        assert_eq!(n_turns(&example.prompt) % 2, 1, "row {}: a human speaks last", example.row.row);
        assert!(example.completions.iter().all(|completion| n_turns(completion) == 1));
    }
}

/// The two files hold the same pairs, with and without a prompt column.
#[test]
fn the_implicit_prompt_is_the_explicit_one() {
    let (Some((explicit, _)), Some((implicit, report))) =
        (read("hh-harmless/train.conv.jsonl"), read("hh-harmless/train.implicit.jsonl"))
    else {
        return;
    };
    assert_eq!((report.rows_read, explicit.len()), (512, 512));
    for (explicit, implicit) in explicit.iter().zip(&implicit) {
        assert_eq!(explicit, implicit);
    }
    assert_eq!(explicit.len(), implicit.len());
}

#[test]
fn llama_factory_pairs_are_read() {
    let Some((examples, report)) = read("llama-factory/dpo_en_demo.json") else { return };
    assert_eq!((report.rows_read, examples.len()), (300, 300));
    let Text::Messages(prompt) = &examples[0].prompt else { panic!("plain text") };
    assert_eq!(prompt[0].role, "user");
}

#[test]
fn instruction_pairs_are_read() {
    let Some((examples, report)) = read("polite/instruction-data-with-preference.json") else { return };
    assert_eq!((report.rows_read, examples.len()), (1100, 1094));
    assert_eq!(report.rows_of(Cause::IdenticalSides), 6);
    assert_eq!(report.files[0].recognised.len(), 1);
    assert_eq!(report.files[0].recognised[0].ignored, ["output"]);
}
