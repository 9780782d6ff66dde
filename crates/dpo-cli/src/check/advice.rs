//! What loss and parameters fit the data, each with its reason.

use dpo_data::{Fault, Found};
use serde_json::{Value, json};

use super::checked::Checked;
use crate::{
    default_loss,
    report::html::{number, percent},
    run_file::choices::LossKind,
};

/// Share of rows from which on a fault is answered by a setting.
const MANY: f64 = 0.02;
/// Share of surprises from which on they are more than the tail of any distribution.
const MANY_SURPRISES: f64 = 0.05;
/// Share of rows that a limit on length may cut.
const FEW: f64 = 0.01;
/// α below which people agree too little for more than tentative conclusions (Krippendorff, 2018).
const LITTLE_AGREEMENT: f64 = 0.667;
/// Share of the prompts whose chosen completion is less likely than the model's own answer, and nats a token by which it is, from
/// which on the pairs are far from what the model says.
const MOSTLY: f64 = 0.75;
const FAR: f64 = 1.0;

/// A setting of a run file and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    /// As it is written on the command line or in a run file.
    pub(crate) setting: String,
    pub(crate) reason: String,
}

impl Advice {
    fn new(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { setting: setting.into(), reason: reason.into() }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "setting": self.setting, "reason": self.reason })
    }
}

/// What the advice follows from.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    /// What the rows have.
    found: Found,
    /// Shares of the rows that others contradict, that surprise the model, and whose sides are nearly the same to it.
    contradicted: f64,
    surprising: f64,
    at_risk: f64,
    /// Share of the pairs that the model has right already; 0 without a model.
    already_right: f64,
    /// The ends of the interval of the length bias, where it leaves out 0.5.
    length: Option<[f64; 2]>,
    /// The smallest limit that cuts few rows, and the share that it cuts.
    limit: Option<(usize, f64)>,
    /// α of annotators with a column each, and of groups.
    annotators: Option<f64>,
    groups: Option<f64>,
    /// Share of the prompts whose chosen completion is less likely than the model's own answer, and the median gap.
    off_policy: Option<(f64, f64)>,
}

impl Evidence {
    fn of(checked: &Checked) -> Self {
        let contradicted = checked.findings.faults.get(&Fault::Contradictions).map_or(0, |found| found.count);
        let model = checked.model.as_ref();
        let length = checked.findings.length.as_ref().filter(|length| length.is_biased());
        let limit = checked.tokens.as_ref().and_then(|tokens| {
            let share = |rows: u64| rows as f64 / tokens.trees.len().max(1) as f64;
            let cut = tokens.truncation.iter().find(|cut| share(cut.rows) <= FEW)?;
            Some((cut.max_length, share(cut.rows)))
        });
        Self {
            found: checked.found,
            contradicted: contradicted as f64 / checked.n_rows().max(1) as f64,
            surprising: model.map_or(0.0, |model| model.share_of(&model.surprises)),
            at_risk: model.map_or(0.0, |model| model.share_of(&model.displacement)),
            already_right: model.map_or(0.0, super::model::ModelChecks::already_right),
            length: length.map(|length| length.ci),
            limit,
            annotators: checked.report.agreement.alpha(),
            groups: checked.findings.agreement.as_ref().and_then(dpo_data::Agreement::alpha),
            off_policy: checked
                .own
                .as_ref()
                .filter(|own| !own.rows.is_empty())
                .map(|own| (own.share(), own.median_gap())),
        }
    }
}

/// What fits, from what was found.
pub(super) fn advice(checked: &Checked) -> Vec<Advice> {
    follows(&Evidence::of(checked))
}

fn follows(evidence: &Evidence) -> Vec<Advice> {
    let fitting = default_loss::of(&evidence.found);
    let kind = fitting.as_ref().map_or(LossKind::Sigmoid, |(kind, _)| *kind);
    let mut advice = Vec::new();
    if let Some((kind, why)) = &fitting {
        let reason = format!("{why}, which this loss reads; training takes it unless another is named");
        advice.push(Advice::new(loss(*kind), reason));
    }
    let others = [
        noise(evidence, kind),
        disagreement(evidence, kind),
        length(evidence, kind),
        limit(evidence),
        displacement(evidence, kind),
        off_policy(evidence, kind),
        little_left(evidence),
    ];
    advice.extend(others.into_iter().flatten());
    if advice.is_empty() {
        let setting = format!("{}, loss.beta = 0.1", loss(LossKind::Sigmoid));
        advice.push(Advice::new(setting, "nothing in the rows asks for another"));
    }
    advice
}

fn loss(kind: LossKind) -> String {
    format!("loss.kind = \"{}\"", kind.name())
}

/// Whether it is one of the losses of two completions.
fn reads_pairs(kind: LossKind) -> bool {
    !matches!(kind, LossKind::PlackettLuce | LossKind::Lipo | LossKind::Kto)
}

