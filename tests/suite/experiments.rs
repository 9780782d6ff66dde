//! `dpo experiment`: what it leaves behind holds together.

use crate::{
    program::{Sandbox, flags},
    support::json,
};

/// A run of each way for each seed and number of steps, from one start, and the same figures again.
#[test]
fn every_way_is_measured_from_one_start() {
    let sandbox = Sandbox::new();
    let run = |out: &str| {
        let more = "contrast --seeds 1 --steps 1,2 --prompts 60 --measured 8";
        let mut args = flags(more);
        args.extend(["--out".into(), sandbox.path(out).into()]);
        let table = sandbox.run("experiment", &args).success().out;
        (table, json(sandbox.path(out).join("contrast.json")))
    };
    let (table, report) = run("first");
    let points = report["points"].as_array().unwrap();
    assert_eq!(points.len(), 1 + 2 * 2, "{report}");
    assert!(points[0]["arm"].is_null() && points[0]["kl"] == 0.0, "{report}");
    let frontiers = report["frontiers"].as_array().unwrap();
    for frontier in frontiers {
        assert!(table.contains(frontier["arm"].as_str().unwrap()), "{table}");
        let curve = frontier["curve"].as_array().unwrap();
        assert_eq!(curve.len(), 3, "{frontier}");
        assert_eq!(curve[0][1]["mean"], points[0]["reward"], "{frontier}");
    }
    let svg = std::fs::read_to_string(sandbox.path("first/contrast.svg")).unwrap();
    assert!(svg.contains("excellent and poor") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(run("again"), (table, report));
}

#[test]
fn steps_that_do_not_rise_are_refused() {
    let ended = Sandbox::new().run("experiment", &flags("flips --steps 20,10"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("--steps are to rise from at least 1"), "{}", ended.messages);
}
