//! Rows that were read already, for whoever asks for them again.

use std::{
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use anyhow::Result;
use dpo_data::{DataReport, PreferenceExample, SourceConfig, read_examples};

use super::FileRows;

/// Files that were read. Copies of it are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowCache(Rc<RefCell<Cached>>);

#[derive(Debug, Default)]
struct Cached {
    /// Rows as tokens, by their file and all that decides what becomes of it.
    tokenised: HashMap<(PathBuf, String), Rc<FileRows>>,
    /// Rows as text, each for one reader.
    as_text: Vec<ReadFile>,
}

/// A file as it was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    path: PathBuf,
    source: SourceConfig,
    pub(super) examples: Vec<PreferenceExample>,
    pub(super) report: DataReport,
}

impl ReadFile {
    fn new(path: &Path, source: &SourceConfig) -> Result<Self> {
        let mut report = DataReport::default();
        let examples = read_examples(&[path.to_owned()], source, &mut report)?;
        Ok(Self { path: path.to_owned(), source: source.clone(), examples, report })
    }
}

impl RowCache {
    /// Reads files that will be asked for again, and shows all their rows.
    pub(crate) fn read_ahead<T>(
        &self,
        paths: &[PathBuf],
        source: &SourceConfig,
        look: impl FnOnce(&mut dyn Iterator<Item = &PreferenceExample>) -> Result<T>,
    ) -> Result<T> {
        let files: Vec<ReadFile> =
            paths.iter().map(|path| ReadFile::new(path, source)).collect::<Result<_>>()?;
        let seen = look(&mut files.iter().flat_map(|file| &file.examples))?;
        self.0.borrow_mut().as_text.extend(files);
        Ok(seen)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.0.take();
    }

    /// The rows of a file: those that were read ahead, which are gone then, or read now.
    pub(super) fn read(&self, path: &Path, source: &SourceConfig) -> Result<ReadFile> {
        let is_it = |file: &ReadFile| file.path == path && file.source == *source;
        let as_text = &mut self.0.borrow_mut().as_text;
        match as_text.iter().position(is_it) {
            Some(idx) => Ok(as_text.swap_remove(idx)),
            None => ReadFile::new(path, source),
        }
    }

    pub(super) fn get(&self, key: &(PathBuf, String)) -> Option<Rc<FileRows>> {
        self.0.borrow().tokenised.get(key).map(Rc::clone)
    }

    pub(super) fn insert(&self, key: (PathBuf, String), rows: &Rc<FileRows>) {
        self.0.borrow_mut().tokenised.insert(key, Rc::clone(rows));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What was read ahead is what reading gives, once, and only for who reads it the same way.
    #[test]
    fn rows_that_were_read_ahead_are_handed_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n").unwrap();
        let (cache, source) = (RowCache::default(), SourceConfig::default());
        let n = cache.read_ahead(std::slice::from_ref(&path), &source, |rows| Ok(rows.count())).unwrap();
        assert_eq!(n, 1);
        let before = ReadFile::new(&path, &source).unwrap();
        std::fs::remove_file(&path).unwrap();
        let other = SourceConfig { strings: dpo_data::Strings::Messages, ..SourceConfig::default() };
        assert!(cache.read(&path, &other).is_err(), "read another way");
        let handed_on = cache.clone().read(&path, &source).unwrap();
        assert_eq!((handed_on.examples, handed_on.report), (before.examples, before.report));
        assert!(cache.read(&path, &source).is_err(), "it is gone");
    }
}
