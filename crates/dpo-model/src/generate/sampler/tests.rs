#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::*;

fn sample() -> SampleConfig {
    SampleConfig::default()
}

fn pick_alone(logits: &[f32], config: &GenerateConfig) -> Option<u32> {
    pick(logits, [], config, &mut SplitMix64::of_sequence(0, 0), &mut Scratch::default())
}

fn sampled(sample: SampleConfig) -> GenerateConfig {
    GenerateConfig { sampling: Sampling::Sample(sample), ..GenerateConfig::default() }
}

#[derive(Deserialize)]
struct Golden {
    sampling: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    settings: Settings,
    scores: Vec<f32>,
    seen: BTreeSet<u32>,
    probabilities: BTreeMap<u32, f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    temperature: Option<f64>,
    top_k: Option<NonZeroUsize>,
    top_p: Option<f64>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
}

/// What may be drawn, and how likely, is what transformers' own processors leave.
#[test]
fn distributions_are_those_of_transformers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/generate.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(golden.sampling.len(), 26);
    for Case { settings, scores, seen, probabilities } in golden.sampling {
        let sample = SampleConfig {
            temperature: settings.temperature.unwrap_or(1.0),
            top_k: settings.top_k,
            top_p: settings.top_p.unwrap_or(1.0),
            min_p: settings.min_p.unwrap_or(0.0),
            seed: 0,
        };
        let (mut copy, mut scratch) = (Vec::new(), Scratch::default());
        let logits = penalise(&scores, seen, settings.repetition_penalty.unwrap_or(1.0), &mut copy);
        candidates(logits, logits[argmax(logits).unwrap()], &sample, &mut scratch);
        let total = total(&scratch.candidates);
        let found: Vec<u32> = scratch.candidates.iter().map(|candidate| candidate.id).collect();
        assert_eq!(found, probabilities.keys().copied().collect::<Vec<_>>(), "{settings:?}");
        for candidate in &scratch.candidates {
            let (found, expected) = (f64::from(candidate.weight) / total, probabilities[&candidate.id]);
            assert!(
                (found - expected).abs() < 1e-6 + 1e-5 * expected,
                "{settings:?}: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn of_equal_scores_the_lowest_id_is_best() {
    assert_eq!(pick_alone(&[0.0, 2.0, 1.0, 2.0], &GenerateConfig::default()), Some(1));
}

/// 1 → 0.5 by the penalty 2, −1 → −2; the unseen 0.75 is then best.
#[test]
fn the_penalty_lowers_scores_of_both_signs() {
    let config = GenerateConfig { repetition_penalty: 2.0, ..GenerateConfig::default() };
    let (random, scratch) = (&mut SplitMix64::of_sequence(0, 0), &mut Scratch::default());
    assert_eq!(pick(&[1.0, -1.0, 0.75], [0, 1], &config, random, scratch), Some(2));
    assert_eq!(pick(&[-2.0, -1.0, -1.5], [1], &config, random, scratch), Some(2));
}

/// Shares 1/4, 0, 1/2, 1/4 of the interval from 0 to 1, in the order of ids.
#[test]
fn a_number_draws_the_token_whose_share_holds_it() {
    let candidate = |(id, weight)| Candidate { id, weight };
    let candidates = [(3, 0.5), (5, 0.0), (7, 1.0), (9, 0.5)].map(candidate);
    let drawn =
        [0.0, 0.249, 0.25, 0.749, 0.75, 1.0 - 2f64.powi(-53)].map(|uniform| draw(&candidates, uniform));
    assert_eq!(drawn, [3, 3, 7, 7, 9, 9]);
}

/// Over 400 equal scores, of which half are reached by the first 200.
#[test]
fn equal_scores_enter_the_nucleus_by_id() {
    let mut scratch = Scratch::default();
    candidates(&[0.5; 400], 0.5, &SampleConfig { top_p: 0.5, ..sample() }, &mut scratch);
    let ids: Vec<u32> = scratch.candidates.iter().map(|candidate| candidate.id).collect();
    assert_eq!(ids, (0..200).collect::<Vec<u32>>());
}

#[test]
fn scores_that_are_not_numbers_pick_nothing() {
    for config in [GenerateConfig::default(), sampled(sample())] {
        assert_eq!(pick_alone(&[0.0, f32::NAN, 1.0], &config), None);
        assert_eq!(pick_alone(&[0.0, f32::INFINITY], &config), None);
        assert_eq!(pick_alone(&[f32::NEG_INFINITY; 2], &config), None);
        assert_eq!(pick_alone(&[], &config), None);
        assert_eq!(pick_alone(&[f32::NEG_INFINITY, 1.0], &config), Some(1));
    }
}

/// The coldest temperature is the best token, the hottest every token alike.
#[test]
fn extreme_temperatures_are_harmless() {
    for scores in [[1.0, 1e30, -1e30, 5.0], [-3.0, f32::MAX, f32::MIN, 0.0]] {
        assert_eq!(pick_alone(&scores, &sampled(SampleConfig { temperature: 1e-300, ..sample() })), Some(1));
        let hot = sampled(SampleConfig { temperature: f64::MAX, top_p: 0.99, ..sample() });
        assert!(pick_alone(&scores, &hot).is_some());
    }
}
