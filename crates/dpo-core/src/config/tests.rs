use super::*;

fn parse(json: &str) -> Result<LossConfig, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn nothing_said_is_dpo_with_beta_one_tenth() {
    let objective = parse("{}").unwrap().init().unwrap();
    assert_eq!(objective, Objective::Pairwise(PairwiseLoss::Sigmoid { beta: 0.1, label_smoothing: 0.0 }));
}

#[test]
fn every_name_reads_back_and_is_the_one_serde_uses() {
    for kind in LossKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    let error = "dpo".parse::<LossKind>().unwrap_err();
    assert!(error.to_string().starts_with("there is no loss `dpo`; choose one of sigmoid, ipo, hinge, "));
}

#[test]
fn parameters_are_read() {
    let objective = parse(r#"{"kind":"ipo","beta":0.2,"ipo_reduction":"sum"}"#).unwrap().init().unwrap();
    let expected = PairwiseLoss::Ipo { beta: 0.2, reduction: IpoReduction::Sum };
    assert_eq!(objective, Objective::Pairwise(expected));
    assert_eq!(parse(r#"{"kind":"sft"}"#).unwrap().init(), Ok(Objective::Sft));
}

/// What an objective says of itself makes the same objective.
#[test]
fn every_objective_can_be_written_down() {
    for kind in LossKind::ALL {
        let objective = LossConfig { kind, ..LossConfig::default() }.init().unwrap();
        assert_eq!(objective.name(), kind.name());
        let config = objective.parts()[0].loss.config();
        assert_eq!(config.kind, kind);
        assert_eq!(config.init().as_ref(), Ok(&objective));
        assert_eq!(objective.beta(), config.beta);
    }
}

#[test]
fn an_unknown_field_is_refused() {
    assert!(parse(r#"{"betta":0.2}"#).is_err());
}

#[test]
fn a_parameter_of_another_loss_is_refused() {
    for (json, parameter) in [
        (r#"{"kind":"hinge","label_smoothing":0.1}"#, "label_smoothing"),
        (r#"{"kind":"sft","beta":0.1}"#, "beta"),
        (r#"{"ipo_reduction":"sum"}"#, "ipo_reduction"),
        (r#"{"kind":"dpop","r_dpo_alpha":0.1}"#, "r_dpo_alpha"),
        (r#"{"kind":"apo_zero","label_smoothing":0.1}"#, "label_smoothing"),
        (r#"{"bco_delta":0}"#, "bco_delta"),
        (r#"{"kind":"plackett_luce","odpo_alpha":1}"#, "odpo_alpha"),
        (r#"{"kind":"rao_kupper","davidson_nu":1}"#, "davidson_nu"),
    ] {
        let error = parse(json).unwrap().init().unwrap_err();
        assert!(matches!(error, InvalidLoss::NotAParameter { parameter: found, .. } if found == parameter));
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let refused = |config: LossConfig, name: &str| {
        let error = config.init().unwrap_err();
        assert!(matches!(error, InvalidLoss::Value { parameter, .. } if parameter == name), "{error}");
    };
    let of = |kind| LossConfig { kind, ..LossConfig::default() };
    for beta in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-60, 1e60] {
        refused(LossConfig { beta: Some(beta), ..LossConfig::default() }, "beta");
    }
    refused(LossConfig { beta: Some(1e-30), ..of(LossKind::SppoHard) }, "beta");
    for smoothing in [-0.1, 0.5, f64::NAN] {
        for kind in [LossKind::Sigmoid, LossKind::Robust, LossKind::ExoPair] {
            refused(LossConfig { label_smoothing: Some(smoothing), ..of(kind) }, "label_smoothing");
        }
    }
    refused(LossConfig { label_smoothing: Some(0.0), ..of(LossKind::ExoPair) }, "label_smoothing");
    for tau in [0.0, 1.01, f64::NAN] {
        refused(LossConfig { discopop_tau: Some(tau), ..of(LossKind::Discopop) }, "discopop_tau");
    }
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        refused(LossConfig { dpop_lambda: Some(weight), ..of(LossKind::Dpop) }, "dpop_lambda");
        refused(LossConfig { r_dpo_alpha: Some(weight), ..of(LossKind::RDpo) }, "r_dpo_alpha");
        refused(LossConfig { tdpo_alpha: Some(weight), ..of(LossKind::Tdpo) }, "tdpo_alpha");
        refused(LossConfig { odpo_alpha: Some(weight), ..of(LossKind::Odpo) }, "odpo_alpha");
        refused(LossConfig { kto_desirable: Some(weight), ..of(LossKind::Kto) }, "kto_desirable");
        refused(
            LossConfig { group_robust_eta: Some(weight), ..of(LossKind::GroupRobust) },
            "group_robust_eta",
        );
        refused(LossConfig { kto_undesirable: Some(weight), ..of(LossKind::Kto) }, "kto_undesirable");
    }
    refused(LossConfig { bco_delta: Some(f64::NAN), ..of(LossKind::BcoPair) }, "bco_delta");
    for weight in [0.0, 1.1, f64::NAN] {
        refused(LossConfig { modpo_weight: Some(weight), ..of(LossKind::Modpo) }, "modpo_weight");
    }
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(LossConfig { rpo_eta: Some(width), ..of(LossKind::RpoSq) }, "rpo_eta");
        refused(LossConfig { rao_kupper_a: Some(width), ..of(LossKind::RaoKupper) }, "rao_kupper_a");
        refused(LossConfig { davidson_nu: Some(width), ..of(LossKind::Davidson) }, "davidson_nu");
    }
}
