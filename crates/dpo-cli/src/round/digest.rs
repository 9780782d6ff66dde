//! BLAKE3 of what rounds are made of, as files: the same for every version of this program.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Digest of a file's bytes.
pub(super) fn of_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    hasher.update_reader(file).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Digest of a model: of its file, or of the names, weights and settings in its folder.
pub(super) fn of_model(path: &Path) -> Result<String> {
    if path.is_file() {
        return of_file(path);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".safetensors") || name == "config.json" || name == "adapter_config.json"
    };
    let mut parts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_part).collect();
    parts.sort();
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.file_name().unwrap_or_default().as_encoded_bytes());
        hasher.update(of_file(&part)?.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
