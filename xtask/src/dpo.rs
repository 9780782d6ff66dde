//! `cargo xtask train | assets`: `dpo` is built with one backend and takes our place.

use std::{
    ffi::OsString,
    io::{Write, stdout},
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::Result;

use crate::{
    cargo::{cargo, root, target_dir},
    process,
    split::{Backend, Split, WrongUsage, names_out, split},
};

const TRAIN_HELP: &str = "\
Build `dpo` with one backend and train

Usage: cargo xtask train [--backend <BACKEND>] [FLAGS OF dpo train]...

Options:
      --backend <BACKEND>
          What computes, and is built in: cpu, wgpu, vulkan, metal or cuda [default: cpu]

          Each backend is built in a folder of its own (target, target/wgpu, target/cuda …), so that
          going back and forth builds nothing again.

Everything else goes to `dpo train`:

";

const ASSETS_HELP: &str = "\
Make what the built-in experiment starts from again

Usage: cargo xtask assets [FLAGS OF dpo assets]...

Without --out, the files of the repository are replaced. Everything goes to `dpo assets`:

";

/// `cargo xtask train`
pub(crate) fn train(args: &[OsString]) -> Result<ExitCode> {
    let Split { backends, rest, help } = split(args)?;
    if help {
        print_help(TRAIN_HELP)?;
    }
    match backends[..] {
        [] => process::hand_over(dpo("train", None, &rest)?),
        [backend] => process::hand_over(dpo("train", Some(backend), &rest)?),
        _ => Err(WrongUsage("--backend is given more than once; a run has one".to_owned()).into()),
    }
}

/// `cargo xtask experiment`: figures are found in `target/experiments`, unless they are wanted elsewhere.
pub(crate) fn experiment(args: &[OsString]) -> Result<ExitCode> {
    let Split { backends, mut rest, help: _ } = split(args)?;
    if !backends.is_empty() {
        return Err(WrongUsage("experiments run on the processor; remove --backend".to_owned()).into());
    }
    if !names_out(&rest) {
        rest.extend(["--out".into(), target_dir()?.join("experiments").into()]);
    }
    process::hand_over(dpo("experiment", None, &rest)?)
}

/// `cargo xtask assets`
pub(crate) fn assets(args: &[OsString]) -> Result<ExitCode> {
    let Split { backends, mut rest, help } = split(args)?;
    if help {
        print_help(ASSETS_HELP)?;
    }
    if !backends.is_empty() {
        return Err(WrongUsage("the assets are made on the processor; remove --backend".to_owned()).into());
    }
    if !names_out(&rest) {
        rest.extend(["--out".into(), root().join("assets").into()]);
    }
    process::hand_over(dpo("assets", None, &rest)?)
}

/// `cargo run … -- subcommand [--backend B] args`; where no backend is asked for, that of the processor is built and
/// the run file decides.
pub(crate) fn dpo(subcommand: &str, backend: Option<Backend>, args: &[OsString]) -> Result<Command> {
    let mut command = cargo("run");
    selected(&mut command, backend)?;
    command.args(["--", subcommand]);
    if let Some(backend) = backend {
        command.args(["--backend", backend.name()]);
    }
    command.args(args);
    Ok(command)
}

/// `cargo build` of the program with a backend.
pub(crate) fn build(backend: Backend) -> Result<Command> {
    let mut command = cargo("build");
    selected(&mut command, Some(backend))?;
    Ok(command)
}

/// The program, with the backend alone, in a folder of its own.
fn selected(command: &mut Command, backend: Option<Backend>) -> Result<()> {
    command.args(["--release", "--package", "dpo-cli"]);
    // The processor is the package's default feature: naming it would make another build of the same program.
    if let Some(backend) = backend.filter(|backend| *backend != Backend::Cpu) {
        command.args(["--no-default-features", "--features", backend.name()]);
        command.arg("--target-dir").arg(folder(backend)?);
    }
    Ok(())
}

/// The target folder that a backend is built in.
pub(crate) fn folder(backend: Backend) -> Result<PathBuf> {
    let target = target_dir()?;
    Ok(if backend == Backend::Cpu { target } else { target.join(backend.name()) })
}

pub(crate) fn print_help(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
