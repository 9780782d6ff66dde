//! `[loss]`: from a section to an objective and back.

use dpo_core::{InvalidLoss, LossConfig, Modifiers, Objective, Part, PartLoss};

use super::{
    check::Check,
    choices::{Divergence, IpoReduction, LossKind, TieModel},
    mix::MixPart,
    sections::LossSection,
};

/// Checks the section; the check has every problem there is, and what is wrong takes its default meanwhile.
pub(super) fn objective(section: &LossSection, check: &mut Check) -> Objective {
    let (parts, modifiers) = (parts(section, check), modifiers(section));
    match Objective::combined(parts.clone(), modifiers) {
        Ok(objective) => objective,
        Err(error) => {
            let InvalidLoss::Unsound { parameter, reason } = error else {
                unreachable!("the parts were checked one by one")
            };
            check.problem(&format!("loss.{parameter}"), reason);
            // Something to go on with: the first loss alone.
            let first = parts.into_iter().take(1).map(|part| Part { weight: 1.0, ..part }).collect();
            Objective::combined(first, Modifiers::default()).unwrap_or(Objective::Sft)
        }
    }
}

fn parts(section: &LossSection, check: &mut Check) -> Vec<Part> {
    let Some(mix) = &section.mix else {
        let kind = kind(section, "loss.ties", check);
        let loss = part(config(section, kind), check, &mut |check, parameter, problem| match problem {
            Problem::Unread => check.unread(&format!("loss.{parameter}"), true, kind.name()),
            Problem::Text(text) => check.problem(&format!("loss.{parameter}"), text),
        });
        return vec![Part { weight: 1.0, loss }];
    };
    check.exclusive(("loss.kind", section.kind.is_some()), ("loss.mix", true));
    for (parameter, is_set) in own_settings(section) {
        if is_set {
            let text =
                "is set beside `loss.mix`, whose losses have their own settings; move it to one of them";
            check.problem(&format!("loss.{parameter}"), text.to_owned());
        }
    }
    if mix.is_empty() {
        check.problem("loss.mix", "is empty; add a loss or remove it".to_owned());
        return vec![Part { weight: 1.0, loss: PartLoss::Sft }];
    }
    mix.iter().enumerate().map(|(idx, of_mix)| mixed(idx, of_mix, check)).collect()
}

/// The loss that is named, by itself or by how it models ties; `key` is where another one is told of.
fn kind(section: &LossSection, key: &str, check: &mut Check) -> LossKind {
    let of_ties = section.ties.map(TieModel::loss);
    match (section.kind, of_ties) {
        (Some(kind), Some(of_ties)) if kind != of_ties => {
            let text = format!(
                "models ties as `{}`, and the loss is `{}`, which does not read it; remove one of them",
                of_ties.name(),
                kind.name()
            );
            check.problem(key, text);
            kind
        }
        (kind, of_ties) => kind.or(of_ties).unwrap_or(LossKind::Sigmoid),
    }
}

/// A loss of a mixture; its settings are named by their place in the list.
fn mixed(idx: usize, MixPart { weight, loss }: &MixPart, check: &mut Check) -> Part {
    let kind = kind(loss, "loss.mix", check);
    let number = idx + 1;
    for (parameter, is_set) in [
        ("mix", loss.mix.is_some()),
        ("ld_alpha", loss.ld_alpha.is_some()),
        ("sft_weight", loss.sft_weight.is_some()),
        ("wpo", loss.wpo.is_some()),
    ] {
        if is_set {
            let text =
                format!("has `{parameter}` in its loss {number}; it is for all of them: set it in `[loss]`");
            check.problem("loss.mix", text);
        }
    }
    let loss = part(config(loss, kind), check, &mut |check, parameter, problem| {
        let text = match problem {
            Problem::Unread => format!("is set, but `{}` does not read it; remove it", kind.name()),
            Problem::Text(text) => text,
        };
        check.problem("loss.mix", format!("has a wrong setting in its loss {number}: `{parameter}` {text}"));
    });
    Part { weight: *weight, loss }
}

/// What is wrong with a setting.
enum Problem {
    Unread,
    Text(String),
}

