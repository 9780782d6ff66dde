//! Tokenizers out of GGUF metadata and back, against llama.cpp's own ids.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::path::Path;

use dpo_data::{Clock, DataError, GgufProblem, GgufVocabulary, GgufWarning, SpecialText, Text, TextEncoder};
use serde_json::{Map, Value, json};

use support::{gguf_vocabulary, ids, json as read_json, shared, smollm2};

fn clock() -> Clock {
    Clock::at_unix_seconds(0)
}

fn encoder(vocabulary: &GgufVocabulary) -> TextEncoder {
    TextEncoder::from_gguf(vocabulary, Path::new("m.gguf"), clock()).unwrap()
}

fn tokenised(encoder: &TextEncoder, text: &str) -> Vec<u32> {
    encoder.encode_prompt(&Text::Plain(text.to_owned()), &Map::new(), SpecialText::Parse).unwrap()
}

fn tokenizer_json(encoder: &TextEncoder) -> Value {
    let file = encoder.files().iter().find(|file| file.name == "tokenizer.json").unwrap();
    serde_json::from_slice(&file.bytes).unwrap()
}

/// A folder with this `tokenizer.json`.
fn from_json(json: &Value) -> TextEncoder {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    TextEncoder::from_folder(folder.path(), clock()).unwrap()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// `tests/golden/gguf_splits.py` wrote it.
fn splits() -> Value {
    read_json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf_splits.json"))
}

fn of_split(golden: &Value, pre: &str) -> GgufVocabulary {
    let tokens = strings(&golden["tokens"]);
    let control = tokens.len() as u32 - 1;
    let mut token_types = vec![1; tokens.len()];
    token_types[control as usize] = 3;
    GgufVocabulary {
        model: "gpt2".to_owned(),
        pre: pre.to_owned(),
        tokens,
        token_types,
        merges: strings(&golden["merges"]),
        bos_id: Some(control),
        eos_id: Some(control),
        add_bos: Some(false),
        ..GgufVocabulary::default()
    }
}

fn names(split: &Value) -> Vec<String> {
    strings(&split["names"])
}

#[test]
fn text_is_split_as_llama_cpp_splits_it() {
    let golden = splits();
    for split in golden["splits"].as_array().unwrap() {
        for pre in names(split) {
            let encoder = encoder(&of_split(&golden, &pre));
            let rows = strings(&golden["texts"]).into_iter().zip(split["ids"].as_array().unwrap());
            for (text, expected) in rows.filter(|(_, expected)| !expected.is_null()) {
                assert_eq!(tokenised(&encoder, &text), ids(expected), "{pre}: {text:?}");
            }
        }
    }
}

/// `tokenizer.json` of every split is recognised, under the name or another that means the same.
#[test]
fn every_split_is_written_as_it_was_read() {
    let golden = splits();
    for pre in golden["splits"].as_array().unwrap().iter().flat_map(names) {
        let (vocabulary, n_rows) = (of_split(&golden, &pre), golden["tokens"].as_array().unwrap().len());
        let read = encoder(&vocabulary);
        let export = read.to_gguf_vocabulary(n_rows).unwrap();
        assert_eq!(export.warnings, [], "{pre}");
        assert_eq!(tokenizer_json(&encoder(&export.vocabulary)), tokenizer_json(&read), "{pre}");
        let expected = GgufVocabulary {
            pre: export.vocabulary.pre.clone(),
            add_eos: Some(false),
            add_space_prefix: Some(false),
            ..vocabulary
        };
        assert_eq!(export.vocabulary, expected, "{pre}");
    }
}

/// SmolLM2-135M-Instruct, where `$DPO_SMOLLM2` is the GGUF file.
#[test]
fn smollm2_comes_back_as_it_was() {
    let Some(read) = smollm2() else { return };
    if read.path().is_dir() {
        println!("skipped: SmolLM2 is a folder here");
        return;
    }
    let vocabulary = gguf_vocabulary(read.path());
    let export = read.to_gguf_vocabulary(vocabulary.tokens.len()).unwrap();
    assert_eq!(export.warnings, []);
    // No `assert_eq!`: a failure would print 49,152 tokens.
    assert!(export.vocabulary.tokens == vocabulary.tokens);
    assert!(export.vocabulary.merges == vocabulary.merges);
    assert!(export.vocabulary == GgufVocabulary { add_eos: Some(false), ..vocabulary });
}

/// The scores are others; the merges that follow from them are the same.
#[test]
fn a_sentence_piece_vocabulary_comes_back_as_it_was() {
    let Some(shared) = shared() else { return };
    let vocabulary = gguf_vocabulary(&shared.join("models/stories260k.gguf"));
    let read = encoder(&vocabulary);
    let folder = TextEncoder::from_folder(&shared.join("models/stories260k"), clock()).unwrap();
    for original in [&read, &folder] {
        let export = original.to_gguf_vocabulary(512).unwrap();
        assert_eq!(export.warnings, []);
        let written = &export.vocabulary;
        assert_eq!((&written.tokens, &written.token_types), (&vocabulary.tokens, &vocabulary.token_types));
        assert_eq!((written.bos_id, written.eos_id, written.unk_id), (Some(1), Some(2), Some(0)));
        assert_eq!((written.add_bos, written.add_eos), (Some(true), Some(false)));
        assert_eq!(tokenizer_json(&encoder(written)), tokenizer_json(&read));
    }
}

/// A vocabulary of SentencePiece's with runs of spaces, as Gemma's files have them.
fn spaces() -> GgufVocabulary {
    let pieces = ["<unk>", "<s>", "</s>", "▁", "a", "▁a", "  ", "   ", "aa"];
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    GgufVocabulary {
        model: "llama".to_owned(),
        tokens: pieces.map(str::to_owned).into_iter().chain(bytes).collect(),
        token_types: [vec![2, 3, 3, 1, 1, 1, 4, 4, 1], vec![6; 256]].concat(),
        scores: [vec![-1000.0, -1000.0, -1000.0, -9.0, -8.0, -1.0, -1000.0, -1000.0, -2.0], vec![0.0; 256]]
            .concat(),
        bos_id: Some(1),
        eos_id: Some(2),
        unk_id: Some(0),
        add_bos: Some(false),
        add_space_prefix: Some(false),
        ..GgufVocabulary::default()
    }
}

/// Runs of spaces are joined before anything else, the longest first, whatever their score: three and one of four.
#[test]
fn runs_of_spaces_are_pieces() {
    let encoder = encoder(&spaces());
    for (text, expected) in [
        ("a a", &[4, 5][..]),
        ("  a", &[6, 4]),
        ("    aa", &[7, 5, 4]),
        ("      ", &[7, 7]),
        ("b", &[9 + b'b' as u32]),
    ] {
        assert_eq!(tokenised(&encoder, text), expected, "{text:?}");
        assert_eq!(encoder.decode(expected).unwrap(), text);
    }
    let export = encoder.to_gguf_vocabulary(spaces().tokens.len()).unwrap();
    assert_eq!(export.warnings, []);
    assert_eq!(
        (&export.vocabulary.tokens, &export.vocabulary.token_types),
        (&spaces().tokens, &spaces().token_types)
    );
}

#[test]
fn rows_without_a_token_get_a_placeholder() {
    let golden = splits();
    let vocabulary = of_split(&golden, "smollm");
    let n_tokens = vocabulary.tokens.len();
    let mut export = encoder(&vocabulary).to_gguf_vocabulary(n_tokens + 2).unwrap();
    for _ in 0..2 {
        let GgufVocabulary { tokens, token_types, .. } = &export.vocabulary;
        assert_eq!(tokens[..n_tokens], vocabulary.tokens);
        let placeholders = [format!("[PAD{n_tokens}]"), format!("[PAD{}]", n_tokens + 1)];
        assert_eq!((&tokens[n_tokens..], &token_types[n_tokens..]), (&placeholders[..], &[5, 5][..]));
        export = encoder(&export.vocabulary).to_gguf_vocabulary(n_tokens + 2).unwrap();
    }
}

/// `tokenizer.json` as it was read under `pre`, with something else at `pointer`.
fn changed(pre: &str, pointer: &str, value: Value) -> TextEncoder {
    let mut json = tokenizer_json(&encoder(&of_split(&splits(), pre)));
    *json.pointer_mut(pointer).unwrap() = value;
    from_json(&json)
}

fn problem(encoder: &TextEncoder, n_rows: usize) -> GgufProblem {
    match encoder.to_gguf_vocabulary(n_rows).unwrap_err() {
        DataError::NotGguf { source, .. } => source,
        other => panic!("{other}"),
    }
}

fn split(pattern: &str, behavior: &str, invert: bool) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert})
}

