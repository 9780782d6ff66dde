//! Names on the hub: `org/name`, a subset of a data set, a revision.

use anyhow::{Result, bail};
use std::path::{Component, Path};

/// The revision where none is named.
pub(super) const MAIN: &str = "main";

/// A repository and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepoId {
    /// `org/name`.
    pub(super) name: String,
    /// Folder of a data set that has several.
    pub(super) subset: Option<String>,
    /// Branch, tag or commit.
    pub(super) revision: String,
}

impl RepoId {
    /// `org/name[@revision]`.
    pub(super) fn model(given: &str) -> Result<Self> {
        match Self::parse(given) {
            Some(id) if id.subset.is_none() => Ok(id),
            _ => bail!(
                "`{given}`: no such file or folder, and no hub id, which is `org/name` or `org/name@revision`"
            ),
        }
    }

    /// `org/name[/subset][@revision]`.
    pub(super) fn dataset(given: &str) -> Result<Self> {
        let is_file = [".json", ".jsonl", ".parquet", ".gz", ".zst"].iter().any(|end| given.ends_with(end));
        match Self::parse(given) {
            Some(id) if !is_file => Ok(id),
            _ => bail!(
                "`{given}`: no such file or folder, and no hub id, which is `org/name`, `org/name/subset` or either with \
                 `@revision`"
            ),
        }
    }

    fn parse(given: &str) -> Option<Self> {
        let (path, revision) = given.split_once('@').unwrap_or((given, MAIN));
        let parts: Vec<&str> = path.split('/').collect();
        let (org, name, subset) = match parts.as_slice() {
            [org, name] => (org, name, None),
            [org, name, subset] => (org, name, Some((*subset).to_owned())),
            _ => return None,
        };
        let words = || parts.iter().copied().chain(revision.split('/'));
        words().all(is_word).then(|| Self {
            name: format!("{org}/{name}"),
            subset,
            revision: revision.to_owned(),
        })
    }
}

/// Characters that the hub allows in names; no `.` or `..`, which would be a folder.
fn is_word(word: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !word.is_empty() && !word.starts_with('.') && !word.contains("..") && word.chars().all(allowed)
}

pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a name stays below the folder that it is joined to.
pub(super) fn is_plain_path(name: &str) -> bool {
    let plain = |part: Component| matches!(part, Component::Normal(_));
    !name.is_empty() && !name.contains('\\') && Path::new(name).components().all(plain)
}
