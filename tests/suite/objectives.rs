//! Every objective, through the program.

use std::f64::consts::LN_2;

use crate::{
    program::{Run, Sandbox, tiny},
    support::{golden, json},
};

/// Trains on the same four rows step after step.
fn train(sandbox: &Sandbox, out: &str, loss: &str) -> Run {
    let rows = json(golden("runs/train_conv.json"));
    let rows = serde_json::to_string(&rows.as_array().unwrap()[..4]).unwrap();
    let flags = tiny(&format!("--max-steps 4 --warmup-steps 0 --learning-rate 1e-4 --loss {loss}"));
    sandbox.train_on(&golden("runs/model"), &sandbox.file("rows.json", &rows), out, &flags)
}

/// What each loss comes to for a policy that is its reference, with β = 0.1 and the defaults of the other parameters:
/// 1/(4β²) = 25 for `ipo`, of which `sppo_hard` and `cal_dpo` have two; `exo_pair` has ε = 0.001.
fn at_zero_margin() -> [(&'static str, f64); 14] {
    [
        ("sigmoid", LN_2),
        ("sigmoid --label-smoothing 0.2", LN_2),
        ("robust --label-smoothing 0.2", LN_2),
        ("ipo", 25.0),
        ("hinge", 1.0),
        ("sigmoid_norm --beta 0.1", LN_2),
        ("exo_pair", -LN_2 - 0.5 * (0.999f64.ln() + 0.001f64.ln())),
        ("nca_pair", 2.0 * LN_2),
        ("bco_pair", 2.0 * LN_2),
        ("sppo_hard", 50.0),
        ("apo_zero", 1.0),
        ("apo_down", 1.0),
        ("dpop", LN_2),
        ("cal_dpo", 50.0 + LN_2),
    ]
}

/// The first step's loss is that at zero margin, and learning from the same rows lowers it.
#[test]
fn every_objective_starts_at_its_value_and_learns() {
    let sandbox = Sandbox::new();
    for (idx, (loss, expected)) in at_zero_margin().into_iter().enumerate() {
        let losses = train(&sandbox, &format!("run-{idx}"), loss).series("loss");
        assert!((losses[0] - expected).abs() < 1e-6 * expected.max(1.0), "{loss}: {losses:?}");
        assert!(losses.is_sorted_by(|a, b| a > b), "{loss}: {losses:?}");
    }
}

/// DiscoPOP's value at zero is ½ ln 2 + ½, and its slope there is positive: the first step lowers the margin.
#[test]
fn discopop_first_lowers_the_margin() {
    let sandbox = Sandbox::new();
    let run = train(&sandbox, "run", "discopop");
    assert!((run.series("loss")[0] - 0.5 * (LN_2 + 1.0)).abs() < 1e-6);
    assert!(run.series("rewards/margins")[1] < 0.0);
}

/// What `r_dpo` adds for lengths, `−ln σ(α(|w| − |l|))`, is there from the first step on, and α = 0 takes it away.
#[test]
fn r_dpo_weighs_lengths() {
    let sandbox = Sandbox::new();
    let first = |out: &str, alpha: &str| {
        train(&sandbox, out, &format!("r_dpo --r-dpo-alpha {alpha}")).series("loss")[0]
    };
    assert!((first("none", "0") - LN_2).abs() < 1e-7);
    assert!((first("some", "0.5") - LN_2).abs() > 1e-3);
}
