//! `cargo xtask bench`: steps, kernels, growth, and the Python trainer beside them.

mod against;
mod backends;
mod bars;
mod configuration;
mod flags;
mod python;
mod ratios;
mod rows;

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};

use crate::{
    cargo::{cargo, target_dir},
    dpo::{dpo, print_help},
    process,
    split::{Backend, Split, WrongUsage, names_out, split},
};

const HELP: &str = "\
Build `dpo` and measure its speed and memory

Usage: cargo xtask bench [--backend <BACKEND>] [FLAGS OF dpo bench]...
       cargo xtask bench --backend <BACKEND> --backend <BACKEND>... [FLAGS OF dpo bench]...
       cargo xtask bench kernels [FLAGS]...
       cargo xtask bench growth [FLAGS OF dpo bench growth]...
       cargo xtask bench --against-python --model <FOLDER> --data <PAIRS.jsonl> [FLAGS]...

Commands:
  kernels  How near each operation comes to what the machine can do
  growth   Time, speed and memory of a step against batch, length and model; growth.json and growth.svg
           are written to target/bench

Options:
      --backend <BACKEND>
          What computes, and is built in: cpu, wgpu, vulkan, metal or cuda [default: cpu]

          Given more than once, the backends run the same steps one after the other; a table has them side
          by side, and backends.json and backends.svg are written to target/bench
      --against-python
          The same steps by the Python trainer, in turn with ours; its --help has its flags

Everything else goes to `dpo bench`:

";

/// Runs the command.
pub(crate) fn run(args: &[OsString]) -> Result<ExitCode> {
    let Split { backends, rest, help } = split(args)?;
    let is_against = |arg: &OsString| arg == "--against-python";
    match rest.first().and_then(|word| word.to_str()) {
        _ if rest.iter().any(is_against) => {
            on_the_processor(&backends)?;
            let rest: Vec<OsString> = rest.into_iter().filter(|arg| !is_against(arg)).collect();
            if help {
                print_help(flags::HELP)?;
                return Ok(ExitCode::SUCCESS);
            }
            against::run(&flags::Flags::parse(&rest)?)
        }
        Some("kernels") => {
            on_the_processor(&backends)?;
            kernels(&rest[1..])
        }
        Some("growth") => {
            on_the_processor(&backends)?;
            growth(rest)
        }
        _ => {
            if help {
                print_help(HELP)?;
            }
            match backends[..] {
                [] => process::hand_over(dpo("bench", None, &rest)?),
                [backend] => process::hand_over(dpo("bench", Some(backend), &rest)?),
                _ if help => process::hand_over(dpo("bench", None, &rest)?),
                _ => backends::run(&backends, &rest),
            }
        }
    }
}

fn on_the_processor(backends: &[Backend]) -> Result<(), WrongUsage> {
    match backends.iter().find(|backend| **backend != Backend::Cpu) {
        Some(other) => {
            let problem =
                format!("--backend {} is for steps; this is measured on the processor", other.name());
            Err(WrongUsage(problem))
        }
        None => Ok(()),
    }
}

/// Results are found in `target/bench`, unless they are wanted elsewhere.
fn growth(mut args: Vec<OsString>) -> Result<ExitCode> {
    if !names_out(&args) {
        args.extend(["--out".into(), folder()?.into()]);
    }
    process::hand_over(dpo("bench", None, &args)?)
}

/// The example of `dpo-kernels` is built beside the program, so that both share every dependency.
fn kernels(args: &[OsString]) -> Result<ExitCode> {
    let mut build = cargo("build");
    build.args(["--release", "--package", "dpo-cli", "--package", "dpo-kernels", "--example", "roofline"]);
    let status = process::run(&mut build)?;
    if !status.success() {
        return Ok(process::exit_code(status));
    }
    let mut roofline = Command::new(built("examples/roofline")?);
    roofline.args(args);
    process::hand_over(roofline)
}

/// Where results go.
fn folder() -> Result<PathBuf> {
    Ok(target_dir()?.join("bench"))
}

/// What cargo built with this program's profile.
fn built(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(program.with_file_name(name).with_extension(std::env::consts::EXE_EXTENSION))
}
