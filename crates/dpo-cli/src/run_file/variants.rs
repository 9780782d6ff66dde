//! The file of `dpo variants`: a run file, and what sets the variants apart.

use std::path::Path;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    InvalidRunFile, RunConfig, RunFile,
    check::Check,
    choices::VariantOrder,
    keys::nearest,
    parse::{Parsed, Reader, one_line, read_text, short, syntax},
    problem::{Problem, locate, verdict},
    values::is_name,
};

/// The keys of `[variants]`.
const KEYS: [&str; 5] = ["group", "pooled", "min_rows", "order", "kl_samples"];
/// The keys of `[data]` that a variant may have of its own.
const OWN_DATA: [&str; 3] = ["train", "eval", "only_group"];

/// `[variants]` as it was written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VariantsSection {
    group: Option<String>,
    pooled: Option<bool>,
    min_rows: Option<u32>,
    order: Option<VariantOrder>,
    kl_samples: Option<u32>,
}

/// A variants file that was checked as far as it can be without its rows.
#[derive(Debug)]
pub(crate) struct VariantsFile {
    /// What all variants have in common.
    pub(crate) shared: Layer,
    /// Where the variants come from.
    pub(crate) origin: Origin,
    /// How they are trained.
    pub(crate) order: VariantOrder,
    /// Prompts that the divergence from the base is measured on, of each group.
    pub(crate) kl_samples: usize,
}

/// Where variants come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// One for each value of a column, or for each annotator.
    Groups {
        /// What a row's group is.
        by: GroupBy,
        /// Whether there is one more, on all rows.
        pooled: Pooled,
        /// Training rows that a group needs to be a variant.
        min_rows: usize,
    },
    /// Each was written down; at least one.
    Named(Vec<(String, Layer)>),
}

/// What tells the groups apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupBy {
    /// A column.
    Column(String),
    /// Whose vote a row is: `data.annotators = "each"`.
    Annotator,
}

impl std::fmt::Display for GroupBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Column(column) => write!(f, "the column `{column}`"),
            Self::Annotator => f.write_str("the annotators"),
        }
    }
}

/// Whether a variant is trained on the rows of all groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooled {
    /// Yes.
    Beside,
    /// No.
    Absent,
}

/// Settings with their places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer(Parsed);

impl VariantsFile {
    /// Reads and checks the file.
    pub(crate) fn read(path: &Path) -> Result<Self, InvalidRunFile> {
        Self::parse(&path.display().to_string(), &read_text(path)?)
    }

    fn parse(name: &str, text: &str) -> Result<Self, InvalidRunFile> {
        let document = DeTable::parse(text).map_err(|error| syntax(name, text, &error))?;
        let values: toml::Table = toml::from_str(text).map_err(|error| syntax(name, text, &error))?;
        let mut reader = Reader::new(name, text, &values);
        reader.sections(document.get_ref(), &["variants", "variant"]);
        let section = variants_section(&mut reader, document.get_ref().get("variants"), &values);
        let named = match (document.get_ref().get("variant"), values.get("variant")) {
            (Some(written), Some(values)) => named(&mut reader, written, values, (name, text)),
            _ => Vec::new(),
        };
        let mut check = Check::default();
        let annotators = values.get("data").and_then(|data| data.get("annotators")).and_then(|v| v.as_str());
        let origin = origin(&section, annotators == Some("each"), named, &mut check);
        let kl_samples = check.count("variants.kl_samples", section.kl_samples, 16, 1);
        locate(&mut check.problems, &reader.places);
        reader.problems.append(&mut check.problems);
        let shared = Layer(reader.finish()?);
        Ok(Self { shared, origin, order: section.order.unwrap_or(VariantOrder::InTurn), kl_samples })
    }
}

fn origin(
    section: &VariantsSection,
    is_each_annotator: bool,
    named: Vec<(String, Layer)>,
    check: &mut Check,
) -> Origin {
    let column = check.text("variants.group", section.group.as_ref());
    if column.is_some() && is_each_annotator {
        let text = "is set, but each annotator is a group (`data.annotators`); remove one of them";
        check.problem("variants.group", text.to_owned());
    }
    let of_annotators = (is_each_annotator && named.is_empty()).then_some(GroupBy::Annotator);
    let group = column.map(GroupBy::Column).or(of_annotators);
    if group.is_none() {
        for (key, is_set) in
            [("variants.pooled", section.pooled.is_some()), ("variants.min_rows", section.min_rows.is_some())]
        {
            if is_set {
                check.problem(key, "is set, but there are no groups; set `variants.group`".to_owned());
            }
        }
    }
    match group {
        Some(by) if named.is_empty() => Origin::Groups {
            by,
            pooled: if section.pooled == Some(true) { Pooled::Beside } else { Pooled::Absent },
            min_rows: check.count("variants.min_rows", section.min_rows, 10, 1),
        },
        Some(_) => {
            check.problem("variants.group", "and `[[variant]]` are both there; remove one".to_owned());
            Origin::Named(named)
        }
        None => {
            if named.is_empty() {
                let text = "is missing; name the column that makes the variants, set `data.annotators` to `each` for one of every annotator, or \
                     write each under `[[variant]]`";
                check.problem("variants.group", text.to_owned());
            }
            Origin::Named(named)
        }
    }
}

