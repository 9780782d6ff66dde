//! The flags of `cargo xtask bench --against-python`.

use std::{ffi::OsString, path::PathBuf};

use super::configuration::Configuration;
use crate::split::WrongUsage;

pub(super) const HELP: &str = "\
Measure `dpo` against TRL's trainer: the same rows, in turn, each alone

Usage: cargo xtask bench --against-python --model <FOLDER> --data <PAIRS.jsonl> [FLAGS]...

Options:
      --model <FOLDER>      A Hugging Face folder
      --data <PAIRS.jsonl>  JSON Lines with prompt, chosen and rejected
      --pairs <N>           Runs of each side [default: 5]
      --lists <LISTS.jsonl> JSON Lines with prompt and completions, best first, as many in each; for the configuration lists
      --only <NAME>         full_best, full_f32, lora_best or lists; may be given again [default: all, lists only with --lists]
      --steps <N>           Steps of a run, at least 2; the first is not counted [default: 20]
      --batch-size <N>      Pairs a step [default: 4]
      --max-length <N>      Tokens of a text; answers are cut off there [default: 512]
      --lora-rank <N>       Width of the adapters of lora_best [default: 16]
      --threads <N>         Threads of both sides [default: one for each core]
      --python-env <DIR>    A virtual environment with tests/python/requirements-trl.txt; without it, one is made in
                            target/bench/venv, which downloads some gigabytes
      --out <F.json>        Where the figures go [default: target/bench/against-python.json]
  -h, --help                Print help

Configurations:
  full_best  All weights. TRL in f32 or under bf16 autocast, whichever is faster in a first probe; ours in bf16 where
             the processor has a matrix unit for it, else in f32
  full_f32   All weights, f32 on both sides
  lora_best  As full_best, with adapters on all linear layers
  lists      As full_best: lists with the loss plackett_luce, and the same judgments as all pairs of each list in TRL; one
             list of --lists is a row here, and its pairs are counted as one row there
";

/// What is to be measured.
#[derive(Debug)]
pub(super) struct Flags {
    pub(super) model: PathBuf,
    pub(super) data: PathBuf,
    pub(super) lists: Option<PathBuf>,
    pub(super) pairs: usize,
    pub(super) only: Vec<Configuration>,
    pub(super) steps: usize,
    pub(super) batch_size: usize,
    pub(super) max_length: usize,
    pub(super) lora_rank: usize,
    pub(super) threads: usize,
    pub(super) python_env: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
}

impl Flags {
    pub(super) fn parse(args: &[OsString]) -> Result<Self, WrongUsage> {
        let mut values = values(args)?;
        let mut flags = Self {
            model: values.path("--model")?.ok_or_else(|| missing("--model FOLDER"))?,
            data: values.path("--data")?.ok_or_else(|| missing("--data PAIRS.jsonl"))?,
            lists: values.path("--lists")?,
            pairs: values.number("--pairs", 1)?.unwrap_or(5),
            only: Vec::new(),
            steps: values.number("--steps", 2)?.unwrap_or(20),
            batch_size: values.number("--batch-size", 1)?.unwrap_or(4),
            max_length: values.number("--max-length", 2)?.unwrap_or(512),
            lora_rank: values.number("--lora-rank", 1)?.unwrap_or(16),
            threads: values.number("--threads", 1)?.unwrap_or_else(cores),
            python_env: values.path("--python-env")?,
            out: values.path("--out")?,
        };
        while let Some(name) = values.take("--only") {
            let name = name.to_string_lossy();
            let known = Configuration::ALL.into_iter().find(|known| known.name() == name);
            let unknown = || {
                WrongUsage(format!("--only is `{name}`; there are full_best, full_f32, lora_best and lists"))
            };
            flags.only.push(known.ok_or_else(unknown)?);
        }
        if flags.only.is_empty() {
            let has_lists = flags.lists.is_some();
            flags.only.extend(
                Configuration::ALL.into_iter().filter(|one| has_lists || *one != Configuration::Lists),
            );
        }
        if flags.only.contains(&Configuration::Lists) && flags.lists.is_none() {
            return Err(WrongUsage("--only lists needs --lists LISTS.jsonl".to_owned()));
        }
        match values.0.first() {
            Some((name, _)) => Err(WrongUsage(format!(
                "`{name}` is given more than once, or not known; --help has the flags"
            ))),
            None => Ok(flags),
        }
    }
}

/// Names and values in the order they were given.
struct Values(Vec<(String, OsString)>);

fn values(args: &[OsString]) -> Result<Values, WrongUsage> {
    let mut values = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let word = arg.to_string_lossy();
        let pair = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), OsString::from(value)),
            _ if !word.starts_with("--") => {
                return Err(WrongUsage(format!("`{word}` is no flag; --help has them")));
            }
            _ => {
                let value = args.next().ok_or_else(|| WrongUsage(format!("{word} needs a value")))?;
                (word.into_owned(), value.clone())
            }
        };
        values.push(pair);
    }
    Ok(Values(values))
}

impl Values {
    /// The first value of that name, which is then gone.
    fn take(&mut self, name: &str) -> Option<OsString> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    fn path(&mut self, name: &str) -> Result<Option<PathBuf>, WrongUsage> {
        match self.take(name) {
            Some(value) if value.is_empty() => Err(WrongUsage(format!("{name} is empty"))),
            value => Ok(value.map(PathBuf::from)),
        }
    }

    fn number(&mut self, name: &str, least: usize) -> Result<Option<usize>, WrongUsage> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = value.to_string_lossy();
        match text.parse() {
            Ok(number) if number >= least => Ok(Some(number)),
            _ => Err(WrongUsage(format!("{name} is `{text}`; expected a whole number of at least {least}"))),
        }
    }
}

fn missing(flag: &str) -> WrongUsage {
    WrongUsage(format!("--against-python needs {flag}"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Flags, WrongUsage> {
        Flags::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let flags = parsed("--data=d --model m --steps 3").unwrap();
        assert_eq!((flags.model, flags.data), ("m".into(), "d".into()));
        assert_eq!((flags.steps, flags.batch_size, flags.pairs, flags.max_length), (3, 4, 5, 512));
        assert_eq!(flags.only, Configuration::ALL[..3]);
    }

    #[test]
    fn configurations_can_be_chosen() {
        let flags = parsed("--model m --data d --only lora_best --only full_f32").unwrap();
        assert_eq!(flags.only, [Configuration::LoraBest, Configuration::FullF32]);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |line: &str| parsed(line).unwrap_err().to_string();
        assert_eq!(message("--data d"), "--against-python needs --model FOLDER");
        assert_eq!(message("--model m"), "--against-python needs --data PAIRS.jsonl");
        assert_eq!(message("--model m --data"), "--data needs a value");
        let with = |more: &str| message(&format!("--model m --data d {more}"));
        assert_eq!(with("--steps 1"), "--steps is `1`; expected a whole number of at least 2");
        assert_eq!(
            with("--only best"),
            "--only is `best`; there are full_best, full_f32, lora_best and lists"
        );
        assert_eq!(
            with("--speed 3"),
            "`--speed` is given more than once, or not known; --help has the flags"
        );
        assert_eq!(
            with("--steps 3 --steps 4"),
            "`--steps` is given more than once, or not known; --help has the flags"
        );
        assert_eq!(with("--only lists"), "--only lists needs --lists LISTS.jsonl");
        assert_eq!(with("fast"), "`fast` is no flag; --help has them");
        assert_eq!(with("--python-env="), "--python-env is empty");
    }
}
