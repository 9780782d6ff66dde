//! Reading a run file: unknown keys, wrong types and wrong words, all of them, each with its place.

use std::{collections::BTreeMap, fs::File, io::Read, ops::Range, path::Path};

use serde::Deserialize;
use toml::{Spanned, de::DeTable};

use super::{
    RunFile,
    keys::{keys, nearest, sections},
    problem::{InvalidRunFile, Problem, place, verdict},
};

/// No run file is larger; a data set given by mistake is.
const MAX_BYTES: u64 = 1 << 20;

/// A run file with the place of every key it sets, by `section.key`.
#[derive(Debug, Clone, Default)]
pub(super) struct Parsed {
    pub(super) file: RunFile,
    pub(super) places: BTreeMap<String, String>,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Parsed, InvalidRunFile> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// The text of the file at `path`.
pub(super) fn read_text(path: &Path) -> Result<String, InvalidRunFile> {
    let name = path.display().to_string();
    let fail = |text: String| InvalidRunFile { problems: vec![Problem::at(name.clone(), text)] };
    let cannot_read = |error: std::io::Error| fail(format!("cannot read this run file: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot_read)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail("this is larger than 1 MiB and no run file; `dpo config` prints one".to_owned()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| fail(format!("byte {} is not UTF-8", error.utf8_error().valid_up_to() + 1)))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// Reads `text`, which messages call `name`.
pub(super) fn parse(name: &str, text: &str) -> Result<Parsed, InvalidRunFile> {
    let document = DeTable::parse(text).map_err(|error| syntax(name, text, &error))?;
    let values: toml::Table = toml::from_str(text).map_err(|error| syntax(name, text, &error))?;
    let mut reader = Reader::new(name, text, &values);
    reader.sections(document.get_ref(), &[]);
    reader.finish()
}

/// What is wrong with a text that is no TOML.
pub(super) fn syntax(name: &str, text: &str, error: &toml::de::Error) -> InvalidRunFile {
    let at = place(name, text, &error.span().unwrap_or_default());
    InvalidRunFile { problems: vec![Problem::at(at, one_line(error.message()))] }
}

/// Reads the tables of a run file out of a document, or out of a table in one.
pub(super) struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    values: &'a toml::Table,
    pub(super) places: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// `values` are those of the table that will be read, which is in the file `name` with this text.
    pub(super) fn new(name: &'a str, text: &'a str, values: &'a toml::Table) -> Self {
        Self { name, text, values, places: BTreeMap::new(), problems: Vec::new() }
    }

    /// What was read, if nothing is wrong with it.
    pub(super) fn finish(self) -> Result<Parsed, InvalidRunFile> {
        let known: toml::Table = sections()
            .filter_map(|section| Some((section.to_owned(), self.values.get(section)?.clone())))
            .collect();
        verdict((), self.problems)?;
        let file = RunFile::deserialize(known).map_err(|error| syntax(self.name, self.text, &error))?;
        Ok(Parsed { file, places: self.places })
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, text: String) {
        self.problems.push(Problem::at(place(self.name, self.text, span), text));
    }

    /// Reads all tables but those that somebody else reads.
    pub(super) fn sections(&mut self, document: &DeTable<'_>, others: &[&str]) {
        let known = keys();
        for (section, table) in document {
            let name = section.get_ref().as_ref();
            if others.contains(&name) {
                continue;
            }
            let own: Vec<&str> =
                known.iter().filter(|key| key.section == name).map(|key| key.name.as_str()).collect();
            if own.is_empty() {
                let hint = match known.iter().find(|key| key.name == name) {
                    Some(key) => format!("`{name}` belongs under `[{}]`", key.section),
                    None if ["variant", "variants"].contains(&name) => "it is for `dpo variants`".to_owned(),
                    None => nearest(&short(name), sections()),
                };
                self.problem(&section.span(), format!("unknown table `{}`; {hint}", short(name)));
                continue;
            }
            if let Some(table) = table.get_ref().as_table() {
                self.keys(name, table, &own);
            } else {
                let found = table.get_ref().type_str();
                self.problem(&table.span(), format!("`{name}` is {found}; expected the table `[{name}]`"));
            }
        }
        self.problems.sort_by_key(|problem| problem.place.as_deref().map(line_and_column));
    }

    fn keys(&mut self, section: &str, table: &DeTable<'_>, known: &[&str]) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                self.value(section, name, value);
            } else {
                let hint =
                    elsewhere(section, name).unwrap_or_else(|| nearest(&short(name), known.iter().copied()));
                self.problem(&key.span(), format!("unknown key `{}` in `[{section}]`; {hint}", short(name)));
            }
        }
    }

    /// Where something stands in the file.
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        place(self.name, self.text, span)
    }

    /// Tries the key as if it were the whole file, so that one wrong value does not hide the next.
    fn value<T>(&mut self, section: &str, key: &str, written: &Spanned<T>) {
        let at = self.place(&written.span());
        self.places.insert(format!("{section}.{key}"), at);
        let Some(value) = self.values.get(section).and_then(|keys| keys.get(key)) else { return };
        let keys = toml::Table::from_iter([(key.to_owned(), value.clone())]);
        let alone = toml::Table::from_iter([(section.to_owned(), keys.into())]);
        if let Err(error) = RunFile::deserialize(alone) {
            self.problem(&written.span(), format!("`{section}.{key}`: {}", one_line(error.message())));
        }
    }
}

/// Where a key that is not in `section` belongs, when another table has it or it is a flag's name.
fn elsewhere(section: &str, name: &str) -> Option<String> {
    let flag = name.replace('_', "-");
    let key = keys().into_iter().find(|key| key.name == name || key.flag == flag)?;
    if key.section == section {
        return Some(format!("did you mean `{}`?", key.name));
    }
    Some(format!("did you mean `{}` in `[{}]`?", key.name, key.section))
}

/// At most 40 characters of a word, for messages and for comparing.
pub(super) fn short(word: &str) -> String {
    let mut short: String = word.chars().take(40).collect();
    if short.len() < word.len() {
        short.push('…');
    }
    short
}

pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The numbers at the end of `name:line:column`, to sort by.
fn line_and_column(place: &str) -> (usize, usize) {
    let mut parts = place.rsplit(':').map(|part| part.parse().unwrap_or(0));
    let column = parts.next().unwrap_or(0);
    (parts.next().unwrap_or(0), column)
}
