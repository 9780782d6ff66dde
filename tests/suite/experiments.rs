//! `dpo experiment`: what it leaves behind holds together.

use serde_json::{Value, json as value};

use crate::{
    program::{Sandbox, flags, paths},
    support::{golden, json},
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

/// An adapter of each of two annotators and one of all, on everybody's held-out votes: every vote on a held-out pair is counted for every
/// adapter, and the same command gives the same figures.
#[test]
fn annotators_have_an_adapter_each() {
    let sandbox = Sandbox::new();
    let mut rows = json(golden("runs/train_conv.json")).as_array().unwrap().clone();
    for (idx, row) in rows.iter_mut().enumerate() {
        row["annotator1"] = value!(1);
        row["annotator2"] = value!([1, 2, 0, 1][idx % 4]);
    }
    let data = sandbox.file("votes.json", &Value::Array(rows).to_string());
    let run = |out: &str| {
        let mut args =
            paths([("--model", &golden("runs/model")), ("--data", &data), ("--out", &sandbox.path(out))]);
        args.extend(flags("--seeds 2 --steps 3 --rank 2 --batch-size 4 --learning-rate 1e-2"));
        let mut named = vec!["annotators".into()];
        named.append(&mut args);
        let table = sandbox.run("experiment", &named).success().out;
        (table, json(sandbox.path(out).join("annotators.json")))
    };
    let (table, report) = run("first");
    for title in ["all votes of", "where annotators differ", "the own adapter over pooled"] {
        assert!(table.contains(title), "{table}");
    }
    assert_eq!(report["cells"].as_array().unwrap().len(), 3 * 2, "{report}");
    for (split, tallies) in
        report["splits"].as_array().unwrap().iter().zip(report["tallies"].as_array().unwrap().chunks(6))
    {
        let of = |tally: &Value, part: &str| tally[part]["of"].as_u64().unwrap();
        for tally in tallies {
            let is_first = tally["annotator"] == "annotator1";
            assert_eq!(of(tally, "divided"), split["divided_pairs"].as_u64().unwrap(), "{tally}");
            let pairs = split["held_out_pairs"].as_u64().unwrap();
            assert!(if is_first { of(tally, "all") == pairs } else { of(tally, "all") < pairs }, "{tally}");
        }
    }
    let svg = std::fs::read_to_string(sandbox.path("first/annotators.svg")).unwrap();
    assert!(svg.contains("annotator2") && svg.contains("pooled") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(run("again"), (table, report));
}
