//! An objective written out, with its numbers.

use std::fmt::Write as _;

use crate::{
    CoupledLoss, FDivergence, IpoReduction, Modifiers, Objective, PairwiseLoss, PartLoss, ReferenceFreeLoss,
};

/// An equation, what its letters mean, and where it comes from.
struct Formula {
    /// Of one pair, in the letters of [`meanings`].
    equation: String,
    source: &'static str,
}

impl Objective {
    /// What is minimised, as text: the formula with its numbers, what its letters mean, how a batch is reduced, and sources.
    pub fn explain(&self) -> String {
        let (parts, modifiers) = (self.parts(), self.modifiers());
        let formulas: Vec<Formula> = parts.iter().map(|part| formula(&part.loss)).collect();
        let mut text = String::from("minimised\n");
        let _ = writeln!(text, "  {}", batch(self));
        for (idx, (part, formula)) in parts.iter().zip(&formulas).enumerate() {
            let (name, number) = (part.loss.kind(), if parts.len() > 1 { subscript(idx + 1) } else { "" });
            let weighs = if modifiers.wpo && part.loss != PartLoss::Sft { "ω(y_w)·ω(y_l)·" } else { "" };
            let _ = match weighs {
                "" => writeln!(text, "  L{number} = {}   ({name})", formula.equation),
                _ => writeln!(text, "  L{number} = {weighs}[{}]   ({name})", formula.equation),
            };
        }
        text.push_str("\nwhere\n");
        let written: String = formulas.iter().map(|formula| formula.equation.as_str()).collect();
        for meaning in meanings(&written, &parts.iter().map(|part| part.loss).collect::<Vec<_>>(), &modifiers)
        {
            let _ = writeln!(text, "  {meaning}");
        }
        text.push_str("\nsources\n");
        let of_modifiers =
            modifier_sources(&parts.iter().map(|part| part.loss).collect::<Vec<_>>(), &modifiers);
        let mut sources: Vec<String> = Vec::new();
        for source in formulas.iter().map(|formula| formula.source.to_owned()).chain(of_modifiers) {
            if !source.is_empty() && !sources.contains(&source) {
                sources.push(source);
            }
        }
        for source in sources {
            let _ = writeln!(text, "  {source}");
        }
        text
    }
}

/// The loss of a batch, of those of its pairs.
fn batch(objective: &Objective) -> String {
    let parts = objective.parts();
    let of_rows = |number: &str| format!("Σᵢ wᵢ·L{number} / Σᵢ wᵢ");
    let of_tokens = |number: &str| format!("Σᵢ wᵢ·L{number} / Σᵢ wᵢ·|y_w|");
    let reduced = |loss: &PartLoss, number: &str| match loss {
        PartLoss::Sft => of_tokens(number),
        _ => of_rows(number),
    };
    let mut terms: Vec<String> = match parts.as_slice() {
        [part] if part.weight == 1.0 => vec![reduced(&part.loss, "")],
        parts => parts
            .iter()
            .enumerate()
            .map(|(idx, part)| {
                let number = if parts.len() > 1 { subscript(idx + 1) } else { "" };
                format!("{}·[{}]", part.weight, reduced(&part.loss, number))
            })
            .collect(),
    };
    if let Some(weight) = objective.modifiers().sft_weight {
        terms.push(format!("{weight}·[Σᵢ wᵢ·(−log π_θ(y_w)/|w|) / Σᵢ wᵢ]"));
    }
    terms.join(" + ")
}

fn subscript(number: usize) -> &'static str {
    ["₀", "₁", "₂", "₃", "₄", "₅", "₆", "₇", "₈", "₉"].get(number).copied().unwrap_or("ₙ")
}

