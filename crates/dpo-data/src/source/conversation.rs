//! Lists of messages: `{role, content}`, and ShareGPT's `{from, value}`.

use serde_json::{Map, Value};

use super::json::describe;
use crate::Message;

/// A value that is not what it should be; `column` leads to it.
#[derive(Debug)]
pub(super) struct WrongType {
    pub(super) column: String,
    pub(super) found: String,
    pub(super) expected: &'static str,
}

impl WrongType {
    pub(super) fn new(column: impl Into<String>, found: &Value, expected: &'static str) -> Self {
        Self { column: column.into(), found: describe(found), expected }
    }
}

/// A prompt or a completion as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Text(String),
    Turns(Vec<Message>),
}

/// Reads a string, a list of messages, or one message.
pub(super) fn said(value: Value, column: &str) -> Result<Said, WrongType> {
    match value {
        Value::String(text) => Ok(Said::Text(text)),
        Value::Array(list) => turns(list, column).map(Said::Turns),
        Value::Object(message) => Ok(Said::Turns(vec![turn(message, column)?])),
        other => Err(WrongType::new(column, &other, "a string or a list of messages")),
    }
}

/// Reads a list of messages.
pub(super) fn turns(list: Vec<Value>, column: &str) -> Result<Vec<Message>, WrongType> {
    let read = |(idx, value)| match value {
        Value::Object(message) => turn(message, &format!("{column}[{idx}]")),
        other => {
            Err(WrongType::new(format!("{column}[{idx}]"), &other, "a message with `role` and `content`"))
        }
    };
    list.into_iter().enumerate().map(read).collect()
}

fn turn(mut message: Map<String, Value>, column: &str) -> Result<Message, WrongType> {
    let (role, is_sharegpt) = match message.shift_remove("role") {
        Some(role) => (Some(role), false),
        None => (message.shift_remove("from"), true),
    };
    let Some(role) = role else {
        let keys: Vec<&str> = message.keys().map(String::as_str).collect();
        let found =
            format!("an object with {}", if keys.is_empty() { "nothing".into() } else { keys.join(", ") });
        return Err(WrongType {
            column: column.to_owned(),
            found,
            expected: "a message with `role` and `content`",
        });
    };
    let role = match role {
        Value::String(role) if is_sharegpt => usual_role(role),
        Value::String(role) => role,
        other => {
            return Err(WrongType::new(
                format!("{column}.role"),
                &other,
                "a string such as user or assistant",
            ));
        }
    };
    let content =
        message.shift_remove("content").or_else(|| message.shift_remove("value")).unwrap_or(Value::Null);
    // Tables fill what a message does not have with nulls.
    message.retain(|_, value| !value.is_null());
    let content = content_text(content, &message, column)?;
    Ok(Message { role, content, extra: message })
}

/// ShareGPT's names in the words of chat templates.
fn usual_role(role: String) -> String {
    match role.as_str() {
        "human" => "user".to_owned(),
        "gpt" | "chatgpt" | "model" | "bot" | "function_call" => "assistant".to_owned(),
        "observation" | "function_response" => "tool".to_owned(),
        _ => role,
    }
}

fn content_text(content: Value, rest: &Map<String, Value>, column: &str) -> Result<String, WrongType> {
    match content {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let texts = parts.into_iter().enumerate();
            texts.map(|(idx, part)| part_text(part, &format!("{column}.content[{idx}]"))).collect()
        }
        Value::Null if ["tool_calls", "function_call"].iter().any(|key| rest.contains_key(*key)) => {
            Ok(String::new())
        }
        other => Err(WrongType::new(format!("{column}.content"), &other, "a string")),
    }
}

fn part_text(part: Value, column: &str) -> Result<String, WrongType> {
    const EXPECTED: &str = "a part of type text; pictures and sound are not read";
    match part {
        Value::String(text) => Ok(text),
        Value::Object(mut part) => {
            let text = part.remove("text");
            match (part.get("type").and_then(Value::as_str), text) {
                (None | Some("text"), Some(Value::String(text))) => Ok(text),
                (kind, _) => {
                    let found = kind.map_or("an object".to_owned(), |kind| format!("a part of type {kind}"));
                    Err(WrongType { column: column.to_owned(), found, expected: EXPECTED })
                }
            }
        }
        other => Err(WrongType::new(column, &other, EXPECTED)),
    }
}

/// Whether this turn is the model's own.
pub(super) fn is_assistant(turn: &Message) -> bool {
    matches!(turn.role.as_str(), "assistant" | "model")
}

/// Whether nothing was said in these turns, no tool called either.
pub(super) fn is_silent(turns: &[Message]) -> bool {
    let calls =
        |turn: &Message| turn.extra.contains_key("tool_calls") || turn.extra.contains_key("function_call");
    turns.iter().all(|turn| turn.content.trim().is_empty() && !calls(turn))
}

/// A message without anything but its text.
pub(super) fn message(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content, extra: Map::new() }
}