/// Tells every problem of a loss; what is wrong takes its default meanwhile.
fn part(
    mut config: LossConfig,
    check: &mut Check,
    tell: &mut dyn FnMut(&mut Check, &str, Problem),
) -> PartLoss {
    loop {
        let (parameter, problem) = match config.part() {
            Ok(part) => return part,
            Err(InvalidLoss::NotAParameter { parameter, .. }) => (parameter, Problem::Unread),
            Err(InvalidLoss::Value { parameter, found, expected }) => {
                (parameter, Problem::Text(format!("is {found}; expected {expected}")))
            }
            Err(InvalidLoss::Unsound { parameter, reason }) => (parameter, Problem::Text(reason)),
            Err(other) => ("kind", Problem::Text(other.to_string())),
        };
        tell(check, parameter, problem);
        unset(&mut config, parameter);
    }
}

fn modifiers(section: &LossSection) -> Modifiers {
    Modifiers { ld_alpha: section.ld_alpha, sft_weight: section.sft_weight, wpo: section.wpo == Some(true) }
}

/// The settings that belong to a single loss.
fn own_settings(section: &LossSection) -> [(&'static str, bool); 25] {
    [
        ("ties", section.ties.is_some()),
        ("beta", section.beta.is_some()),
        ("label_smoothing", section.label_smoothing.is_some()),
        ("ipo_reduction", section.ipo_reduction.is_some()),
        ("bco_delta", section.bco_delta.is_some()),
        ("discopop_tau", section.discopop_tau.is_some()),
        ("dpop_lambda", section.dpop_lambda.is_some()),
        ("r_dpo_alpha", section.r_dpo_alpha.is_some()),
        ("tdpo_alpha", section.tdpo_alpha.is_some()),
        ("simpo_gamma", section.simpo_gamma.is_some()),
        ("simpo_alpha", section.simpo_alpha.is_some()),
        ("orpo_lambda", section.orpo_lambda.is_some()),
        ("cpo_alpha", section.cpo_alpha.is_some()),
        ("beta_dpo_alpha", section.beta_dpo_alpha.is_some()),
        ("beta_dpo_momentum", section.beta_dpo_momentum.is_some()),
        ("odpo_alpha", section.odpo_alpha.is_some()),
        ("rpo_eta", section.rpo_eta.is_some()),
        ("rao_kupper_a", section.rao_kupper_a.is_some()),
        ("davidson_nu", section.davidson_nu.is_some()),
        ("kto_desirable", section.kto_desirable.is_some()),
        ("kto_undesirable", section.kto_undesirable.is_some()),
        ("group_robust_eta", section.group_robust_eta.is_some()),
        ("modpo_weight", section.modpo_weight.is_some()),
        ("f_divergence", section.f_divergence.is_some()),
        ("f_alpha", section.f_alpha.is_some()),
    ]
}

fn config(section: &LossSection, kind: LossKind) -> LossConfig {
    LossConfig {
        kind,
        beta: section.beta,
        label_smoothing: section.label_smoothing,
        ipo_reduction: section.ipo_reduction.map(|reduction| match reduction {
            IpoReduction::Mean => dpo_core::IpoReduction::Mean,
            IpoReduction::Sum => dpo_core::IpoReduction::Sum,
        }),
        bco_delta: section.bco_delta,
        discopop_tau: section.discopop_tau,
        dpop_lambda: section.dpop_lambda,
        r_dpo_alpha: section.r_dpo_alpha,
        tdpo_alpha: section.tdpo_alpha,
        simpo_gamma: section.simpo_gamma,
        simpo_alpha: section.simpo_alpha,
        orpo_lambda: section.orpo_lambda,
        cpo_alpha: section.cpo_alpha,
        beta_dpo_alpha: section.beta_dpo_alpha,
        beta_dpo_momentum: section.beta_dpo_momentum,
        odpo_alpha: section.odpo_alpha,
        rpo_eta: section.rpo_eta,
        rao_kupper_a: section.rao_kupper_a,
        davidson_nu: section.davidson_nu,
        kto_desirable: section.kto_desirable,
        kto_undesirable: section.kto_undesirable,
        group_robust_eta: section.group_robust_eta,
        modpo_weight: section.modpo_weight,
        f_divergence: section.f_divergence.map(|divergence| match divergence {
            Divergence::ReverseKl => dpo_core::DivergenceKind::ReverseKl,
            Divergence::ForwardKl => dpo_core::DivergenceKind::ForwardKl,
            Divergence::Js => dpo_core::DivergenceKind::Js,
            Divergence::Alpha => dpo_core::DivergenceKind::Alpha,
        }),
        f_alpha: section.f_alpha,
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
        "tdpo_alpha" => config.tdpo_alpha = None,
        "simpo_gamma" => config.simpo_gamma = None,
        "simpo_alpha" => config.simpo_alpha = None,
        "orpo_lambda" => config.orpo_lambda = None,
        "cpo_alpha" => config.cpo_alpha = None,
        "beta_dpo_alpha" => config.beta_dpo_alpha = None,
        "beta_dpo_momentum" => config.beta_dpo_momentum = None,
        "odpo_alpha" => config.odpo_alpha = None,
        "rpo_eta" => config.rpo_eta = None,
        "rao_kupper_a" => config.rao_kupper_a = None,
        "davidson_nu" => config.davidson_nu = None,
        "kto_desirable" => config.kto_desirable = None,
        "kto_undesirable" => config.kto_undesirable = None,
        "group_robust_eta" => config.group_robust_eta = None,
        "modpo_weight" => config.modpo_weight = None,
        "f_divergence" => (config.f_divergence, config.f_alpha) = (None, None),
        "f_alpha" => config.f_alpha = None,
        _ => *config = LossConfig::default(),
    }
}

/// What a run file says to get the objective.
pub(super) fn section(objective: &Objective) -> LossSection {
    let parts = objective.parts();
    let mut section = match parts.as_slice() {
        [Part { weight: 1.0, loss }] => of_part(loss),
        _ => LossSection { mix: Some(parts.iter().map(mix_part).collect()), ..LossSection::default() },
    };
    let Modifiers { ld_alpha, sft_weight, wpo } = objective.modifiers();
    section.wpo = wpo.then_some(true);
    (section.ld_alpha, section.sft_weight) = (ld_alpha, sft_weight);
    section
}

fn mix_part(part: &Part) -> MixPart {
    MixPart { weight: part.weight, loss: of_part(&part.loss) }
}

fn of_part(part: &PartLoss) -> LossSection {
    let config = part.config();
    LossSection {
        kind: Some(config.kind),
        beta: config.beta,
        label_smoothing: config.label_smoothing,
        ipo_reduction: config.ipo_reduction.map(|reduction| match reduction {
            dpo_core::IpoReduction::Mean => IpoReduction::Mean,
            dpo_core::IpoReduction::Sum => IpoReduction::Sum,
        }),
        bco_delta: config.bco_delta,
        discopop_tau: config.discopop_tau,
        dpop_lambda: config.dpop_lambda,
        r_dpo_alpha: config.r_dpo_alpha,
        tdpo_alpha: config.tdpo_alpha,
        simpo_gamma: config.simpo_gamma,
        simpo_alpha: config.simpo_alpha,
        orpo_lambda: config.orpo_lambda,
        cpo_alpha: config.cpo_alpha,
        beta_dpo_alpha: config.beta_dpo_alpha,
        beta_dpo_momentum: config.beta_dpo_momentum,
        odpo_alpha: config.odpo_alpha,
        rpo_eta: config.rpo_eta,
        ties: TieModel::of(config.kind),
        rao_kupper_a: config.rao_kupper_a,
        davidson_nu: config.davidson_nu,
        kto_desirable: config.kto_desirable,
        kto_undesirable: config.kto_undesirable,
        group_robust_eta: config.group_robust_eta,
        modpo_weight: config.modpo_weight,
        f_divergence: config.f_divergence.map(|divergence| match divergence {
            dpo_core::DivergenceKind::ReverseKl => Divergence::ReverseKl,
            dpo_core::DivergenceKind::ForwardKl => Divergence::ForwardKl,
            dpo_core::DivergenceKind::Js => Divergence::Js,
            dpo_core::DivergenceKind::Alpha => Divergence::Alpha,
        }),
        f_alpha: config.f_alpha,
        ..LossSection::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
