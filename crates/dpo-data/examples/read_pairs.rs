//! Reads preference data, says what became of every row, and shows the first pair.
//!
//! ```sh
//! cargo run --release --package dpo-data --example read_pairs -- pairs.jsonl more.parquet
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use dpo_data::{DataError, DataReport, SourceConfig, Text, read_examples};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match show(&paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(source) = std::error::Error::source(&error) {
                eprintln!("  because: {source}");
            }
            ExitCode::FAILURE
        }
    }
}

fn show(paths: &[PathBuf]) -> Result<(), DataError> {
    let mut report = DataReport::default();
    let examples = read_examples(paths, &SourceConfig::default(), &mut report)?;
    for line in report.lines() {
        println!("{line}");
    }
    if let Some(pair) = examples.first() {
        println!("\nthe first pair, from row {}:", pair.row.row);
        show_text("prompt", &pair.prompt);
        for (name, completion) in ["chosen", "rejected"].into_iter().zip(&pair.completions) {
            show_text(name, completion);
        }
    }
    Ok(())
}

fn show_text(name: &str, text: &Text) {
    match text {
        Text::Plain(text) => println!("  {name}: {text:?}"),
        Text::Messages(turns) => {
            for turn in turns {
                println!("  {name}, {}: {:?}", turn.role, turn.content);
            }
        }
    }
}
