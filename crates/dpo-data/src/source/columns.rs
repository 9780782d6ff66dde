//! Which column is what, by the names that published datasets use.

use super::grades::GradeColumns;
use super::plan::{Answer, Plan};
use super::preset::Preset;
use super::role::{Role, is_annotator};
use super::{Annotators, Purpose, SourceConfig, ballots};
use crate::DataError;

/// The column names to look for.
pub(super) struct Columns {
    named: Vec<(Role, String)>,
    /// Named columns of one vote each.
    annotators: Vec<String>,
    preset: Option<Preset>,
    purpose: Purpose,
    voters: Annotators,
}

/// Why a row's columns make no example.
pub(super) struct Mismatch {
    pub(super) need: String,
    pub(super) hint: String,
}

impl Columns {
    pub(super) fn new(config: &SourceConfig) -> Result<Self, DataError> {
        let names = &config.preset.map_or_else(|| config.columns.clone(), |p| p.columns(&config.columns));
        let named = [
            (Role::Prompt, &names.prompt),
            (Role::Chosen, &names.chosen),
            (Role::Rejected, &names.rejected),
            (Role::Completion, &names.completion),
            (Role::System, &names.system),
            (Role::Weight, &names.weight),
            (Role::Group, &names.group),
            (Role::ScoreChosen, &names.score_chosen),
            (Role::ScoreRejected, &names.score_rejected),
            (Role::Margin, &names.margin),
            (Role::Votes, &names.votes),
            (Role::Tie, &names.tie),
            (Role::Label, &names.label),
            (Role::First, &names.first),
            (Role::Second, &names.second),
            (Role::Verdict, &names.verdict),
            (Role::Completions, &names.completions),
            (Role::Ranks, &names.ranks),
            (Role::Scores, &names.scores),
        ];
        let named: Vec<(Role, String)> =
            named.into_iter().filter_map(|(role, name)| Some((role, name.clone()?))).collect();
        for (idx, (role, name)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..idx].iter().find(|(_, other)| other == name) {
                let (role, other) = (role.name(), other.name());
                let problem = format!("`columns.{other}` and `columns.{role}` both name `{name}`");
                return Err(DataError::Config { problem });
            }
        }
        if config.max_row_bytes == 0 {
            return Err(DataError::Config { problem: "`max_row_bytes` is 0; rows have bytes".to_owned() });
        }
        let between_commas = |names: &String| names.split(',').map(|name| name.trim().to_owned()).collect();
        let annotators: Vec<String> = names.annotators.as_ref().map(between_commas).unwrap_or_default();
        if annotators.iter().any(String::is_empty) {
            let problem = "`columns.annotators` has an empty name; write names between commas".to_owned();
            return Err(DataError::Config { problem });
        }
        let columns = Self {
            named,
            annotators,
            preset: config.preset,
            purpose: config.purpose,
            voters: config.annotators,
        };
        ballots::check(config, &columns)?;
        Ok(columns)
    }

    /// Whether a column was named for this role.
    pub(super) fn names(&self, role: Role) -> bool {
        self.named.iter().any(|(named, _)| *named == role)
    }

    /// The column that says whose a row is, if one was named.
    pub(super) fn group(&self) -> Option<&str> {
        self.named.iter().find(|(role, _)| *role == Role::Group).map(|(_, name)| name.as_str())
    }

    /// Whether a column of this name may be read.
    pub(super) fn is_column(&self, name: &str) -> bool {
        self.named.iter().any(|(_, named)| named == name)
            || self.annotators.iter().any(|named| named == name)
            || Role::ALL.iter().any(|role| role.usual().contains(&name))
            || self.rating() == Some(name)
            || is_annotator(name)
    }

    /// Finds what is what among the columns of a row; those in `left_out` are unknown and only looked at for misspellings.
    pub(super) fn plan(&self, keys: Vec<String>, left_out: &[String]) -> Result<Plan, Mismatch> {
        // A row without a group is one that nobody claims; that a file has none at all is seen at its end.
        let is_absent = |(role, name): &&(Role, String)| *role != Role::Group && !keys.contains(name);
        if let Some((role, name)) = self.named.iter().find(is_absent) {
            let need = match self.preset {
                Some(preset) => format!(
                    "no column `{name}`, which the preset `{}` or `columns.{}` names",
                    preset.name(),
                    role.name()
                ),
                None => format!("no column `{name}`, which `columns.{}` names", role.name()),
            };
            return Err(Mismatch { need, hint: String::new() });
        }
        if let Some(name) = self.annotators.iter().find(|name| !keys.contains(name)) {
            let need = format!("no column `{name}`, which `columns.annotators` names");
            return Err(Mismatch { need, hint: String::new() });
        }
        if self.voters == Annotators::Each && self.find_annotators(&keys).is_empty() {
            return Err(ballots::no_annotators());
        }
        let answer = self.answer(&keys, left_out)?;
        let is_voted_on = matches!(answer, Answer::Pair { .. } | Answer::Two { .. });
        if self.voters == Annotators::Each && !is_voted_on {
            return Err(ballots::not_two());
        }
        let reads_prompt = match answer {
            Answer::Pair { .. } | Answer::Two { .. } | Answer::List(_) | Answer::Completion(_) => true,
            Answer::Conversation(_) | Answer::Text(_) | Answer::Tree(_) => false,
        };
        let prompt = if reads_prompt { self.find(Role::Prompt, &keys) } else { None };
        if prompt.is_none()
            && reads_prompt
            && let Some(near) = self.near(Role::Prompt, &keys, left_out)
        {
            return Err(Mismatch { need: "no column `prompt`".to_owned(), hint: hint(Role::Prompt, &near) });
        }
        let asked = ["instruction", "question", "query"];
        let named = self.named.iter().any(|(role, _)| *role == Role::Prompt);
        let is_instruction = |name: &String| name != "input" && (named || asked.contains(&name.as_str()));
        let input =
            prompt.as_ref().filter(|name| is_instruction(name)).and_then(|_| self.find(Role::Input, &keys));
        Ok(Plan {
            prompt_is_asked: self.preset.is_some()
                || prompt.as_ref().is_some_and(|name| asked.contains(&name.as_str())),
            prompt,
            input,
            system: self.find(Role::System, &keys),
            history: self.find(Role::History, &keys),
            weight: self.find(Role::Weight, &keys),
            group: self.group().map(str::to_owned).filter(|name| keys.contains(name)),
            tools: self.find(Role::Tools, &keys),
            template_kwargs: self.find(Role::TemplateKwargs, &keys),
            grades: self.grades(&answer, &keys),
            answer,
            keys,
        })
    }

    fn answer(&self, keys: &[String], left_out: &[String]) -> Result<Answer, Mismatch> {
        let chosen = self.find(Role::Chosen, keys);
        let rejected = self.find(Role::Rejected, keys);
        match (self.purpose, chosen, rejected) {
            (_, Some(chosen), Some(rejected)) => Ok(Answer::Pair { chosen, rejected }),
            (Purpose::Pairs, chosen, _) => {
                if let Some(other) = self.other_shape(keys, left_out) {
                    return Ok(other);
                }
                let missing = if chosen.is_none() { Role::Chosen } else { Role::Rejected };
                Err(self.missing(missing, "a pair needs `chosen` and `rejected`", keys, left_out))
            }
            (Purpose::Demonstrations, Some(chosen), None) => Ok(Answer::Completion(chosen)),
            (Purpose::Demonstrations, None, _) => self.demonstration(keys, left_out),
        }
    }

    /// Preferences that are no `chosen` and `rejected`.
    fn other_shape(&self, keys: &[String], left_out: &[String]) -> Option<Answer> {
        if self.find(Role::Tree, keys).is_some()
            && let Some(prompt) = keys.iter().find(|key| *key == "prompt")
        {
            return Some(Answer::Tree(prompt.clone()));
        }
        if let (Some(first), Some(second)) = (self.find(Role::First, keys), self.find(Role::Second, keys)) {
            let two = Answer::Two { first, second };
            if self.grades(&two, keys).decide() {
                return Some(two);
            }
        }
        if let Some(completions) = self.find(Role::Completions, keys) {
            return Some(Answer::List(completions));
        }
        if self.rating().is_none() {
            self.find(Role::Label, keys)?;
        }
        self.demonstration(keys, left_out).ok()
    }

    /// The columns that say more of the completions of `answer`; where each annotator's vote is a row, what was said of all votes
    /// is not read.
    fn grades(&self, answer: &Answer, keys: &[String]) -> GradeColumns {
        let find = |role| self.find(role, keys);
        let of_all = |role| find(role).filter(|_| self.voters == Annotators::Together);
        match answer {
            Answer::Pair { .. } | Answer::Two { .. } if self.purpose == Purpose::Pairs => GradeColumns {
                votes: of_all(Role::Votes),
                annotators: self.find_annotators(keys),
                verdict: if matches!(answer, Answer::Two { .. }) { of_all(Role::Verdict) } else { None },
                tie: of_all(Role::Tie),
                score_first: find(Role::ScoreChosen),
                score_second: find(Role::ScoreRejected),
                margin: find(Role::Margin),
                margin_sign: self.preset.map(Preset::margin_sign).unwrap_or_default(),
                ..GradeColumns::default()
            },
            Answer::List(_) => GradeColumns {
                ranks: find(Role::Ranks),
                scores: find(Role::Scores),
                ..GradeColumns::default()
            },
            Answer::Completion(_) | Answer::Conversation(_) | Answer::Text(_)
                if self.purpose == Purpose::Pairs =>
            {
                let rating = self.rating().map(str::to_owned);
                GradeColumns { label: find(Role::Label), rating, ..GradeColumns::default() }
            }
            _ => GradeColumns::default(),
        }
    }

    /// The column that rates a single completion which is one of a list.
    fn rating(&self) -> Option<&'static str> {
        self.preset.and_then(Preset::rating)
    }

    /// Columns of one vote each: those that were named, else those called `annotator1`, `annotator_2` and so on.
    fn find_annotators(&self, keys: &[String]) -> Vec<String> {
        if !self.annotators.is_empty() {
            return self.annotators.clone();
        }
        let is_free = |key: &&String| !self.named.iter().any(|(_, named)| named == *key);
        keys.iter().filter(|key| is_annotator(key)).filter(is_free).cloned().collect()
    }

    fn demonstration(&self, keys: &[String], left_out: &[String]) -> Result<Answer, Mismatch> {
        if let Some(completion) = self.find(Role::Completion, keys) {
            Ok(Answer::Completion(completion))
        } else if let Some(conversation) = self.find(Role::Messages, keys) {
            Ok(Answer::Conversation(conversation))
        } else if let Some(text) = self.find(Role::Text, keys) {
            Ok(Answer::Text(text))
        } else {
            let need = "a demonstration needs `prompt` and `completion`, `messages`, or `text`";
            Err(self.missing(Role::Completion, need, keys, left_out))
        }
    }

    fn missing(&self, role: Role, need: &str, keys: &[String], left_out: &[String]) -> Mismatch {
        let hint = self.near(role, keys, left_out).map_or(String::new(), |near| hint(role, &near));
        Mismatch { need: format!("no column `{}`: {need}", role.name()), hint }
    }

    /// The column for a role: the one the user named, or the first of the usual names.
    fn find(&self, role: Role, keys: &[String]) -> Option<String> {
        if let Some((_, name)) = self.named.iter().find(|(named, _)| *named == role) {
            return Some(name.clone());
        }
        let is_free = |name: &&&str| !self.named.iter().any(|(_, named)| named == *name);
        let name = role.usual().iter().filter(is_free).find(|name| keys.iter().any(|key| key == *name));
        name.map(|&name| name.to_owned())
    }

    /// A column whose name is almost a usual name of `role`, and of no other.
    fn near(&self, role: Role, keys: &[String], left_out: &[String]) -> Option<String> {
        let unknown = keys.iter().chain(left_out).filter(|key| !self.is_column(key));
        let distance = |key: &String| {
            let key = key.to_lowercase();
            let distances = role.usual().iter().map(|name| strsim::damerau_levenshtein(name, &key));
            distances.min().unwrap_or(usize::MAX)
        };
        let nearest = unknown.map(|key| (distance(key), key)).min()?;
        (nearest.0 <= 2).then(|| nearest.1.clone())
    }
}

fn hint(role: Role, near: &str) -> String {
    let role = role.name();
    format!("; if `{near}` is the {role}, rename it or set `columns.{role} = \"{near}\"`")
}
