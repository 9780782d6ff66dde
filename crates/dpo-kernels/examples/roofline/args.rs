//! The command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
How near each operation comes to what the machine can do, at the sizes of SmolLM2-135M

Options:
      --only <PART>    Only operations with this in their name
      --tokens <N>     Tokens of a batch, at least 40 [default: 700]
      --runs <N>       Times that each is run; the median counts [default: 15]
      --threads <N>    Threads; 0 takes one for each core [default: 0]
      --out <F.json>   Also write the figures to this file, over what is there
  -h, --help           Print help
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) only: String,
    pub(crate) tokens: usize,
    pub(crate) runs: usize,
    pub(crate) threads: usize,
    pub(crate) out: Option<PathBuf>,
}

impl Args {
    /// `None` where help was asked for; an error says what is wrong.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self { only: String::new(), tokens: 700, runs: 15, threads: 0, out: None };
        let mut words = words;
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            let mut value = || value.clone().or_else(|| words.next()).ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "-h" | "--help" => return Ok(None),
                "--only" => args.only = value()?,
                "--tokens" => args.tokens = number(&name, &value()?, 40)?,
                "--runs" => args.runs = number(&name, &value()?, 1)?,
                "--threads" => args.threads = number(&name, &value()?, 0)?,
                "--out" => args.out = Some(value()?.into()),
                _ => return Err(format!("`{name}` is not known; --help has the options")),
            }
        }
        Ok(Some(args))
    }
}

fn number(name: &str, text: &str, least: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!("{name} is `{text}`; expected a whole number of at least {least}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Args>, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_take_a_value_either_way() {
        let args =
            parsed("--only=head --tokens 40 --out f.json").expect("is right").expect("no help is asked for");
        assert_eq!((args.only.as_str(), args.tokens, args.runs, args.threads), ("head", 40, 15, 0));
        assert_eq!(args.out, Some("f.json".into()));
        assert!(parsed("--runs 3 --help").expect("is right").is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |line: &str| parsed(line).expect_err("is wrong");
        assert_eq!(message("--runs 0"), "--runs is `0`; expected a whole number of at least 1");
        assert_eq!(message("--tokens"), "--tokens needs a value");
        assert_eq!(message("--speed 3"), "`--speed` is not known; --help has the options");
    }
}
