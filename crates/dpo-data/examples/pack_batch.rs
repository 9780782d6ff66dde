//! From two preference pairs to a packed batch.
//!
//! ```text
//! cargo run --release -p dpo-data --example pack_batch -- path/to/a/model/folder
//! ```

use std::path::Path;

use dpo_data::{
    Clock, DataError, DataReport, EncodeConfig, PreferenceExample, Relation, RowId, Text, TextEncoder,
    TokenTree, encode_all, pack,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name a folder with a tokenizer.json in it")?;
    let trees = trees(Path::new(&folder))?;
    let batch = pack(&trees.iter().collect::<Vec<_>>());
    println!("ids       {:?}", batch.ids);
    println!("positions {:?}", batch.positions);
    for span in batch.completions() {
        println!(
            "tree {} completion {}: prompt {:?}, tokens {:?}",
            span.tree_idx, span.completion_idx, span.prompt, span.tokens
        );
    }
    let scores = batch.score_rows();
    println!("row → token that it should predict, of completion");
    for ((row, target), owner) in scores.rows.iter().zip(&scores.targets).zip(&scores.owner) {
        println!("{row:>5} → {target:>5}, {owner}");
    }
    Ok(())
}

fn trees(folder: &Path) -> Result<Vec<TokenTree>, DataError> {
    let pairs = [
        pair(1, "The sky is", [" blue.", " green."]),
        pair(2, "Two and two make", [" four.", " five, as everybody knows."]),
    ];
    let encoder = TextEncoder::from_folder(folder, Clock::now())?;
    let options = EncodeConfig { max_length: 64, ..EncodeConfig::default() }.init()?;
    encode_all(&encoder, &pairs, &options, &mut DataReport::default())
}

/// A pair of plain texts: the first completion is the better one.
fn pair(row: u64, prompt: &str, completions: [&str; 2]) -> PreferenceExample {
    PreferenceExample {
        row: RowId { file: 0, row },
        prompt: Text::Plain(prompt.to_owned()),
        completions: completions.map(|text| Text::Plain(text.to_owned())).to_vec(),
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
        template_kwargs: serde_json::Map::new(),
    }
}
