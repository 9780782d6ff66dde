//! `cargo xtask test`: everything that must hold before a change is merged.

use std::{
    ffi::OsString,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Result;

use crate::{cargo::cargo, process};

/// Runs one stage after another and stops at the first that fails.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    for (name, mut command) in stages(args) {
        eprintln!("── {name}: {}", process::shown(&command));
        let start = Instant::now();
        let status = process::run(&mut command)?;
        let seconds = start.elapsed().as_secs_f64();
        if !status.success() {
            eprintln!("── {name}: failed after {seconds:.0} s");
            return Ok(process::exit_code(status));
        }
        eprintln!("── {name}: passed in {seconds:.0} s");
    }
    Ok(ExitCode::SUCCESS)
}

/// The cheapest stage first. All take the whole workspace in one profile, so that no dependency is compiled twice (but
/// clippy reads what it needs of them in a pass of its own).
fn stages(test_args: &[OsString]) -> [(&'static str, Command); 4] {
    const WORKSPACE: [&str; 2] = ["--workspace", "--release"];
    let mut format = cargo("fmt");
    format.args(["--all", "--check"]);
    let mut lints = cargo("clippy");
    lints.args(WORKSPACE).args(["--all-targets", "--", "--deny", "warnings"]);
    let mut program = cargo("build"); // Tests start it.
    program.args(WORKSPACE);
    let mut tests = cargo("test"); // Those of the documentation too.
    tests.args(WORKSPACE).arg("--no-fail-fast").args(test_args);
    [("format", format), ("lints", lints), ("program", program), ("tests", tests)]
}
