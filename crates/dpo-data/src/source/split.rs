//! Where the prompt ends and the completions begin, in every form that rows come in.

use super::Strings;
use super::conversation::{Said, is_assistant, message};
use super::{prefix, transcript};
use crate::{Cause, Message, Text};

/// What the completions of a row answer.
pub(super) struct Asked {
    pub(super) prompt: Option<Said>,
    pub(super) system: Option<String>,
    pub(super) history: Vec<Message>,
    /// Whether a user asks the prompt, by the name of its column.
    pub(super) is_question: bool,
}

/// A prompt and its completions.
#[derive(Debug, PartialEq)]
pub(super) struct Split {
    pub(super) prompt: Text,
    pub(super) completions: Vec<Text>,
}

/// How a row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    CommonText,
    StringTurns,
    Messages,
    Conversations,
    TranscriptTurns,
    TranscriptText,
}

impl Format {
    /// For people.
    pub(super) fn name(self, rows: Rows) -> String {
        let how = match (self, rows.are_compared()) {
            (Self::Text, _) => "plain text",
            (Self::CommonText, true) => "plain text, the prompt being the start that both share",
            (Self::CommonText, false) => "plain text without a prompt",
            (Self::StringTurns, _) => "strings read as user and assistant turns",
            (Self::Messages, _) => "messages",
            (Self::Conversations, true) => "conversations, the prompt being the turns that both share",
            (Self::Conversations, false) => "conversations, the completion being the last turn",
            (Self::TranscriptTurns, _) => "Human/Assistant transcripts read as messages",
            (Self::TranscriptText, _) => "Human/Assistant transcripts read as plain text",
        };
        format!("{}: {how}", rows.name())
    }
}

/// What a file's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    Pairs,
    JudgedPairs,
    Lists,
    Labelled,
    Demonstrations,
}

impl Rows {
    fn are_compared(self) -> bool {
        matches!(self, Self::Pairs | Self::JudgedPairs | Self::Lists)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::JudgedPairs => "pairs with votes or scores",
            Self::Lists => "ranked lists",
            Self::Labelled => "labelled completions",
            Self::Demonstrations => "demonstrations",
        }
    }
}

/// Splits sides, all strings or all lists of messages, behind the prompt.
pub(super) fn split(
    asked: Asked,
    sides: Vec<Said>,
    strings: Strings,
    notes: &mut Vec<Cause>,
) -> (Format, Result<Split, Cause>) {
    let mut texts = Vec::new();
    let mut conversations = Vec::new();
    for side in sides {
        match side {
            Said::Text(text) => texts.push(text),
            Said::Turns(turns) => conversations.push(turns),
        }
    }
    if texts.is_empty() {
        let has_prompt = asked.prompt.is_some();
        let (whole, split) = split_conversations(asked, conversations, notes);
        return (if whole || !has_prompt { Format::Conversations } else { Format::Messages }, split);
    }
    split_texts(asked, texts, strings, notes)
}

fn split_texts(
    mut asked: Asked,
    mut texts: Vec<String>,
    strings: Strings,
    notes: &mut Vec<Cause>,
) -> (Format, Result<Split, Cause>) {
    let as_transcript = strings != Strings::Plain;
    match asked.prompt.take() {
        None if texts.iter().any(|text| transcript::is_transcript(text)) => {
            if as_transcript {
                (Format::TranscriptTurns, split_transcripts(asked, &texts, notes))
            } else {
                (Format::TranscriptText, split_transcripts_as_text(asked, texts))
            }
        }
        None => {
            let end = match &texts[..] {
                [first, others @ ..] => {
                    others.iter().map(|other| prefix::common_text(first, other)).min().unwrap_or(0)
                }
                [] => 0,
            };
            let completions: Vec<String> = texts.iter_mut().map(|text| text.split_off(end)).collect();
            let prompt = texts.swap_remove(0);
            let as_turns = asked.as_turns(strings);
            let format = if as_turns { Format::StringTurns } else { Format::CommonText };
            (format, Ok(join_strings(asked, prompt, completions, as_turns)))
        }
        Some(Said::Text(prompt)) if as_transcript && transcript::asks_assistant(&prompt) => {
            let mut turns = transcript::turns(&prompt);
            turns.pop();
            let turns = joined_turns(turns, notes);
            let completions = texts.iter().map(|text| answer(text.trim().to_owned())).collect();
            (Format::TranscriptTurns, Ok(Split { prompt: asked.before(turns), completions }))
        }
        Some(Said::Text(prompt)) => {
            if !prompt.trim().is_empty() && texts.iter().all(|text| text.starts_with(&prompt)) {
                notes.push(Cause::PromptRepeated);
            }
            let as_turns = asked.as_turns(strings);
            let format = if as_turns { Format::StringTurns } else { Format::Text };
            (format, Ok(join_strings(asked, prompt, texts, as_turns)))
        }
        Some(Said::Turns(prompt)) => {
            let completions = texts.into_iter().map(answer).collect();
            (Format::Messages, Ok(Split { prompt: asked.before(prompt), completions }))
        }
    }
}

/// Strings as they stand, or as a user turn and an assistant turn.
fn join_strings(asked: Asked, prompt: String, completions: Vec<String>, as_turns: bool) -> Split {
    if as_turns {
        let turns = if prompt.is_empty() { Vec::new() } else { vec![message("user", prompt)] };
        return Split {
            prompt: asked.before(turns),
            completions: completions.into_iter().map(answer).collect(),
        };
    }
    Split {
        prompt: Text::Plain(asked.before_text(prompt)),
        completions: completions.into_iter().map(Text::Plain).collect(),
    }
}

