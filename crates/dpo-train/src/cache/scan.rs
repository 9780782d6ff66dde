//! Reads through a shard from its beginning to its end, whatever is in it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::RowKey;
use super::record::{HEADER, MAGIC, len_of, verified_key};

/// After so many damaged entries the rest of a shard counts as one more.
const MAX_DAMAGED: usize = 1024;

/// Calls `found(key, offset, length)` for every entry whose checksum holds, and returns how many places were
/// damaged. After a damaged entry it goes on at the next place that looks like the beginning of one.
pub(super) fn scan(file: &File, mut found: impl FnMut(&RowKey, u64, u64)) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut offset, mut damaged) = (0, 0);
    let mut bytes = Vec::new();
    loop {
        read_entry(&mut reader, offset, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(damaged);
        }
        if let Some(key) = verified_key(&bytes) {
            found(&key, offset, bytes.len() as u64);
            offset += bytes.len() as u64;
            continue;
        }
        damaged += 1;
        match next_magic(&mut reader, offset + 1)? {
            Some(next) if damaged <= MAX_DAMAGED => offset = next,
            _ => return Ok(damaged),
        }
    }
}

/// Reads what lies at `offset`: the entry that begins there, or a part of it, or of something else.
fn read_entry(reader: &mut BufReader<&File>, offset: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    seek(reader, offset)?;
    bytes.clear();
    reader.by_ref().take(HEADER as u64).read_to_end(bytes)?;
    if let Some(len) = len_of(bytes) {
        reader.by_ref().take(len - bytes.len() as u64).read_to_end(bytes)?;
    }
    Ok(())
}

/// The next offset, from this one on, where an entry may begin.
fn next_magic(reader: &mut BufReader<&File>, from: u64) -> io::Result<Option<u64>> {
    seek(reader, from)?;
    let mut last = [0; MAGIC.len()];
    for (at, byte) in (from + 1..).zip(reader.by_ref().bytes()) {
        last.rotate_left(1);
        last[MAGIC.len() - 1] = byte?;
        if last == MAGIC {
            return Ok(Some(at - MAGIC.len() as u64));
        }
    }
    Ok(None)
}

/// Seeks without giving up the buffer, which a plain seek would.
fn seek(reader: &mut BufReader<&File>, to: u64) -> io::Result<()> {
    let at = reader.stream_position()?;
    match i64::try_from(i128::from(to) - i128::from(at)) {
        Ok(distance) => reader.seek_relative(distance),
        Err(_) => reader.seek(SeekFrom::Start(to)).map(drop),
    }
}
