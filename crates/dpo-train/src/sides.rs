//! What a model that was not trained yet says of the two sides of pairs.

use dpo_data::TokenTree;
use dpo_model::Decoder;

use crate::DeviceBatch;

/// What a model says of the chosen and the rejected completion of a pair, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SidesSaid {
    /// Log-probabilities, sums over the tokens, in nats.
    pub logps: [f64; 2],
    /// Tokens that they are sums of.
    pub n_scored: [usize; 2],
    /// Cosine of the angle between the means of the hidden states that predict each side's tokens; 1 where the two sides
    /// are the same to the model.
    pub similarity: f64,
    /// `⟨m_w, m_l⟩ − ‖m_w‖²` of these means, the length-normalised CHES score of <https://arxiv.org/abs/2410.08847>: the
    /// higher, the more a step that lowers the rejected side lowers the chosen one too.
    pub ches: f64,
}

impl SidesSaid {
    /// How much likelier the chosen side is, in nats.
    pub fn margin(&self) -> f64 {
        self.logps[0] - self.logps[1]
    }

    /// The same with each side's mean over its tokens, in nats a token.
    pub fn margin_per_token(&self) -> f64 {
        let mean = |side: usize| self.logps[side] / self.n_scored[side].max(1) as f64;
        mean(0) - mean(1)
    }
}

/// What `model`, on a plain device, says of the sides of `trees`, which are pairs.
///
/// # Panics
/// If a tree has not two completions.
pub fn said_of_sides(model: &Decoder, trees: &[&TokenTree]) -> Vec<SidesSaid> {
    assert!(trees.iter().all(|tree| tree.completions.len() == 2), "a pair has two completions");
    let batch = DeviceBatch::of_trees(trees, model);
    let hidden = model.scored_hidden(&batch.input, &batch.scored);
    let [_, width] = hidden.dims();
    let logps: Vec<f32> =
        model.hidden_logps(hidden.clone(), &batch.scored).into_data().iter::<f32>().collect();
    let hidden: Vec<f32> = hidden.into_data().iter::<f32>().collect();
    let mut sides = Vec::with_capacity(batch.n_scored.len());
    let (mut first, mut rest) = (0, logps.as_slice());
    for &n in &batch.n_scored {
        let (own, others) = rest.split_at(n);
        rest = others;
        let states = &hidden[first * width..(first + n) * width];
        first += n;
        sides.push((own.iter().map(|logp| f64::from(*logp)).sum(), n, mean(states, width)));
    }
    sides.chunks_exact(2).map(|pair| said(&pair[0], &pair[1])).collect()
}

/// The sum of log-probs of a side, its tokens, its mean hidden state.
type Side = (f64, usize, Vec<f64>);

fn said(chosen: &Side, rejected: &Side) -> SidesSaid {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (a, b) = (&chosen.2, &rejected.2);
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    SidesSaid {
        logps: [chosen.0, rejected.0],
        n_scored: [chosen.1, rejected.1],
        similarity: if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 },
        ches: dot(a, b) - dot(a, a),
    }
}

fn mean(states: &[f32], width: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for state in states.chunks_exact(width) {
        sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let n = (states.len() / width.max(1)).max(1) as f64;
    sum.iter_mut().for_each(|sum| *sum /= n);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// m_w = (3, 4), m_l = (4, 3): cosine 24/25, CHES 24 − 25 = −1; −2 nats of 4 tokens against −3 of 2.
    #[test]
    fn sides_are_compared_by_their_means() {
        let said = said(&(-2.0, 4, vec![3.0, 4.0]), &(-3.0, 2, vec![4.0, 3.0]));
        assert!((said.similarity - 0.96).abs() < 1e-12);
        assert_eq!((said.ches, said.margin(), said.margin_per_token()), (-1.0, 1.0, 1.0));
        assert_eq!(mean(&[1.0, 2.0, 3.0, 6.0], 2), [2.0, 4.0]);
    }
}