/// Splits transcripts that share everything but the assistant's last turn: that is what people compared.
fn split_transcripts(asked: Asked, texts: &[String], notes: &mut Vec<Cause>) -> Result<Split, Cause> {
    let mut sides: Vec<_> = texts.iter().map(|text| transcript::turns(text)).collect();
    let last_turns: Vec<Option<Message>> = sides.iter_mut().map(Vec::pop).collect();
    if !last_turns.iter().flatten().all(is_assistant) || last_turns.contains(&None) {
        return Err(if sides.len() == 1 { Cause::MissingAnswerTurn } else { Cause::DifferingPrompts });
    }
    let prompt = sides.swap_remove(0);
    if sides.iter().any(|other| *other != prompt) {
        return Err(Cause::DifferingPrompts);
    }
    if last_turns.iter().flatten().any(|turn| turn.content.is_empty()) {
        return Err(Cause::EmptyCompletion);
    }
    let mut completions = Vec::new();
    let mut shared = Vec::new();
    for last in last_turns.into_iter().flatten() {
        // The prompt may end with the assistant too; its last turn is then the start of every completion.
        shared = joined_turns(prompt.iter().cloned().chain([last]).collect(), notes);
        completions.extend(shared.pop().map(|turn| Text::Messages(vec![turn])));
    }
    Ok(Split { prompt: asked.before(shared), completions })
}

fn joined_turns(turns: Vec<Message>, notes: &mut Vec<Cause>) -> Vec<Message> {
    let n_turns = turns.len();
    let joined = transcript::join_turns(turns);
    if joined.len() < n_turns && !notes.contains(&Cause::TurnsJoined) {
        notes.push(Cause::TurnsJoined);
    }
    joined
}

fn split_transcripts_as_text(asked: Asked, mut texts: Vec<String>) -> Result<Split, Cause> {
    let sides: Vec<&str> = texts.iter().map(String::as_str).collect();
    let end = transcript::common_prompt(&sides).ok_or(match sides.len() {
        1 => Cause::MissingAnswerTurn,
        _ => Cause::DifferingPrompts,
    })?;
    let completions: Vec<String> = texts.iter_mut().map(|text| text.split_off(end)).collect();
    Ok(join_strings(asked, texts.swap_remove(0), completions, false))
}

/// Splits lists of messages. The first value says whether they held the prompt too.
fn split_conversations(
    mut asked: Asked,
    mut sides: Vec<Vec<Message>>,
    notes: &mut Vec<Cause>,
) -> (bool, Result<Split, Cause>) {
    let starts_with_answer = |side: &Vec<Message>| side.first().is_some_and(is_assistant);
    let answers_only = sides.iter().all(starts_with_answer);
    let mut prompt_column = None;
    let mut prompt = match asked.prompt.take() {
        None => Vec::new(),
        Some(Said::Text(text)) if answers_only => vec![message("user", text)],
        Some(Said::Text(text)) => {
            prompt_column = Some(text);
            Vec::new()
        }
        // The prompt may be at the start of each side once more.
        Some(Said::Turns(turns))
            if sides.iter().all(|side| side.len() > turns.len() && side.starts_with(&turns)) =>
        {
            Vec::new()
        }
        Some(Said::Turns(turns)) => turns,
    };
    if sides.iter().any(Vec::is_empty) {
        return (false, Err(Cause::EmptyCompletion));
    }
    let holds_prompt = prompt.is_empty() || !answers_only;
    if holds_prompt {
        let (first, others) = (&sides[0], &sides[1..]);
        let n_shared = others.iter().map(|other| prefix::common_turns(first, other)).min();
        let n_shared = n_shared.unwrap_or(first.len() - 1);
        let completions: Vec<Vec<Message>> = sides.iter_mut().map(|side| side.split_off(n_shared)).collect();
        prompt.append(&mut sides[0]);
        sides = completions;
    }
    if !sides.iter().all(starts_with_answer) {
        let cause = if sides.len() == 1 { Cause::MissingAnswerTurn } else { Cause::DifferingPrompts };
        return (holds_prompt, Err(cause));
    }
    if sides.iter().flatten().any(|turn| !is_assistant(turn)) {
        notes.push(Cause::TurnsInCompletion);
    }
    if prompt_column.is_some_and(|text| !prompt.iter().any(|turn| turn.content.trim() == text.trim())) {
        notes.push(Cause::PromptColumnDiffers);
    }
    let completions = sides.into_iter().map(Text::Messages).collect();
    (holds_prompt, Ok(Split { prompt: asked.before(prompt), completions }))
}

fn answer(text: String) -> Text {
    Text::Messages(vec![message("assistant", text)])
}

impl Asked {
    /// The system message and the earlier turns, then `turns`.
    fn before(self, turns: Vec<Message>) -> Text {
        let has_system = self.history.iter().chain(&turns).next().is_some_and(|turn| turn.role == "system");
        let system = self.system.filter(|_| !has_system).map(|text| message("system", text));
        Text::Messages(system.into_iter().chain(self.history).chain(turns).collect())
    }

    /// The same as paragraphs of text.
    fn before_text(self, prompt: String) -> String {
        if self.system.is_none() && self.history.is_empty() {
            return prompt;
        }
        let history = self.history.into_iter().map(|turn| turn.content);
        let paragraphs: Vec<String> = self.system.into_iter().chain(history).chain([prompt]).collect();
        paragraphs.join("\n\n")
    }
}
