//! Values of a run file that are more than a number or a word: lists of sources, named evaluation sets, column names.

use std::{collections::BTreeMap, fmt, path::Path, str::FromStr};

use dpo_model::LoraTargets;
use serde::{Deserialize, Serialize};

/// The roles a column of the data can play, the keys of `data.columns`.
pub(crate) const COLUMN_ROLES: [&str; 20] = [
    "prompt",
    "chosen",
    "rejected",
    "completion",
    "system",
    "weight",
    "group",
    "score_chosen",
    "score_rejected",
    "margin",
    "votes",
    "annotators",
    "tie",
    "label",
    "first",
    "second",
    "verdict",
    "completions",
    "ranks",
    "scores",
];

/// An evaluation set: `NAME=SOURCE` or `SOURCE`.
///
/// What stands before the first `=` is a name only if it is made of letters, digits, `_` and `-`,
/// so that a path with an equals sign can be written `./a=b.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EvalSet {
    /// The name in the metrics (`eval_<name>_loss`), when it was given one.
    pub(crate) name: Option<String>,
    /// A file or the id of a hub dataset.
    pub(crate) source: String,
}

impl EvalSet {
    /// The given name, else the file's name up to its first dot.
    pub(crate) fn name_or_stem(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| stem(&self.source))
    }
}

/// The name of the file `source`, up to its first dot.
pub(crate) fn stem(source: &str) -> &str {
    let Some(file) = Path::new(source).file_name().and_then(|file| file.to_str()) else { return source };
    let end = file.find('.').filter(|at| *at > 0).unwrap_or(file.len());
    &file[..end]
}

impl FromStr for EvalSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, source) = match text.split_once('=') {
            Some((name, source)) if is_name(name) => (Some(name.to_owned()), source),
            _ => (None, text),
        };
        if source.is_empty() {
            return Err("expected NAME=PATH or PATH".to_owned());
        }
        Ok(Self { name, source: source.to_owned() })
    }
}

/// Whether `name` can stand in a metric's name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The name a column has in the data: `ROLE=NAME`, as in `chosen=winner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnName {
    /// One of [`COLUMN_ROLES`].
    pub(crate) role: String,
    /// Its name in the files.
    pub(crate) column: String,
}

impl FromStr for ColumnName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((role, column)) => Ok(Self { role: role.to_owned(), column: column.to_owned() }),
            None => Err("expected ROLE=NAME, as in chosen=winner".to_owned()),
        }
    }
}

/// Whether and from where a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) enum Resume {
    /// Start anew; an output directory that already holds a run is refused.
    No,
    /// From the last complete checkpoint of the output directory, if it has one.
    Auto,
    /// From this checkpoint or run directory.
    From(String),
}

impl From<String> for Resume {
    fn from(text: String) -> Self {
        match text.as_str() {
            "no" => Self::No,
            "auto" => Self::Auto,
            _ => Self::From(text),
        }
    }
}

impl From<Resume> for String {
    fn from(resume: Resume) -> Self {
        resume.to_string()
    }
}

impl FromStr for Resume {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.to_owned().into())
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::Auto => "auto",
            Self::From(dir) => dir,
        })
    }
}

/// The matrices that an adapter is put beside, as PEFT reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected `all-linear`, a list of names, or a regular expression")]
pub(crate) enum Targets {
    /// `all-linear`, or a regular expression.
    One(String),
    /// Ends of names.
    Names(Vec<String>),
}

impl FromStr for Targets {
    type Err = String;

    /// Names stand between commas; what has any character that no name has is a regular expression.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.split(',').all(|name| name.trim().is_empty()) {
            return Err(
                "expected `all-linear`, names such as `q_proj,v_proj`, or a regular expression".to_owned()
            );
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ',');
        let is_pattern = text == "all-linear" || text.contains(".*") || !text.chars().all(is_name);
        Ok(match is_pattern {
            true => Self::One(text.to_owned()),
            false => {
                Self::Names(text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
            }
        })
    }
}

