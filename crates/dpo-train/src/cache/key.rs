//! What an entry is found by.

use std::fmt;

/// Changes when the log-probs of the same model and row would be computed otherwise, or are laid down otherwise.
const FORMAT: &[u8] = b"dpo reference log-probs 1";

/// A reference in one arithmetic; every one has a folder of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheScope {
    digest: blake3::Hash,
}

impl CacheScope {
    /// The model of this digest, which must cover weights and configuration, evaluated in this arithmetic: number
    /// format, backend, and what else its last bits depend on, such as [`dpo_kernels::arithmetic`].
    pub fn new(model_digest: &str, arithmetic: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [FORMAT, model_digest.as_bytes(), arithmetic.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Self { digest: hasher.finalize() }
    }

    /// The key of a row: its prompt and its completions, in their order, as token ids.
    pub fn row_key<'a>(&self, prompt: &[u32], completions: impl IntoIterator<Item = &'a [u32]>) -> RowKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.digest.as_bytes());
        // Each list goes in behind its length, so that no two rows look alike.
        update_with_ids(&mut hasher, prompt);
        for completion in completions {
            update_with_ids(&mut hasher, completion);
        }
        RowKey(*hasher.finalize().as_bytes())
    }

    /// Name of its folder.
    pub(super) fn folder(&self) -> String {
        self.digest.to_hex()[..32].to_owned()
    }
}

fn update_with_ids(hasher: &mut blake3::Hasher, ids: &[u32]) {
    hasher.update(&(ids.len() as u64).to_le_bytes());
    for id in ids {
        hasher.update(&id.to_le_bytes());
    }
}

/// BLAKE3 of model, number format and token ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(pub(super) [u8; 32]);

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowKey({})", blake3::Hash::from(self.0).to_hex())
    }
}
