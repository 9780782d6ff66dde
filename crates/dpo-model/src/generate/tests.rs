#![allow(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf, sync::OnceLock};

use burn::tensor::Device;
use dpo_kernels::{TreeLayout, TreeRange};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{HfConfig, HfFolder, PackedInput};

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(path)
}

fn load(name: &str) -> Decoder {
    let folder = golden("models").join(name);
    let config = HfConfig::read(&folder.join("config.json")).unwrap();
    Decoder::load(&config.decoder, &HfFolder::open(&folder).unwrap(), &Device::flex()).unwrap()
}

/// 3 blocks, 4 query and 2 key heads, 320 tokens, 256 positions.
fn model() -> &'static Decoder {
    static MODEL: OnceLock<Decoder> = OnceLock::new();
    MODEL.get_or_init(|| load("llama_gqa_tied"))
}

fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

fn greedy(max_new_tokens: usize) -> GenerateConfig {
    GenerateConfig { max_new_tokens, ..GenerateConfig::default() }
}

fn sampling(max_new_tokens: usize, seed: u64) -> GenerateConfig {
    let sampling = Sampling::Sample(SampleConfig { top_p: 0.95, seed, ..SampleConfig::default() });
    GenerateConfig { sampling, ..greedy(max_new_tokens) }
}

fn generate(prompts: &[Vec<u32>], config: &GenerateConfig) -> Vec<Generation> {
    model().generate(prompts, config, |_| Next::Continue).unwrap()
}

/// Prompts of different lengths; the first and the last are equal.
fn prompts() -> Vec<Vec<u32>> {
    let prompt = |(len, first): (u32, u32)| (0..len).map(|i| (first + 37 * i) % 320).collect();
    [(3, 5), (9, 200), (1, 17), (4, 90), (9, 33), (6, 260), (3, 5)].map(prompt).to_vec()
}

/// Scores after each token, without a cache.
fn full_logits(model: &Decoder, ids: &[u32]) -> Vec<f32> {
    let layout = TreeLayout::new(vec![TreeRange { trunk: 0..ids.len(), branches: Vec::new() }]);
    let input = PackedInput::new(ids, (0..ids.len() as u32).collect(), layout, &model.device());
    model.logits(&input).into_data().try_to_vec().unwrap()
}

/// Every generated token has the best score of a forward pass over the whole text, up to rounding.
fn is_greedy(model: &Decoder, prompt: &[u32], generation: &Generation) -> bool {
    let text = [prompt, &generation.tokens].concat();
    let vocab = model.config().vocab_size;
    let logits = full_logits(model, &text);
    let rows = logits.chunks(vocab).skip(prompt.len() - 1);
    rows.zip(&generation.tokens).all(|(row, token)| {
        let best = row.iter().copied().fold(f32::MIN, f32::max);
        row[*token as usize] > best - 1e-4
    })
}

#[derive(Deserialize)]
struct Golden {
    greedy: BTreeMap<String, Vec<Run>>,
}

#[derive(Deserialize)]
struct Run {
    prompt: Vec<u32>,
    repetition_penalty: f64,
    tokens: Vec<u32>,
}

/// Three prompts of different lengths as one batch, with and without a repetition penalty.
#[test]
fn greedy_tokens_are_those_of_transformers() {
    let golden: Golden = serde_json::from_slice(&std::fs::read(golden("generate.json")).unwrap()).unwrap();
    for (name, runs) in &golden.greedy {
        for runs in runs.chunks(3) {
            let prompts: Vec<Vec<u32>> = runs.iter().map(|run| run.prompt.clone()).collect();
            let config = GenerateConfig { repetition_penalty: runs[0].repetition_penalty, ..greedy(24) };
            let found = load(name).generate(&prompts, &config, |_| Next::Continue).unwrap();
            assert_eq!(found.len(), 3);
            for (found, run) in found.iter().zip(runs) {
                assert_eq!(found.tokens, run.tokens, "{name}, penalty {}", run.repetition_penalty);
                assert_eq!(found.finish, Finish::Length);
            }
        }
    }
}

