//! Which column is what, by the names that published datasets use.

use super::{Purpose, SourceConfig};
use crate::DataError;
use crate::report::ColumnUse;

/// What a column may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Prompt,
    Chosen,
    Rejected,
    Completion,
    Messages,
    Text,
    System,
    Input,
    History,
    Weight,
    Group,
    Tools,
    TemplateKwargs,
}

impl Role {
    /// Its name in reports, and in `columns` where it has a key there.
    fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Chosen => "chosen",
            Self::Rejected => "rejected",
            Self::Completion => "completion",
            Self::Messages => "messages",
            Self::Text => "text",
            Self::System => "system",
            Self::Input => "input",
            Self::History => "history",
            Self::Weight => "weight",
            Self::Group => "group",
            Self::Tools => "tools",
            Self::TemplateKwargs => "chat_template_kwargs",
        }
    }

    /// Usual names; of several in a row, the first is taken.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Prompt => &[
                "prompt",
                "instruction",
                "question",
                "query",
                "conversations",
                "conversation",
                "messages",
                "input",
            ],
            Self::Chosen => &[
                "chosen",
                "chosen_response",
                "response_chosen",
                "preferred_output",
                "preferred",
                "response_j",
            ],
            Self::Rejected => &[
                "rejected",
                "rejected_response",
                "response_rejected",
                "non_preferred_output",
                "non_preferred",
                "response_k",
            ],
            Self::Completion => &["completion", "response", "output", "answer"],
            Self::Messages => &["messages", "conversations", "conversation"],
            Self::Text => &["text"],
            Self::System => &["system", "system_prompt"],
            Self::Input => &["input"],
            Self::History => &["history"],
            Self::Weight => &["weight"],
            Self::Group => &[],
            Self::Tools => &["tools"],
            Self::TemplateKwargs => &["chat_template_kwargs"],
        }
    }

    const ALL: [Self; 13] = [
        Self::Prompt,
        Self::Chosen,
        Self::Rejected,
        Self::Completion,
        Self::Messages,
        Self::Text,
        Self::System,
        Self::Input,
        Self::History,
        Self::Weight,
        Self::Group,
        Self::Tools,
        Self::TemplateKwargs,
    ];
}

/// The column names to look for.
pub(super) struct Columns {
    named: Vec<(Role, String)>,
    purpose: Purpose,
}

/// The columns of one row, by what they are.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Every column of the row, in order.
    pub(super) keys: Vec<String>,
    pub(super) answer: Answer,
    /// What the completions answer; without it the completions have it in them.
    pub(super) prompt: Option<String>,
    /// Whether the prompt's name says that a user asks it.
    pub(super) prompt_is_asked: bool,
    pub(super) system: Option<String>,
    pub(super) input: Option<String>,
    pub(super) history: Option<String>,
    pub(super) weight: Option<String>,
    /// The named column of groups, where the row has it.
    pub(super) group: Option<String>,
    pub(super) tools: Option<String>,
    pub(super) template_kwargs: Option<String>,
}

/// The columns that are trained on.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Pair { chosen: String, rejected: String },
    Completion(String),
    Conversation(String),
    Text(String),
}

/// Why a row's columns make no example.
pub(super) struct Mismatch {
    pub(super) need: String,
    pub(super) hint: String,
}

impl Columns {
    pub(super) fn new(config: &SourceConfig) -> Result<Self, DataError> {
        let names = &config.columns;
        let named = [
            (Role::Prompt, &names.prompt),
            (Role::Chosen, &names.chosen),
            (Role::Rejected, &names.rejected),
            (Role::Completion, &names.completion),
            (Role::System, &names.system),
            (Role::Weight, &names.weight),
            (Role::Group, &names.group),
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
        Ok(Self { named, purpose: config.purpose })
    }

    /// The column that says whose a row is, if one was named.
    pub(super) fn group(&self) -> Option<&str> {
        self.named.iter().find(|(role, _)| *role == Role::Group).map(|(_, name)| name.as_str())
    }

    /// Whether a column of this name may be read.
    pub(super) fn is_column(&self, name: &str) -> bool {
        self.named.iter().any(|(_, named)| named == name)
            || Role::ALL.iter().any(|role| role.usual().contains(&name))
    }

    /// Finds what is what among the columns of a row; those in `left_out` are unknown and only looked at for misspellings.
    pub(super) fn plan(&self, keys: Vec<String>, left_out: &[String]) -> Result<Plan, Mismatch> {
        // A row without a group is one that nobody claims; that a file has none at all is seen at its end.
        let is_absent = |(role, name): &&(Role, String)| *role != Role::Group && !keys.contains(name);
        if let Some((role, name)) = self.named.iter().find(is_absent) {
            let role = role.name();
            let need = format!("no column `{name}`, which `columns.{role}` names");
            return Err(Mismatch { need, hint: String::new() });
        }
        let answer = self.answer(&keys, left_out)?;
        let reads_prompt = matches!(answer, Answer::Pair { .. } | Answer::Completion(_));
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
            answer,
            prompt_is_asked: prompt.as_ref().is_some_and(|name| asked.contains(&name.as_str())),
            prompt,
            input,
            system: self.find(Role::System, &keys),
            history: self.find(Role::History, &keys),
            weight: self.find(Role::Weight, &keys),
            group: self.group().map(str::to_owned).filter(|name| keys.contains(name)),
            tools: self.find(Role::Tools, &keys),
            template_kwargs: self.find(Role::TemplateKwargs, &keys),
            keys,
        })
    }

    fn answer(&self, keys: &[String], left_out: &[String]) -> Result<Answer, Mismatch> {
        let chosen = self.find(Role::Chosen, keys);
        let rejected = self.find(Role::Rejected, keys);
        match (self.purpose, chosen, rejected) {
            (_, Some(chosen), Some(rejected)) => Ok(Answer::Pair { chosen, rejected }),
            (Purpose::Pairs, chosen, _) => {
                let missing = if chosen.is_none() { Role::Chosen } else { Role::Rejected };
                Err(self.missing(missing, "a pair needs `chosen` and `rejected`", keys, left_out))
            }
            (Purpose::Demonstrations, Some(chosen), None) => Ok(Answer::Completion(chosen)),
            (Purpose::Demonstrations, None, _) => self.demonstration(keys, left_out),
        }
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

impl Plan {
    /// The columns that are read, for the report.
    pub(super) fn uses(&self) -> Vec<ColumnUse> {
        let mut uses = Vec::new();
        let mut add = |role: Role, column: &Option<String>| {
            if let Some(column) = column.clone() {
                uses.push(ColumnUse { column, role: role.name().to_owned() });
            }
        };
        add(Role::System, &self.system);
        add(Role::History, &self.history);
        add(Role::Prompt, &self.prompt);
        add(Role::Input, &self.input);
        match &self.answer {
            Answer::Pair { chosen, rejected } => {
                add(Role::Chosen, &Some(chosen.clone()));
                add(Role::Rejected, &Some(rejected.clone()));
            }
            Answer::Completion(column) => add(Role::Completion, &Some(column.clone())),
            Answer::Conversation(column) => add(Role::Messages, &Some(column.clone())),
            Answer::Text(column) => add(Role::Text, &Some(column.clone())),
        }
        add(Role::Weight, &self.weight);
        add(Role::Group, &self.group);
        add(Role::Tools, &self.tools);
        add(Role::TemplateKwargs, &self.template_kwargs);
        uses
    }
}
