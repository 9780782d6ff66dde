//! A row for each annotator's vote.

use dpo_data::{
    Annotators, Cause, ColumnNames, Judgement, PreferenceExample, Purpose, Relation, SourceConfig, Text,
    Votes,
};

use crate::{plain, read_with};

/// Bob and Cy voted on two rows, Ann on one: three votes of the first, two of the second, of which one is a tie.
#[test]
fn each_vote_can_be_a_row() {
    let rows = r#"{"instruction": "Q", "response1": "a", "response2": "b", "annotator1": 2, "annotator2": 0, "annotator3": 1}
{"instruction": "R", "response1": "c", "response2": "d", "annotator1": null, "annotator2": 1, "annotator3": 2}
{"instruction": "S", "response1": "e", "response2": "f", "annotator1": null, "annotator2": null, "annotator3": null}
"#;
    let outcome = read_with("votes.jsonl", rows, &each());
    let seen: Vec<(u64, &str, String, Votes)> = outcome
        .examples()
        .iter()
        .map(|example| {
            let Text::Messages(first) = &example.completions[0] else { panic!("plain text") };
            let Relation::Judged(Judgement { votes: Some(votes), gap: None }) = example.relation else {
                panic!("{:?}", example.relation)
            };
            (example.row.row, example.group.as_deref().unwrap(), first[0].content.clone(), votes)
        })
        .collect();
    let says = |row, group, first: &str, votes| (row, group, first.to_owned(), votes);
    assert_eq!(
        seen,
        [
            says(1, "annotator1", "b", Votes::FIRST),
            says(1, "annotator2", "a", Votes::TIE),
            says(1, "annotator3", "a", Votes::FIRST),
            says(2, "annotator2", "c", Votes::FIRST),
            says(2, "annotator3", "d", Votes::FIRST),
        ]
    );
    let report = &outcome.report;
    assert_eq!((report.rows_read, report.rows_added, report.rows_kept()), (3, 3, 5));
    assert_eq!([Cause::MadeIntoVotes, Cause::TieVote, Cause::NoVote].map(|c| outcome.count(c)), [2, 1, 1]);
    assert_eq!(report.agreement.n_pairs(), 2, "agreement is counted once a row");
}

/// Votes on sides that somebody put in order turn them round where they differ, and the gap between their scores with them.
#[test]
fn each_vote_turns_the_sides_and_their_scores() {
    let row = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "score_chosen": 5, "score_rejected": 3, "ann": 1, "bob": 2}"#;
    let columns = ColumnNames { annotators: Some("ann,bob".to_owned()), ..ColumnNames::default() };
    let outcome = read_with("votes.jsonl", row, &SourceConfig { columns, ..each() });
    let [ann, bob] = outcome.examples() else { panic!("{}", outcome.examples().len()) };
    assert_eq!((&ann.completions[0], &bob.completions[0]), (&plain("a"), &plain("b")));
    let gap = |example: &PreferenceExample| example.relation.gap();
    assert_eq!((gap(ann), gap(bob)), (Some(2.0), Some(-2.0)));
    assert_eq!([Cause::SidesSwapped, Cause::ScoresDisagree].map(|cause| outcome.count(cause)), [1, 1]);
}

#[test]
fn votes_one_by_one_need_annotators_and_nothing_beside_them() {
    let said = |row: &str, columns| read_with("v.jsonl", row, &SourceConfig { columns, ..each() }).message();
    let pair = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "votes": 0.75}"#;
    let none = said(pair, ColumnNames::default());
    assert!(
        none.contains("v.jsonl:1: no column of an annotator's votes, and `annotators` is `each`"),
        "{none}"
    );
    let list = r#"{"prompt": "Q", "completions": ["a", "b", "c"], "annotator1": 1}"#;
    assert!(said(list, ColumnNames::default()).contains("no two completions that annotators vote on"));
    let group = ColumnNames { group: Some("who".to_owned()), ..ColumnNames::default() };
    let beside = said(r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "annotator1": 1}"#, group);
    assert!(beside.contains("`columns.group` names a column beside it"), "{beside}");
    let config = SourceConfig { purpose: Purpose::Demonstrations, ..each() };
    let said = read_with("v.jsonl", pair, &config).message();
    assert!(said.contains("demonstrations are read without votes"), "{said}");
}

fn each() -> SourceConfig {
    SourceConfig { annotators: Annotators::Each, ..SourceConfig::default() }
}
