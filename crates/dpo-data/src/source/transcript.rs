//! The transcripts of the HH data: `\n\nHuman: … \n\nAssistant: …`.

use super::conversation::message;
use crate::Message;

const HUMAN: &str = "Human:";
const ASSISTANT: &str = "Assistant:";
/// What ends the prompt of a transcript.
const ASKS: &str = "\n\nAssistant:";

/// Whether `text` reads as a transcript: a human begins, an assistant turn follows.
pub(super) fn is_transcript(text: &str) -> bool {
    text.trim_start().starts_with(HUMAN) && text.contains(ASKS)
}

/// Whether `text` is a transcript that leaves the word to the assistant.
pub(super) fn asks_assistant(text: &str) -> bool {
    is_transcript(text) && text.trim_end().ends_with(ASKS)
}

/// The turns of a transcript, trimmed of white space.
pub(super) fn turns(text: &str) -> Vec<Message> {
    let mut turns = Vec::new();
    let mut rest = text.trim_start();
    while let Some((role, said)) = marker(rest) {
        let end = next_marker(said);
        turns.push(message(role, said[..end].trim().to_owned()));
        rest = said[end..].trim_start_matches('\n');
    }
    turns
}

/// Joins turns of one speaker in a row by a blank line: chat templates want the speakers to take turns.
pub(super) fn join_turns(turns: Vec<Message>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::with_capacity(turns.len());
    for turn in turns {
        match joined.last_mut() {
            Some(last) if last.role == turn.role => {
                if !last.content.is_empty() && !turn.content.is_empty() {
                    last.content.push_str("\n\n");
                }
                last.content.push_str(&turn.content);
            }
            _ => joined.push(turn),
        }
    }
    joined
}

/// The length of the prompt, as text, of transcripts that share everything but the assistant's last turn.
pub(super) fn common_prompt(sides: &[&str]) -> Option<usize> {
    let first = sides.first()?;
    let end = first.rfind(ASKS)? + ASKS.len();
    let prompt = &first[..end];
    let ends_in_one_turn =
        |text: &&str| text.strip_prefix(prompt).is_some_and(|turn| next_marker(turn) == turn.len());
    sides.iter().all(ends_in_one_turn).then_some(end)
}

/// The speaker that `text` begins with, and the text behind the name.
fn marker(text: &str) -> Option<(&'static str, &str)> {
    let human = text.strip_prefix(HUMAN).map(|said| ("user", said));
    human.or_else(|| text.strip_prefix(ASSISTANT).map(|said| ("assistant", said)))
}

/// Where the next turn begins, or the end.
fn next_marker(text: &str) -> usize {
    let begins_turn = |behind: &str| marker(behind.strip_prefix('\n').unwrap_or(behind)).is_some();
    let mut breaks = text.match_indices("\n\n");
    let found = breaks.find(|(idx, line_breaks)| begins_turn(&text[idx + line_breaks.len()..]));
    found.map_or(text.len(), |(idx, _)| idx)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn said(role: &str, content: &str) -> Message {
        message(role, content.to_owned())
    }

    #[test]
    fn a_transcript_becomes_its_turns() {
        let text = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHow are you?\n\nHuman: Fine\n\nAssistant:";
        let expected = [
            said("user", "Hi"),
            said("assistant", "Hello.\n\nHow are you?"),
            said("user", "Fine"),
            said("assistant", ""),
        ];
        assert_eq!(turns(text), expected);
        assert!(asks_assistant(text));
    }

    #[test]
    fn turns_of_one_speaker_in_a_row_are_joined() {
        let turns = turns("Human: a\n\nAssistant: b\n\nAssistant: c");
        assert_eq!(turns.len(), 3);
        assert_eq!(join_turns(turns), [said("user", "a"), said("assistant", "b\n\nc")]);
    }

    #[test]
    fn a_name_inside_a_sentence_begins_no_turn() {
        assert_eq!(turns("Human: is Human: a name?\nAssistant: x\n\nAssistant: no").len(), 2);
    }

    #[test]
    fn the_common_prompt_ends_where_the_last_reply_begins() {
        let (chosen, rejected) = ("\n\nHuman: Hi\n\nAssistant: Hello", "\n\nHuman: Hi\n\nAssistant: Go");
        assert_eq!(common_prompt(&[chosen, rejected]), Some("\n\nHuman: Hi\n\nAssistant:".len()));
        assert_eq!(common_prompt(&[chosen, "\n\nHuman: Ho\n\nAssistant: Go"]), None);
        assert_eq!(common_prompt(&[chosen, &format!("{rejected}\n\nHuman: why?")]), None);
    }
}
