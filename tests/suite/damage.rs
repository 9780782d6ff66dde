//! A damaged cache or checkpoint is found, named and never used.

use std::path::{Path, PathBuf};

use crate::{
    program::{Run, Sandbox, tiny, train_args},
    support::golden,
};

const SETTINGS: &str = "--max-steps 6 --save-every 2 --keep-checkpoints 0";

fn train(sandbox: &Sandbox, out: &str) -> Run {
    sandbox.train(out, &tiny(SETTINGS))
}

fn resume(sandbox: &Sandbox, run: &Run, from: &str) -> crate::program::Ended {
    let settings = tiny(&format!("{SETTINGS} --resume {from}"));
    let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &run.dir, &settings);
    sandbox.run("train", &args)
}

/// One bit of the file's middle is turned round.
fn flip_a_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn cut_in_half(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn cache_shards(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inside = |path: PathBuf| {
        if path.is_dir() { cache_shards(&path) } else { vec![path] }
    };
    let files = entries.flat_map(inside);
    files.filter(|path| path.extension().is_some_and(|extension| extension == "logps")).collect()
}

#[test]
fn a_damaged_cache_entry_is_counted_and_computed_again() {
    for damage in [flip_a_bit, cut_in_half] {
        let sandbox = Sandbox::new();
        let first = train(&sandbox, "first");
        let shards = cache_shards(&sandbox.path("cache"));
        assert_eq!(shards.len(), 1);
        damage(&shards[0]);
        let second = train(&sandbox, "second");
        assert!(second.messages.contains("1 damaged entries"), "{}", second.messages);
        first.outcome().assert_same(&second.outcome(), "with a damaged cache");
        let third = train(&sandbox, "third");
        assert!(third.messages.contains("24 rows from the cache, 0 computed"), "{}", third.messages);
    }
}

/// Every file of the checkpoint in turn, damaged in every way.
#[test]
fn a_damaged_checkpoint_is_refused_with_the_name_of_the_file() {
    let sandbox = Sandbox::new();
    let run = train(&sandbox, "run");
    let checkpoint = run.dir.join("checkpoints/step-000004");
    for name in
        ["model/model.safetensors", "optimizer/model.safetensors", "model/config.json", "progress.json"]
    {
        let path = checkpoint.join(name);
        let bytes = std::fs::read(&path).unwrap();
        for damage in [flip_a_bit, cut_in_half, remove] {
            damage(&path);
            let ended = resume(&sandbox, &run, &checkpoint.display().to_string());
            assert_eq!(ended.code, Some(1), "{name}: {}", ended.messages);
            let says = |what: &str| ended.messages.contains(what);
            assert!(says("step-000004 is damaged") && says(name), "{name}: {}", ended.messages);
            std::fs::write(&path, &bytes).unwrap();
        }
    }
    resume(&sandbox, &run, &checkpoint.display().to_string()).success();
}

/// `auto` says what it passes over, and goes on from the one before.
#[test]
fn resume_auto_falls_back_to_the_last_whole_checkpoint() {
    let sandbox = Sandbox::new();
    let whole = train(&sandbox, "whole").outcome();
    let run = train(&sandbox, "run");
    flip_a_bit(&run.dir.join("checkpoints/step-000006/optimizer/model.safetensors"));
    cut_in_half(&run.dir.join("checkpoints/step-000004/MANIFEST.json"));
    // A run with its model in place is complete, and `auto` leaves it alone.
    std::fs::remove_dir_all(run.model()).unwrap();
    let ended = resume(&sandbox, &run, "auto").success();
    for said in ["step-000006 is damaged", "step-000004 is damaged", "resuming from", "step-000002"] {
        assert!(ended.messages.contains(said), "{said}: {}", ended.messages);
    }
    run.outcome().assert_same(&whole, "after two damaged checkpoints");
}
