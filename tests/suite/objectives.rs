//! Every objective, through the program.

use std::f64::consts::LN_2;

use crate::{
    program::{Run, Sandbox, paths, tiny, train_args},
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
fn at_zero_margin() -> [(&'static str, f64); 15] {
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
        ("tdpo", LN_2),
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

/// What a loss without a reference comes to at first depends on the model; its rewards are its own, and no reference is
/// asked for anything.
#[test]
fn losses_without_a_reference_ask_for_none() {
    let sandbox = Sandbox::new();
    for (idx, loss) in
        ["simpo", "simpo --simpo-alpha 0.25", "orpo", "cpo", "simpo --sft-weight 0.5"].into_iter().enumerate()
    {
        let run = train(&sandbox, &format!("run-{idx}"), loss);
        assert!(run.series("loss").is_sorted_by(|a, b| a > b), "{loss}: {:?}", run.series("loss"));
        assert!(!run.messages.contains("reference"), "{loss}: {}", run.messages);
        assert!(run.series("rewards/chosen").iter().all(|reward| *reward < 0.0), "{loss}");
        assert!(!sandbox.path("cache").exists());
    }
}

/// `cpo` takes β log π for a reward; β is 0.1.
#[test]
fn rewards_without_a_reference_are_the_log_probs() {
    let sandbox = Sandbox::new();
    let run = train(&sandbox, "run", "cpo");
    for side in ["chosen", "rejected"] {
        let (rewards, logps) = (run.series(&format!("rewards/{side}")), run.series(&format!("logps/{side}")));
        assert!(rewards.iter().zip(&logps).all(|(reward, logp)| (reward - 0.1 * logp).abs() < 1e-9));
    }
}

/// Divergences and LD-DPO begin where DPO does, mixtures at the sum of their parts, and all of them learn.
#[test]
fn modified_and_mixed_objectives_start_at_their_value_and_learn() {
    let sandbox = Sandbox::new();
    for (idx, (loss, expected)) in [
        ("sigmoid --f-divergence forward_kl", LN_2),
        ("sigmoid --f-divergence js", LN_2),
        ("hinge --f-divergence alpha --f-alpha 0.3", 1.0),
        ("sigmoid --ld-alpha 0.5", LN_2),
        ("aot", LN_2),
        ("aot_unpaired --label-smoothing 0.1", LN_2),
    ]
    .into_iter()
    .enumerate()
    {
        let losses = train(&sandbox, &format!("run-{idx}"), loss).series("loss");
        assert!((losses[0] - expected).abs() < 1e-6, "{loss}: {losses:?}");
        assert!(losses.is_sorted_by(|a, b| a > b), "{loss}: {losses:?}");
    }
}

/// DPO costs ln 2 at first and BCO twice that, and SFT what it costs alone.
#[test]
fn a_mixture_is_the_sum_of_its_parts() {
    let sandbox = Sandbox::new();
    let mix = "--mix sigmoid=0.8 --mix bco_pair=0.2 --mix sft=1";
    let rows = json(golden("runs/train_conv.json"));
    let rows = sandbox.file("rows.json", &serde_json::to_string(&rows.as_array().unwrap()[..4]).unwrap());
    let flags = |loss: &str| tiny(&format!("--max-steps 4 --warmup-steps 0 --learning-rate 1e-4 {loss}"));
    let model = golden("runs/model");
    let mixed = sandbox.train_on(&model, &rows, "mixed", &flags(mix));
    let sft = sandbox.train_on(&model, &rows, "sft", &flags("--loss sft")).series("loss");
    let expected = 0.8 * LN_2 + 0.2 * 2.0 * LN_2 + sft[0];
    assert!((mixed.series("loss")[0] - expected).abs() < 1e-5, "{:?} {expected}", mixed.series("loss"));
    assert!(mixed.series("loss").is_sorted_by(|a, b| a > b));

    // The same in parts, from the run file that it wrote.
    let config = mixed.dir.join("config.toml");
    let mut args = paths([("--config", &config), ("--out", &sandbox.path("parts"))]);
    args.extend(crate::program::flags("--accumulate 3"));
    sandbox.run("train", &args).success();
    let parts = Run::at(sandbox.path("parts")).series("loss");
    for (a, b) in mixed.series("loss").iter().zip(&parts) {
        assert!((a - b).abs() < 1e-5 * a, "{a} {b}");
    }
}

/// A loss of whole batches refuses to see parts of them, before anything is computed; a held-out set is one batch.
#[test]
fn a_loss_of_batches_is_given_whole_batches() {
    let sandbox = Sandbox::new();
    let data = golden("runs/train_conv.json");
    let run = |out: &str, text: &str| {
        sandbox.run("train", &train_args(&golden("runs/model"), &data, &sandbox.path(out), &tiny(text)))
    };
    let refused = run("parts", "--loss aot --accumulate 2");
    assert_eq!(refused.code, Some(2));
    assert!(refused.messages.contains("`aot` couples the rows of a batch"), "{}", refused.messages);
    let cut = run("cut", "--loss aot --max-steps 2 --tokens-per-batch 60");
    assert!(cut.messages.contains("step 1 would be computed in"), "{}", cut.messages);
    assert!(!sandbox.path("cut").join("metrics.jsonl").exists());
    let mut args = train_args(
        &golden("runs/model"),
        &data,
        &sandbox.path("whole"),
        &tiny("--loss aot --max-steps 2 --tokens-per-batch 100000"),
    );
    args.extend(paths([("--eval-data", &data)]));
    let whole = sandbox.run("train", &args).success();
    assert!(whole.messages.contains("a held-out set is measured as one batch"), "{}", whole.messages);
    let first = &crate::support::json_lines(&Run::at(sandbox.path("whole")).read("eval.jsonl"))[0];
    assert!((first["eval_loss"].as_f64().unwrap() - LN_2).abs() < 1e-6, "{first}");
}

/// The formula with its numbers, how a step is computed, and where the loss starts.
#[test]
fn a_run_file_explains_itself() {
    let sandbox = Sandbox::new();
    let explain = |text: &str| {
        let file = sandbox.file("run.toml", &format!("[model]\nbase = \"m\"\n[data]\ntrain = \"d\"\n{text}"));
        sandbox.run("config", &paths([("--explain", &file)]))
    };
    let dpo = explain("[loss]\nbeta = 0.3\n").success().out;
    assert!(dpo.contains("−ln σ(0.3·h)") && dpo.contains("https://arxiv.org/abs/2305.18290"), "{dpo}");
    assert!(dpo.contains("a step is 8 rows") && dpo.contains("0.693147"), "{dpo}");
    let free = explain("[loss]\nkind = \"simpo\"\n").success().out;
    assert!(free.contains("−ln σ(2·(p̄_w − p̄_l) − 1)") && free.contains("there is no reference"), "{free}");
    let wrong = explain("[loss]\nkind = \"simpo\"\nld_alpha = 0.5\n");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.messages.contains("run.toml:7:12: `loss.ld_alpha` is set, but"), "{}", wrong.messages);
}

/// WPO's weights are at most 1 on average here, so that the first loss is below ln 2; in parts and with blocks computed again
/// the run is the same.
#[test]
fn weighted_pairs_cost_less_and_are_the_same_however_they_are_computed() {
    let sandbox = Sandbox::new();
    let whole = train(&sandbox, "whole", "sigmoid --wpo").series("loss");
    assert!(0.0 < whole[0] && whole[0] < LN_2, "{whole:?}");
    let again = train(&sandbox, "again", "sigmoid --wpo --recompute").series("loss");
    assert_eq!(whole, again);
    let parts = train(&sandbox, "parts", "sigmoid --wpo --accumulate 2").series("loss");
    assert_eq!(whole[0], parts[0]);
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// β follows the margin from the second step on, and a run that goes on from a checkpoint follows the same one.
#[test]
fn a_strength_that_follows_the_margin_survives_a_resume() {
    let sandbox = Sandbox::new();
    let data = golden("runs/train_conv.json");
    let text = |loss: &str| {
        tiny(&format!("--max-steps 6 --save-every 2 --keep-checkpoints 0 --learning-rate 3e-3 --loss {loss}"))
    };
    let model = golden("runs/model");
    let whole = sandbox.train_on(&model, &data, "whole", &text("beta_dpo --beta-dpo-alpha 5"));
    let dpo = sandbox.train_on(&model, &data, "dpo", &text("sigmoid"));
    assert_eq!(whole.series("loss")[0], dpo.series("loss")[0]);
    assert_ne!(whole.series("loss")[4], dpo.series("loss")[4]);

    let mut args = train_args(&model, &data, &sandbox.path("whole"), &text("beta_dpo --beta-dpo-alpha 5"));
    let checkpoint = sandbox.path("whole").join("checkpoints/step-000004");
    args.extend(paths([("--resume", &checkpoint)]));
    let expected = whole.outcome();
    sandbox.run("train", &args).success();
    Run::at(sandbox.path("whole")).outcome().assert_same(&expected, "from step 4");
}
