//! Published data, read whole.

use std::path::{Path, PathBuf};

use dpo_data::{
    Annotators, Cause, DataReport, Found, PreferenceExample, Relation, SourceConfig, Text, Votes,
    read_examples,
};

fn read(name: &str) -> Option<(Vec<PreferenceExample>, DataReport)> {
    read_as(name, &SourceConfig::default())
}

fn read_as(name: &str, config: &SourceConfig) -> Option<(Vec<PreferenceExample>, DataReport)> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DPO_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("data").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    let mut report = DataReport::default();
    let examples = read_examples(&[path], config, &mut report).unwrap();
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

/// 212 prompts of 100 trees have two ranked replies or more, up to nine; one has a reply without a rank besides.
#[test]
fn ranked_lists_of_conversation_trees_are_read() {
    let Some((examples, report)) = read("oasst/en_100_tree.jsonl") else { return };
    assert_eq!((report.rows_read, report.rows_kept(), examples.len()), (212, 212, 212));
    assert_eq!(report.rows_of(Cause::UnrankedLeftOut), 1);
    let with = |n: usize| examples.iter().filter(|example| example.completions.len() == n).count();
    assert_eq!([2, 3, 4, 5, 6, 8, 9].map(with), [57, 117, 27, 3, 6, 1, 1]);
    assert_eq!(Found::of(&examples), Found { lists: 212, ..Found::default() });
    assert!(examples.iter().all(|example| n_turns(&example.prompt) % 2 == 1), "a person speaks last");
}

/// Three annotators a row: 999 rows, 54 with an empty answer; six answers are the truth value `true`. Of the others 117 are
/// divided.
#[test]
fn three_annotators_are_read() {
    let Some((examples, report)) = read("pandalm/testset-v1.json") else { return };
    assert_eq!((report.rows_read, examples.len()), (999, 945));
    assert_eq!(report.rows_of(Cause::EmptyCompletion), 54);
    assert_eq!(report.rows_of(Cause::ReadAsText), 6);
    let found = Found::of(&examples);
    assert_eq!((found.pairs, found.divided), (945, 117));
    // The first row: all three prefer the second answer.
    let Relation::Judged(judgement) = &examples[0].relation else { panic!("{:?}", examples[0].relation) };
    assert_eq!(judgement.votes, Some(Votes::FIRST));
    let Text::Messages(best) = &examples[0].completions[0] else { panic!("plain text") };
    assert_eq!(best[0].content, "If you have any questions, please let me know.");
    assert!(examples.iter().all(|example| example.relation.votes().is_some_and(|v| v.first >= v.second)));
}

/// 945 rows with three votes each: 2,835 rows, as many of each annotator; 95, 114 and 111 of the votes are ties.
#[test]
fn each_vote_is_a_row_of_its_annotator() {
    let config = SourceConfig { annotators: Annotators::Each, ..SourceConfig::default() };
    let Some((examples, report)) = read_as("pandalm/testset-v1.json", &config) else { return };
    assert_eq!((report.rows_read, report.rows_added), (999, 2 * 945));
    assert_eq!((report.rows_kept(), examples.len()), (2835, 2835));
    assert_eq!(report.rows_of(Cause::MadeIntoVotes), 945);
    let of = |group: &str| examples.iter().filter(|e| e.group.as_deref() == Some(group)).count();
    assert_eq!(["annotator1", "annotator2", "annotator3"].map(of), [945; 3]);
    let found = Found::of(&examples);
    assert_eq!((found.pairs, found.divided, found.ties), (2835, 0, 95 + 114 + 111));
    assert_eq!(report.rows_of(Cause::TieVote), found.ties);
    // The three votes of a row stay beside each other.
    assert!(examples.chunks(3).all(|votes| votes.iter().all(|vote| vote.row == votes[0].row)));
}

#[test]
fn labelled_conversations_are_read() {
    let Some((examples, report)) = read("llama-factory/kto_en_demo.json") else { return };
    assert_eq!((report.rows_read, examples.len()), (300, 300));
    let good =
        examples.iter().filter(|example| example.relation == Relation::Label(dpo_data::Label::Desirable));
    assert_eq!(good.count(), 150);
    assert_eq!(
        report.files[0].recognised[0].format,
        "labelled completions: conversations, the completion being the last turn"
    );
}
