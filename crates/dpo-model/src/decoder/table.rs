//! Tables whose rows lie in several tensors, since a buffer of the device holds only some of them: looked up, and as the head.
//!
//! A softmax over all words is put together of those over the words of each part, `ln Σ e^l = ln Σ_p e^{lse_p}`.

use burn::tensor::{Int, Tensor};
use dpo_kernels::{
    DivergenceSpec, LogitSpec, ReferenceRows, completion_logps, completion_logps_and_kl,
    completion_logps_and_squares, select_rows,
};

use super::{Distributions, ScoredTokens, TokenOutputs};

/// What a head in parts says of scored tokens.
pub(super) fn said_of_tokens(
    hidden: &Tensor<2>,
    head: &[Tensor<2>],
    targets: &Tensor<1, Int>,
    spec: LogitSpec,
    outputs: TokenOutputs<'_>,
) -> ScoredTokens {
    let log_sum_squares = outputs.squares.then(|| log_sum_squares(hidden, head, targets, spec));
    let said = match outputs.divergence_from {
        Some(Distributions { hidden: of, head: parts, softcap }) => {
            let spec = DivergenceSpec { logits: spec, reference_softcap: *softcap };
            logps_and_kl(hidden, head, (of, parts), targets, spec)
        }
        None => ScoredTokens { logps: logps(hidden, head, targets, spec), log_sum_squares: None, kl: None },
    };
    ScoredTokens { log_sum_squares, ..said }
}

/// Ids as rows of a part that begins at `start`; of those elsewhere its first or last row, and 0 in `is_here`, `[n]`.
struct Local {
    rows: Tensor<1, Int>,
    is_here: Tensor<1>,
}

fn local(ids: &Tensor<1, Int>, start: usize, n_rows: usize) -> Local {
    let shifted = ids.clone() - start as i32;
    let last = n_rows as i32 - 1;
    let is_here = shifted.clone().greater_equal_elem(0).bool_and(shifted.clone().lower_equal_elem(last));
    Local { rows: shifted.clamp(0, last), is_here: is_here.float() }
}

/// Each part with the row that it begins at.
fn placed(parts: &[Tensor<2>]) -> impl Iterator<Item = (usize, &Tensor<2>)> {
    parts.iter().scan(0, |next, part| {
        let start = *next;
        *next += part.dims()[0];
        Some((start, part))
    })
}

fn sum<const D: usize>(terms: impl Iterator<Item = Tensor<D>>) -> Tensor<D> {
    terms.reduce(|total, term| total + term).expect("a table has a part")
}

/// Rows of the table, `[n, width]`.
pub(super) fn rows_of(parts: &[Tensor<2>], ids: &Tensor<1, Int>) -> Tensor<2> {
    sum(placed(parts).map(|(start, part)| {
        let Local { rows, is_here } = local(ids, start, part.dims()[0]);
        select_rows(part.clone(), rows) * is_here.unsqueeze_dim::<2>(1)
    }))
}

/// `ln Σ_p e^{x_p}` of numbers of each part, `[n]`.
fn log_sum_exp(of_parts: &[Tensor<1>]) -> Tensor<1> {
    let stacked: Tensor<2> = Tensor::stack(of_parts.to_vec(), 1);
    let max = stacked.clone().max_dim(1).detach();
    ((stacked - max.clone()).exp().sum_dim(1).log() + max).squeeze_dim(1)
}

/// `c·tanh(l/c)` where there is a cap.
pub(super) fn capped<const D: usize>(logits: Tensor<D>, softcap: Option<f64>) -> Tensor<D> {
    match softcap {
        Some(cap) => (logits / cap).tanh() * cap,
        None => logits,
    }
}

/// What one part says of rows.
struct PartSaid {
    /// The logit of the target, where it is here; 0 elsewhere.
    picked: Tensor<1>,
    log_sum_exp: Tensor<1>,
    local: Local,
}

/// The logits of the rows that are picked of a part, `[n]`, under the cap.
fn picked_logits(hidden: &Tensor<2>, part: &Tensor<2>, rows: Tensor<1, Int>, spec: LogitSpec) -> Tensor<1> {
    capped((hidden.clone() * select_rows(part.clone(), rows)).sum_dim(1).squeeze_dim(1), spec.softcap)
}

