//! Flags and run files: wrong usage, exit code 2.

use super::{assert_says, limited};
use crate::{
    program::{Sandbox, flags, train_args},
    support::golden,
};

/// Flags of `dpo train` beside model, data and out, and what has to be said of them.
const TRAIN: &[(&str, &str)] = &[
    ("--beta 0", "--beta: `loss.beta` is 0; expected a number above 0"),
    ("--beta -1", "--beta: `loss.beta` is -1; expected a number above 0"),
    ("--beta NaN", "--beta: `loss.beta` is NaN; expected a number above 0"),
    ("--batch-size 0", "--batch-size: `train.batch_size` is 0; expected at least 1"),
    ("--epochs 0", "`train.epochs` is 0; expected a number above 0"),
    ("--epochs 1e300", "`train.epochs` is 1e300: that would be "),
    ("--max-steps 1 --epochs 1", "are both set; remove one of them"),
    ("--learning-rate inf", "`train.learning_rate` is inf"),
    ("--accumulate 99", "expected at most `train.batch_size`"),
    ("--max-length 1", "`data.max_length` is 1; expected at least 2"),
    ("--label-smoothing 0.5", "expected a number from 0 to below 0.5"),
    ("--loss sft --beta 1", "the loss `sft` does not read it; remove it"),
    ("--threads 1000000", "`threads` is 1000000; expected at most 1024"),
    ("--column foo=bar", "no role \"foo\"; known are prompt, chosen"),
    ("--config absent.toml", "absent.toml: cannot read this run file"),
    ("--config .", ": cannot read this run file"),
];

#[test]
fn a_wrong_flag_is_named_with_what_was_expected() {
    let sandbox = Sandbox::new();
    for (text, part) in TRAIN {
        let run = sandbox.path("run");
        let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run, text);
        assert_says(text, &limited(&sandbox, "true", "train", &args), 2, &[part]);
        assert!(!run.exists(), "{text}: nothing is made");
    }
}

#[test]
fn a_wrong_run_file_is_named_with_line_and_column() {
    let sandbox = Sandbox::new();
    let cases = [
        ("[loss]\nbetaa = 3\n", "run.toml:2:1: unknown key `betaa` in `[loss]`; did you mean `beta`?"),
        ("[modle]\n", "run.toml:1:2: unknown table `modle`; did you mean `model`?"),
        ("[model]\nbase = 3\n", "run.toml:2:8: `model.base`: invalid type"),
        ("[model\n", "run.toml:1:7: "),
        (
            "[model]\nbase = \"m\"\n[data]\ntrain = [\"d\"]\n[loss]\nbeta = nan\n",
            "run.toml:6:8: `loss.beta` is NaN",
        ),
        ("[model]\nbase = \"m\"\n", "`data.train` is missing"),
    ];
    for (text, part) in cases {
        sandbox.file("run.toml", text);
        let ended = limited(&sandbox, "true", "train", &flags("--config run.toml"));
        assert_says(text, &ended, 2, &[part]);
    }
    let deep = format!("a = {}", "[".repeat(100_000));
    sandbox.file("run.toml", &deep);
    let ended = limited(&sandbox, "true", "train", &flags("--config run.toml"));
    assert_says("deep", &ended, 2, &["run.toml:1:"]);
}

#[test]
fn wrong_flags_of_the_other_commands_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.file("empty.txt", "\n\n");
    sandbox.file("bad.jsonl", "hello\n{\"prompt\": 3\n");
    let model = golden("runs/model");
    let cases = [
        ("generate", "", 2, "no prompt; give --prompt TEXT"),
        ("generate", "--prompt a --temperature -1", 2, "expected a number of at least 0"),
        ("generate", "--prompt a --temperature 1 --top-p 2", 2, "expected a number above 0 and at most 1"),
        ("generate", "--prompt a --top-k 5", 2, "--top-k does nothing at temperature 0"),
        ("generate", "--prompt a --max-new-tokens 0", 2, "--max-new-tokens"),
        ("generate", "--prompts empty.txt", 1, "empty.txt: no prompt in it"),
        ("generate", "--prompts bad.jsonl", 1, "bad.jsonl:2: not a JSON object"),
        ("generate", "--prompts absent.txt", 1, "cannot read absent.txt"),
        ("score", "--data x --max-length 1", 2, "one token has no prompt to follow"),
        ("eval", "--data x --reference y --beta 0", 2, "must be above 0"),
    ];
    for (command, text, code, part) in cases {
        let args = flags(&format!("--model {} {text}", model.display()));
        assert_says(text, &limited(&sandbox, "true", command, &args), code, &[part]);
    }
}
