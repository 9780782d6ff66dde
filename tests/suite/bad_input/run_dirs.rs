//! Run directories: what lies there already, and what no longer fits.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::{assert_says, limited};
use crate::{
    program::{Run, Sandbox, tiny, train_args},
    support::golden,
};

fn args(sandbox: &Sandbox, out: &str, more: &str) -> Vec<std::ffi::OsString> {
    train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &sandbox.path(out), &tiny(more))
}

#[test]
fn a_folder_of_other_files_is_left_alone() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("home")).unwrap();
    sandbox.file("home/letter.txt", "Dear …");
    let ended = limited(&sandbox, "true", "train", &args(&sandbox, "home", "--max-steps 2"));
    assert_says(
        "other files",
        &ended,
        1,
        &["holds no run", "`letter.txt`", "choose a new or an empty directory"],
    );
    assert_eq!(fs::read_dir(sandbox.path("home")).unwrap().count(), 1);
    sandbox.file("file", "");
    let ended = limited(&sandbox, "true", "train", &args(&sandbox, "file", "--max-steps 2"));
    assert_says("a file", &ended, 1, &["cannot make the directory", "file"]);
}

#[test]
fn a_run_directory_in_use_is_left_alone() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("train", &args(&sandbox, "run", "--max-steps 1000000"));
    let mut first = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut messages = BufReader::new(first.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("reference log-probs") {
        assert!(messages.read_line(&mut heard).unwrap() > 0, "{heard}");
    }
    let in_use = format!("is in use by process {}", first.id());
    for more in ["--max-steps 1000000", "--max-steps 1000000 --resume auto"] {
        let ended = limited(&sandbox, "true", "train", &args(&sandbox, "run", more));
        assert_says(more, &ended, 1, &[&in_use, "wait for it, or choose another run directory"]);
    }
    first.kill().unwrap();
    first.wait().unwrap();
}

/// The limit on the size of files stands in for a disk without room: the write fails, and fails for any user.
#[cfg(unix)]
#[test]
fn a_checkpoint_that_finds_no_room_costs_no_earlier_one() {
    let settings = "--max-steps 6 --save-every 2 --keep-checkpoints 0";
    let sandbox = Sandbox::new();
    let whole = sandbox.train("whole", &tiny(settings));
    let run = sandbox.train("run", &tiny(settings));
    fs::remove_dir_all(run.model()).unwrap();
    fs::remove_dir_all(run.dir.join("checkpoints/step-000006")).unwrap();
    let resume = args(&sandbox, "run", &format!("{settings} --resume auto"));
    // Weights take 466 KiB; a block is 512 bytes in some shells and 1 KiB in others.
    let ended = limited(&sandbox, "trap '' XFSZ; ulimit -f 400", "train", &resume);
    assert_says(
        "no room",
        &ended,
        1,
        &["step-000006", "nothing that was saved before is lost", "and resume"],
    );
    let left: Vec<_> =
        fs::read_dir(run.dir.join("checkpoints")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the two that were complete, and nothing half done: {left:?}");
    assert!(!run.model().exists());
    assert_says("with room", &limited(&sandbox, "true", "train", &resume), 0, &["step-000004"]);
    Run::at(run.dir).outcome().assert_same(&whole.outcome(), "after a full disk");
}

/// A learning rate that throws the weights to infinity is stopped, and what was saved before is whole.
#[test]
fn a_run_that_diverges_stops_with_the_rows_and_keeps_its_checkpoints() {
    let sandbox = Sandbox::new();
    let settings = "--learning-rate 1e30 --warmup-steps 0 --max-steps 9 --save-every 1";
    let ended = limited(&sandbox, "true", "train", &args(&sandbox, "run", settings));
    assert_says("diverges", &ended, 1, &["is not a finite number, in rows ", "lower the learning rate"]);
    assert!(sandbox.path("run/checkpoints/step-000001/MANIFEST.json").exists());
    assert!(!sandbox.path("run/model").exists());
    assert!(fs::read_to_string(sandbox.path("run/run.json")).unwrap().contains("failed: step "));
}