#[test]
fn what_gguf_cannot_say_is_named() {
    let lower = json!({"type": "Lowercase"});
    let prefix =
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let words = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
    for (encoder, expected) in [
        (
            changed("smollm", "/normalizer", lower),
            "llama.cpp cannot change text as its normalizer does, `{\"type\"",
        ),
        (
            changed("smollm", "/pre_tokenizer", prefix),
            "llama.cpp has no name for how it splits text, `{\"type\"",
        ),
        (
            changed("qwen2", "/pre_tokenizer/pretokenizers/0", split(r"\w+|\s+", "Isolated", false)),
            "llama.cpp has no name for how it splits text",
        ),
        (changed("smollm", "/model", words), "its model is WordLevel; byte-level BPE and"),
    ] {
        let problem = problem(&encoder, 5000).to_string();
        assert!(problem.starts_with(expected), "{expected} — {problem}");
    }
    let encoder = encoder(&of_split(&splits(), "smollm"));
    let n_tokens = encoder.vocab_size();
    let too_few = GgufProblem::TooFewRows { id: n_tokens as u64 - 1, n_rows: n_tokens - 1 };
    assert_eq!(problem(&encoder, n_tokens - 1), too_few);
    let error = encoder.to_gguf_vocabulary(1).unwrap_err().to_string();
    assert_eq!(error, "m.gguf: the tokenizer cannot be written to a GGUF file");
}

