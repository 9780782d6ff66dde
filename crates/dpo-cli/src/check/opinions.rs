//! How far people agree, for people and for programs.

use dpo_data::{Agreement, VoterAgreement};
use serde_json::{Map, Value, json};

use super::checked::Checked;
use crate::{report::html::percent, table::aligned};

/// Voters that are listed, those who agree least with the others first.
const MOST_LISTED: usize = 12;

/// What was counted, with what the voters are called.
pub(super) fn counted(checked: &Checked) -> Vec<(&'static str, &Agreement)> {
    let of_columns = Some(&checked.report.agreement).filter(|agreement| agreement.n_pairs() > 0);
    let of_groups = checked.findings.agreement.as_ref();
    [("annotators", of_columns), ("groups", of_groups)]
        .into_iter()
        .filter_map(|(what, agreement)| Some((what, agreement?)))
        .collect()
}

/// `annotator_agreement` and `group_agreement`, where there are any.
pub(super) fn json(checked: &Checked) -> Map<String, Value> {
    let of = |(what, agreement): (&str, &Agreement)| {
        let value =
            json!({ "alpha": agreement.alpha(), "pairs": agreement.n_pairs(), "voters": agreement.voters() });
        (format!("{}_agreement", what.trim_end_matches('s')), value)
    };
    counted(checked).into_iter().map(of).collect()
}

/// One sentence.
pub(super) fn sentence(what: &str, agreement: &Agreement) -> String {
    let alpha = match agreement.alpha() {
        Some(alpha) => {
            format!("Krippendorff's α is {alpha:.3} (1 where all agree, 0 where they do as chance does)")
        }
        None => "they all say one thing".to_owned(),
    };
    let n_voters = agreement.voters().len();
    format!("{n_voters} {what} judged {} pairs with another; {alpha}", agreement.n_pairs())
}

/// With titles; a row a voter.
pub(super) fn table(agreement: &Agreement) -> Vec<Vec<String>> {
    let mut voters = agreement.voters();
    voters.sort_by(|a, b| a.with_others.unwrap_or(1.0).total_cmp(&b.with_others.unwrap_or(1.0)));
    let row = |voter: &VoterAgreement| {
        vec![
            voter.name.clone(),
            voter.votes.to_string(),
            voter.with_others.map_or_else(|| "—".to_owned(), percent),
            voter.alpha_without.map_or_else(|| "—".to_owned(), |alpha| format!("{alpha:.3}")),
        ]
    };
    let titles = ["", "votes", "as another's", "α without"].map(str::to_owned).to_vec();
    std::iter::once(titles).chain(voters.iter().take(MOST_LISTED).map(row)).collect()
}

/// Sentences and tables.
pub(super) fn text(checked: &Checked) -> String {
    let of = |(what, agreement): (&str, &Agreement)| {
        format!("\nagreement  {}\n{}", sentence(what, agreement), aligned(&table(agreement)))
    };
    counted(checked).into_iter().map(of).collect()
}
