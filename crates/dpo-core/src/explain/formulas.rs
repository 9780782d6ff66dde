//! The losses' formulas, with their numbers.

use crate::{
    CoupledLoss, GroupRobust, IpoReduction, PairwiseLoss, PartLoss, RankedLoss, ReferenceFreeLoss,
    ScoredLoss, TokenLevelLoss, UnpairedLoss, VotedLoss,
};

/// An equation and where it comes from.
pub(super) struct Formula {
    /// Of one pair, in the letters of [`meanings`](super::meanings).
    pub(super) equation: String,
    pub(super) source: &'static str,
}

/// What a loss costs a row.
pub(super) fn formula(loss: &PartLoss) -> Formula {
    match loss {
        PartLoss::Pairwise { loss, .. } => pairwise(loss),
        PartLoss::Voted { loss, .. } => voted(loss),
        PartLoss::Scored { loss, .. } => scored(loss),
        PartLoss::Ranked(loss) => ranked(loss),
        PartLoss::Unpaired(loss) => unpaired(loss),
        PartLoss::GroupRobust(GroupRobust { beta, .. }) => Formula {
            equation: logistic(&format!("{beta}·h"), 0.0),
            source: "group-robust preference optimization, https://arxiv.org/abs/2405.20304",
        },
        PartLoss::TokenLevel(TokenLevelLoss::Tdpo { beta, alpha }) => Formula {
            equation: format!("−ln σ({beta}·(h − {alpha}·(D_l − sg[D_w])))"),
            source: "token-level DPO, TDPO₂, https://arxiv.org/abs/2404.11999",
        },
        PartLoss::Coupled(loss) => coupled(loss),
        PartLoss::ReferenceFree(loss) => reference_free(loss),
        PartLoss::Sft => Formula { equation: "−log π_θ(y_w)".to_owned(), source: "" },
    }
}

/// `−ln σ(z)` for labels that are wrong at this rate.
fn logistic(z: &str, label_smoothing: f64) -> String {
    match label_smoothing {
        0.0 => format!("−ln σ({z})"),
        rate => format!("{}·(−ln σ({z})) + {rate}·(−ln σ(−({z})))", short(1.0 - rate)),
    }
}

/// A number made of others, without what their rounding adds.
pub(super) fn short(number: f64) -> String {
    let rounded = (number * 1e9).round() / 1e9;
    format!("{rounded}")
}

