//! Every case of the shared golden losses, where they are there: `DPO_SHARED` names their folder.

use std::path::PathBuf;

use crate::common::{assert_close, leaf, numbers, tensor};
use crate::golden::{Inputs, Options, run};
use burn::tensor::DType;
use dpo_core::{
    BatchScale, CompletionLogps, IpoReduction, LogRatios, Objective, PairLogps, PairwiseLoss,
    ReferenceFreeLoss, RowSize, TokenLogps, odds_ratio_loss, sft_loss,
};
use serde_json::Value;

/// A file of the shared folder; `None`, saying so, where there is none.
fn shared(name: &str) -> Option<Value> {
    let path = std::env::var_os("DPO_SHARED").map(|folder| PathBuf::from(folder).join("golden").join(name));
    let Some(path) = path.filter(|path| path.exists()) else {
        eprintln!("skipped: DPO_SHARED names no folder with golden/{name}");
        return None;
    };
    Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn every_case_of_the_python_trainer() {
    let Some(golden) = shared("losses.json") else { return };
    let mut n_checked = 0;
    for case in golden["cases"].as_array().unwrap() {
        let inputs: Inputs =
            serde_json::from_value(golden["sets"][case["set"].as_str().unwrap()].clone()).unwrap();
        let options: Options = serde_json::from_value(case["options"].clone()).unwrap();
        let (expected, is_f32) = match case["f64"].get("loss") {
            Some(_) => (&case["f64"], false),
            None => (&case["f32"], true),
        };
        // Where it fails itself, there is nothing to compare.
        let Some(loss) = expected["loss"].as_f64() else { continue };
        let found = run(&inputs, &options, DType::F64);
        let tolerance = crate::golden::tolerance(&options, is_f32);
        assert_close(&[found.loss], &[loss], tolerance);
        assert_close(&found.grad, &inputs.in_pairs(&rows(&expected["grad"])), tolerance);
        n_checked += 1;
    }
    assert_eq!(n_checked, 170);
}

/// `cpo` (with SimPO and AlphaPO) and `orpo` of the Python trainer, and the losses of DPO's authors.
#[test]
fn every_case_of_other_trainers() {
    let (Some(golden), Some(sets)) = (shared("losses_other.json"), shared("losses.json")) else { return };
    let inputs: Inputs = serde_json::from_value(sets["sets"]["b4"].clone()).unwrap();
    let lengths = inputs.lengths();
    let mut n_checked = 0;
    for case in golden["cases"].as_array().unwrap() {
        let leaf = leaf(&inputs.in_pairs(&inputs.per_token_logps), DType::F64);
        let policy = TokenLogps::new(leaf.clone(), &lengths, &lengths).completions().into_pairs();
        let losses = match case["trainer"].as_str().unwrap() {
            "cpo" => of_cpo(case, &policy),
            "orpo" => -odds_ratio_loss(&policy) * case["beta"].as_f64().unwrap(),
            "original_dpo" => of_authors(case, &inputs, policy.clone()),
            _ => continue,
        };
        let expected: Vec<f64> = serde_json::from_value(case["losses"].clone()).unwrap();
        // The odds ratio is computed in f32 there.
        let tolerance = if case["trainer"] == "orpo" { 1e-6 } else { 1e-9 };
        assert_close(&numbers(losses.clone().inner()), &expected, tolerance);
        let total = if case["trainer"] == "orpo" {
            let sizes =
                lengths.iter().step_by(2).map(|&chosen_tokens| RowSize { weight: 1.0, chosen_tokens });
            let scale = BatchScale::new(&Objective::Sft, sizes);
            scale.reduce(sft_loss(&policy.chosen), tensor(&[1.0; 4], DType::F64)) - losses.mean()
        } else {
            losses.mean()
        };
        assert_close(&[numbers(total.clone().inner())[0]], &[case["loss"].as_f64().unwrap()], tolerance);
        let gradients = total.backward();
        let found = numbers(leaf.grad(&gradients).unwrap());
        assert_close(&found, &inputs.in_pairs(&rows(&case["grad"])), tolerance);
        n_checked += 1;
    }
    assert_eq!(n_checked, 16 + 2 + 5);
}

/// Its losses are without the likelihood of the chosen completion.
fn of_cpo(case: &Value, policy: &PairLogps) -> burn::tensor::Tensor<1> {
    let number = |key: &str| case[key].as_f64().unwrap();
    let (beta, label_smoothing) = (number("beta"), number("label_smoothing"));
    match case["loss_type"].as_str().unwrap() {
        "sigmoid" => ReferenceFreeLoss::Cpo { beta, alpha: 0.0, label_smoothing }.loss(policy),
        "simpo" => {
            let (gamma, alpha) = (number("simpo_gamma"), number("alpha"));
            ReferenceFreeLoss::Simpo { beta, gamma, alpha, label_smoothing }.loss(policy)
        }
        "hinge" => PairwiseLoss::Hinge { beta }.loss(&against_nothing(policy.clone())),
        "ipo" => {
            PairwiseLoss::Ipo { beta, reduction: IpoReduction::Mean }.loss(&against_nothing(policy.clone()))
        }
        other => panic!("{other}"),
    }
}

fn of_authors(case: &Value, inputs: &Inputs, policy: PairLogps) -> burn::tensor::Tensor<1> {
    let (beta, options) = (case["beta"].as_f64().unwrap(), &case["options"]);
    let label_smoothing = options["label_smoothing"].as_f64().unwrap_or(0.0);
    let lengths = inputs.lengths();
    let ratios = if options["reference_free"] == true {
        against_nothing(policy)
    } else {
        let reference = tensor(&inputs.in_pairs(&inputs.ref_per_token_logps), DType::F64);
        LogRatios::new(policy, TokenLogps::new(reference, &lengths, &lengths).completions().into_pairs())
    };
    match options["ipo"] == true {
        true => PairwiseLoss::Ipo { beta, reduction: IpoReduction::Sum }.loss(&ratios),
        false => PairwiseLoss::Sigmoid { beta, label_smoothing }.loss(&ratios),
    }
}

/// Log-ratios with a reference that says 0 of everything.
fn against_nothing(policy: PairLogps) -> LogRatios {
    let nothing = |logps: &CompletionLogps| {
        CompletionLogps::new(logps.sums.clone().inner() * 0.0, logps.token_counts.clone())
    };
    let reference = PairLogps { chosen: nothing(&policy.chosen), rejected: nothing(&policy.rejected) };
    LogRatios::new(policy, reference)
}
