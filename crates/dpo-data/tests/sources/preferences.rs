//! Preferences that are more than chosen and rejected: votes, ties, scores, ranked lists, labels.

use dpo_data::{
    Cause, ColumnNames, Judgement, Label, Needed, Pairing, PreferenceExample, Preset, Ranking, Relation,
    SourceConfig, Votes, shaped,
};

use crate::{Outcome, plain, read, read_with, turns};

fn judged(outcome: &Outcome) -> Judgement {
    match outcome.only().relation {
        Relation::Judged(judgement) => judgement,
        ref other => panic!("{other:?}"),
    }
}

fn ranking(example: &PreferenceExample) -> &Ranking {
    match &example.relation {
        Relation::Ranking(ranking) => ranking,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_share_of_votes_is_read() {
    let row = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "votes": 0.75}"#;
    let outcome = read("votes.jsonl", row);
    let votes = Votes { first: 0.75, tie: 0.0, second: 0.25 };
    assert_eq!(judged(&outcome), Judgement { votes: Some(votes), gap: None });
    assert_eq!(outcome.format(), "pairs with votes or scores: plain text");
}

/// One of five for the chosen side, one undecided: the sides change places, and so do the votes.
#[test]
fn counts_of_votes_are_read_and_the_majority_comes_first() {
    let outcome =
        read("votes.jsonl", r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "votes": [1, 1, 3]}"#);
    let votes = Votes { first: 0.6, tie: 0.2, second: 0.2 };
    assert_eq!(judged(&outcome).votes, Some(votes));
    assert_eq!(outcome.only().completions, [plain("b"), plain("a")]);
    assert_eq!(outcome.count(Cause::SidesSwapped), 1);
}

#[test]
fn scores_of_either_spelling_are_read() {
    for (chosen, rejected) in [
        ("score_chosen", "score_rejected"),
        ("chosen_score", "rejected_score"),
        ("chosen_rating", "rejected_rating"),
        ("chosen-rating", "rejected-rating"),
    ] {
        let row =
            format!(r#"{{"prompt": "Q", "chosen": "a", "rejected": "b", "{chosen}": 8.5, "{rejected}": 6}}"#);
        assert_eq!(judged(&read("scores.jsonl", row)), Judgement { votes: None, gap: Some(2.5) });
    }
    let margin = read("margin.jsonl", r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "margin": 3}"#);
    assert_eq!(judged(&margin).gap, Some(3.0));
    let upside_down =
        r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": 2}"#;
    assert_eq!(read("scores.jsonl", upside_down).count(Cause::ScoresDisagree), 1);
}

#[test]
fn a_tie_is_read() {
    let row = |tie: &str| format!(r#"{{"prompt": "Q", "chosen": "a", "rejected": "b", "tie": {tie}}}"#);
    assert_eq!(judged(&read("tie.jsonl", row("true"))).votes, Some(Votes::TIE));
    assert_eq!(read("tie.jsonl", row("false")).only().relation, Relation::Pair);
}

/// Two of three for the second.
#[test]
fn annotators_of_two_answers_are_counted() {
    let row = r#"{"instruction": "Q", "response1": "a", "response2": "b", "annotator1": 2, "annotator2": 0, "annotator3": 2}"#;
    let outcome = read("annotators.jsonl", row);
    let votes = Votes { first: 2.0 / 3.0, tie: 1.0 / 3.0, second: 0.0 };
    assert_eq!(judged(&outcome).votes, Some(votes));
    assert_eq!(outcome.only().completions, [turns(&[("assistant", "b")]), turns(&[("assistant", "a")])]);
    assert_eq!(outcome.count(Cause::SidesSwapped), 0, "nobody had put them in order");
}

#[test]
fn a_verdict_on_two_conversations_is_read() {
    let side = |answer: &str| {
        format!(r#"[{{"role":"user","content":"Q"}},{{"role":"assistant","content":"{answer}"}}]"#)
    };
    let row = |winner: &str| {
        format!(
            r#"{{"conversation_a": {}, "conversation_b": {}, "winner": "{winner}"}}"#,
            side("a"),
            side("b")
        )
    };
    let outcome = read("arena.jsonl", row("model_b"));
    assert_eq!(outcome.only().prompt, turns(&[("user", "Q")]));
    assert_eq!(outcome.only().completions[0], turns(&[("assistant", "b")]));
    assert_eq!(judged(&read("arena.jsonl", row("tie (bothbad)"))).votes, Some(Votes::TIE));
}

#[test]
fn columns_of_other_names_can_be_named() {
    let name = |name: &str| Some(name.to_owned());
    let columns = ColumnNames {
        first: name("left_text"),
        second: name("right_text"),
        annotators: Some("ann, bob".to_owned()),
        ..ColumnNames::default()
    };
    let config = SourceConfig { columns, ..SourceConfig::default() };
    let row = r#"{"prompt": "Q", "left_text": "a", "right_text": "b", "ann": "A", "bob": "tie"}"#;
    let votes = Votes { first: 0.5, tie: 0.5, second: 0.0 };
    assert_eq!(judged(&read_with("named.jsonl", row, &config)).votes, Some(votes));
    let absent = read_with("named.jsonl", r#"{"prompt": "Q", "left_text": "a", "right_text": "b"}"#, &config);
    assert!(
        absent.message().contains("no column `ann`, which `columns.annotators` names"),
        "{}",
        absent.message()
    );
}

#[test]
fn a_list_is_read_best_first_or_by_its_ranks_or_scores() {
    let order = |row: &str| {
        let outcome = read("list.jsonl", row);
        let texts = outcome.only().completions.clone();
        (texts, ranking(outcome.only()).clone())
    };
    let (texts, found) = order(r#"{"prompt": "Q", "responses": ["a", "b", "c"]}"#);
    assert_eq!((texts, found), (vec![plain("a"), plain("b"), plain("c")], Ranking::in_order(3)));
    let (texts, found) = order(r#"{"prompt": "Q", "responses": ["a", "b", "c"], "ranks": [2, 1, 2]}"#);
    assert_eq!(texts, [plain("b"), plain("a"), plain("c")]);
    assert_eq!(found.places, [0, 1, 1]);
    let scored = r#"{"prompt": "Q", "completions": ["a", "b", "c"], "scores": [0.5, 9, 3]}"#;
    let (texts, found) = order(scored);
    assert_eq!(texts, [plain("b"), plain("c"), plain("a")]);
    assert_eq!(found, Ranking { places: vec![0, 1, 2], scores: Some(vec![9.0, 3.0, 0.5]) });
}

/// Nectar's and UltraFeedback's forms.
#[test]
fn a_list_of_objects_is_read() {
    let nectar = r#"{"prompt": "\n\nHuman: Q\n\nAssistant: ", "answers": [{"answer": "a", "model": "m", "rank": 2}, {"answer": "b", "model": "n", "rank": 1}]}"#;
    let outcome = read("nectar.jsonl", nectar);
    assert_eq!(outcome.only().prompt, turns(&[("user", "Q")]));
    assert_eq!(outcome.only().completions, [turns(&[("assistant", "b")]), turns(&[("assistant", "a")])]);
    let ultra = r#"{"instruction": "Q", "completions": [{"model": "m", "response": "a", "overall_score": 4.5}, {"model": "n", "response": "b", "overall_score": 8}]}"#;
    let outcome = read("ultra.jsonl", ultra);
    assert_eq!(outcome.only().completions[0], turns(&[("assistant", "b")]));
    assert_eq!(ranking(outcome.only()).scores, Some(vec![8.0, 4.5]));
    assert_eq!(outcome.format(), "ranked lists: strings read as user and assistant turns");
}

/// Two prompts with replies: the second holds the first and its best answer; a reply without a rank is left out, and a tree
/// without ranks is nothing to learn from.
#[test]
fn a_conversation_tree_has_a_list_for_every_prompt() {
    let reply = |text: &str, rank: &str, more: &str| {
        format!(r#"{{"text": "{text}", "role": "assistant", "rank": {rank}, "replies": [{more}]}}"#)
    };
    let inner = format!(
        r#"{{"text": "Q2", "role": "prompter", "replies": [{}, {}]}}"#,
        reply("c", "0", ""),
        reply("d", "1", "")
    );
    let replies = [reply("b", "1", ""), reply("a", "0", &inner), reply("x", "null", "")].join(", ");
    let tree = |replies: &str| {
        format!(
            r#"{{"message_tree_id": "t", "prompt": {{"text": "Q", "role": "prompter", "replies": [{replies}]}}}}"#
        )
    };
    let outcome = read("trees.jsonl", format!("{}\n{}\n", tree(&replies), tree(&reply("only", "0", ""))));
    let [first, second] = outcome.examples() else { panic!("{} lists", outcome.examples().len()) };
    assert_eq!(first.prompt, turns(&[("user", "Q")]));
    assert_eq!(first.completions, [turns(&[("assistant", "a")]), turns(&[("assistant", "b")])]);
    assert_eq!(second.prompt, turns(&[("user", "Q"), ("assistant", "a"), ("user", "Q2")]));
    assert_eq!((outcome.report.rows_read, outcome.report.rows_kept()), (3, 2));
    assert_eq!((outcome.count(Cause::UnrankedLeftOut), outcome.count(Cause::NothingRanked)), (1, 1));
}

#[test]
fn labelled_completions_are_read() {
    for (value, label) in [
        ("true", Label::Desirable),
        ("false", Label::Undesirable),
        ("1", Label::Desirable),
        ("-1", Label::Undesirable),
    ] {
        let outcome = read("kto.jsonl", format!(r#"{{"prompt": "Q", "completion": "a", "label": {value}}}"#));
        assert_eq!(outcome.only().relation, Relation::Label(label));
        assert_eq!(outcome.format(), "labelled completions: plain text");
    }
    let message = read("kto.jsonl", r#"{"prompt": "Q", "completion": "a", "label": "maybe"}"#).message();
    assert!(
        message.ends_with("`label` is a string; expected true or false (also 1 and 0, or 1 and -1)"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_a_vote_or_a_score_is_an_error() {
    let message = |more: &str| {
        read("rows.jsonl", format!(r#"{{"prompt": "Q", "chosen": "a", "rejected": "b", {more}}}"#)).message()
    };
    assert!(
        message(r#""votes": 3"#)
            .contains("`votes` is the number 3; expected the share from 0 to 1 for the first, or counts")
    );
    assert!(message(r#""votes": [0, 0]"#).contains("`votes` is a list; expected"));
    assert!(message(r#""margin": "wide""#).contains("`margin` is a string; expected a number"));
    assert!(
        message(r#""annotator1": 7"#)
            .contains("`annotator1` is the number 7; expected a vote: 1 or A for the first")
    );
    let list = read("list.jsonl", r#"{"prompt": "Q", "responses": ["a", "b"], "ranks": [1]}"#).message();
    assert!(
        list.contains("`ranks` is a list; expected a list with one number for each completion"),
        "{list}"
    );
}

/// What an objective that needs this makes of the rows of a file.
fn made(rows: &str, needed: Needed, pairing: Option<Pairing>) -> Outcome {
    let mut outcome = read("rows.jsonl", rows);
    let examples = outcome.result.unwrap();
    outcome.result = shaped(examples, needed, pairing, &mut outcome.report);
    outcome
}

const LIST: &str = r#"{"prompt": "Q", "responses": ["a", "b", "c", "d"], "scores": [9, 6, 6, 1]}"#;

/// Scores 9, 6, 6, 1: of six pairs one is a tie; four are neighbours in rank.
#[test]
fn lists_become_pairs() {
    let pairs = |pairing| {
        let outcome = made(LIST, Needed::Pairs, Some(pairing));
        assert_eq!(outcome.count(Cause::MadeIntoPairs), 1);
        assert_eq!(outcome.report.rows_kept(), outcome.examples().len() as u64);
        let gap = |example: &PreferenceExample| example.relation.gap().unwrap();
        outcome.examples().iter().map(gap).collect::<Vec<f64>>()
    };
    assert_eq!(pairs(Pairing::BestWorst), [8.0]);
    assert_eq!(pairs(Pairing::All), [3.0, 3.0, 8.0, 5.0, 5.0]);
    assert_eq!(pairs(Pairing::Adjacent), [3.0, 3.0, 5.0, 5.0]);
}

#[test]
fn lists_lose_their_ties_where_an_order_is_needed() {
    let outcome = made(LIST, Needed::Lists, None);
    assert_eq!(outcome.only().completions, [plain("a"), plain("b"), plain("d")]);
    assert_eq!(ranking(outcome.only()).scores, Some(vec![9.0, 6.0, 1.0]));
    assert_eq!(outcome.count(Cause::TiesLeftOut), 1);
    assert_eq!(made(LIST, Needed::ScoredLists, None).only().completions.len(), 4);
    let equal = r#"{"prompt": "Q", "responses": ["a", "b", "c"], "scores": [1, 1, 1]}"#;
    assert_eq!(made(equal, Needed::Lists, None).count(Cause::NothingRanked), 1);
}

#[test]
fn ties_are_dropped_where_a_preference_is_needed() {
    let tie = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "tie": true}"#;
    for needed in [Needed::Pairs, Needed::Lists, Needed::Labels] {
        let outcome = made(tie, needed, None);
        assert_eq!((outcome.examples().len(), outcome.count(Cause::Tied)), (0, 1), "{needed:?}");
    }
    assert_eq!(made(tie, Needed::Votes, None).examples().len(), 1);
}

#[test]
fn rows_without_scores_are_dropped_unless_none_has_any() {
    let scored = r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "margin": 1}"#;
    let (plain, worse) = (
        r#"{"prompt": "Q", "chosen": "a", "rejected": "b"}"#,
        r#"{"prompt": "Q", "chosen": "a", "rejected": "b", "margin": -1}"#,
    );
    let outcome = made(&format!("{scored}\n{plain}\n{worse}\n"), Needed::Winners, None);
    assert_eq!(outcome.examples().len(), 1);
    assert_eq!((outcome.count(Cause::NoGap), outcome.count(Cause::NoWinner)), (1, 1));
    assert_eq!(made(&format!("{scored}\n{worse}\n"), Needed::Gaps, None).examples().len(), 2);
    let message = made(plain, Needed::Gaps, None).message();
    assert!(message.contains("the loss reads scores, and no row has any"), "{message}");
}

#[test]
fn a_pair_is_a_good_and_a_bad_completion() {
    let outcome = made(r#"{"prompt": "Q", "chosen": "a", "rejected": "b"}"#, Needed::Labels, None);
    let found: Vec<_> = outcome.examples().iter().map(|e| (&e.relation, &e.completions[0])).collect();
    assert_eq!(found[0], (&Relation::Label(Label::Desirable), &plain("a")));
    assert_eq!(found[1], (&Relation::Label(Label::Undesirable), &plain("b")));
    assert_eq!((outcome.count(Cause::Unpaired), outcome.report.rows_kept()), (1, 2));
    let line = "rows: 1 read, 1 more made of them, 2 kept, 0 dropped".to_owned();
    assert!(outcome.report.lines().contains(&line), "{:?}", outcome.report.lines());
}

#[test]
fn what_a_loss_can_make_nothing_of_is_refused() {
    let labelled = r#"{"prompt": "Q", "completion": "a", "label": true}"#;
    let refused = [
        (LIST, Needed::Pairs, "make pairs of them with `--pairs"),
        (LIST, Needed::Votes, "choose `plackett_luce`"),
        (LIST, Needed::Labels, "the loss reads single completions, and the rows are ranked lists"),
        (labelled, Needed::Pairs, "choose the loss `kto`"),
        (labelled, Needed::Lists, "choose the loss `kto`"),
        (r#"{"prompt": "Q", "responses": ["a", "b", "c"]}"#, Needed::ScoredLists, "choose `plackett_luce`"),
    ];
    for (rows, needed, expected) in refused {
        let message = made(rows, needed, None).message();
        assert!(message.contains(expected), "{needed:?}: {message}");
    }
}

fn of_set(preset: Preset, rows: &str) -> Outcome {
    read_with("set.jsonl", rows, &SourceConfig { preset: Some(preset), ..SourceConfig::default() })
}

/// Three responses to one prompt, rated 2, 4 and 2, then one to another prompt, which nothing can be learnt from.
#[test]
fn rated_responses_that_follow_each_other_are_a_list() {
    let row = |prompt: &str, response: &str, rating: u32| {
        format!(
            r#"{{"prompt": "{prompt}", "response": "{response}", "helpfulness": {rating}, "verbosity": 1}}"#
        )
    };
    let rows = [row("Q", "a", 2), row("Q", "b", 4), row("Q", "c", 2), row("R", "d", 3)].join("\n");
    let outcome = of_set(Preset::Helpsteer, &rows);
    let answers = ["b", "a", "c"].map(|text| turns(&[("assistant", text)]));
    assert_eq!(outcome.only().completions, answers);
    assert_eq!(
        ranking(outcome.only()),
        &Ranking { places: vec![0, 1, 1], scores: Some(vec![4.0, 2.0, 2.0]) }
    );
    assert_eq!((outcome.report.rows_read, outcome.report.rows_kept()), (2, 1));
    assert_eq!(outcome.count(Cause::NothingRanked), 1);
    assert_eq!(outcome.format(), "ranked lists: strings read as user and assistant turns");
}

/// Preferences below 0 are for the first response, those above for the second, and 0 is a tie.
#[test]
fn signed_preferences_are_read() {
    let row = |preference: i32| {
        format!(
            r#"{{"context": [{{"role": "user", "content": "Q"}}], "response1": "a", "response2": "b", "overall_preference": {preference}}}"#
        )
    };
    for (preference, best, gap) in [(-3, "a", 3.0), (2, "b", 2.0), (0, "a", 0.0)] {
        let outcome = of_set(Preset::Helpsteer3, &row(preference));
        assert_eq!(outcome.only().prompt, turns(&[("user", "Q")]));
        assert_eq!(outcome.only().completions[0], turns(&[("assistant", best)]));
        let votes = (preference == 0).then_some(Votes::TIE);
        assert_eq!(judged(&outcome), Judgement { votes, gap: Some(gap) });
    }
    let row = r#"{"prompt": "Q", "response_1": "a", "response_2": "b", "preference_strength": 1}"#;
    assert_eq!(of_set(Preset::Helpsteer2Preference, row).only().completions[0], turns(&[("assistant", "b")]));
}

#[test]
fn votes_on_two_answers_are_scores() {
    let row = r#"{"history": "Q", "human_ref_A": "a", "human_ref_B": "b", "labels": 0, "score_A": 2, "score_B": 12}"#;
    let outcome = of_set(Preset::Shp, row);
    assert_eq!(outcome.only().prompt, turns(&[("user", "Q")]));
    assert_eq!(outcome.only().completions[0], turns(&[("assistant", "b")]));
    assert_eq!(judged(&outcome), Judgement { votes: None, gap: Some(10.0) });
    let other = of_set(Preset::Shp, r#"{"prompt": "Q", "chosen": "a", "rejected": "b"}"#).message();
    assert!(
        other.contains("no column `history`, which the preset `shp` or `columns.prompt` names"),
        "{other}"
    );
}
