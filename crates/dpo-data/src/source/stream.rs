//! The rows of a file a chunk at a time, read in the background: for sets that are larger than memory.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::columns::Columns;
use super::row::RowReader;
use super::{SourceConfig, read_file};
use crate::{DataError, DataReport, PreferenceExample};

/// Rows of a chunk.
pub(super) const CHUNK: u64 = 256;
/// Chunks that are read ahead.
const AHEAD: usize = 2;

/// Rows that follow each other in a file, and what became of them.
#[derive(Debug, Default)]
pub struct ExampleChunk {
    /// Those that something can be learnt from.
    pub examples: Vec<PreferenceExample>,
    /// What happened to all of them; the file itself is in that of its last chunk.
    pub report: DataReport,
}

/// The chunks of one file, in order. At most a few are in memory at a time, however large the file is.
#[derive(Debug)]
pub struct ExampleStream {
    chunks: Receiver<Result<ExampleChunk, DataError>>,
}

impl ExampleStream {
    /// Begins to read `path`, whose rows go by the number `file`.
    ///
    /// # Errors
    /// Settings that no row could be read with, and a preset that makes lists of rows that follow each other.
    pub fn open(path: PathBuf, file: u32, config: SourceConfig) -> Result<Self, DataError> {
        Columns::new(&config)?;
        if config.preset.and_then(super::Preset::rating).is_some() {
            let problem = "this preset makes lists of all rows with the same prompt; read the set as a whole";
            return Err(DataError::Config { problem: problem.to_owned() });
        }
        let (sender, chunks) = sync_channel(AHEAD);
        thread::spawn(move || {
            // Whoever listens no longer wants nothing more.
            let last = read(&path, file, &config, &sender);
            let _ = sender.send(last);
        });
        Ok(Self { chunks })
    }
}

impl Iterator for ExampleStream {
    type Item = Result<ExampleChunk, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.recv().ok()
    }
}

/// Sends all chunks but the last, which it gives back.
fn read(
    path: &std::path::Path,
    file: u32,
    config: &SourceConfig,
    sender: &SyncSender<Result<ExampleChunk, DataError>>,
) -> Result<ExampleChunk, DataError> {
    let columns = Columns::new(config)?;
    let mut last = ExampleChunk::default();
    let mut n_sent = 0;
    let mut send = |chunk: ExampleChunk| {
        n_sent += chunk.report.rows_read;
        sender.send(Ok(chunk)).map_err(|_| DataError::NotWanted)
    };
    let rows = RowReader::new(path, file, config, &columns, &mut last.report, &mut last.examples);
    let whole = read_file(path, config, &columns, rows.in_chunks(&mut send))?;
    last.report.rows_read = whole.rows - n_sent;
    last.report.files.push(whole);
    Ok(last)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Cause, read_examples};

    fn file(n: u64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let row = |n: u64| {
            // Every seventh teaches nothing.
            let rejected = if n.is_multiple_of(7) { "a" } else { "b" };
            format!("{{\"prompt\": \"q{n}\", \"chosen\": \"a\", \"rejected\": \"{rejected}\"}}\n")
        };
        std::fs::write(&path, (1..=n).map(row).collect::<String>()).unwrap();
        (dir, path)
    }

    /// Chunks are the rows of the whole file, in order, and their reports add up to that of the whole.
    #[test]
    fn chunks_are_the_file() {
        let (_dir, path) = file(5000);
        let config = SourceConfig::default();
        let mut report = DataReport::default();
        let whole = read_examples(std::slice::from_ref(&path), &config, &mut report).unwrap();
        let mut together = ExampleChunk::default();
        let mut largest = 0;
        for chunk in ExampleStream::open(path, 0, config).unwrap() {
            let chunk = chunk.unwrap();
            largest = largest.max(chunk.report.rows_read);
            together.examples.extend(chunk.examples);
            together.report.merge(chunk.report);
        }
        assert_eq!(largest, CHUNK);
        assert!(together.examples == whole, "the same rows");
        assert_eq!(together.report, report);
        assert_eq!(report.rows_of(Cause::IdenticalSides), 714);
    }

    /// What is wrong with a row is said when it is reached, and nothing comes after it.
    #[test]
    fn the_first_mistake_ends_it() {
        let (_dir, path) = file(3000);
        let text = std::fs::read_to_string(&path).unwrap() + "{\"prompt\": 3}\n" + "{}\n";
        std::fs::write(&path, text).unwrap();
        let chunks: Vec<_> = ExampleStream::open(path, 0, SourceConfig::default()).unwrap().collect();
        assert_eq!(chunks.iter().filter(|chunk| chunk.is_ok()).count() as u64, 3000 / CHUNK);
        assert!(chunks.last().unwrap().as_ref().unwrap_err().to_string().contains("rows.jsonl:3001"));
    }
}
