//! A command line: what of it is ours, and what is handed on.

use std::{ffi::OsString, fmt, str::FromStr};

/// What computes, which is decided when `dpo` is built: a feature of the package `dpo-cli`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Cpu,
    Wgpu,
    Vulkan,
    Metal,
    Cuda,
}

impl Backend {
    const ALL: [Self; 5] = [Self::Cpu, Self::Wgpu, Self::Vulkan, Self::Metal, Self::Cuda];

    /// The word of the flag, and the feature.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
        }
    }
}

impl FromStr for Backend {
    type Err = WrongUsage;

    fn from_str(word: &str) -> Result<Self, WrongUsage> {
        let wrong = || WrongUsage(format!("no backend is called `{word}`; there are {BACKENDS}"));
        Self::ALL.into_iter().find(|backend| backend.name() == word).ok_or_else(wrong)
    }
}

const BACKENDS: &str = "cpu, wgpu, vulkan, metal and cuda";

/// The command line is at fault: exit code 2.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// A command line, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Values of `--backend`, in order.
    pub(crate) backends: Vec<Backend>,
    /// Everything else, untouched.
    pub(crate) rest: Vec<OsString>,
    /// The rest asks for help.
    pub(crate) help: bool,
}

/// Takes `--backend B` and `--backend=B` out of a command line. What follows a `--` is not ours.
pub(crate) fn split(args: &[OsString]) -> Result<Split, WrongUsage> {
    let mut split = Split::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--") => split.rest.extend(args.by_ref().cloned()),
            Some("--backend") => {
                let value = args.next().and_then(|value| value.to_str());
                let value = value
                    .ok_or_else(|| WrongUsage(format!("--backend needs a value; there are {BACKENDS}")))?;
                split.backends.push(value.parse()?);
            }
            Some(word) if word.starts_with("--backend=") => {
                split.backends.push(word["--backend=".len()..].parse()?);
            }
            word => {
                split.help |= matches!(word, Some("-h" | "--help"));
                split.rest.push(arg.clone());
            }
        }
    }
    Ok(split)
}

/// Whether the user says where results go.
pub(crate) fn names_out(args: &[OsString]) -> bool {
    let is_out = |arg: &OsString| arg.to_str().is_some_and(|arg| arg == "--out" || arg.starts_with("--out="));
    args.iter().any(is_out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_backend_may_stand_anywhere_and_the_rest_keeps_its_order() {
        for line in ["--backend wgpu --model M --data D", "--model M --backend=wgpu --data D"] {
            let split = split(&words(line)).unwrap();
            assert_eq!(split.backends, [Backend::Wgpu]);
            assert_eq!(split.rest, words("--model M --data D"));
        }
    }

    #[test]
    fn what_follows_two_dashes_is_handed_on() {
        let split = split(&words("--backend cuda -- --backend x --help")).unwrap();
        assert_eq!((split.backends, split.help), (vec![Backend::Cuda], false));
        assert_eq!(split.rest, words("--backend x --help"));
    }

    #[test]
    fn help_is_seen_and_handed_on() {
        let split = split(&words("--steps 3 -h")).unwrap();
        assert!(split.help);
        assert_eq!(split.rest, words("--steps 3 -h"));
    }

    /// Nothing is built for a word that is no backend.
    #[test]
    fn a_wrong_backend_is_named() {
        let message = |line: &str| split(&words(line)).unwrap_err().to_string();
        let wrong = "no backend is called `rocm`; there are cpu, wgpu, vulkan, metal and cuda";
        assert_eq!(message("--backend rocm"), wrong);
        assert_eq!(message("--backend=rocm"), wrong);
        assert_eq!(
            message("--model M --backend"),
            "--backend needs a value; there are cpu, wgpu, vulkan, metal and cuda"
        );
    }
}
