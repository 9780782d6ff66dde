//! The rows that both sides read, and nothing else: who reads more starts later and takes more memory.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Writes the first `n_rows` lines of `data` into `folder`.
pub(super) fn first(data: &Path, n_rows: usize, folder: &Path) -> Result<PathBuf> {
    let file = File::open(data).with_context(|| format!("cannot read {}", data.display()))?;
    let path = folder.join("rows.jsonl");
    let cannot_write = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(&path).with_context(cannot_write)?);
    let mut found = 0;
    for line in BufReader::new(file).lines() {
        let line = line.with_context(|| format!("{}, line {}: no text", data.display(), found + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        writeln!(out, "{line}").with_context(cannot_write)?;
        found += 1;
        if found == n_rows {
            out.flush().with_context(cannot_write)?;
            return Ok(path);
        }
    }
    bail!(
        "{}: has {found} rows; --steps times --batch-size takes {n_rows}: give another file, or lower one of them",
        data.display()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Blank lines are no rows; a file with too few says how many it has.
    #[test]
    fn as_many_rows_as_are_taken() {
        let folder = std::env::temp_dir().join(format!("xtask-rows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let data = folder.join("data.jsonl");
        std::fs::write(&data, "{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}").unwrap();
        let path = first(&data, 2, &folder).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
        let message = first(&data, 4, &folder).unwrap_err().to_string();
        assert!(message.contains("has 3 rows") && message.contains("takes 4"), "{message}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
