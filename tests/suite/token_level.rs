//! A loss that reads what both models say of every word at every token (TDPO), through the program.

use serde_json::Value;

use crate::{
    accumulation::{PARTS, assert_same_training},
    program::{Run, Sandbox, tiny, train_args},
    resume::copy_folder,
    support::{golden, json_lines},
};

const TDPO: &str = "--loss tdpo --max-steps 6 --warmup-steps 1";
const TUNED: [(&str, &str); 3] = [
    ("weights", ""),
    ("lora", "--lora-rank 4 --learning-rate 1e-2"),
    ("moving", "--reference-update-every 3"),
];

/// What the run wrote of its steps and evaluations, but for the time it took.
fn written(run: &Run) -> (Vec<Value>, Vec<Value>) {
    let mut steps = run.steps();
    steps.iter_mut().for_each(|step| drop(step.as_object_mut().unwrap().remove("tokens_per_second")));
    (steps, json_lines(&run.read("eval.jsonl")))
}

/// The divergences are 0 to the last bit while the policy is its reference, and numbers above 0 from then on.
#[test]
fn distributions_move_away_from_where_they_began() {
    let sandbox = Sandbox::new();
    for (tuned, flags) in TUNED {
        let run = sandbox.train(tuned, &tiny(&format!("{TDPO} {flags} --heldout 0.2 --eval-every 3")));
        for side in ["kl/chosen", "kl/rejected"] {
            let kls = run.series(side);
            // The first step is made with a rate of 0; after step 3 a moving reference has come nearer.
            assert_eq!(kls[..2], [0.0, 0.0], "{tuned}");
            assert!(kls[2..].iter().all(|kl| *kl > 0.0), "{tuned}: {kls:?}");
            let of_evals: Vec<f64> = json_lines(&run.read("eval.jsonl"))
                .iter()
                .map(|line| line[format!("eval_{side}")].as_f64().unwrap())
                .collect();
            assert!(run.read("report.html").contains("Divergence"), "{tuned}: no chart of them");
            assert!(of_evals[0] == 0.0 && of_evals[1..].iter().all(|kl| *kl > 0.0), "{tuned}: {of_evals:?}");
        }
    }
}

/// Without a weight on what moved it is DPO to the last bit; with one it is another loss.
#[test]
fn without_its_weight_it_is_dpo() {
    let sandbox = Sandbox::new();
    let losses = |out: &str, loss: &str| {
        let flags = tiny(&format!("--max-steps 6 --warmup-steps 1 --learning-rate 1e-3 --loss {loss}"));
        sandbox.train(out, &flags).series("loss")
    };
    let dpo = losses("dpo", "sigmoid");
    assert_eq!(losses("none", "tdpo --tdpo-alpha 0"), dpo);
    let half = losses("half", "tdpo");
    assert_eq!(half[..2], dpo[..2]);
    assert_ne!(half[2..], dpo[2..]);
}

/// Blocks that are computed again give the same bits, and so does a run that goes on from a checkpoint.
#[test]
fn recomputed_and_resumed_runs_are_the_same() {
    let sandbox = Sandbox::new();
    for (tuned, flags) in TUNED {
        let flags =
            tiny(&format!("{TDPO} {flags} --save-every 2 --keep-checkpoints 0 --heldout 0.2 --eval-every 4"));
        let whole = sandbox.train(tuned, &flags);
        let again = sandbox.train(&format!("{tuned}-again"), &format!("{flags} --recompute"));
        assert_eq!(written(&again), written(&whole), "{tuned}, recomputed");
        for step in [2, 4] {
            let copy = sandbox.path(&format!("{tuned}-{step}"));
            copy_folder(&whole.dir, &copy);
            let checkpoint = copy.join(format!("checkpoints/step-{step:06}"));
            let flags = format!("{flags} --resume {}", checkpoint.display());
            let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &copy, &flags);
            sandbox.run("train", &args).success();
            assert_eq!(written(&Run::at(copy)), written(&whole), "{tuned} from step {step}");
        }
    }
}

/// Mixed, weighed and cut: a batch in parts is the batch.
#[test]
fn micro_batches_add_up_to_the_batch() {
    let sandbox = Sandbox::new();
    for (idx, loss) in ["--loss tdpo --wpo", "--mix tdpo=0.8 --mix sft=0.2"].into_iter().enumerate() {
        let flags = tiny(&format!("--max-steps 6 --learning-rate 1e-4 {loss}"));
        let whole = sandbox.train(&format!("{idx}-whole"), &flags);
        for (part, parts) in PARTS.iter().enumerate() {
            let run = sandbox.train(&format!("{idx}-{part}"), &format!("{flags} {parts}"));
            assert_same_training(&whole, &run, &format!("{loss} {parts}"));
        }
    }
}

/// Another reference stays in memory beside the policy; rows that come in windows are held against it too.
#[test]
fn another_reference_and_a_stream_are_read() {
    let sandbox = Sandbox::new();
    let other = sandbox.train("other", &tiny("--max-steps 4 --warmup-steps 0 --learning-rate 1e-3"));
    let flags = tiny(&format!("{TDPO} --learning-rate 1e-3 --reference {}", other.model().display()));
    let run = sandbox.train("run", &flags);
    assert!(run.series("kl/chosen").iter().all(|kl| *kl > 0.0), "{:?}", run.series("kl/chosen"));
    let adapter = sandbox.train("adapter", &format!("{flags} --lora-rank 4"));
    assert_eq!(adapter.series("kl/chosen")[0], run.series("kl/chosen")[0]);
    let streamed =
        sandbox.train("streamed", &tiny(&format!("{TDPO} --learning-rate 1e-3 --stream --stream-buffer 16")));
    assert!(streamed.series("kl/rejected")[2..].iter().all(|kl| *kl > 0.0));
}

/// Distributions over other words cannot be compared.
#[test]
fn a_reference_of_another_vocabulary_is_refused() {
    let sandbox = Sandbox::new();
    let other = sandbox.path("other");
    copy_folder(&golden("runs/model"), &other);
    let config = std::fs::read_to_string(other.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["vocab_size"] = 300.into();
    std::fs::write(other.join("config.json"), config.to_string()).unwrap();
    let flags = tiny(&format!("{TDPO} --learning-rate 1e-3 --reference {}", other.display()));
    let args =
        train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &sandbox.path("out"), &flags);
    let said = sandbox.run("train", &args);
    assert_ne!(said.code, Some(0));
    assert!(said.messages.contains("has 300 where the policy has 262"), "{}", said.messages);
}
