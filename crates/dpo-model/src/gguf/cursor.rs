//! Numbers and strings from a file, none of them longer than what is left of it.

use crate::error::ModelError;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// A position in a GGUF file.
pub(super) struct Cursor {
    reader: BufReader<File>,
    path: PathBuf,
    position: u64,
    len: u64,
}

impl Cursor {
    pub(super) fn new(file: File, path: &Path, len: u64) -> Self {
        Self { reader: BufReader::new(file), path: path.to_path_buf(), position: 0, len }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> ModelError {
        ModelError::bad_file(&self.path, problem)
    }

    /// An error unless `count` items of at least `item_bytes` each still fit into the file.
    pub(super) fn expect_room(&self, count: u64, item_bytes: u64, what: &str) -> Result<(), ModelError> {
        let left = self.len - self.position;
        if count.checked_mul(item_bytes).is_some_and(|needed| needed <= left) {
            return Ok(());
        }
        let at = self.position;
        Err(self.error(format!("claims {count} {what} at byte {at}, but only {left} bytes are left")))
    }

    /// The next `len` bytes.
    pub(super) fn bytes(&mut self, len: u64, what: &str) -> Result<Vec<u8>, ModelError> {
        self.expect_room(len, 1, &format!("bytes for {what}"))?;
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ModelError> {
        self.reader.read_exact(bytes).map_err(ModelError::reading(&self.path))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ModelError> {
        if self.len - self.position < N as u64 {
            return Err(self.error(format!("ends at byte {} within {what}; it is cut off", self.len)));
        }
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, ModelError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, ModelError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length and that many bytes of UTF-8.
    pub(super) fn string(&mut self, what: &str) -> Result<String, ModelError> {
        let len = self.u64(what)?;
        let bytes = self.bytes(len, what)?;
        let at = self.position;
        String::from_utf8(bytes).map_err(|_| self.error(format!("{what} before byte {at} is not UTF-8")))
    }
}
