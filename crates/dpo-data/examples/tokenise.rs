//! How fast a file becomes tokens: `cargo run --release --package dpo-data --example tokenise -- MODEL_FOLDER DATA…`.
//!
//! Reads and tokenises all rows as `dpo train` does, five times, and prints the median. Beside it stands
//! `tests/python/tokenise_speed.py`, which times the same work of TRL's `DPOTrainer`.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Instant,
};

use dpo_data::{Clock, DataReport, EncodeConfig, SourceConfig, TextEncoder, encode_all, read_examples};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times of which the median is taken.
const TIMES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let Some(folder) = args.next() else { return Err("usage: tokenise MODEL_FOLDER DATA…".into()) };
    let files: Vec<PathBuf> = args.collect();
    let encoder = TextEncoder::from_folder(&folder, Clock::now())?;
    let mut seconds = Vec::new();
    let mut size = (0, 0);
    for _ in 0..TIMES {
        let start = Instant::now();
        size = tokenised(&encoder, &files)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[TIMES / 2];
    let (n_rows, n_tokens) = size;
    println!(
        "{n_rows} rows, {n_tokens} tokens: median {median:.3} s of {TIMES} ({:.3} to {:.3}), {:.0} rows/s, {:.0} tokens/s, \
         {} threads",
        seconds[0],
        seconds[TIMES - 1],
        n_rows as f64 / median,
        n_tokens as f64 / median,
        rayon::current_num_threads(),
    );
    Ok(())
}

/// Rows and tokens of the files, each prompt counted once.
fn tokenised(encoder: &TextEncoder, files: &[PathBuf]) -> Result<(usize, usize), Box<dyn Error>> {
    let mut report = DataReport::default();
    let files: Vec<PathBuf> = files.iter().map(|file| Path::new(file).to_owned()).collect();
    let examples = read_examples(&files, &SourceConfig::default(), &mut report)?;
    let trees = encode_all(encoder, &examples, &EncodeConfig::default().init()?, &mut report)?;
    Ok((trees.len(), trees.iter().map(dpo_data::TokenTree::n_tokens).sum()))
}