fn pairwise(loss: &PairwiseLoss) -> Formula {
    let of = |equation: String, source| Formula { equation, source };
    let target = |beta: f64| short(0.5 / beta);
    match *loss {
        PairwiseLoss::Sigmoid { beta, label_smoothing: 0.0 } => {
            of(logistic(&format!("{beta}·h"), 0.0), "DPO, Eq. 7 of https://arxiv.org/abs/2305.18290")
        }
        PairwiseLoss::Sigmoid { beta, label_smoothing } => of(
            logistic(&format!("{beta}·h"), label_smoothing),
            "conservative DPO, https://ericmitchell.ai/cdpo.pdf",
        ),
        PairwiseLoss::Ipo { beta, reduction } => {
            let margin = if reduction == IpoReduction::Mean { "h̄" } else { "h" };
            of(format!("({margin} − {})²", target(beta)), "IPO, Eq. 17 of https://arxiv.org/abs/2310.12036")
        }
        PairwiseLoss::Hinge { beta } => of(
            format!("max(0, 1 − {beta}·h)"),
            "SLiC-HF, https://arxiv.org/abs/2305.10425, and RSO, https://arxiv.org/abs/2309.06657",
        ),
        PairwiseLoss::SigmoidNorm { beta } => of(
            logistic(&format!("{beta}·h̄"), 0.0),
            "length-normalised DPO, Tülu 3, https://arxiv.org/abs/2411.15124",
        ),
        PairwiseLoss::Robust { beta, label_smoothing: rate } => of(
            format!(
                "[{}·(−ln σ({beta}·h)) − {rate}·(−ln σ(−{beta}·h))]/{}",
                short(1.0 - rate),
                short(1.0 - 2.0 * rate)
            ),
            "robust DPO, https://arxiv.org/abs/2403.00409",
        ),
        PairwiseLoss::ExoPair { beta, label_smoothing: rate } => of(
            format!("q·[ln q − ln {}] + (1 − q)·[ln(1 − q) − ln {rate}], q = σ({beta}·h)", short(1.0 - rate)),
            "EXO, https://arxiv.org/abs/2402.00856",
        ),
        PairwiseLoss::NcaPair { beta } => of(
            format!("−ln σ({beta}·Δ_w) − ½·ln σ(−{beta}·Δ_w) − ½·ln σ(−{beta}·Δ_l)"),
            "NCA, https://arxiv.org/abs/2402.05369",
        ),
        PairwiseLoss::BcoPair { beta, delta } => of(
            format!("−ln σ({beta}·Δ_w − {delta}) − ln σ(−({beta}·Δ_l − {delta}))"),
            "BCO with a fixed δ, https://arxiv.org/abs/2404.04656",
        ),
        PairwiseLoss::SppoHard { beta } => of(
            format!("(Δ_w − {0})² + (Δ_l + {0})²", target(beta)),
            "SPPO, Eq. 4.7 of https://arxiv.org/abs/2405.00675",
        ),
        PairwiseLoss::ApoZero { beta } => {
            of(format!("1 − σ({beta}·Δ_w) + σ({beta}·Δ_l)"), "APO-zero, https://arxiv.org/abs/2408.06266")
        }
        PairwiseLoss::ApoDown { beta } => {
            of(format!("σ({beta}·Δ_w) + 1 − σ({beta}·h)"), "APO-down, https://arxiv.org/abs/2408.06266")
        }
        PairwiseLoss::Discopop { beta, tau } => of(
            format!("(1 − m)·(−ln σ({beta}·h)) + m·e^(−{beta}·h), m = σ({beta}·h/{tau})"),
            "DiscoPOP, https://arxiv.org/abs/2406.08414",
        ),
        PairwiseLoss::Dpop { beta, lambda } => of(
            format!("−ln σ({beta}·(h − {lambda}·max(0, −Δ_w)))"),
            "DPO-positive, https://arxiv.org/abs/2402.13228",
        ),
        PairwiseLoss::CalDpo { beta } => of(
            format!("−ln σ(h) + (Δ_w − {0})² + (Δ_l + {0})²", target(beta)),
            "Cal-DPO, https://arxiv.org/abs/2412.14516",
        ),
        PairwiseLoss::RDpo { beta, alpha } => {
            of(format!("−ln σ({beta}·h + {alpha}·(|w| − |l|))"), "R-DPO, https://arxiv.org/abs/2403.19159")
        }
    }
}

fn coupled(loss: &CoupledLoss) -> Formula {
    if let CoupledLoss::BetaDpo { beta, alpha, momentum } = loss {
        let strength = format!("β_b = max({beta}·(1 + {alpha}·(M_b − M₀)), 0.001)");
        let average = format!("M_b the batch's mean h, M₀ ← {momentum}·M₀ + {}·M_b", short(1.0 - momentum));
        let source = "β-DPO, https://arxiv.org/abs/2407.08639";
        return Formula { equation: format!("−ln σ(β_b·h), {strength}, {average}"), source };
    }
    let z = match loss {
        CoupledLoss::Aot { beta, .. } => format!("{beta}·(u₍ᵢ₎ − v₍ᵢ₎)"),
        CoupledLoss::AotUnpaired { beta, .. } | CoupledLoss::BetaDpo { beta, .. } => {
            format!("{beta}·(Δ_w₍ᵢ₎ − Δ_l₍ᵢ₎)")
        }
    };
    let source = "AOT, https://arxiv.org/abs/2406.05882";
    Formula { equation: logistic(&z, loss.label_smoothing()), source }
}

fn reference_free(loss: &ReferenceFreeLoss) -> Formula {
    match *loss {
        ReferenceFreeLoss::Simpo { beta, gamma, alpha: 0.0, label_smoothing } => Formula {
            equation: logistic(&format!("{beta}·(p̄_w − p̄_l) − {gamma}"), label_smoothing),
            source: "SimPO, Eq. 6 of https://arxiv.org/abs/2405.14734",
        },
        ReferenceFreeLoss::Simpo { beta, gamma, alpha, label_smoothing } => Formula {
            equation: format!(
                "{}, r = (1 − e^(−{alpha}·p̄))/{alpha}",
                logistic(&format!("{beta}·(r_w − r_l) − {gamma}"), label_smoothing)
            ),
            source: "AlphaPO, https://arxiv.org/abs/2501.03884",
        },
        ReferenceFreeLoss::Orpo { lambda } => Formula {
            equation: format!("−p̄_w + {lambda}·(−ln σ(lo_w − lo_l)), lo = p̄ − ln(1 − e^p̄)"),
            source: "ORPO, Eq. 6 of https://arxiv.org/abs/2403.07691",
        },
        ReferenceFreeLoss::Cpo { beta, alpha, label_smoothing } => Formula {
            equation: format!(
                "{} + {alpha}·(−p̄_w)",
                logistic(&format!("{beta}·(log π_θ(y_w) − log π_θ(y_l))"), label_smoothing)
            ),
            source: "CPO, https://arxiv.org/abs/2401.08417",
        },
    }
}