/// Verdicts that others contradict, or that surprise the model more often than a few odd texts do.
fn noise(evidence: &Evidence, kind: LossKind) -> Option<Advice> {
    let Evidence { contradicted, surprising, .. } = *evidence;
    let is_surprised = surprising >= MANY_SURPRISES;
    if contradicted < MANY && !is_surprised {
        return None;
    }
    let mut reason = format!("{} of the verdicts are contradicted by others", percent(contradicted));
    if surprising > 0.0 {
        reason += &format!(" and {} surprise the model", percent(surprising));
    }
    reason += ": labels are noisy";
    if kind == LossKind::Sigmoid {
        let share = contradicted.max(if is_surprised { surprising } else { 0.0 });
        let setting = format!("{}, loss.label_smoothing = {:.2}", loss(LossKind::Robust), share.min(0.4));
        return Some(Advice::new(setting, reason));
    }
    reason += &format!(", and `{}` has no setting for a share of wrong ones", kind.name());
    Some(Advice::new("repair or remove these rows", reason))
}

/// People who judge the same pairs and say different things.
fn disagreement(evidence: &Evidence, kind: LossKind) -> Option<Advice> {
    let low = |alpha: Option<f64>| alpha.filter(|alpha| *alpha < LITTLE_AGREEMENT);
    if let Some(alpha) = low(evidence.groups) {
        let reason = format!(
            "the groups judge the same pairs and agree little (Krippendorff's α {alpha:.2}): one model learns their average; \
             `dpo variants` trains one for each"
        );
        return Some(Advice::new("variants.group, or loss.kind = \"group_robust\"", reason));
    }
    let alpha = low(evidence.annotators)?;
    let reason = format!(
        "annotators agree little (Krippendorff's α {alpha:.2}): their shares are a better label than the majority's verdict"
    );
    let is_read = matches!(kind, LossKind::SoftLabel | LossKind::RaoKupper | LossKind::Davidson);
    let setting = if is_read { kind } else { LossKind::SoftLabel };
    reads_pairs(kind).then(|| Advice::new(loss(setting), reason))
}

fn length(evidence: &Evidence, kind: LossKind) -> Option<Advice> {
    let [low, high] = evidence.length?;
    let (side, learns) = if low > 0.5 { ("longer", "long") } else { ("shorter", "short") };
    let reason = format!(
        "the {side} side is chosen more often than not (AUC {low:.3} to {high:.3}): a loss on sums learns to be {learns}"
    );
    let setting = match kind {
        LossKind::Sigmoid if low > 0.5 => "loss.kind = \"sigmoid_norm\" (or \"r_dpo\", loss.ld_alpha = 0.5)",
        LossKind::Sigmoid => "loss.kind = \"sigmoid_norm\"",
        kind if reads_pairs(kind) => "loss.ld_alpha = 0.5",
        kind => {
            let reason = format!("{reason}; `{}` has no setting against it", kind.name());
            return Some(Advice::new("rows whose completions are of like length", reason));
        }
    };
    Some(Advice::new(setting, reason))
}

/// The smallest limit that cuts few rows.
fn limit(evidence: &Evidence) -> Option<Advice> {
    let (limit, share) = evidence.limit?;
    let reason = format!("the smallest limit that cuts at most 1 % of the rows: {}", percent(share));
    Some(Advice::new(format!("data.max_length = {limit}"), reason))
}

fn displacement(evidence: &Evidence, kind: LossKind) -> Option<Advice> {
    let at_risk = evidence.at_risk;
    if at_risk < MANY {
        return None;
    }
    let setting = match kind {
        LossKind::Sigmoid => "loss.kind = \"dpop\", or loss.sft_weight = 1",
        LossKind::SoftLabel | LossKind::Odpo => "loss.sft_weight = 1",
        LossKind::RaoKupper | LossKind::Davidson => "loss.kind = \"soft_label\", loss.sft_weight = 1",
        _ => "pairs whose sides differ more",
    };
    let reason = format!(
        "the two sides of {} of the pairs are nearly the same to the model, so that lowering one lowers both; this holds the \
         chosen one up",
        percent(at_risk)
    );
    Some(Advice::new(setting, reason))
}

fn off_policy(evidence: &Evidence, kind: LossKind) -> Option<Advice> {
    let (share, gap) = evidence.off_policy?;
    if share < MOSTLY || gap < FAR {
        return None;
    }
    let reason = format!(
        "{} of the chosen completions are less likely to the model than an answer of its own, by a median of {} nats a token: \
         the pairs are far from what it says",
        percent(share),
        number(gap)
    );
    let setting = if reads_pairs(kind) {
        "loss.wpo = true, or pairs of the model's own answers"
    } else {
        "completions of the model's own"
    };
    Some(Advice::new(setting, reason))
}

fn little_left(evidence: &Evidence) -> Option<Advice> {
    (evidence.already_right > 0.9).then(|| {
        let reason = format!(
            "the model finds the chosen side likelier in {} of the pairs already: there is little left to learn",
            percent(evidence.already_right)
        );
        Advice::new("fewer steps, or harder pairs", reason)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