/// The tiny model's context ends at 256; the cache begins with 64 slots for new tokens.
#[test]
fn the_cache_grows_and_ends_with_the_context() {
    let prompts = [vec![7, 8, 9], vec![1; 250], vec![3; 256]];
    let found = generate(&prompts, &greedy(200));
    let lengths: Vec<usize> = found.iter().map(|generation| generation.tokens.len()).collect();
    assert_eq!(lengths, [200, 6, 0]);
    assert!(found.iter().all(|generation| generation.finish == Finish::Length));
    assert!(prompts.iter().zip(&found).all(|(prompt, found)| is_greedy(model(), prompt, found)));
}

/// Sequences leave the batch one after the other; what they had is the beginning of what goes on without them.
#[test]
fn stop_tokens_end_sequences_and_change_no_other() {
    let whole = generate(&prompts(), &sampling(60, 1));
    let stop_ids: Vec<u32> = (0..320).step_by(23).collect();
    let stopped = generate(&prompts(), &GenerateConfig { stop_ids: stop_ids.clone(), ..sampling(60, 1) });
    for (whole, stopped) in whole.iter().zip(&stopped) {
        let end = whole.tokens.iter().position(|token| stop_ids.contains(token)).map(|place| place + 1);
        assert_eq!(stopped.tokens, whole.tokens[..end.unwrap_or(60)]);
        assert_eq!(stopped.finish, if end.is_some() { Finish::Stop } else { Finish::Length });
    }
    let lengths: std::collections::BTreeSet<usize> = stopped.iter().map(|found| found.tokens.len()).collect();
    assert!(lengths.len() > 3, "the test wants sequences of many lengths: {lengths:?}");
}

#[test]
fn a_sample_depends_on_its_seed_and_index_not_on_its_batch() {
    let whole = generate(&prompts(), &sampling(30, 4));
    assert_ne!(whole[0].tokens, whole[6].tokens, "equal prompts are continued differently");
    assert_ne!(generate(&prompts(), &sampling(30, 5)), whole);
    for config in [
        GenerateConfig { max_batch: size(1), ..sampling(30, 4) },
        GenerateConfig { max_batch: size(3), ..sampling(30, 4) },
        GenerateConfig { max_batch_tokens: size(80), ..sampling(30, 4) },
        GenerateConfig { max_batch: size(2), max_workers: size(3), ..sampling(30, 4) },
    ] {
        assert_eq!(generate(&prompts(), &config), whole);
    }
    assert_eq!(generate(&prompts()[..2], &sampling(30, 4)), whole[..2]);
}

/// 20,000 draws of the first token: each token's share is its probability within five standard deviations.
#[test]
fn samples_follow_the_models_distribution() {
    let n = 20_000;
    let prompts = vec![vec![1, 17, 230]; n];
    let config = GenerateConfig {
        sampling: Sampling::Sample(SampleConfig { temperature: 0.5, ..SampleConfig::default() }),
        max_batch: size(n),
        max_batch_tokens: size(10 * n),
        ..greedy(1)
    };
    let mut counts = vec![0; 320];
    for found in generate(&prompts, &config) {
        counts[found.tokens[0] as usize] += 1;
    }
    let logits = full_logits(model(), &[1, 17, 230]);
    let weights: Vec<f64> = logits[2 * 320..].iter().map(|score| f64::from(score / 0.5).exp()).collect();
    let total: f64 = weights.iter().sum();
    for (count, weight) in counts.into_iter().zip(weights) {
        let (share, p) = (f64::from(count) / n as f64, weight / total);
        let deviation = (p * (1.0 - p) / n as f64).sqrt();
        assert!((share - p).abs() < 5.0 * deviation + 1.0 / n as f64, "share {share}, probability {p}");
    }
}