fn voted(loss: &VotedLoss) -> Formula {
    let ties = "the models of ties of https://arxiv.org/abs/2409.17431";
    match *loss {
        VotedLoss::SoftLabel { beta } => Formula {
            equation: format!("(v_w + ½·v_t)·(−ln σ({beta}·h)) + (v_l + ½·v_t)·(−ln σ(−{beta}·h))"),
            source: "DPO, Eq. 7 of https://arxiv.org/abs/2305.18290, as the cross-entropy of votes",
        },
        VotedLoss::RaoKupper { beta, a } => {
            let a = short(a);
            let [win, lose] = [format!("−ln σ(d − {a})"), format!("−ln σ(−d − {a})")];
            Formula {
                equation: format!(
                    "v_w·({win}) + v_l·({lose}) + v_t·({win} {lose} − ln(e^(2·{a}) − 1)), d = {beta}·h"
                ),
                source: ties,
            }
        }
        VotedLoss::Davidson { beta, nu } => {
            let twice = short(2.0 * nu);
            Formula {
                equation: format!(
                    "v_w·ln Z + v_l·(d + ln Z) + v_t·(½·d + ln Z − ln {twice}), \
                     Z = 1 + e^(−d) + {twice}·e^(−½·d), d = {beta}·h"
                ),
                source: ties,
            }
        }
    }
}

fn scored(loss: &ScoredLoss) -> Formula {
    let of = |equation: String, source| Formula { equation, source };
    let rpo = "reward-aware preference optimization, https://arxiv.org/abs/2406.11704";
    match *loss {
        ScoredLoss::Odpo { beta, alpha } => of(
            format!("−ln σ({beta}·h − {alpha}·ln g)"),
            "DPO with an offset, https://arxiv.org/abs/2402.10571",
        ),
        ScoredLoss::RpoSq { beta, eta } => of(format!("({beta}·h − {eta}·g)²"), rpo),
        ScoredLoss::RpoBwdKl { beta, eta } => of(format!("KL(a‖p), a = σ({eta}·g), p = σ({beta}·h)"), rpo),
        ScoredLoss::RpoFwdKl { beta, eta } => of(format!("KL(p‖a), p = σ({beta}·h), a = σ({eta}·g)"), rpo),
        ScoredLoss::Modpo { beta, weight } => of(
            format!("−ln σ(({beta}·h − {}·g)/{weight})", short(1.0 - weight)),
            "multi-objective DPO, https://arxiv.org/abs/2310.03708",
        ),
    }
}

fn ranked(loss: &RankedLoss) -> Formula {
    match *loss {
        RankedLoss::PlackettLuce { beta } => Formula {
            equation: format!("Σ_(k<K) [ln Σ_(j≥k) e^({beta}·Δ_j) − {beta}·Δ_k]"),
            source: "DPO for rankings, App. A.3 of https://arxiv.org/abs/2305.18290",
        },
        RankedLoss::Lipo { beta } => Formula {
            equation: format!(
                "Σ_(s_i>s_j) |2^s_i − 2^s_j|·|1/ln(1 + τ_i) − 1/ln(1 + τ_j)|·(−ln σ({beta}·(Δ_i − Δ_j)))"
            ),
            source: "LiPO-λ, https://arxiv.org/abs/2402.01878",
        },
    }
}

fn unpaired(loss: &UnpairedLoss) -> Formula {
    let UnpairedLoss::Kto { beta, desirable, undesirable } = *loss;
    Formula {
        equation: format!(
            "{desirable}·(1 − σ({beta}·(Δ − z₀))) of a desirable completion, {undesirable}·(1 − σ({beta}·(z₀ − Δ))) of an \
             undesirable one"
        ),
        source: "KTO, https://arxiv.org/abs/2402.01306",
    }
}
