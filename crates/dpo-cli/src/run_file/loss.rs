//! `[loss]`: from a section to an objective and back.

use dpo_core::{InvalidLoss, LossConfig, Objective};

use super::{
    check::Check,
    choices::{IpoReduction, LossKind},
    sections::LossSection,
};

/// Checks the section; the check has every problem there is, and what is wrong takes its default meanwhile.
pub(super) fn objective(section: &LossSection, check: &mut Check) -> Objective {
    let kind = section.kind.unwrap_or(LossKind::Sigmoid);
    let mut config = config(section, kind);
    loop {
        match config.init() {
            Ok(objective) => return objective,
            Err(InvalidLoss::NotAParameter { parameter, .. }) => {
                check.unread(&format!("loss.{parameter}"), true, kind);
                unset(&mut config, parameter);
            }
            Err(InvalidLoss::Value { parameter, found, expected }) => {
                check.problem(&format!("loss.{parameter}"), format!("is {found}; expected {expected}"));
                unset(&mut config, parameter);
            }
            Err(other) => {
                check.problem("loss.kind", other.to_string());
                config = LossConfig::default();
            }
        }
    }
}

fn config(section: &LossSection, kind: LossKind) -> LossConfig {
    let LossSection {
        kind: _,
        beta,
        label_smoothing,
        ipo_reduction,
        bco_delta,
        discopop_tau,
        dpop_lambda,
        r_dpo_alpha,
        odpo_alpha,
        rpo_eta,
        rao_kupper_a,
        davidson_nu,
        kto_desirable,
        kto_undesirable,
        group_robust_eta,
        modpo_weight,
    } = *section;
    LossConfig {
        kind: kind.of_core(),
        beta,
        label_smoothing,
        ipo_reduction: ipo_reduction.map(|reduction| match reduction {
            IpoReduction::Mean => dpo_core::IpoReduction::Mean,
            IpoReduction::Sum => dpo_core::IpoReduction::Sum,
        }),
        bco_delta,
        discopop_tau,
        dpop_lambda,
        r_dpo_alpha,
        odpo_alpha,
        rpo_eta,
        rao_kupper_a,
        davidson_nu,
        kto_desirable,
        kto_undesirable,
        group_robust_eta,
        modpo_weight,
    }
}

/// Back to the default, which is always allowed.
fn unset(config: &mut LossConfig, parameter: &str) {
    match parameter {
        "beta" => config.beta = None,
        "label_smoothing" => config.label_smoothing = None,
        "ipo_reduction" => config.ipo_reduction = None,
        "bco_delta" => config.bco_delta = None,
        "discopop_tau" => config.discopop_tau = None,
        "dpop_lambda" => config.dpop_lambda = None,
        "r_dpo_alpha" => config.r_dpo_alpha = None,
        "odpo_alpha" => config.odpo_alpha = None,
        "rpo_eta" => config.rpo_eta = None,
        "rao_kupper_a" => config.rao_kupper_a = None,
        "davidson_nu" => config.davidson_nu = None,
        "kto_desirable" => config.kto_desirable = None,
        "kto_undesirable" => config.kto_undesirable = None,
        "group_robust_eta" => config.group_robust_eta = None,
        "modpo_weight" => config.modpo_weight = None,
        _ => *config = LossConfig::default(),
    }
}

/// What a run file says to get the objective.
pub(super) fn section(objective: &Objective) -> LossSection {
    let LossConfig {
        kind,
        beta,
        label_smoothing,
        ipo_reduction,
        bco_delta,
        discopop_tau,
        dpop_lambda,
        r_dpo_alpha,
        odpo_alpha,
        rpo_eta,
        rao_kupper_a,
        davidson_nu,
        kto_desirable,
        kto_undesirable,
        group_robust_eta,
        modpo_weight,
    } = objective.config();
    LossSection {
        kind: Some(kind.into()),
        beta,
        label_smoothing,
        ipo_reduction: ipo_reduction.map(|reduction| match reduction {
            dpo_core::IpoReduction::Mean => IpoReduction::Mean,
            dpo_core::IpoReduction::Sum => IpoReduction::Sum,
        }),
        bco_delta,
        discopop_tau,
        dpop_lambda,
        r_dpo_alpha,
        odpo_alpha,
        rpo_eta,
        rao_kupper_a,
        davidson_nu,
        kto_desirable,
        kto_undesirable,
        group_robust_eta,
        modpo_weight,
    }
}