impl Targets {
    /// As dpo-model has them.
    pub(crate) fn resolved(&self) -> LoraTargets {
        match self {
            Self::One(text) if text == "all-linear" => LoraTargets::AllLinear,
            Self::One(pattern) => LoraTargets::Pattern(pattern.clone()),
            Self::Names(names) => LoraTargets::Names(names.clone()),
        }
    }

    /// As a run file has them.
    pub(crate) fn written(targets: &LoraTargets) -> Self {
        match targets {
            LoraTargets::AllLinear => Self::One("all-linear".to_owned()),
            LoraTargets::Pattern(pattern) => Self::One(pattern.clone()),
            LoraTargets::Names(names) => Self::Names(names.clone()),
        }
    }
}

/// `data.train`: one source or a list of them.
pub(super) mod sources {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a path or a list of paths")]
    enum Written {
        One(String),
        Many(Vec<String>),
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        Ok(Some(match Written::deserialize(deserializer)? {
            Written::One(source) => vec![source],
            Written::Many(sources) => sources,
        }))
    }

    #[expect(clippy::ref_option, reason = "serde hands the field over like this")]
    pub(in super::super) fn serialize<S: Serializer>(
        sources: &Option<Vec<String>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        sources.serialize(serializer)
    }
}

/// `data.eval`: one source, a list of them, or a table of named ones.
pub(super) mod eval_sets {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{BTreeMap, EvalSet};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a path, a list of paths, or a table `{ name = \"path\" }`")]
    enum Written {
        One(String),
        Many(Vec<String>),
        Named(BTreeMap<String, String>),
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<EvalSet>>, D::Error> {
        let unnamed = |source| EvalSet { name: None, source };
        let named = |(name, source)| EvalSet { name: Some(name), source };
        Ok(Some(match Written::deserialize(deserializer)? {
            Written::One(source) => vec![unnamed(source)],
            Written::Many(sources) => sources.into_iter().map(unnamed).collect(),
            Written::Named(sets) => sets.into_iter().map(named).collect(),
        }))
    }

    /// A list while no set has a name, else a table.
    #[expect(clippy::ref_option, reason = "serde hands the field over like this")]
    pub(in super::super) fn serialize<S: Serializer>(
        sets: &Option<Vec<EvalSet>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let sets = sets.as_deref().unwrap_or_default();
        if sets.iter().all(|set| set.name.is_none()) {
            return serializer.collect_seq(sets.iter().map(|set| &set.source));
        }
        serializer.collect_map(sets.iter().map(|set| (set.name_or_stem(), &set.source)))
    }
}

/// `data.columns`: a table from role to name.
pub(super) mod columns {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{BTreeMap, ColumnName};

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<ColumnName>>, D::Error> {
        let names = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(Some(names.into_iter().map(|(role, column)| ColumnName { role, column }).collect()))
    }

    #[expect(clippy::ref_option, reason = "serde hands the field over like this")]
    pub(in super::super) fn serialize<S: Serializer>(
        names: &Option<Vec<ColumnName>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let names = names.as_deref().unwrap_or_default();
        serializer.collect_map(names.iter().map(|name| (&name.role, &name.column)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A name is taken off only where it looks like one; a set without one is called after its file.
    #[test]
    fn evaluation_sets_are_named_by_the_user_or_by_their_file() {
        let set: EvalSet = "helpful=data/a.jsonl".parse().unwrap();
        assert_eq!((set.name_or_stem(), set.source.as_str()), ("helpful", "data/a.jsonl"));
        let set: EvalSet = "./a=b.jsonl.gz".parse().unwrap();
        assert_eq!((set.name.clone(), set.name_or_stem()), (None, "a=b"));
        assert!("helpful=".parse::<EvalSet>().is_err() && "".parse::<EvalSet>().is_err());
    }
}
