//! An objective written out, with its numbers.

mod formulas;

use std::fmt::Write as _;

use crate::{FDivergence, Modifiers, Objective, PartLoss, ScoredLoss};

use formulas::{Formula, formula, short};

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
        PartLoss::GroupRobust(_) => "Σ_g q_g·[Σ_(i∈g) wᵢ·L / Σ_(i∈g) wᵢ]".to_owned(),
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
    lines.extend(said(losses));
    if let Some(loss) = losses.iter().find(|loss| loss.needs_reference()) {
        let of = match loss {
            PartLoss::Ranked(_) => "each completion of a list, best first",
            PartLoss::Unpaired(_) => "a completion",
            _ => "the chosen (w) and the rejected (l) completion",
        };
        lines.push(format!("Δ = log π_θ(y|x) − log π_ref(y|x), for {of}"));
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

/// What is known of a row or its batch beside log-probs.
fn said(losses: &[PartLoss]) -> Vec<String> {
    let mut lines = Vec::new();
    for loss in losses {
        let meant = match loss {
            PartLoss::Voted { .. } => {
                "v_w, v_t, v_l = the shares of the votes for the first completion (w), for neither, and for the second (l)"
                    .to_owned()
            }
            PartLoss::Scored { loss: ScoredLoss::Modpo { .. }, .. } => {
                "g = the score of the chosen completion less that of the rejected one: the margin of the other reward"
                    .to_owned()
            }
            PartLoss::Scored { .. } => {
                "g = the score of the chosen completion less that of the rejected one".to_owned()
            }
            PartLoss::Ranked(loss) if loss.reads_scores() => {
                "s = the completions' scores, τ = their places by Δ, from 1, a constant".to_owned()
            }
            PartLoss::Ranked(_) => "K = the completions of the list".to_owned(),
            PartLoss::Unpaired(_) => {
                "z₀ = max(0, the mean Δ of the step's prompts before completions of other rows), a constant"
                    .to_owned()
            }
            PartLoss::GroupRobust(loss) => format!(
                "q_g = the share of group g, even at first; after a step q_g ← q_g·e^({}·L_g)/Z, L_g the group's mean L",
                loss.eta
            ),
            PartLoss::TokenLevel(_) => {
                "D_y = Σ_t KL(π_ref(·|x, y_<t) ‖ π_θ(·|x, y_<t)) over the completion's tokens, sg[·] a constant".to_owned()
            }
            PartLoss::Pairwise { .. }
            | PartLoss::Coupled(_)
            | PartLoss::ReferenceFree(_)
            | PartLoss::Sft => continue,
        };
        if !lines.contains(&meant) {
            lines.push(meant);
        }
    }
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
            None => loss.is_of_margin().then(|| format!("{place}s(Δ) = Δ")),
        }
    };
    losses.iter().enumerate().filter_map(of_loss).collect()
}

/// What takes the place of a log-ratio, and its source.
fn divergence_of(loss: &PartLoss) -> Option<(String, &'static str)> {
    let equation = match loss.divergence() {
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

    /// What is beyond pairs has its letters explained, and its own way to reduce a batch.
    #[test]
    fn votes_scores_lists_and_groups_are_explained() {
        let of = |kind| LossConfig { kind, ..LossConfig::default() }.init().unwrap();
        has(&of(LossKind::Odpo), "L = −ln σ(0.1·h − 1·ln g)   (odpo)");
        has(&of(LossKind::Odpo), "g = the score of the chosen completion less that of the rejected one");
        has(&of(LossKind::Modpo), "L = −ln σ((0.1·h − 0.5·g)/0.5)   (modpo)");
        has(&of(LossKind::GroupRobust), "Σ_g q_g·[Σ_(i∈g) wᵢ·L / Σ_(i∈g) wᵢ]");
        has(
            &of(LossKind::PlackettLuce),
            "Δ = log π_θ(y|x) − log π_ref(y|x), for each completion of a list, best first",
        );
        let diverging = LossConfig {
            kind: LossKind::SoftLabel,
            f_divergence: Some(DivergenceKind::Js),
            ..LossConfig::default()
        };
        has(&diverging.init().unwrap(), "h = s(Δ_w) − s(Δ_l), the margin");
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
