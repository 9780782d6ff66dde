//! What loss and parameters fit the data, each with its reason.

use dpo_data::Fault;
use serde_json::{Value, json};

use super::checked::Checked;
use crate::report::html::percent;

/// Share of rows from which on a fault is answered by a setting.
const MANY: f64 = 0.02;
/// Share of surprises from which on they are more than the tail of any distribution.
const MANY_SURPRISES: f64 = 0.05;
/// Share of rows that a limit on length may cut.
const FEW: f64 = 0.01;

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

/// What fits, from what was found.
pub(super) fn advice(checked: &Checked) -> Vec<Advice> {
    let mut advice = Vec::new();
    advice.extend(noise(checked));
    advice.extend(length(checked));
    advice.extend(limit(checked));
    if let Some(model) = &checked.model {
        let at_risk = model.share_of(&model.displacement);
        if at_risk >= MANY {
            let reason = format!(
                "the two sides of {} of the pairs are nearly the same to the model, so that lowering one lowers both; \
                 this loss holds the chosen one up",
                percent(at_risk)
            );
            advice.push(Advice::new("loss.kind = \"dpop\", or loss.sft_weight = 1", reason));
        }
        if model.already_right() > 0.9 {
            let reason = format!(
                "the model finds the chosen side likelier in {} of the pairs already: there is little left to learn",
                percent(model.already_right())
            );
            advice.push(Advice::new("fewer steps, or harder pairs", reason));
        }
    }
    if advice.is_empty() {
        advice.push(Advice::new(
            "loss.kind = \"sigmoid\", loss.beta = 0.1",
            "nothing in the rows asks for another",
        ));
    }
    advice
}

/// Verdicts that others contradict, or that surprise the model more often than a few odd texts do.
fn noise(checked: &Checked) -> Option<Advice> {
    let contradicted = checked.findings.faults.get(&Fault::Contradictions).map_or(0, |found| found.count);
    let contradicted = contradicted as f64 / checked.n_rows().max(1) as f64;
    let surprising = checked.model.as_ref().map_or(0.0, |model| model.share_of(&model.surprises));
    let is_noisy = contradicted >= MANY || surprising >= MANY_SURPRISES;
    is_noisy.then(|| {
        let share = contradicted.max(if surprising >= MANY_SURPRISES { surprising } else { 0.0 });
        let setting = format!("loss.kind = \"robust\", loss.label_smoothing = {:.2}", share.min(0.4));
        let reason = format!(
            "{} of the verdicts are contradicted by others and {} surprise the model: labels are noisy",
            percent(contradicted),
            percent(surprising)
        );
        Advice::new(setting, reason)
    })
}

fn length(checked: &Checked) -> Option<Advice> {
    let length = checked.findings.length.as_ref().filter(|length| length.is_biased())?;
    let [low, high] = length.ci;
    Some(if length.auc > 0.5 {
        let reason = format!(
            "the longer side is chosen more often than not (AUC {low:.3} to {high:.3}): a loss on sums learns to be long"
        );
        Advice::new("loss.kind = \"sigmoid_norm\" (or \"r_dpo\", loss.ld_alpha = 0.5)", reason)
    } else {
        let reason = format!(
            "the shorter side is chosen more often than not (AUC {low:.3} to {high:.3}): a loss on sums learns to be short"
        );
        Advice::new("loss.kind = \"sigmoid_norm\"", reason)
    })
}

/// The smallest limit that cuts few rows.
fn limit(checked: &Checked) -> Option<Advice> {
    let tokens = checked.tokens.as_ref()?;
    let n_rows = tokens.trees.len().max(1) as f64;
    let share = |rows: u64| rows as f64 / n_rows;
    let cut = tokens.truncation.iter().find(|cut| share(cut.rows) <= FEW)?;
    let reason =
        format!("the smallest limit that cuts at most 1 % of the rows: {}", percent(share(cut.rows)));
    Some(Advice::new(format!("data.max_length = {}", cut.max_length), reason))
}
