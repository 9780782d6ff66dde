//! Takes damaged places out of a shard, so that they are met once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::scan::scan;
use super::shard::{ShardWriter, read_at};
use crate::TrainError;

/// Copies the whole entries of a damaged shard into a new one, which takes its place. Leaves the shard as it is if
/// another process holds it, which may be adding to it, or if there is no room or no right to write.
pub(super) fn repair(path: &Path, file: &File) -> Option<(PathBuf, File)> {
    file.try_lock().ok()?;
    let (mut writer, copy) = ShardWriter::create(path.parent()?).ok()?;
    let is_copied = copy_entries(path, file, &mut writer).is_ok();
    let copy_path = writer.path().to_owned();
    // At any moment one of both has every entry.
    let _ = fs::remove_file(if is_copied { path } else { &copy_path });
    is_copied.then_some((copy_path, copy))
}

fn copy_entries(path: &Path, file: &File, writer: &mut ShardWriter) -> Result<(), TrainError> {
    let mut places = Vec::new();
    scan(file, |_, offset, len| places.push((offset, len))).map_err(TrainError::io("read", path))?;
    for (offset, len) in places {
        let entry = read_at(file, offset, len).map_err(TrainError::io("read", path))?;
        let changed = || TrainError::CacheChanged { path: path.to_owned(), offset };
        writer.append(&entry.ok_or_else(changed)?)?;
    }
    writer.sync()
}
