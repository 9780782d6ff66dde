//! Conversation trees, as OpenAssistant publishes them: every prompt with its ranked replies is a list.

use serde_json::{Map, Value};

use super::assemble::take;
use super::conversation::{WrongType, message};
use crate::Message;
use crate::relation::Ranking;

/// A prompt of a tree with its ranked replies, best first.
pub(super) struct RankedReplies {
    /// The conversation up to the prompt.
    pub(super) prompt: Vec<Message>,
    pub(super) replies: Vec<String>,
    pub(super) ranking: Ranking,
    /// Replies that nobody ranked, and that were left out.
    pub(super) n_unranked: usize,
}

/// Every prompt of the tree in `column` that has two ranked replies or more, a prompt before those that follow it.
pub(super) fn ranked_replies(
    row: &mut Map<String, Value>,
    column: &str,
) -> Result<Vec<RankedReplies>, WrongType> {
    let mut lists = Vec::new();
    visit(take(row, column), column, &mut Vec::new(), &mut lists)?;
    Ok(lists)
}

/// `said` is the conversation before `node`.
fn visit(
    node: Value,
    column: &str,
    said: &mut Vec<Message>,
    lists: &mut Vec<RankedReplies>,
) -> Result<(), WrongType> {
    const EXPECTED: &str = "a message with `text`, `role` and `replies`";
    let Value::Object(mut node) = node else { return Err(WrongType::new(column, &node, EXPECTED)) };
    let (text, role, replies) =
        (take(&mut node, "text"), take(&mut node, "role"), take(&mut node, "replies"));
    let (Value::String(text), Some(role)) = (text, role.as_str()) else {
        return Err(WrongType::new(column, &Value::Object(node), EXPECTED));
    };
    let role = match role {
        "prompter" | "user" => "user",
        "assistant" => "assistant",
        _ => return Err(WrongType::new(format!("{column}.role"), &role.into(), "`prompter` or `assistant`")),
    };
    let replies = match replies {
        Value::Array(replies) => replies,
        Value::Null => Vec::new(),
        other => return Err(WrongType::new(format!("{column}.replies"), &other, "a list of messages")),
    };
    said.push(message(role, text));
    if role == "user" {
        lists.extend(list(&replies, said));
    }
    for (idx, reply) in replies.into_iter().enumerate() {
        visit(reply, &format!("{column}.replies[{idx}]"), said, lists)?;
    }
    said.pop();
    Ok(())
}

/// The ranked ones of these replies; `None` if there are not two.
fn list(replies: &[Value], said: &[Message]) -> Option<RankedReplies> {
    let answers = || replies.iter().filter(|reply| reply["role"] == "assistant" && reply["deleted"] != true);
    let graded = |reply: &Value| Some((reply["rank"].as_u64()?, reply["text"].as_str()?.to_owned()));
    let mut ranked: Vec<(u64, String)> = answers().filter_map(graded).collect();
    if ranked.len() < 2 {
        return None;
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut places = vec![0];
    for pair in ranked.windows(2) {
        let last = places.last().copied().unwrap_or(0);
        places.push(if pair[0].0 == pair[1].0 { last } else { last + 1 });
    }
    let n_unranked = answers().count() - ranked.len();
    Some(RankedReplies {
        prompt: said.to_vec(),
        replies: ranked.into_iter().map(|(_, text)| text).collect(),
        ranking: Ranking { places, scores: None },
        n_unranked,
    })
}
