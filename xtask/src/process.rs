//! Starting other programs.

use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};

/// Runs a program to its end. Its input and output are ours.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot start {}", shown(command)))
}

/// Runs a program to its end and keeps what it says to itself, unless it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
    bail!("{} ended with {}:\n  {end}", shown(command), output.status)
}

/// What is shown of a program that failed.
const LAST_LINES: usize = 12;

/// Becomes a program, so that every signal reaches it, and whoever waits for us gets its exit code.
#[cfg(unix)]
pub(crate) fn hand_over(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let error = command.exec(); // Returns only where it failed.
    Err(error).with_context(|| format!("cannot start {}", shown(&command)))
}

/// Runs a program to its end and gives its exit code.
#[cfg(not(unix))]
pub(crate) fn hand_over(mut command: Command) -> Result<ExitCode> {
    Ok(exit_code(run(&mut command)?))
}

/// The exit code of a program that ended; 128 and the signal's number where a signal ended it, as shells have it.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    #[cfg(unix)]
    let signalled = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    #[cfg(not(unix))]
    let signalled = None;
    let code = status.code().or(signalled).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
