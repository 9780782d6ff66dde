//! The rows that both sides read, and nothing else: who reads more starts later and takes more memory.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Writes the first `n_rows` lines of `data` to `path`.
pub(super) fn first(data: &Path, n_rows: usize, path: &Path) -> Result<PathBuf> {
    let file = File::open(data).with_context(|| format!("cannot read {}", data.display()))?;
    let cannot_write = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(cannot_write)?);
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
            return Ok(path.to_owned());
        }
    }
    bail!(
        "{}: has {found} rows; --steps times --batch-size takes {n_rows}: give another file, or lower one of them",
        data.display()
    )
}

/// The first `n_rows` lists of a file, and all their pairs, one list after another; and how many pairs a list has.
pub(super) fn lists(data: &Path, n_rows: usize, folder: &Path) -> Result<(PathBuf, PathBuf, usize)> {
    let lists = first(data, n_rows, &folder.join("lists.jsonl"))?;
    let (mut pairs, mut of_each) = (String::new(), None);
    for (idx, line) in fs::read_to_string(&lists)?.lines().enumerate() {
        let place = || format!("{}, row {}", data.display(), idx + 1);
        let row: Value = serde_json::from_str(line).with_context(|| format!("{}: no JSON", place()))?;
        let completions = row["completions"].as_array().filter(|completions| completions.len() >= 2);
        let completions = completions.with_context(|| format!("{}: no list of `completions`", place()))?;
        if *of_each.get_or_insert(completions.len()) != completions.len() {
            bail!("{}: {} completions; the rows before have another number", place(), completions.len());
        }
        for (rank, chosen) in completions.iter().enumerate() {
            for rejected in &completions[rank + 1..] {
                let pair = json!({ "prompt": row["prompt"], "chosen": chosen, "rejected": rejected });
                pairs += &format!("{pair}\n");
            }
        }
    }
    let path = folder.join("pairs.jsonl");
    fs::write(&path, pairs).with_context(|| format!("cannot write {}", path.display()))?;
    let of_each = of_each.unwrap_or_default();
    Ok((lists, path, of_each * (of_each - 1) / 2))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Three of a list make three pairs, in order; a list of another length is named.
    #[test]
    fn lists_become_all_their_pairs() {
        let folder = std::env::temp_dir().join(format!("xtask-lists-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let data = folder.join("data.jsonl");
        let row = r#"{"prompt":"p","completions":["a","b","c"]}"#;
        std::fs::write(&data, format!("{row}\n{}\n", row.replace(",\"c\"", ""))).unwrap();
        let (found, pairs, of_each) = lists(&data, 1, &folder).unwrap();
        assert_eq!((std::fs::read_to_string(found).unwrap(), of_each), (format!("{row}\n"), 3));
        let sides: Vec<[String; 2]> = std::fs::read_to_string(pairs)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|pair| ["chosen", "rejected"].map(|side| pair[side].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(sides, [["a", "b"], ["a", "c"], ["b", "c"]]);
        let message = lists(&data, 2, &folder).unwrap_err().to_string();
        assert!(message.ends_with("row 2: 2 completions; the rows before have another number"), "{message}");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// Blank lines are no rows; a file with too few says how many it has.
    #[test]
    fn as_many_rows_as_are_taken() {
        let folder = std::env::temp_dir().join(format!("xtask-rows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let data = folder.join("data.jsonl");
        std::fs::write(&data, "{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}").unwrap();
        let path = first(&data, 2, &folder.join("rows.jsonl")).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
        let message = first(&data, 4, &folder.join("rows.jsonl")).unwrap_err().to_string();
        assert!(message.contains("has 3 rows") && message.contains("takes 4"), "{message}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
