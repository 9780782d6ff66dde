//! From files to examples: every form of row, every mistake, and real data sets.
#![allow(clippy::unwrap_used)]

mod ballots;
mod formats;
mod mistakes;
mod preferences;
mod real_sets;
mod storage;
mod tables;

use std::path::PathBuf;

use dpo_data::{
    Cause, DataError, DataReport, Message, PreferenceExample, Purpose, SourceConfig, Text, read_examples,
};
use serde_json::Map;
use tempfile::TempDir;

/// What reading some bytes as a file gave.
struct Outcome {
    folder: TempDir,
    result: Result<Vec<PreferenceExample>, DataError>,
    report: DataReport,
}

impl Outcome {
    fn examples(&self) -> &[PreferenceExample] {
        self.result.as_ref().unwrap()
    }

    fn only(&self) -> &PreferenceExample {
        let [example] = self.examples() else { panic!("{} examples", self.examples().len()) };
        example
    }

    /// The error's message, with the path's folder left out.
    fn message(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.result.as_ref().unwrap_err().to_string().replace(&folder, "")
    }

    fn count(&self, cause: Cause) -> u64 {
        self.report.rows_of(cause)
    }

    fn format(&self) -> &str {
        &self.report.files[0].recognised[0].format
    }
}

fn read_with(name: &str, bytes: impl AsRef<[u8]>, config: &SourceConfig) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut report = DataReport::default();
    let result = read_examples(&[path], config, &mut report);
    Outcome { folder, result, report }
}

fn read(name: &str, bytes: impl AsRef<[u8]>) -> Outcome {
    read_with(name, bytes, &SourceConfig::default())
}

fn read_demonstrations(bytes: impl AsRef<[u8]>) -> Outcome {
    let config = SourceConfig { purpose: Purpose::Demonstrations, ..SourceConfig::default() };
    read_with("demonstrations.jsonl", bytes, &config)
}

fn plain(text: &str) -> Text {
    Text::Plain(text.to_owned())
}

fn turns(turns: &[(&str, &str)]) -> Text {
    let message = |(role, content): &(&str, &str)| Message {
        role: (*role).into(),
        content: (*content).into(),
        extra: Map::new(),
    };
    Text::Messages(turns.iter().map(message).collect())
}