/// Files of converted tokenizers write what matches, not what is between, and line ends as they are.
#[test]
fn the_same_split_in_other_words_is_recognised() {
    let golden = tokenizer_json(&encoder(&of_split(&splits(), "gpt-4o")));
    let pattern = golden["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"].as_str().unwrap();
    let literal = pattern.replace(r"\r", "\r").replace(r"\n", "\n");
    let steps = json!({"type": "Sequence", "pretokenizers": [
        split(&literal, "Removed", true),
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
    ]});
    let export = changed("gpt-4o", "/pre_tokenizer", steps).to_gguf_vocabulary(5000).unwrap();
    assert_eq!((export.vocabulary.pre.as_str(), export.warnings.as_slice()), ("gpt-4o", [].as_slice()));
    let alone =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let export = changed("gpt-2", "/pre_tokenizer", alone).to_gguf_vocabulary(5000).unwrap();
    assert_eq!(export.vocabulary.pre, "gpt-2");
}

#[test]
fn what_llama_cpp_does_otherwise_is_warned_of() {
    let nfc = json!({"type": "NFC"});
    let strips = GgufWarning::Surroundings { n_tokens: 1 };
    for (encoder, pre, warning) in [
        (changed("qwen2", "/added_tokens/0/rstrip", true.into()), "qwen2", strips),
        (changed("llama-bpe", "/normalizer", nfc), "llama-bpe", GgufWarning::Normalizer),
        (
            changed("gpt-2", "/model/ignore_merges", true.into()),
            "gpt-2",
            GgufWarning::WholePieces { pre: "gpt-2" },
        ),
    ] {
        let export = encoder.to_gguf_vocabulary(5000).unwrap();
        assert_eq!((export.vocabulary.pre.as_str(), export.warnings), (pre, vec![warning]));
    }
    let json = tokenizer_json(&encoder(&spaces()));
    let with = |pointer: &str, value: Value| {
        let mut json = json.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        from_json(&json).to_gguf_vocabulary(500).unwrap()
    };
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false});
    let export = with("/pre_tokenizer", metaspace);
    assert_eq!(
        (export.vocabulary.add_space_prefix, export.warnings),
        (Some(true), vec![GgufWarning::SpaceBefore])
    );
    // Four of the five merges: the runs of three as 2 + 1 and 1 + 2, the run of two, `▁a` and `aa`.
    let merges = json["model"]["merges"].as_array().unwrap();
    assert_eq!(merges.len(), 5);
    let export = with("/model/merges", merges[..4].into());
    assert_eq!(export.warnings, [GgufWarning::Merges { n_merges: 1 }]);
}
