//! Rows as token ids, as TRL prepares them.

use dpo_data::{
    Clock, DataReport, EncodeConfig, Overlong, SourceConfig, TextEncoder, TokenTree, encode_all,
    read_examples,
};
use serde_json::Value;

use crate::support::{golden, ids, json};

/// The rows of a file under `runs`, for the tiny model.
pub fn trees(file: &str, max_length: usize) -> Vec<TokenTree> {
    let encoder = TextEncoder::from_folder(&golden("runs/model"), Clock::at_unix_seconds(0)).unwrap();
    let mut report = DataReport::default();
    let paths = [golden(&format!("runs/{file}.json"))];
    let examples = read_examples(&paths, &SourceConfig::default(), &mut report).unwrap();
    let options = EncodeConfig { max_length, overlong: Overlong::KeepStart, ..EncodeConfig::default() };
    encode_all(&encoder, &examples, &options.init().unwrap(), &mut report).unwrap()
}

/// A row of the golden cut to `max_length`, as TRL's collator cuts it.
fn expected(row: &Value, max_length: usize) -> (Vec<u32>, Vec<Vec<u32>>) {
    let prompt = ids(&row["prompt_ids"]);
    let room = max_length - prompt.len();
    let completion = |side: &str| {
        let mut completion = ids(&row[side]);
        completion.truncate(room);
        completion
    };
    (prompt, vec![completion("chosen_ids"), completion("rejected_ids")])
}

#[test]
fn token_ids_are_those_that_trl_prepares() {
    let runs = [
        ("base_conv", "train_conv", 160),
        ("base_plain", "train_plain", 160),
        ("truncate", "train_conv", 64),
    ];
    for (run, file, max_length) in runs {
        let golden_run = json(golden(&format!("runs/{run}.json")));
        let rows = golden_run["dataset"].as_array().unwrap();
        let trees = trees(file, max_length);
        assert_eq!(trees.len(), rows.len(), "{run}: rows that are left");
        for (tree, row) in trees.into_iter().zip(rows) {
            let (prompt, completions) = expected(row, max_length);
            assert_eq!(tree.prompt, prompt, "{run}: prompt of row {}", tree.row.row);
            assert_eq!(tree.completions, completions, "{run}: completions of row {}", tree.row.row);
        }
    }
}
