//! What computes here, and what is said where something else is asked for.

use serde_json::Value;

use crate::{
    program::{Ended, Sandbox, flags, paths},
    support::golden,
};

const BACKENDS: [&str; 5] = ["cpu", "wgpu", "vulkan", "metal", "cuda"];

fn devices(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&sandbox.run("devices", &flags("--json")).success().out).unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let name = |entry: &'_ Value| entry.as_str().or(entry["backend"].as_str()).is_some();
    let entries = list.as_array().unwrap();
    assert!(entries.iter().all(name), "{list}");
    entries.iter().filter_map(|entry| entry.as_str().or(entry["backend"].as_str())).collect()
}

fn score(sandbox: &Sandbox, backend: &str) -> Ended {
    let mut args = paths([("--model", &golden("runs/model")), ("--data", &golden("runs/train_conv.json"))]);
    args.extend(flags(&format!("--backend {backend}")));
    sandbox.run("score", &args)
}

/// Each backend is usable with its adapters, unusable with a reason, or not built in; what `auto` takes is usable.
#[test]
fn every_backend_is_accounted_for() {
    let devices = devices(&Sandbox::new());
    let [usable, unusable, absent] =
        ["adapters", "unusable", "not_built_in"].map(|list| names(&devices[list]));
    for backend in BACKENDS {
        let places = [&usable, &unusable, &absent].map(|list| list.contains(&backend));
        assert_eq!(places.iter().filter(|is_there| **is_there).count(), 1, "{backend}: {devices}");
    }
    assert!(usable.contains(&devices["auto"].as_str().unwrap()), "{devices}");
    for entry in devices["unusable"].as_array().unwrap() {
        assert!(entry["reason"].as_str().unwrap().contains("install"), "{entry}");
    }
}

/// A backend that cannot be used ends the program with what to do; `auto` says what it took, and computes.
#[test]
fn a_backend_that_is_not_there_is_refused_and_auto_takes_one_that_is() {
    let sandbox = Sandbox::new();
    let devices = devices(&sandbox);
    for backend in names(&devices["not_built_in"]) {
        let ended = score(&sandbox, backend);
        assert_eq!(ended.code, Some(1), "{}", ended.messages);
        let advice = format!("cargo xtask train --backend {backend}");
        assert!(ended.messages.contains(&advice) && ended.out.is_empty(), "{}", ended.messages);
    }
    for backend in names(&devices["unusable"]) {
        let ended = score(&sandbox, backend);
        assert_eq!(ended.code, Some(1), "{}", ended.messages);
        assert!(
            ended.messages.contains("install") && ended.messages.contains("dpo devices"),
            "{}",
            ended.messages
        );
    }
    let taken = devices["auto"].as_str().unwrap();
    let ended = score(&sandbox, "auto").success();
    assert!(ended.messages.contains(&format!("backend auto: {taken}")), "{}", ended.messages);
    assert_eq!(ended.out, score(&sandbox, taken).success().out);
}

/// A resume finds the backend that was taken, not the word.
#[test]
fn a_run_keeps_the_backend_that_auto_took() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", "--max-steps 1 --batch-size 2 --samples 0 --backend auto");
    let taken = devices(&sandbox)["auto"].as_str().unwrap().to_owned();
    assert!(
        run.read("config.toml").contains(&format!("backend = \"{taken}\"")),
        "{}",
        run.read("config.toml")
    );
}
