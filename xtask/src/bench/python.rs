//! The environment that the Python trainer runs in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{cargo::root, process};

/// What is installed, pinned, in the files that it names.
const REQUIREMENTS: [&str; 2] = ["requirements.txt", "requirements-trl.txt"];
/// What must be there.
const IMPORTS: &str = "import datasets, peft, torch, transformers, trl";

/// The interpreter of a virtual environment with the trainer: the one given, or one that is made in `folder`.
pub(super) fn interpreter(given: Option<&Path>, folder: &Path) -> Result<PathBuf> {
    let environment = match given {
        Some(environment) => environment.to_owned(),
        None => made(&folder.join("venv"))?,
    };
    let python = of(&environment);
    if !python.is_file() {
        bail!(
            "{}: no virtual environment, {} is not there; give one to --python-env that `python3 -m venv` made, or \
             leave it out",
            environment.display(),
            python.display()
        );
    }
    process::quietly(Command::new(&python).args(["-c", IMPORTS])).with_context(|| {
        format!(
            "{}: the trainer is not in this environment; install {}",
            environment.display(),
            file(1).display()
        )
    })?;
    Ok(python)
}

/// Makes the environment, unless it is there with the same requirements.
fn made(environment: &Path) -> Result<PathBuf> {
    let wanted = REQUIREMENTS.iter().enumerate().map(|(idx, _)| fs::read_to_string(file(idx)));
    let wanted =
        wanted.collect::<Result<String, _>>().context("cannot read tests/python/requirements*.txt")?;
    // Written last: what was not installed to its end is made again.
    let mark = environment.join("complete");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(environment.to_owned());
    }
    eprintln!("── making {}: some gigabytes are downloaded", environment.display());
    let instead = "or give a virtual environment that has everything: --python-env DIR";
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(environment);
    if !process::run(&mut venv)
        .with_context(|| format!("Python 3 is needed; install it, {instead}"))?
        .success()
    {
        bail!(
            "{} failed; install Python's venv (`apt-get install python3-venv` on Debian), {instead}",
            process::shown(&venv)
        );
    }
    let mut pip = Command::new(of(environment));
    pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--requirement"]).arg(file(1));
    if !process::run(&mut pip)?.success() {
        bail!("{} failed; see above, {instead}", process::shown(&pip));
    }
    fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(environment.to_owned())
}

fn of(environment: &Path) -> PathBuf {
    environment.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

fn file(idx: usize) -> PathBuf {
    root().join("tests/python").join(REQUIREMENTS[idx])
}
