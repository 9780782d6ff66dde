//! What the experiment starts from, inside the program: a small model and pairs sampled from it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file of the bundle: its path below the bundle's folder, and its content.
type Asset = (&'static str, &'static [u8]);

macro_rules! assets {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../../../assets/", $path)))),*]
    };
}

/// Made by `cargo xtask assets`.
const ASSETS: &[Asset] = assets![
    "model/config.json",
    "model/model.safetensors",
    "model/tokenizer.json",
    "model/tokenizer_config.json",
    "model/special_tokens_map.json",
    "pairs/train.jsonl",
    "pairs/heldout.jsonl",
];

/// The bundle as files.
pub(crate) struct Bundle(PathBuf);

impl Bundle {
    /// Writes the files below `root`, in a folder named by their content; those that are there already stay.
    pub(crate) fn unpack(root: &Path) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for (path, bytes) in ASSETS {
            hasher.update(path.as_bytes()).update(bytes);
        }
        let folder = root.join(format!("experiment-{}", &hasher.finalize().to_hex()[..16]));
        for (path, bytes) in ASSETS {
            let path = folder.join(path);
            let is_there = std::fs::read(&path).is_ok_and(|there| there == *bytes);
            if !is_there {
                let parent = path.parent().unwrap_or(&folder);
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("cannot make {}", parent.display()))?;
                dpo_train::write_atomically(&path, bytes)?;
            }
        }
        Ok(Self(folder))
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    pub(crate) fn train_pairs(&self) -> PathBuf {
        self.0.join("pairs/train.jsonl")
    }

    pub(crate) fn heldout_pairs(&self) -> PathBuf {
        self.0.join("pairs/heldout.jsonl")
    }
}
