//! Tokenising against what transformers and TRL made of the same texts.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::path::Path;

use dpo_data::{
    Cause, Clock, DataReport, EncodeConfig, EncodeOptions, Message, Overlong, Piece, PreferenceExample,
    Relation, RowId, SpecialText, Text, TextEncoder, TokenTree, encode_all,
};
use serde_json::{Map, Value, json};

use support::{gguf_vocabulary, ids, json as read_json, shared, smollm2};

fn text(value: &Value) -> Text {
    match value {
        Value::String(text) => Text::Plain(text.clone()),
        messages => Text::Messages(serde_json::from_value::<Vec<Message>>(messages.clone()).unwrap()),
    }
}

fn pair(row: usize, example: &Value) -> PreferenceExample {
    PreferenceExample {
        row: RowId { file: 0, row: row as u64 },
        prompt: text(&example["prompt"]),
        completions: vec![text(&example["chosen"]), text(&example["rejected"])],
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
        template_kwargs: Map::new(),
    }
}

fn pairs<'a>(examples: impl IntoIterator<Item = &'a Value>) -> Vec<PreferenceExample> {
    examples.into_iter().zip(1..).map(|(example, row)| pair(row, example)).collect()
}

fn options(max_length: usize, overlong: Overlong) -> EncodeOptions {
    EncodeConfig { max_length, overlong, special_text: SpecialText::Literal }.init().unwrap()
}

fn encode(
    encoder: &TextEncoder,
    examples: &[PreferenceExample],
    options: &EncodeOptions,
) -> (Vec<TokenTree>, DataReport) {
    let mut report = DataReport::default();
    let trees = encode_all(encoder, examples, options, &mut report).unwrap();
    (trees, report)
}

fn golden_tree(row: &Value) -> [Vec<u32>; 3] {
    [ids(&row["prompt_ids"]), ids(&row["chosen_ids"]), ids(&row["rejected_ids"])]
}

fn as_golden(tree: &TokenTree) -> [Vec<u32>; 3] {
    [tree.prompt.clone(), tree.completions[0].clone(), tree.completions[1].clone()]
}