#[test]
fn tokens_are_handed_out_in_order_and_may_end_their_sequence() {
    let whole = generate(&prompts(), &greedy(12));
    let mut seen = vec![Vec::new(); prompts().len()];
    let found = model().generate(&prompts(), &greedy(12), |new| {
        seen[new.sequence].push(new.token);
        let n = seen[new.sequence].len();
        assert_eq!(new.finish, (n == 12).then_some(Finish::Length));
        if n == 3 + new.sequence { Next::Stop } else { Next::Continue }
    });
    for (sequence, found) in found.unwrap().into_iter().enumerate() {
        assert_eq!(found.tokens, whole[sequence].tokens[..3 + sequence]);
        assert_eq!(found.tokens, seen[sequence]);
        assert_eq!(found.finish, Finish::Stop);
    }
}

#[test]
fn a_decoder_in_training_generates_the_same() {
    let found = load("llama_gqa_tied").train().generate(&prompts(), &greedy(5), |_| Next::Continue).unwrap();
    assert_eq!(found, generate(&prompts(), &greedy(5)));
}

#[test]
fn nothing_is_generated_where_nothing_is_wanted() {
    assert_eq!(generate(&[], &greedy(5)), []);
    assert_eq!(generate(&[vec![1]], &greedy(0)), [Generation { tokens: vec![], finish: Finish::Length }]);
}

fn refusal(prompts: &[Vec<u32>], config: &GenerateConfig) -> String {
    model().generate(prompts, config, |_| Next::Continue).unwrap_err().to_string()
}

#[test]
fn bad_prompts_are_refused() {
    let refusal = |prompt| refusal(&[vec![1], prompt], &greedy(5));
    assert_eq!(refusal(vec![]), "prompt 1: no tokens; begin it with the token that begins a text");
    assert_eq!(refusal(vec![320]), "prompt 1: token 320, the model knows 0 to 319; is this its tokenizer?");
    assert_eq!(refusal(vec![0; 257]), "prompt 1: 257 tokens, the model reads at most 256; shorten it");
}

#[test]
fn bad_settings_are_refused() {
    let sample = SampleConfig::default();
    let sampled = |sample| GenerateConfig { sampling: Sampling::Sample(sample), ..greedy(5) };
    for (config, setting) in [
        (sampled(SampleConfig { temperature: 0.0, ..sample }), "temperature"),
        (sampled(SampleConfig { temperature: f64::NAN, ..sample }), "temperature"),
        (sampled(SampleConfig { top_p: 0.0, ..sample }), "top_p"),
        (sampled(SampleConfig { top_p: 1.1, ..sample }), "top_p"),
        (sampled(SampleConfig { min_p: -0.1, ..sample }), "min_p"),
        (GenerateConfig { repetition_penalty: f64::INFINITY, ..greedy(5) }, "repetition_penalty"),
    ] {
        let text = refusal(&[vec![1]], &config);
        assert!(text.starts_with(&format!("`{setting}` is ")), "{text}");
    }
}

#[test]
fn a_diverged_model_is_reported() {
    let model = load("llama_gqa_tied").map_parameters(|_, values| values * f32::NAN);
    for max_workers in [1, 2] {
        let config = GenerateConfig { max_batch: size(1), max_workers: size(max_workers), ..greedy(5) };
        let error = model.generate(&[vec![1, 2], vec![1]], &config, |_| Next::Continue).unwrap_err();
        assert!(error.to_string().contains("are not finite"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// With the cache, in a batch of any lengths, each token is the best by a forward pass without a cache.
    #[test]
    fn cached_greedy_tokens_are_the_best_without_a_cache(
        prompts in prop::collection::vec(prop::collection::vec(0u32..320, 1..40), 1..9),
        max_batch in 1usize..9,
    ) {
        let config = GenerateConfig { max_batch: size(max_batch), ..greedy(20) };
        let found = generate(&prompts, &config);
        for (prompt, generation) in prompts.iter().zip(&found) {
            prop_assert_eq!(generation.tokens.len(), 20);
            prop_assert!(is_greedy(model(), prompt, generation));
        }
    }
}
