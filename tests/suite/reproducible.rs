//! The same run again, and with other numbers of threads, is the same to the last bit.

use std::path::PathBuf;

use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

use crate::{
    program::{Sandbox, tiny},
    support::{golden, json},
};
use dpo_model::HfConfig;

/// Values of no meaning that are the same everywhere, between −0.05 and 0.05.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1_u32 << 24) as f32 - 0.5) * 0.1
    };
    (0..n).map(|_| next()).collect()
}

/// The tiny model's tokenizer with a model that is wide enough for its products to be shared among threads.
fn wide_model(sandbox: &Sandbox) -> PathBuf {
    let (from, to) = (golden("runs/model"), sandbox.path("wide"));
    std::fs::create_dir(&to).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let mut config = json(from.join("config.json"));
    let sizes: [(&str, Value); 4] = [
        ("hidden_size", json!(256)),
        ("intermediate_size", json!(640)),
        ("head_dim", json!(64)),
        ("num_hidden_layers", json!(2)),
    ];
    for (key, size) in sizes {
        config[key] = size;
    }
    std::fs::write(to.join("config.json"), config.to_string()).unwrap();
    let tensors = HfConfig::read(&to.join("config.json")).unwrap().decoder.expected_tensors();
    let values = tensors.iter().enumerate().map(|(idx, tensor)| {
        let values = noise(idx as u64 + 1, tensor.shape.iter().product());
        let is_norm = tensor.shape.len() == 1;
        values.into_iter().map(|x| if is_norm { 1.0 + x } else { x }).flat_map(f32::to_le_bytes).collect()
    });
    let bytes: Vec<Vec<u8>> = values.collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        (tensor.name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
    to
}

/// Two equal rows of a few tokens: the reference saw one of them alone.
#[test]
fn a_batch_of_a_few_tokens_passes_the_gate() {
    let sandbox = Sandbox::new();
    let row = r#"{"prompt":"Q","chosen":"a","rejected":"b"}"#;
    let data = sandbox.file("two.jsonl", &format!("{row}\n{row}\n"));
    for more in ["", "--pad-gradient drop", "--lora-rank 2 --lora-dropout 0.1"] {
        let out = format!("run{}", more.len());
        let run =
            sandbox.train_on(&golden("runs/model"), &data, &out, &tiny(&format!("--max-steps 2 {more}")));
        assert_eq!(run.series("loss")[0], f64::from(2f32.ln()), "{more}");
    }
}

#[test]
fn a_run_is_the_same_again_and_with_any_number_of_threads() {
    let sandbox = Sandbox::new();
    let model = wide_model(&sandbox);
    let data = golden("runs/train_conv.json");
    let flags = tiny("--max-steps 4 --batch-size 8");
    let run = |out: &str, threads: usize| {
        let flags =
            format!("{flags} --threads {threads} --eval-data {}", golden("runs/eval_conv.json").display());
        sandbox.train_on(&model, &data, out, &flags).outcome()
    };
    let once = run("once", 1);
    once.assert_same(&run("again", 1), "the same run again");
    for threads in [2, 3, 4] {
        once.assert_same(&run(&format!("threads-{threads}"), threads), &format!("{threads} threads"));
    }
}

/// The tiny model through two epochs in a shuffled order, the reference's log-probs from the cache the second time.
#[test]
fn a_cached_reference_gives_the_same_run() {
    let sandbox = Sandbox::new();
    let flags = tiny("--epochs 2");
    let first = sandbox.train("first", &flags);
    let second = sandbox.train("second", &flags);
    assert!(
        first.messages.contains("training rows: 0 rows from the cache, 64 computed"),
        "{}",
        first.messages
    );
    assert!(
        second.messages.contains("training rows: 64 rows from the cache, 0 computed"),
        "{}",
        second.messages
    );
    first.outcome().assert_same(&second.outcome(), "with the cache");
}

/// Policy and reference are one model at the first step: every margin is 0, every loss ln 2, to the last bit of f32.
#[test]
fn the_first_loss_is_ln_2_to_the_last_bit() {
    let sandbox = Sandbox::new();
    let run = sandbox.train("run", &tiny("--max-steps 1 --batch-size 64 --accumulate 3"));
    let first = &run.steps()[0];
    assert_eq!(first["loss"].as_f64(), Some(f64::from(std::f32::consts::LN_2)));
    for metric in ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"] {
        assert_eq!(first[metric].as_f64(), Some(0.0), "{metric}");
    }
}
