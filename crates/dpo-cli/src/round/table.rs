//! The drift of a round as text.

use dpo_train::EvalMetrics;

use super::drift::{Drift, Memory};
use crate::{divergence::Divergence, table::aligned};

/// How far it has moved, and what it knows of each round.
pub(super) fn text(drift: &Drift) -> String {
    let mut text =
        format!("\nround {}: how far the model has moved, in nats per sampled answer\n", drift.round);
    text += &aligned(&[
        vec!["  KL from the base".to_owned(), shown(&drift.to_base)],
        vec!["  KL from the last round".to_owned(), shown(&drift.to_parent)],
    ]);
    if drift.held_out.is_empty() {
        return text + "\n";
    }
    text += &format!("\nheld-out pairs before and after this round, against the base (β {})\n", drift.beta);
    let heading = ["", "pairs", "accuracy", "", "change", "margin", "", "change"].map(str::to_owned);
    let mut grid = vec![heading.to_vec()];
    grid.extend(drift.held_out.iter().map(|memory| row(memory, drift.round)));
    text + &aligned(&grid) + "\n"
}

fn row(memory: &Memory, this: usize) -> Vec<String> {
    let number = |metrics: &EvalMetrics| {
        metrics.pairs.map_or((f64::NAN, f64::NAN), |p| (100.0 * p.rewards_accuracies, p.rewards_margins))
    };
    let (before, after) = (number(&memory.before), number(&memory.after));
    let name = if memory.round == this { ", this one" } else { "" };
    vec![
        format!("  round {}{name}", memory.round),
        memory.n_pairs.to_string(),
        format!("{:.1} %", before.0),
        format!("→ {:.1} %", after.0),
        format!("{:+.1}", after.0 - before.0),
        format!("{:+.3}", before.1),
        format!("→ {:+.3}", after.1),
        format!("{:+.3}", after.1 - before.1),
    ]
}

fn shown(divergence: &Divergence) -> String {
    let Divergence { kl, kl_standard_error, kl_samples } = divergence;
    if *kl_samples == 0 {
        return "no held-out prompts".to_owned();
    }
    if kl_standard_error.is_finite() {
        return format!("{kl:.2} ± {kl_standard_error:.2} ({kl_samples} answers)");
    }
    format!("{kl:.2} (1 answer)")
}
