//! What the columns of a row are.

use super::Purpose;
use super::grades::GradeColumns;
use super::role::Role;
use super::split::Rows;
use crate::report::ColumnUse;

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
    /// What is said of the completions beyond their order.
    pub(super) grades: GradeColumns,
}

/// The columns that are trained on.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Pair {
        chosen: String,
        rejected: String,
    },
    /// Two completions, and elsewhere which one is better.
    Two {
        first: String,
        second: String,
    },
    /// A list of completions.
    List(String),
    /// A conversation tree with ranked replies.
    Tree(String),
    Completion(String),
    Conversation(String),
    Text(String),
}

impl Plan {
    /// What its rows are, read for `purpose`.
    pub(super) fn rows(&self, purpose: Purpose) -> Rows {
        match (purpose, &self.answer) {
            (Purpose::Demonstrations, _) => Rows::Demonstrations,
            (_, Answer::List(_) | Answer::Tree(_)) => Rows::Lists,
            _ if self.grades.rating.is_some() => Rows::Lists,
            (_, Answer::Completion(_) | Answer::Conversation(_) | Answer::Text(_)) => Rows::Labelled,
            (_, Answer::Two { .. }) => Rows::JudgedPairs,
            (_, Answer::Pair { .. }) if self.grades.decide() || self.grades.tie.is_some() => {
                Rows::JudgedPairs
            }
            (_, Answer::Pair { .. }) => Rows::Pairs,
        }
    }

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
            Answer::Two { first, second } => {
                add(Role::First, &Some(first.clone()));
                add(Role::Second, &Some(second.clone()));
            }
            Answer::List(column) => add(Role::Completions, &Some(column.clone())),
            Answer::Tree(column) => add(Role::Tree, &Some(column.clone())),
            Answer::Completion(column) => add(Role::Completion, &Some(column.clone())),
            Answer::Conversation(column) => add(Role::Messages, &Some(column.clone())),
            Answer::Text(column) => add(Role::Text, &Some(column.clone())),
        }
        let grades = &self.grades;
        add(Role::Votes, &grades.votes);
        grades.annotators.iter().for_each(|column| add(Role::Annotators, &Some(column.clone())));
        add(Role::Verdict, &grades.verdict);
        add(Role::Tie, &grades.tie);
        add(Role::ScoreChosen, &grades.score_first);
        add(Role::ScoreRejected, &grades.score_second);
        add(Role::Margin, &grades.margin);
        add(Role::Label, &grades.label);
        add(Role::Scores, &grades.rating);
        add(Role::Ranks, &grades.ranks);
        add(Role::Scores, &grades.scores);
        add(Role::Weight, &self.weight);
        add(Role::Group, &self.group);
        add(Role::Tools, &self.tools);
        add(Role::TemplateKwargs, &self.template_kwargs);
        uses
    }
}
