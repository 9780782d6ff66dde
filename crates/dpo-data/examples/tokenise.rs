//! How fast a file becomes tokens: `cargo run --release --package dpo-data --example tokenise -- MODEL_FOLDER DATA…`.
//!
//! Reads and tokenises all rows as `dpo train` does, five times, each with a tokenizer that has met no word yet, and prints the
//! medians of seconds and of seconds of the processor. Beside it stands
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
    let (mut seconds, mut of_processor) = (Vec::new(), Vec::new());
    let mut size = (0, 0);
    for _ in 0..TIMES {
        let encoder = TextEncoder::from_folder(&folder, Clock::now())?;
        let (start, busy) = (Instant::now(), processor_seconds());
        size = tokenised(&encoder, &files)?;
        seconds.push(start.elapsed().as_secs_f64());
        of_processor.push(processor_seconds() - busy);
    }
    seconds.sort_by(f64::total_cmp);
    of_processor.sort_by(f64::total_cmp);
    let median = seconds[TIMES / 2];
    let (n_rows, n_tokens) = size;
    println!(
        "{n_rows} rows, {n_tokens} tokens: median {median:.3} s of {TIMES} ({:.3} to {:.3}), {:.0} rows/s, {:.0} tokens/s, \
         {} threads, {:.2} s of the processor",
        seconds[0],
        seconds[TIMES - 1],
        n_rows as f64 / median,
        n_tokens as f64 / median,
        rayon::current_num_threads(),
        of_processor[TIMES / 2],
    );
    Ok(())
}

/// Seconds that all threads of this process have computed, in hundredths; 0 where the system does not tell.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name stands in brackets and may have spaces in it; behind it the 12th and 13th number are ticks of user and system.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    numbers.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Rows and tokens of the files, each prompt counted once.
fn tokenised(encoder: &TextEncoder, files: &[PathBuf]) -> Result<(usize, usize), Box<dyn Error>> {
    let mut report = DataReport::default();
    let files: Vec<PathBuf> = files.iter().map(|file| Path::new(file).to_owned()).collect();
    let examples = read_examples(&files, &SourceConfig::default(), &mut report)?;
    let trees = encode_all(encoder, &examples, &EncodeConfig::default().init()?, &mut report)?;
    Ok((trees.len(), trees.iter().map(dpo_data::TokenTree::n_tokens).sum()))
}
