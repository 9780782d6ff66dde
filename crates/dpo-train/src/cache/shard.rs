//! The file that one process appends its entries to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::Builder;

use super::SHARD;
use crate::TrainError;
use crate::files::sync_dir;

/// A shard with a name of its own, which no other process writes to.
#[derive(Debug)]
pub(super) struct ShardWriter {
    path: PathBuf,
    file: File,
    len: u64,
}

impl ShardWriter {
    /// Makes an empty shard; the second file is for reading it.
    pub(super) fn create(dir: &Path) -> Result<(Self, File), TrainError> {
        let at = || TrainError::io("write in", dir);
        let mut builder = Builder::new();
        builder.prefix("shard-").suffix(SHARD).rand_bytes(12);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let made = builder.tempfile_in(dir).map_err(at())?;
        let (file, path) = made.keep().map_err(|error| at()(error.error))?;
        // Tells those who repair shards that it is being added to; where files cannot be locked, none is repaired.
        let _ = file.try_lock();
        sync_dir(dir).map_err(at())?;
        let reader = File::open(&path).map_err(TrainError::io("read", &path))?;
        Ok((Self { path, file, len: 0 }, reader))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes an entry and says where it begins. What a failed write left is taken away.
    pub(super) fn append(&mut self, entry: &[u8]) -> Result<u64, TrainError> {
        let offset = self.len;
        if let Err(error) = self.file.write_all(entry) {
            // Should this fail too, the remains are found damaged later, and nothing else is lost.
            let _ = self.file.set_len(offset);
            let _ = self.file.seek(SeekFrom::Start(offset));
            return Err(TrainError::io("write", &self.path)(error));
        }
        self.len += entry.len() as u64;
        Ok(offset)
    }

    /// Makes all entries survive a power cut.
    pub(super) fn sync(&mut self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(TrainError::io("write", &self.path))
    }
}

/// Reads this part of a file; `None` if the file ends before.
pub(super) fn read_at(mut file: &File, offset: u64, len: u64) -> io::Result<Option<Vec<u8>>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == len).then_some(bytes))
}