fn variants_section(
    reader: &mut Reader<'_>,
    written: Option<&Spanned<DeValue<'_>>>,
    values: &toml::Table,
) -> VariantsSection {
    let Some(written) = written else { return VariantsSection::default() };
    let (Some(table), Some(values)) = (written.get_ref().as_table(), values["variants"].as_table()) else {
        let found = written.get_ref().type_str();
        reader.problem(&written.span(), format!("`variants` is {found}; expected the table `[variants]`"));
        return VariantsSection::default();
    };
    let mut good = toml::Table::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !KEYS.contains(&name) {
            let hint = nearest(&short(name), KEYS.into_iter());
            reader.problem(&key.span(), format!("unknown key `{}` in `[variants]`; {hint}", short(name)));
            continue;
        }
        let at = reader.place(&value.span());
        reader.places.insert(format!("variants.{name}"), at);
        let alone = toml::Table::from_iter([(name.to_owned(), values[name].clone())]);
        match VariantsSection::deserialize(alone.clone()) {
            Ok(_) => good.extend(alone),
            Err(error) => {
                let text = format!("`variants.{name}`: {}", one_line(error.message()));
                reader.problem(&value.span(), text);
            }
        }
    }
    VariantsSection::deserialize(good).unwrap_or_default()
}

/// The `[[variant]]` tables: a name each, and settings of its own.
fn named(
    shared: &mut Reader<'_>,
    written: &Spanned<DeValue<'_>>,
    values: &toml::Value,
    (name, text): (&str, &str),
) -> Vec<(String, Layer)> {
    let (Some(tables), Some(values)) = (written.get_ref().as_array(), values.as_array()) else {
        let found = written.get_ref().type_str();
        shared.problem(&written.span(), format!("`variant` is {found}; write `[[variant]]` for each"));
        return Vec::new();
    };
    let mut all: Vec<(String, Layer)> = Vec::new();
    for (written, values) in tables.iter().zip(values) {
        let (Some(table), Some(values)) = (written.get_ref().as_table(), values.as_table()) else {
            shared.problem(&written.span(), "a variant is a table; write `[[variant]]`".to_owned());
            continue;
        };
        let taken = |name: &str| all.iter().any(|(other, _)| other == name);
        let variant = match values.get("name").and_then(toml::Value::as_str) {
            Some("base") => Err("`name` is \"base\", which the model without adapters is called".to_owned()),
            Some(name) if !is_name(name) => {
                Err(format!("`name` is {:?}; expected letters, digits, `_` and `-`", short(name)))
            }
            Some(name) if taken(name) => {
                Err(format!("there are two variants named {name:?}; name them apart"))
            }
            Some(name) => Ok(name.to_owned()),
            None => Err("a variant without a name; give it `name = \"…\"`".to_owned()),
        };
        let mut reader = Reader::new(name, text, values);
        reader.sections(table, &["name"]);
        reader.problems.extend(not_own(&reader));
        shared.problems.append(&mut reader.problems);
        match variant {
            Ok(variant) => all.extend(reader.finish().ok().map(|parsed| (variant, Layer(parsed)))),
            Err(problem) => shared.problem(&table.get("name").map_or(written.span(), Spanned::span), problem),
        }
    }
    all
}

/// Settings that cannot differ between variants.
fn not_own(reader: &Reader<'_>) -> Vec<Problem> {
    let is_own = |path: &str| match path.split_once('.') {
        Some(("data", key)) => OWN_DATA.contains(&key),
        Some((section, _)) => ["loss", "lora", "train"].contains(&section),
        None => false,
    };
    let others = reader.places.iter().filter(|(path, _)| !is_own(path));
    let problem = |(path, place): (&String, &String)| {
        let section = path.split('.').next().unwrap_or_default();
        let text = format!("`{path}` is the same for all variants; set it under `[{section}]`");
        Problem::at(place.clone(), text)
    };
    others.map(problem).collect()
}

impl Layer {
    /// Settings that were written nowhere.
    pub(crate) fn of(file: RunFile) -> Self {
        Self(Parsed { file, places: std::collections::BTreeMap::new() })
    }

    /// The settings alone.
    pub(crate) fn file(&self) -> &RunFile {
        &self.0.file
    }

    /// Lays `over` on top.
    #[must_use]
    pub(crate) fn apply(&self, over: &Self) -> Self {
        let mut places = self.0.places.clone();
        places.extend(over.0.places.clone());
        Self(Parsed { file: self.0.file.apply(&over.0.file), places })
    }

    /// That `key` is as `text` says, and where it was set.
    pub(crate) fn problem(&self, key: &str, text: &str) -> InvalidRunFile {
        let mut problems = vec![Problem::of(key, text)];
        locate(&mut problems, &self.0.places);
        InvalidRunFile { problems }
    }

    /// What they come to, for an adapter that is trained on pairs against the base.
    pub(crate) fn init(&self) -> Result<RunConfig, InvalidRunFile> {
        let Parsed { file, places } = &self.0;
        let (config, mut problems) = match file.init() {
            Ok(config) => (Some(config), Vec::new()),
            Err(invalid) => (None, invalid.problems),
        };
        problems.extend(not_for_variants(file));
        locate(&mut problems, places);
        match config {
            Some(config) => verdict(config, problems),
            None => Err(InvalidRunFile { problems }),
        }
    }
}

fn not_for_variants(file: &RunFile) -> Vec<Problem> {
    use super::{choices::LossKind, values::Resume};
    let mut problems = Vec::new();
    if file.lora.rank.is_none() && file.lora.adapter.is_none() {
        problems.push(Problem::of("lora.rank", "is missing; variants are adapters: give their rank"));
    }
    if file.loss.kind == Some(LossKind::Sft) {
        problems.push(Problem::of("loss.kind", "is `sft`; variants are measured on pairs: choose another"));
    }
    if file.model.reference.is_some() {
        let text = "is set, but variants are held against the base; remove it";
        problems.push(Problem::of("model.reference", text));
    }
    if matches!(file.run.resume, Some(Resume::From(_))) {
        problems.push(Problem::of("run.resume", "names a run; for variants it is `auto` or `no`"));
    }
    problems
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