fn jsonl(path: &Path, n: usize) -> Vec<Value> {
    let file = std::fs::read_to_string(path).unwrap();
    file.lines().take(n).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All strings of the golden file, special tokens parsed, and back.
#[test]
fn smollm2_strings_are_those_of_transformers() {
    let (Some(shared), Some(encoder)) = (shared(), smollm2()) else { return };
    let golden = read_json(&shared.join("golden/tokenizer_smollm2.json"));
    let parsed = |text: &Value| {
        encoder
            .encode_prompt(&Text::Plain(text.as_str().unwrap().to_owned()), &Map::new(), SpecialText::Parse)
            .unwrap()
    };
    for string in golden["strings"].as_array().unwrap() {
        let tokens = parsed(&string["text"]);
        assert_eq!(tokens, ids(&string["ids"]), "{}", string["text"]);
        assert_eq!(encoder.decode_with_special_tokens(&tokens).unwrap(), string["decoded"]);
        assert_eq!(encoder.decode(&tokens).unwrap(), string["decoded_skip_special"]);
    }
    assert_eq!(encoder.vocab_size(), 49152);
    assert_eq!((encoder.eos_ids(), encoder.token_id("<|im_start|>")), (&[2][..], Some(1)));
}

/// Conversations up to the answer; the one with `<|im_end|>` inside a turn comes out as text where it is literal.
#[test]
fn smollm2_chats_are_those_of_transformers() {
    let (Some(shared), Some(encoder)) = (shared(), smollm2()) else { return };
    let golden = read_json(&shared.join("golden/tokenizer_smollm2.json"));
    let chats = golden["chats"].as_array().unwrap().iter();
    for chat in chats.clone().filter(|chat| chat["add_generation_prompt"] == false) {
        let example = json!({"prompt": [], "chosen": chat["messages"], "rejected": chat["messages"]});
        let parse =
            EncodeConfig { max_length: 0, special_text: SpecialText::Parse, ..EncodeConfig::default() };
        let (trees, report) = encode(&encoder, &pairs([&example]), &parse.init().unwrap());
        let [prompt, chosen, _] = as_golden(&trees[0]);
        assert_eq!([prompt, chosen].concat(), ids(&chat["ids"]), "{}", chat["text"]);
        assert_eq!(report.rows_of(Cause::SameTokens), 1);
    }
    for chat in chats.filter(|chat| chat["add_generation_prompt"] == true) {
        let prompt = text(&chat["messages"]);
        let parsed = encoder.encode_prompt(&prompt, &Map::new(), SpecialText::Parse).unwrap();
        assert_eq!(parsed, ids(&chat["ids"]), "{}", chat["text"]);
        let literal = encoder.encode_prompt(&prompt, &Map::new(), SpecialText::Literal).unwrap();
        assert_eq!(encoder.decode_with_special_tokens(&literal).unwrap(), chat["text"]);
        let injected = chat["messages"].to_string().matches("<|im_end|>").count();
        let ends = |tokens: &[u32]| tokens.iter().filter(|id| **id == 2).count();
        assert_eq!(ends(&parsed), ends(&literal) + injected);
        assert_eq!(parsed == literal, injected == 0);
    }
}

/// A conversation as the plain text that the human pairs were published in.
fn transcript(example: &Value) -> Value {
    let content = |message: &Value| message["content"].as_str().unwrap().to_owned();
    let turn = |message: &Value| {
        let speaker = if message["role"] == "user" { "Human" } else { "Assistant" };
        format!("\n\n{speaker}: {}", content(message))
    };
    let prompt: String = example["prompt"].as_array().unwrap().iter().map(turn).collect();
    let side = |name: &str| format!(" {}", content(&example[name][0]));
    json!({"prompt": prompt + "\n\nAssistant:", "chosen": side("chosen"), "rejected": side("rejected")})
}

/// The rows of real data and the odd ones, cut where TRL cuts them.
#[test]
fn smollm2_rows_are_those_of_trl() {
    let (Some(shared), Some(encoder)) = (shared(), smollm2()) else { return };
    let golden = read_json(&shared.join("golden/tokenizer_smollm2.json"));
    let prepared = &golden["trl_prepare"];
    let all = options(0, Overlong::Refuse);
    let rows = prepared["conv"].as_array().unwrap();
    let examples = jsonl(&shared.join("data/hh-harmless/train.conv.jsonl"), rows.len());
    let (trees, _) = encode(&encoder, &pairs(&examples), &all);
    for (tree, row) in trees.iter().zip(rows) {
        assert_eq!(as_golden(tree), golden_tree(row));
    }
    let rows = prepared["plain"].as_array().unwrap();
    let transcripts: Vec<Value> = examples.iter().map(transcript).collect();
    let (trees, _) = encode(&encoder, &pairs(&transcripts), &all);
    for (tree, row) in trees.iter().zip(rows) {
        assert_eq!(as_golden(tree), golden_tree(row));
    }
    let rows = prepared["edge"].as_array().unwrap();
    let (trees, report) = encode(&encoder, &pairs(rows.iter().map(|row| &row["example"])), &all);
    for (tree, row) in trees.iter().zip(rows) {
        assert_eq!(as_golden(tree), golden_tree(row), "{}", row["example"]);
    }
    let shortened = rows.iter().filter(|row| row["prompt_ids"] != row["prompt_alone"]).count();
    assert_eq!(report.rows_of(Cause::BoundaryStraddle), shortened as u64);
    assert_eq!(report.rows_of(Cause::UnscoredFirstToken), 1);
}

/// Every row of every run as TRL prepared it.
#[test]
fn rows_of_golden_runs_are_those_of_trl() {
    let Some(shared) = shared() else { return };
    let runs = shared.join("golden/runs");
    let encoder = TextEncoder::from_folder(&runs.join("model"), Clock::at_unix_seconds(0)).unwrap();
    for run in ["base_conv", "base_plain", "truncate"] {
        let golden = read_json(&runs.join(run).join("golden.json"));
        let data = read_json(&runs.join(format!("train_{}.json", golden["format"].as_str().unwrap())));
        let examples = pairs(data.as_array().unwrap());
        let max_length = golden["options"]["max_length"].as_u64().unwrap() as usize;
        let (trees, report) = encode(&encoder, &examples, &options(max_length, Overlong::KeepStart));
        let (whole, _) = encode(&encoder, &examples, &options(0, Overlong::Refuse));
        let rows = golden["dataset"].as_array().unwrap();
        assert_eq!(trees.len() as u64, golden["rows_kept"].as_u64().unwrap(), "{run}");
        assert_eq!(report.rows_of(Cause::PromptTooLong), (examples.len() - trees.len()) as u64);
        for (tree, row) in trees.iter().zip(rows) {
            // TRL's rows are written before its collator cuts them.
            let uncut = whole.iter().find(|whole| whole.row == tree.row).unwrap();
            assert_eq!(as_golden(uncut), golden_tree(row), "{run}");
            let room = max_length - tree.prompt.len();
            let cut = golden_tree(row).map(|ids| ids[..ids.len().min(room)].to_vec());
            assert_eq!(tree.completions, cut[1..], "{run}");
        }
    }
}

/// The tokenizer that the GGUF file holds is the one of the folder it was made of.
#[test]
fn a_sentence_piece_vocabulary_becomes_the_same_tokenizer() {
    let Some(shared) = shared() else { return };
    let path = shared.join("models/stories260k.gguf");
    let made = TextEncoder::from_gguf(&gguf_vocabulary(&path), &path, Clock::at_unix_seconds(0)).unwrap();
    let original =
        TextEncoder::from_folder(&shared.join("models/stories260k"), Clock::at_unix_seconds(0)).unwrap();
    // Ways to cut the same piece in two may stand in any order: no text has both.
    let merges = |encoder: &TextEncoder| {
        let json: Value = serde_json::from_slice(&encoder.files()[0].bytes).unwrap();
        let mut merges: Vec<String> =
            json["model"]["merges"].as_array().unwrap().iter().map(Value::to_string).collect();
        merges.sort_unstable();
        merges
    };
    assert_eq!(merges(&made), merges(&original));
    let rows = jsonl(&shared.join("data/hh-harmless/train.conv.jsonl"), 40);
    let extra = ["", " ", "  a  b ", "日本語 é\n\t\u{7f}", "Once upon a time, Timmy", "</s> in a text"];
    let texts = rows.iter().map(Value::to_string).chain(extra.map(str::to_owned));
    for text in texts {
        for special in [SpecialText::Literal, SpecialText::Parse] {
            let ids = |encoder: &TextEncoder| {
                encoder.encode_prompt(&Text::Plain(text.clone()), &Map::new(), special).unwrap()
            };
            assert_eq!(ids(&made), ids(&original), "{text}");
            assert_eq!(made.decode(&ids(&made)).unwrap(), original.decode(&ids(&original)).unwrap());
        }
    }
    assert_eq!((made.bos_id(), made.eos_id(), made.adds_bos()), (Some(1), Some(2), true));
    assert_eq!(made.vocab_size(), original.vocab_size());
}

fn toy(shared: &Path) -> TextEncoder {
    TextEncoder::from_folder(&shared.join("golden/runs/model"), Clock::at_unix_seconds(0)).unwrap()
}

/// A row can write `</s><|user|>` and neither end its turn nor start another's: of the ids that mean these, there are
/// as many as in a row that writes something else, and the text is still the one written.
#[test]
fn a_row_cannot_forge_turns() {
    let Some(shared) = shared() else { return };
    let encoder = toy(&shared);
    let conversation = |said: &str| {
        json!({
            "prompt": [{"role": "user", "content": said}],
            "chosen": [{"role": "assistant", "content": said}],
            "rejected": [{"role": "assistant", "content": "no"}],
        })
    };
    let forged = "a</s><|user|>\u{FDD0}b</s>\u{FDD1}\u{FDD2}2\u{FDD3}";
    let (trees, report) = encode(
        &encoder,
        &pairs([&conversation(forged), &conversation("plain")]),
        &options(0, Overlong::Refuse),
    );
    let special = |tree: &TokenTree| {
        let ids = as_golden(tree).concat();
        ids.into_iter().filter(|id| *id < 6).collect::<Vec<u32>>()
    };
    assert_eq!(special(&trees[0]), special(&trees[1]));
    assert_eq!(report.rows_of(Cause::SpecialTokenInText), 1);
    let shown = encoder.decode_with_special_tokens(&trees[0].completions[0]).unwrap();
    assert_eq!(shown, "a</s><|user|>b</s>2</s>");
    let plain = json!({"prompt": "x</s>y", "chosen": "<s>z</s>", "rejected": "no"});
    let (trees, _) = encode(&encoder, &pairs([&plain]), &options(0, Overlong::Refuse));
    assert_eq!(special(&trees[0]), [2, 2], "each completion ends, and nothing else does");
    assert_eq!(encoder.decode_with_special_tokens(&trees[0].completions[0]).unwrap(), "<s>z</s>");
}

/// What stands in a row without special tokens is tokenised the same on both ways.
#[test]
fn the_literal_way_changes_nothing_else() {
    let Some(shared) = shared() else { return };
    let encoders = [
        Some(toy(&shared)),
        smollm2(),
        TextEncoder::from_folder(&shared.join("models/stories260k"), Clock::at_unix_seconds(0)).ok(),
    ];
    for encoder in encoders.into_iter().flatten() {
        let eos = encoder.decode_with_special_tokens(&[encoder.eos_id().unwrap()]).unwrap();
        for row in jsonl(&shared.join("data/hh-harmless/train.implicit.jsonl"), 20) {
            let text = row.to_string();
            let ids = |text: &str| {
                encoder.encode_prompt(&Text::Plain(text.to_owned()), &Map::new(), SpecialText::Literal)
            };
            let usual = ids(&format!("{text}\n\n")).unwrap();
            let literal = ids(&format!("{text}\n\n{eos}")).unwrap();
            let shared = usual.iter().zip(&literal).take_while(|(a, b)| a == b).count();
            assert!(shared + 2 >= usual.len() && !literal.contains(&encoder.eos_id().unwrap()), "{text}");
        }
    }
}

#[test]
fn errors_name_the_row() {
    let Some(shared) = shared() else { return };
    let template = dpo_data::ChatTemplate::compile(
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}",
        Path::new("model/chat_template.jinja"),
        Clock::at_unix_seconds(0),
    );
    let encoder = toy(&shared).with_chat_template(template.unwrap());
    let row = json!({"prompt": [{"role": "system", "content": "x"}], "chosen": [], "rejected": []});
    let error = |example: &PreferenceExample| {
        encoder
            .encode(example, Path::new("pairs.jsonl"), &options(8, Overlong::Refuse))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(&pair(7, &row)),
        "pairs.jsonl: row 7: the chat template in model/chat_template.jinja refuses this row: System role not \
         supported (line 1 of the template)"
    );
    let long = pair(8, &json!({"prompt": "12345", "chosen": "123", "rejected": "1"}));
    assert!(
        error(&long).starts_with("pairs.jsonl: row 8: the row has 9 tokens, 5 of them prompt"),
        "{}",
        error(&long)
    );
    let mixed = pair(9, &json!({"prompt": "12345", "chosen": [], "rejected": "1"}));
    assert!(
        error(&mixed).starts_with("pairs.jsonl: row 9: the row cannot be tokenised: "),
        "{}",
        error(&mixed)
    );
}

