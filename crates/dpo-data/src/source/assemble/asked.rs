//! What was asked: prompt, system message, earlier turns, and what the chat template is told beside them.

use serde_json::{Map, Value};

use super::super::conversation::{Said, WrongType, message, said, turns};
use super::super::plan::Plan;
use super::{take, take_optional};
use crate::Message;

pub(super) fn system(
    row: &mut Map<String, Value>,
    column: Option<&str>,
) -> Result<Option<String>, WrongType> {
    match take_optional(row, column) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Some(other) => Err(WrongType::new(column.unwrap_or_default(), &other, "a string")),
    }
}

/// Earlier turns: messages, or LLaMA-Factory's `[[said, answered], …]`.
pub(super) fn history(row: &mut Map<String, Value>, column: Option<&str>) -> Result<Vec<Message>, WrongType> {
    const EXPECTED: &str = "a list of messages or of [question, answer] lists";
    let column_name = column.unwrap_or_default();
    match take_optional(row, column) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.iter().all(Value::is_object) => turns(list, column_name),
        Some(Value::Array(list)) => {
            let mut history = Vec::with_capacity(2 * list.len());
            for (idx, round) in list.into_iter().enumerate() {
                let [Some(asked), Some(answered)] = [0, 1].map(|idx| round.get(idx).and_then(Value::as_str))
                else {
                    return Err(WrongType::new(format!("{column_name}[{idx}]"), &round, EXPECTED));
                };
                history.push(message("user", asked.to_owned()));
                history.push(message("assistant", answered.to_owned()));
            }
            Ok(history)
        }
        Some(other) => Err(WrongType::new(column_name, &other, EXPECTED)),
    }
}

/// The prompt, with the `input` column under it; `{"messages": …, "tools": …}` is taken apart.
pub(super) fn prompt(
    row: &mut Map<String, Value>,
    plan: &Plan,
    template_kwargs: &mut Map<String, Value>,
) -> Result<Option<Said>, WrongType> {
    let Some(column) = plan.prompt.as_deref() else { return Ok(None) };
    let mut prompt = match take(row, column) {
        Value::Object(mut request) if request.contains_key("messages") => {
            if let Some(tools) = request.remove("tools").filter(|tools| !tools.is_null()) {
                template_kwargs.insert("tools".to_owned(), tools);
            }
            said(request.remove("messages").unwrap_or_default(), &format!("{column}.messages"))?
        }
        value => said(value, column)?,
    };
    match take_optional(row, plan.input.as_deref()) {
        Some(Value::String(input)) => {
            if let (Said::Text(prompt), false) = (&mut prompt, input.trim().is_empty()) {
                prompt.push('\n');
                prompt.push_str(&input);
            }
        }
        Some(other) => {
            return Err(WrongType::new(plan.input.as_deref().unwrap_or_default(), &other, "a string"));
        }
        None => {}
    }
    Ok(Some(prompt))
}

/// `chat_template_kwargs` and `tools`, each as JSON or as a string of JSON.
pub(super) fn template_kwargs(
    row: &mut Map<String, Value>,
    plan: &Plan,
) -> Result<Map<String, Value>, WrongType> {
    let mut take_json = |column: Option<&str>| match take_optional(row, column) {
        Some(Value::String(json)) if json.trim().is_empty() => None,
        Some(Value::String(json)) => Some(serde_json::from_str(&json).unwrap_or(Value::String(json))),
        other => other,
    };
    let mut template_kwargs = match take_json(plan.template_kwargs.as_deref()) {
        None => Map::new(),
        Some(Value::Object(kwargs)) => kwargs,
        Some(other) => return Err(WrongType::new("chat_template_kwargs", &other, "an object")),
    };
    // Tables fill the keys that a row does not have with nulls.
    template_kwargs.retain(|_, value| !value.is_null());
    match take_json(plan.tools.as_deref()) {
        None => {}
        Some(tools @ Value::Array(_)) => {
            template_kwargs.insert("tools".to_owned(), tools);
        }
        Some(other) => {
            return Err(WrongType::new("tools", &other, "a list, or a string of JSON with a list"));
        }
    }
    Ok(template_kwargs)
}