fn formula(loss: &PartLoss) -> Formula {
    match loss {
        PartLoss::Pairwise { loss, .. } => pairwise(loss),
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
fn short(number: f64) -> String {
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

/// What the letters mean that stand in the formulas, from the outermost in.
fn meanings(written: &str, losses: &[PartLoss], modifiers: &Modifiers) -> Vec<String> {
    let mut lines = Vec::new();
    let divergence = losses.iter().find_map(divergence_of);
    // A loss without a divergence has s(Δ) = Δ.
    let (s_w, s_l) = if divergence.is_some() { ("s(Δ_w)", "s(Δ_l)") } else { ("Δ_w", "Δ_l") };
    // `h̄` is an `h` with a mark of its own.
    if written.replace("h̄", "").contains('h') {
        lines.push(format!("h = {s_w} − {s_l}, the margin"));
    }
    if written.contains("h̄") {
        lines.push(format!("h̄ = {s_w}/|w| − {s_l}/|l|, the margin per token"));
    }
    if divergence.is_some() {
        lines.extend(scores(losses));
    }
    if written.contains("₍ᵢ₎") {
        lines.push("x₍ᵢ₎ = the i-th number in ascending order over the batch".to_owned());
    }
    if written.contains("u₍") {
        lines.push("u = log π_θ(y_w) − log π_θ(y_l), v = the same under the reference".to_owned());
    }
    if losses.iter().any(|loss| matches!(loss, PartLoss::Pairwise { .. } | PartLoss::Coupled(_))) {
        lines.push(
            "Δ = log π_θ(y|x) − log π_ref(y|x), for the chosen (w) and the rejected (l) completion"
                .to_owned(),
        );
    }
    if written.contains("p̄") {
        lines.push("p̄ = log π_θ(y|x)/|y|, the mean log-prob of a completion's tokens".to_owned());
    }
    match modifiers.ld_alpha {
        Some(alpha) => lines.push(format!(
            "log π(y|x) = Σ_(t≤m) ℓ_t + {alpha}·Σ_(t>m) ℓ_t over completion tokens, m = min(|w|, |l|), in Δ; Σ_t ℓ_t elsewhere"
        )),
        None => lines.push("log π(y|x) = Σ_t ℓ_t, the log-probs of the completion's tokens".to_owned()),
    }
    if modifiers.wpo {
        lines.push("ω(y) = exp((1/|y|)·Σ_t [ℓ_t − ln Σ_v p_t(v)²]) of the policy, a constant".to_owned());
    }
    lines.push(
        "wᵢ = the row's weight, 1 unless the data says otherwise; sums over all rows of a step".to_owned(),
    );
    lines
}

/// What `s(Δ)` is, in each of several losses.
fn scores(losses: &[PartLoss]) -> Vec<String> {
    let of_loss = |(idx, loss): (usize, &PartLoss)| {
        let place = if losses.len() > 1 { format!("in L{}: ", subscript(idx + 1)) } else { String::new() };
        match divergence_of(loss) {
            Some((equation, _)) => {
                Some(format!("{place}s(Δ) = {equation}, an exponent ending at 80 (40 where it is squared)"))
            }
            None if matches!(loss, PartLoss::Pairwise { loss, .. } if loss.is_of_margin()) => {
                Some(format!("{place}s(Δ) = Δ"))
            }
            None => None,
        }
    };
    losses.iter().enumerate().filter_map(of_loss).collect()
}

/// What takes the place of a log-ratio, and its source.
fn divergence_of(loss: &PartLoss) -> Option<(String, &'static str)> {
    let PartLoss::Pairwise { divergence, .. } = loss else { return None };
    let equation = match *divergence {
        FDivergence::ReverseKl => return None,
        FDivergence::ForwardKl => "1 − e^(−Δ) (forward KL)".to_owned(),
        FDivergence::Js => "ln 2 + ln σ(Δ) (Jensen–Shannon)".to_owned(),
        FDivergence::Alpha(alpha) => {
            format!("(e^({0}·Δ) − 1)/{0} (α-divergence, α {alpha})", short(alpha - 1.0))
        }
    };
    Some((equation, "f-DPO, https://arxiv.org/abs/2309.16240"))
}

fn modifier_sources(losses: &[PartLoss], modifiers: &Modifiers) -> Vec<String> {
    let mut sources = Vec::new();
    sources.extend(losses.iter().find_map(divergence_of).map(|(_, source)| source.to_owned()));
    if modifiers.ld_alpha.is_some() {
        sources.push("LD-DPO, https://arxiv.org/abs/2409.06411".to_owned());
    }
    if modifiers.sft_weight.is_some() {
        sources.push("RPO, https://arxiv.org/abs/2404.19733".to_owned());
    }
    if modifiers.wpo {
        sources.push("WPO, https://arxiv.org/abs/2406.11827".to_owned());
    }
    if losses.len() > 1 {
        sources.push("mixed preference optimization, https://arxiv.org/abs/2411.10442".to_owned());
    }
    sources
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{DivergenceKind, LossConfig, LossKind, Part};

    fn lines(objective: &Objective) -> Vec<String> {
        objective.explain().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn has(objective: &Objective, line: &str) {
        assert!(lines(objective).iter().any(|found| found == line), "{line}\n{}", objective.explain());
    }

    #[test]
    fn dpo_is_equation_7_with_its_number() {
        let objective = LossConfig { beta: Some(0.2), ..LossConfig::default() }.init().unwrap();
        has(&objective, "Σᵢ wᵢ·L / Σᵢ wᵢ");
        has(&objective, "L = −ln σ(0.2·h)   (sigmoid)");
        has(&objective, "h = Δ_w − Δ_l, the margin");
        has(&objective, "DPO, Eq. 7 of https://arxiv.org/abs/2305.18290");
    }

    #[test]
    fn numbers_are_worked_out() {
        let ipo = LossConfig { kind: LossKind::Ipo, beta: Some(0.25), ..LossConfig::default() };
        has(&ipo.init().unwrap(), "L = (h̄ − 2)²   (ipo)");
        let smoothed = LossConfig { label_smoothing: Some(0.1), ..LossConfig::default() };
        has(&smoothed.init().unwrap(), "L = 0.9·(−ln σ(0.1·h)) + 0.1·(−ln σ(−(0.1·h)))   (sigmoid)");
        let alpha = LossConfig { f_divergence: Some(DivergenceKind::Alpha), ..LossConfig::default() };
        has(&alpha.init().unwrap(), "h = s(Δ_w) − s(Δ_l), the margin");
        has(
            &alpha.init().unwrap(),
            "s(Δ) = (e^(-0.5·Δ) − 1)/-0.5 (α-divergence, α 0.5), an exponent ending at 80 (40 where it is squared)",
        );
    }

    /// The weights of mixed preference optimization, and what is reduced over what.
    #[test]
    fn a_mixture_is_a_sum() {
        let part = |kind, weight| {
            let loss = LossConfig { kind, ..LossConfig::default() }.part().unwrap();
            Part { weight, loss }
        };
        let parts =
            vec![part(LossKind::Sigmoid, 0.8), part(LossKind::BcoPair, 0.2), part(LossKind::Sft, 1.0)];
        let mixture = Objective::combined(parts, Modifiers::default()).unwrap();
        has(&mixture, "0.8·[Σᵢ wᵢ·L₁ / Σᵢ wᵢ] + 0.2·[Σᵢ wᵢ·L₂ / Σᵢ wᵢ] + 1·[Σᵢ wᵢ·L₃ / Σᵢ wᵢ·|y_w|]");
        has(&mixture, "L₃ = −log π_θ(y_w)   (sft)");
    }

    /// Every loss has a formula and a source, but for likelihood itself.
    #[test]
    fn every_loss_is_explained() {
        for kind in LossKind::ALL {
            let objective = LossConfig { kind, ..LossConfig::default() }.init().unwrap();
            let text = objective.explain();
            assert_eq!(text.contains("https://"), kind != LossKind::Sft, "{text}");
            assert!(text.contains(&format!("({kind})")), "{text}");
        }
    }
}