fn said(hidden: &Tensor<2>, parts: &[Tensor<2>], targets: &Tensor<1, Int>, spec: LogitSpec) -> Vec<PartSaid> {
    let of_part = |(start, part): (usize, &Tensor<2>)| {
        let local = local(targets, start, part.dims()[0]);
        let logps = completion_logps(hidden.clone(), part.clone(), local.rows.clone(), spec);
        let picked = picked_logits(hidden, part, local.rows.clone(), spec);
        let log_sum_exp = picked.clone() - logps;
        PartSaid { picked: picked * local.is_here.clone(), log_sum_exp, local }
    };
    placed(parts).map(of_part).collect()
}

fn sums(of_parts: &[PartSaid]) -> Vec<Tensor<1>> {
    of_parts.iter().map(|part| part.log_sum_exp.clone()).collect()
}

/// Log-probability of each target under a head in parts, `[n]`.
fn logps(hidden: &Tensor<2>, parts: &[Tensor<2>], targets: &Tensor<1, Int>, spec: LogitSpec) -> Tensor<1> {
    let said = said(hidden, parts, targets, spec);
    sum(said.iter().map(|part| part.picked.clone())) - log_sum_exp(&sums(&said))
}

/// `ln Σ_v p(v)²` of each row, `[n]`, without a gradient.
fn log_sum_squares(
    hidden: &Tensor<2>,
    parts: &[Tensor<2>],
    targets: &Tensor<1, Int>,
    spec: LogitSpec,
) -> Tensor<1> {
    let hidden = hidden.clone().inner();
    let parts: Vec<Tensor<2>> = parts.iter().map(|part| part.clone().inner()).collect();
    let said = said(&hidden, &parts, targets, spec);
    let total = log_sum_exp(&sums(&said));
    let of_part = |(of_part, part): (&PartSaid, &Tensor<2>)| {
        let rows = of_part.local.rows.clone();
        let squares = completion_logps_and_squares(hidden.clone(), part.clone(), rows, spec).log_sum_squares;
        squares + of_part.log_sum_exp.clone() * 2.0
    };
    log_sum_exp(&said.iter().zip(&parts).map(of_part).collect::<Vec<_>>()) - total * 2.0
}

/// The log-probabilities, and `KL(p_ref ‖ p) = Σ_p w_p·[KL_p + ln w_p − ln (p's share of part p)]` with the reference's shares
/// `w_p` of the parts; `reference` has what its head reads, and its head in the same parts.
fn logps_and_kl(
    hidden: &Tensor<2>,
    parts: &[Tensor<2>],
    (reference_hidden, reference_parts): (&Tensor<2>, &[Tensor<2>]),
    targets: &Tensor<1, Int>,
    spec: DivergenceSpec,
) -> ScoredTokens {
    let rows = |parts: &[Tensor<2>]| parts.iter().map(|part| part.dims()[0]).collect::<Vec<_>>();
    assert_eq!(
        rows(reference_parts),
        rows(parts),
        "the reference's table lies in the same parts as the policy's"
    );
    let policy = said(hidden, parts, targets, spec.logits);
    let held_against = LogitSpec { softcap: spec.reference_softcap, ..spec.logits };
    let reference = said(reference_hidden, reference_parts, targets, held_against);
    let (total, reference_total) = (log_sum_exp(&sums(&policy)), log_sum_exp(&sums(&reference)));
    let of_part = |idx: usize| {
        let rows = ReferenceRows { hidden: reference_hidden.clone(), head: reference_parts[idx].clone() };
        let local = policy[idx].local.rows.clone();
        let kl = completion_logps_and_kl(hidden.clone(), parts[idx].clone(), rows, local, spec).kl;
        let log_share = reference[idx].log_sum_exp.clone() - reference_total.clone();
        let of_policy = policy[idx].log_sum_exp.clone() - total.clone();
        (kl + log_share.clone() - of_policy) * log_share.exp()
    };
    let kl = sum((0..parts.len()).map(of_part));
    let logps = sum(policy.iter().map(|part| part.picked.clone())) - total.clone();
    ScoredTokens { logps, log_sum_squares: None, kl: Some(kl) }
}