/// An emoji of four bytes, of which the first two end the prompt, is shown with what is trained on.
#[test]
fn pieces_survive_a_character_cut_in_two() {
    let Some(shared) = shared() else { return };
    let encoder = toy(&shared);
    let ids = |text: &str| {
        encoder.encode_prompt(&Text::Plain(text.to_owned()), &Map::new(), SpecialText::Parse).unwrap()
    };
    let emoji = ids("a😀b</s>");
    let tree = TokenTree {
        row: RowId { file: 0, row: 1 },
        prompt: emoji[..3].to_vec(),
        completions: vec![emoji[3..].to_vec(), ids("c")],
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
    };
    let pieces = encoder.pieces(&tree, 0).unwrap();
    assert_eq!(pieces, [Piece::Prompt("a".to_owned()), Piece::Trained("😀b</s>".to_owned())]);
    assert_eq!(encoder.pieces(&tree, 2).unwrap(), []);
}

#[test]
fn an_unknown_split_is_named() {
    let vocabulary = dpo_data::GgufVocabulary {
        model: "gpt2".to_owned(),
        pre: "viking".to_owned(),
        tokens: vec!["a".to_owned()],
        ..dpo_data::GgufVocabulary::default()
    };
    let error =
        TextEncoder::from_gguf(&vocabulary, Path::new("m.gguf"), Clock::at_unix_seconds(0)).unwrap_err();
    assert!(error.to_string().starts_with("m.gguf: it splits text as `viking`"), "{error}");
}
