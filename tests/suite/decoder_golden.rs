//! The decoder against transformers on tiny random models: logits, log-probs, loss and gradients.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use dpo_core::{CompletionLogps, LogRatios, PairLogps, PairwiseLoss};
use dpo_data::{Relation, RowId, TokenTree, pack as pack_trees};
use dpo_model::{Decoder, Family, HfConfig, HfFolder, ParameterInfo};
use dpo_train::DeviceBatch;
use serde_json::Value;

use crate::support::{cpu, golden, ids, json, max_difference, numbers, values};

/// A model of every family, and of what families have in more than one way.
pub const MODELS: [&str; 22] = [
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_old_spelling",
    "gpt2",
    "gpt2_relu",
    "gpt_neox_parallel",
    "gpt_neox_sequential",
    "granite",
    "llama3_rope",
    "llama_gqa_tied",
    "llama_pad_is_eos",
    "llama_untied_bias",
    "llama_yarn_rope",
    "mistral_swa",
    "olmo2",
    "phi3",
    "phi3_longrope",
    "qwen2",
    "qwen2_windows",
    "qwen3",
    "smollm3",
];

#[test]
fn every_golden_model_and_every_family_is_tested() {
    let folders = std::fs::read_dir(golden("models")).unwrap();
    let mut names: Vec<String> =
        folders.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, MODELS);
    let families = MODELS.map(|name| load(name, &cpu()).config().family);
    for family in Family::all() {
        assert!(families.contains(family), "{family:?}");
    }
}

/// The decoder is built from one list and walked by another.
#[test]
fn parameters_are_the_tensors_that_the_configuration_calls_for() {
    for name in MODELS {
        let model = load(name, &cpu());
        let sorted = |mut infos: Vec<ParameterInfo>| {
            infos.sort_by(|a, b| a.name.cmp(&b.name));
            infos
        };
        assert_eq!(sorted(model.parameters()), sorted(model.config().expected_tensors()), "{name}");
    }
}

pub fn load(name: &str, device: &Device) -> Decoder {
    let folder = golden("models").join(name);
    let config = HfConfig::read(&folder.join("config.json")).unwrap();
    Decoder::load(&config.decoder, &HfFolder::open(&folder).unwrap(), device).unwrap()
}

fn trees(golden: &Value) -> Vec<TokenTree> {
    let tree = |(row, example): (usize, &Value)| TokenTree {
        row: RowId { file: 0, row: row as u64 + 1 },
        prompt: ids(&example["prompt_ids"]),
        completions: vec![ids(&example["chosen_ids"]), ids(&example["rejected_ids"])],
        relation: Relation::Pair,
        weight: 1.0,
        group: None,
    };
    golden["examples"].as_array().unwrap().iter().enumerate().map(tree).collect()
}

/// Row after row alone, as transformers computes them: the golden's rows are the chosen ones, then the rejected ones.
fn texts(golden: &Value) -> Vec<TokenTree> {
    let whole = |side: usize| {
        move |tree: TokenTree| TokenTree {
            prompt: Vec::new(),
            completions: vec![[tree.prompt, tree.completions[side].clone()].concat()],
            relation: Relation::Demonstration,
            ..tree
        }
    };
    trees(golden).into_iter().map(whole(0)).chain(trees(golden).into_iter().map(whole(1))).collect()
}

fn pack(trees: &[TokenTree], device: &Device) -> DeviceBatch {
    DeviceBatch::new(&pack_trees(&trees.iter().collect::<Vec<_>>()), device)
}

#[test]
fn logits_are_those_of_transformers() {
    for name in MODELS {
        let golden = json(golden("models").join(name).join("golden.json"));
        let model = load(name, &cpu());
        let mut largest = 0_f64;
        for (row, text) in texts(&golden).iter().enumerate() {
            let n_tokens = text.completions[0].len();
            // Short batches are padded behind their tokens.
            let logits = model.logits(&pack(std::slice::from_ref(text), &cpu()).input).narrow(0, 0, n_tokens);
            let [_, vocab] = logits.dims();
            let first: Vec<f64> =
                golden["logits_first16"][row].as_array().unwrap().iter().flat_map(numbers).collect();
            let found = values(logits.clone().narrow(1, 0, 16));
            let difference = max_difference(&found, &first[..16 * n_tokens]);
            assert!(difference < 2e-5, "{name}, row {row}: logits differ by {difference}");
            largest = largest.max(difference);
            let last = values(logits.narrow(0, n_tokens - 1, 1));
            let difference = max_difference(&last, &numbers(&golden["logits_full_last"][row])[..vocab]);
            assert!(difference < 2e-5, "{name}, row {row}: last logits differ by {difference}");
            largest = largest.max(difference);
        }
        println!("{name}: logits differ by at most {largest:.1e}");
    }
}

