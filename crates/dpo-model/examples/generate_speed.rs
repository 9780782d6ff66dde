//! Measures generation with a small random model: 1.4 million parameters, prompts of 6 to 10 tokens, 40 new ones.
//!
//! `cargo run --release --package dpo-model --example generate_speed -- [N_SEQUENCES] [N_WORKERS] [BATCH]…`

use std::{convert::Infallible, num::NonZeroUsize, path::Path, time::Instant};

use burn::tensor::Device;
use dpo_model::{Decoder, GenerateConfig, HfConfig, ModelError, Next, ParameterInfo, SampleConfig, Sampling};
use serde_json::json;

// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), ModelError> {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse::<usize>().ok());
    let n_sequences = numbers.next().unwrap_or(1024);
    let n_workers = numbers.next().unwrap_or(1);
    let batches: Vec<usize> = numbers.collect();
    let batches = if batches.is_empty() { vec![1, 16, 64, 128, 256] } else { batches };
    let model = random_model();
    println!("{} parameters", model.n_parameters());
    let prompts: Vec<Vec<u32>> =
        (0..n_sequences as u32).map(|i| (0..6 + i % 5).map(|j| (i + j) % 2048).collect()).collect();
    let samplings = [
        ("greedy", Sampling::Greedy),
        ("temperature 0.8", Sampling::Sample(SampleConfig { temperature: 0.8, ..SampleConfig::default() })),
        ("top-p 0.95", Sampling::Sample(SampleConfig { top_p: 0.95, ..SampleConfig::default() })),
    ];
    for batch in batches {
        for (name, sampling) in samplings {
            let config = GenerateConfig {
                max_new_tokens: 40,
                sampling,
                max_batch: NonZeroUsize::new(batch).unwrap_or(NonZeroUsize::MIN),
                max_workers: NonZeroUsize::new(n_workers).unwrap_or(NonZeroUsize::MIN),
                ..GenerateConfig::default()
            };
            let prompts = &prompts[..n_sequences.min(4 * batch)];
            let start = Instant::now();
            let generations = model.generate(prompts, &config, |_| Next::Continue)?;
            let seconds = start.elapsed().as_secs_f64();
            let n: usize = generations.iter().map(|generation| generation.tokens.len()).sum();
            println!(
                "batch {batch}, {name}: {n} tokens in {seconds:.2} s, {:.0} tokens/s",
                n as f64 / seconds
            );
        }
    }
    Ok(())
}

/// Weights from −0.1 to 0.1.
fn random_model() -> Decoder {
    let json = json!({
        "model_type": "llama", "vocab_size": 2048, "hidden_size": 128, "num_hidden_layers": 6,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 352, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "max_position_embeddings": 512, "eos_token_id": null,
    });
    let config = HfConfig::from_json(json.as_object().expect("an object").clone(), Path::new("example"))
        .expect("a valid configuration");
    let mut state = 1u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 2f32.powi(24) * 0.2 - 0.1
    };
    let values = |info: &ParameterInfo| {
        Ok::<_, Infallible>((0..info.shape.iter().product()).map(|_| number()).collect())
    };
    let Ok(model) = Decoder::from_values(&config.decoder, &Device::flex(), values);
    model
}
