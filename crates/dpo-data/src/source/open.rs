//! Opens a file, finds out how it is stored, and digests every byte of it on the way.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use super::read_error;
use crate::DataError;

/// Bytes looked at to find out what a file is.
const SNIFFED: usize = 1 << 18;

/// A data file, by what is in it.
pub(super) enum Source {
    /// Text, decompressed.
    Text(TextSource),
    /// A Parquet file, digested whole.
    Parquet(File, Digest),
}

/// Text with its first bytes at hand.
pub(super) struct TextSource {
    /// The start of the text, without a byte order mark.
    pub(super) start: Vec<u8>,
    /// Whether this is all of it.
    pub(super) whole: bool,
    /// Whether a byte order mark was taken off.
    pub(super) had_bom: bool,
    /// `, gzip` or the like.
    pub(super) compression: &'static str,
    rest: Box<dyn Read>,
    raw: Rc<RefCell<Digested>>,
}

/// Size and BLAKE3 digest of a file.
pub(super) struct Digest {
    pub(super) bytes: u64,
    pub(super) blake3: String,
}

/// Opens `path` and looks at its first bytes, not at its name.
pub(super) fn open(path: &Path) -> Result<Source, DataError> {
    let raw = Digested { file: open_file(path)?, hasher: blake3::Hasher::new(), bytes: 0 };
    let raw = Rc::new(RefCell::new(raw));
    let failed = |source| read_error(path, 0, source);
    let mut shared = Shared(Rc::clone(&raw));
    let magic = read_start(&mut shared, 8).map_err(failed)?;
    if magic.is_empty() {
        return Err(DataError::EmptyFile { path: path.to_path_buf() });
    }
    if magic.starts_with(b"PAR1") {
        let digest = digest_rest(&raw).map_err(failed)?;
        let file = raw.borrow().file.try_clone().map_err(failed)?;
        return Ok(Source::Parquet(file, digest));
    }
    let stored = Cursor::new(magic.clone()).chain(shared);
    let (compression, mut rest): (_, Box<dyn Read>) = if magic.starts_with(&[0x1F, 0x8B]) {
        (", gzip", Box::new(flate2::read::MultiGzDecoder::new(stored)))
    } else if magic.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        (", zstd", Box::new(zstd::stream::read::Decoder::new(stored).map_err(failed)?))
    } else {
        ("", Box::new(stored))
    };
    let mut start = read_start(&mut rest, SNIFFED).map_err(failed)?;
    refuse_other_kinds(&start, path)?;
    let whole = start.len() < SNIFFED;
    let had_bom = start.starts_with(&[0xEF, 0xBB, 0xBF]);
    if had_bom {
        start.drain(..3);
    }
    Ok(Source::Text(TextSource { start, whole, had_bom, compression, rest, raw }))
}

impl TextSource {
    /// Reads all of the text with `read`, and digests what lies behind it in the file.
    pub(super) fn read<T>(
        self,
        path: &Path,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T, DataError>,
    ) -> Result<(T, Digest), DataError> {
        let text = Cursor::new(self.start).chain(self.rest);
        let value = read(&mut BufReader::with_capacity(SNIFFED, text))?;
        let digest = digest_rest(&self.raw).map_err(|source| read_error(path, 0, source))?;
        Ok((value, digest))
    }
}

/// A file whose bytes are digested as they are read.
struct Digested {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Read for Digested {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n_read = self.file.read(into)?;
        self.hasher.update(&into[..n_read]);
        self.bytes += n_read as u64;
        Ok(n_read)
    }
}

/// The same file for the decompressor and, after it, for the digest.
struct Shared(Rc<RefCell<Digested>>);

impl Read for Shared {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(into)
    }
}

fn digest_rest(raw: &Rc<RefCell<Digested>>) -> io::Result<Digest> {
    io::copy(&mut Shared(Rc::clone(raw)), &mut io::sink())?;
    let raw = raw.borrow();
    Ok(Digest { bytes: raw.bytes, blake3: raw.hasher.finalize().to_hex().to_string() })
}

fn read_start(reader: &mut dyn Read, n_bytes: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::take(reader, n_bytes as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn open_file(path: &Path) -> Result<File, DataError> {
    if path.is_dir() {
        return Err(DataError::Folder { path: path.to_path_buf(), files: some_files(path) });
    }
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { path: path.to_path_buf() },
        _ => read_error(path, 0, source),
    })
}

/// The names of a few files in a folder, sorted.
fn some_files(folder: &Path) -> Vec<String> {
    const SHOWN: usize = 5;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    if names.len() > SHOWN {
        names.truncate(SHOWN);
        names.push("…".to_owned());
    }
    names
}

fn refuse_other_kinds(start: &[u8], path: &Path) -> Result<(), DataError> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"PAR1", "a Parquet file inside another compression; unpack it"),
        (&[0x1F, 0x8B], "a file that was compressed twice"),
        (&[0x28, 0xB5, 0x2F, 0xFD], "a file that was compressed twice"),
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh", "a bzip2 file"),
        (b"\xFD7zXZ", "an xz file"),
        (b"ARROW1", "an Arrow file"),
        (&[0xFF, 0xFF, 0xFF, 0xFF], "an Arrow stream"),
        (&[0xFF, 0xFE], "UTF-16 text; save it as UTF-8"),
        (&[0xFE, 0xFF], "UTF-16 text; save it as UTF-8"),
        (b"GGUF", "a GGUF model"),
        (b"SQLite format 3", "an SQLite database"),
        (&[0x80, 0x02], "a Python pickle"),
        (&[0x80, 0x04], "a Python pickle"),
        (&[0x80, 0x05], "a Python pickle"),
    ];
    match KINDS.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some(&(_, found)) => Err(DataError::Storage { path: path.to_path_buf(), found }),
        None => Ok(()),
    }
}
