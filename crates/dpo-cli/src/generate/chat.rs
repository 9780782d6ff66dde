//! `dpo generate --chat`: a conversation over standard input and output.
//!
//! Standard output has the answers and nothing else; what is said about them goes to standard error.

use std::{
    io::{self, BufRead, IsTerminal, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use dpo_model::{
    Sampling,
    generate::{Finish, Next},
};
use signal_hook::{consts::SIGINT, flag};

use super::{
    Writer,
    conversation::Conversation,
    prompts::{MAX_PROMPTS_BYTES, as_utf8},
};
use crate::{
    terminal::{note, print},
    train::printable,
};

const COMMANDS: &str = "/reset, /system TEXT, /quit";

/// Answers line by line until the input ends.
pub(super) fn run(writer: &Writer, mut conversation: Conversation) -> Result<()> {
    let interrupt = Interrupt::install()?;
    if io::stdin().is_terminal() {
        note(&format!("a message a line; {COMMANDS}; Ctrl-C ends an answer"));
    }
    let mut n_answers = 0;
    while let Some(line) = read_line()? {
        match Line::of(&line) {
            Line::Nothing => {}
            Line::Quit => break,
            Line::Reset => {
                conversation.reset();
                note("the conversation begins anew");
            }
            Line::System(text) => set_system(&mut conversation, text),
            Line::Unknown(command) => {
                note(&format!("no command {command}; known are {COMMANDS}; put a space before it to say it"));
            }
            Line::Message(text) => {
                answer(writer, &mut conversation, &interrupt, text, n_answers)?;
                n_answers += 1;
            }
        }
    }
    Ok(())
}

fn set_system(conversation: &mut Conversation, text: &str) {
    let system = Some(text.to_owned()).filter(|text| !text.is_empty());
    let done = if system.is_some() { "the system message is set" } else { "no system message any more" };
    match conversation.set_system(system) {
        Ok(()) => note(done),
        Err(error) => note(&format!("the system message stays as it was: {error:#}")),
    }
}

/// Answers a message, or says why it cannot.
fn answer(
    writer: &Writer,
    conversation: &mut Conversation,
    interrupt: &Interrupt,
    text: &str,
    n_answers: u64,
) -> Result<()> {
    let question = match conversation.ask(text) {
        Ok(question) => question,
        Err(error) => {
            note(&format!("not asked: {error:#}"));
            return Ok(());
        }
    };
    if question.n_forgotten > 0 {
        let n = question.n_forgotten;
        note(&format!(
            "the conversation outgrows what the model can read: its first {n} messages are forgotten"
        ));
    }
    let writer = Writer { config: writer.config.clone(), ..*writer }.with_draw(n_answers);
    interrupt.arm();
    let completion = writer.answer(&question.ids, |piece| {
        print(&printable(piece))?;
        Ok(if interrupt.came() { Next::Stop } else { Next::Continue })
    })?;
    print("\n")?;
    let is_interrupted = interrupt.disarm();
    match completion.finish {
        _ if is_interrupted && completion.text.is_empty() => {
            conversation.unask();
            note("interrupted; the message is taken back");
            return Ok(());
        }
        _ if is_interrupted => note("interrupted"),
        Finish::Length => note(&format!("cut off after {} tokens", completion.n_tokens)),
        Finish::Stop => {}
    }
    conversation.answered(completion.text);
    Ok(())
}

impl Writer<'_> {
    /// Draws other numbers for each answer: the same question may be answered differently the second time.
    fn with_draw(mut self, n_answers: u64) -> Self {
        if let Sampling::Sample(sample) = &mut self.config.sampling {
            sample.seed = sample.seed.wrapping_add(n_answers);
        }
        self
    }
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Quit,
    Reset,
    System(&'a str),
    /// A word that looks like a command.
    Unknown(&'a str),
    Message(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.trim_end();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = word.strip_prefix('/');
        let is_command = name.is_some_and(|name| !name.is_empty() && name.chars().all(char::is_alphabetic));
        match (word, rest.trim()) {
            _ if line.trim().is_empty() => Self::Nothing,
            _ if !is_command => Self::Message(line.trim()),
            ("/quit", "") => Self::Quit,
            ("/reset", "") => Self::Reset,
            ("/system", text) => Self::System(text),
            _ => Self::Unknown(line),
        }
    }
}

/// A line of standard input; `None` at its end. A person is shown where to type.
fn read_line() -> Result<Option<String>> {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        let _ = write!(io::stderr(), "> ");
    }
    let mut line = Vec::new();
    let mut input = io::stdin().lock().take(MAX_PROMPTS_BYTES);
    input.read_until(b'\n', &mut line).context("cannot read standard input")?;
    if line.len() as u64 == MAX_PROMPTS_BYTES {
        bail!("standard input: a line of more than 64 MiB; is this a message?");
    }
    if line.is_empty() {
        if is_terminal {
            note("");
        }
        return Ok(None);
    }
    as_utf8(line, "standard input").map(Some)
}

/// Ctrl-C: ends an answer while there is one, the program otherwise and at the second time.
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn install() -> Result<Self> {
        let ends_program = Arc::new(AtomicBool::new(true));
        // In this order: a signal that finds the flag unset only sets it.
        flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&ends_program))
            .context("cannot listen for signals")?;
        flag::register(SIGINT, Arc::clone(&ends_program)).context("cannot listen for signals")?;
        Ok(Self(ends_program))
    }

    /// From here on it ends an answer.
    fn arm(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether it came since then.
    fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// From here on it ends the program. Gives whether it came before.
    fn disarm(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_unless_their_first_word_is_a_command() {
        for (line, expected) in [
            ("", Line::Nothing),
            (" \t\r\n", Line::Nothing),
            ("/quit\n", Line::Quit),
            ("/reset \r\n", Line::Reset),
            ("/system  Be brief. \n", Line::System("Be brief.")),
            ("/system\n", Line::System("")),
            ("/quit now\n", Line::Unknown("/quit now")),
            ("/help\n", Line::Unknown("/help")),
            (" /help\n", Line::Message("/help")),
            ("/etc/passwd is what?\n", Line::Message("/etc/passwd is what?")),
            ("/\n", Line::Message("/")),
            ("  hello\tthere \n", Line::Message("hello\tthere")),
        ] {
            assert_eq!(Line::of(line), expected, "{line:?}");
        }
    }
}