/// Completions of a pair that share one prompt in the batch, summed: chosen 1–3, then rejected 1–3. Both sides are f32, whose
/// neighbours lie 7.6e-6 apart at the size of these sums; which of them comes out depends on the processor.
#[test]
fn log_probs_of_packed_pairs_are_those_of_padded_rows() {
    for name in MODELS {
        let golden = json(golden("models").join(name).join("golden.json"));
        let batch = pack(&trees(&golden), &cpu());
        let logps = batch.token_logps(&load(name, &cpu()));
        let sums = values(batch.completion_logps(logps).sums);
        let found: Vec<f32> = sums.iter().step_by(2).chain(sums.iter().skip(1).step_by(2)).copied().collect();
        let expected = numbers(&golden["seq_logps"]);
        let largest = expected.iter().fold(0_f64, |largest, sum| largest.max(sum.abs()));
        let difference = max_difference(&found, &expected);
        assert!(difference < 4e-7 * largest, "{name}: summed log-probs differ by {difference}");
        println!("{name}: summed log-probs differ by at most {difference:.1e}");
    }
}

fn dpo_loss(model: &Decoder, golden: &Value) -> Tensor<1> {
    let batch = pack(&trees(golden), &cpu());
    let policy = batch.completion_logps(batch.token_logps(model)).into_pairs();
    let reference: Vec<f32> = numbers(&golden["ref_logps"]).iter().map(|x| *x as f32).collect();
    let of = |sums: &[f32], like: &CompletionLogps| {
        CompletionLogps::new(Tensor::from_floats(sums, &cpu()), like.token_counts.clone())
    };
    let reference = PairLogps {
        chosen: of(&reference[..3], &policy.chosen),
        rejected: of(&reference[3..], &policy.rejected),
    };
    let beta = golden["beta"].as_f64().unwrap();
    PairwiseLoss::Sigmoid { beta, label_smoothing: 0.0 }.loss(&LogRatios::new(policy, reference)).mean()
}

#[test]
fn loss_and_every_gradient_are_those_of_torch() {
    for name in MODELS {
        let golden = json(golden("models").join(name).join("golden.json"));
        let model = load(name, &cpu()).train();
        let loss = dpo_loss(&model, &golden);
        let mut gradients = loss.backward();
        let difference = max_difference(&values(loss), &[golden["dpo_loss"].as_f64().unwrap()]);
        assert!(difference < 1e-6, "{name}: the loss differs by {difference}");
        let list = model.take_gradients(&mut gradients);
        let mut largest = 0_f64;
        for (info, gradient) in model.parameters().iter().zip(list) {
            // GPT-NeoX's head has another name in the model than in its files.
            let name_in_model = info.name.replace("embed_out", "lm_head");
            let grads = &golden["grads"];
            let expected = grads.get(&info.name).unwrap_or(&grads[&name_in_model]);
            assert!(!expected.is_null(), "{name}: no golden gradient of {}", info.name);
            let found = info.to_stored(values(gradient));
            let l2 = found.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let expected_l2 = expected["l2"].as_f64().unwrap();
            // `llama_pad_is_eos`: torch drops the input-side gradient of the pad token's row.
            if name == "llama_pad_is_eos" && info.name == "model.embed_tokens.weight" {
                continue;
            }
            assert!(
                (l2 / expected_l2 - 1.0).abs() < 1e-4,
                "{name}, {}: norm {l2}, not {expected_l2}",
                info.name
            );
            let head = numbers(&expected["head"]);
            let difference = max_difference(&found[..head.len()], &head);
            assert!(difference < 1e-4 * expected_l2, "{name}, {}: differs by {difference}", info.name);
            largest = largest.max((l2 / expected_l2 - 1.0).abs()).max(difference / expected_l2);
        }
        println!("{name}: gradients differ by at most {largest:.1e} of their norms");
    }
}
