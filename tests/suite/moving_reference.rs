//! A reference that follows the policy (TR-DPO), through the program.

use std::f64::consts::LN_2;

use crate::{
    accumulation::{PARTS, assert_same_training},
    program::{Run, Sandbox, tiny, train_args},
    resume::copy_folder,
    support::{golden, json_lines},
};

/// Eight steps with an update after every third one, of all weights and of adapters.
const MOVING: &str = "--max-steps 8 --warmup-steps 1 --reference-update-every 3";
const TUNED: [(&str, &str); 3] =
    [("weights", ""), ("lora", "--lora-rank 4 --learning-rate 1e-2"), ("dora", "--lora-rank 4 --dora")];

/// The reference becomes the policy after steps 3 and 6: steps 4 and 7 begin at ln 2 and with rewards of 0, to the last bit, as
/// step 1 does, and no other step does.
#[test]
fn a_policy_that_takes_the_references_place_has_no_margin() {
    let sandbox = Sandbox::new();
    for (tuned, flags) in TUNED {
        let run = sandbox.train(tuned, &tiny(&format!("{MOVING} --reference-mix 1 {flags}")));
        let steps = run.steps();
        for step in &steps {
            let (number, loss) = (step["step"].as_u64().unwrap(), step["loss"].as_f64().unwrap());
            // The first step is made with a rate of 0.
            let begins = [1, 2, 4, 7].contains(&number);
            let is_zero = |metric: &str| step[metric].as_f64().unwrap() == 0.0;
            assert_eq!((loss - LN_2).abs() < 1e-7, begins, "{tuned}, step {number}: {loss}");
            assert_eq!(
                is_zero("rewards/chosen") && is_zero("rewards/margins"),
                begins,
                "{tuned}, step {number}"
            );
        }
        let updates: Vec<u64> =
            steps.iter().map(|step| step["reference_updates"].as_u64().unwrap()).collect();
        assert_eq!(updates, [0, 0, 0, 1, 1, 1, 2, 2], "{tuned}");
    }
}

/// A small share moves the reference a little: the margins differ from those against the first one and from those against the
/// policy itself; until the first update nothing differs.
#[test]
fn a_mixture_lies_between() {
    let sandbox = Sandbox::new();
    let run =
        |out: &str, mix: &str| sandbox.train(out, &tiny(&format!("{MOVING} {mix}"))).series("rewards/chosen");
    let (soft, hard) = (run("soft", "--reference-mix 0.3"), run("hard", "--reference-mix 1"));
    let fixed = sandbox.train("fixed", &tiny("--max-steps 8 --warmup-steps 1")).series("rewards/chosen");
    assert_eq!(soft[..3], fixed[..3]);
    assert_eq!(hard[..3], fixed[..3]);
    // Step 4 is the same policy on the same rows: its reward falls from that against the first reference to 0.
    let share = soft[3] / fixed[3];
    assert!(share > 0.3 && share < 0.95 && hard[3] == 0.0, "{} against {}", soft[3], fixed[3]);
}

#[test]
fn a_resumed_run_has_the_reference_that_it_had() {
    let sandbox = Sandbox::new();
    for (tuned, flags) in TUNED {
        let flags = tiny(&format!(
            "{MOVING} {flags} --save-every 2 --keep-checkpoints 0 --heldout 0.2 --eval-every 4"
        ));
        let whole = sandbox.train(tuned, &flags);
        for step in [2, 4, 6] {
            let copy = sandbox.path(&format!("{tuned}-{step}"));
            copy_folder(&whole.dir, &copy);
            let checkpoint = copy.join(format!("checkpoints/step-{step:06}"));
            assert_eq!(
                checkpoint.join("reference").is_dir(),
                step > 3,
                "{tuned}: it is there once it has moved"
            );
            let flags = format!("{flags} --resume {}", checkpoint.display());
            let args = train_args(&golden("runs/model"), &golden("runs/train_conv.json"), &copy, &flags);
            sandbox.run("train", &args).success();
            let copy = Run::at(copy);
            let of = |run: &Run| {
                let mut steps = run.steps();
                steps
                    .iter_mut()
                    .for_each(|step| drop(step.as_object_mut().unwrap().remove("tokens_per_second")));
                (steps, json_lines(&run.read("eval.jsonl")))
            };
            assert_eq!(of(&copy), of(&whole), "{tuned} from step {step}");
        }
    }
}

/// What a reference says of rows does not depend on how a step is cut; `kto` also asks it for completions that answer other
/// prompts.
#[test]
fn micro_batches_add_up_to_the_batch() {
    let sandbox = Sandbox::new();
    for loss in ["sigmoid", "kto", "ipo"] {
        let flags =
            tiny(&format!("--max-steps 6 --reference-update-every 3 --learning-rate 1e-4 --loss {loss}"));
        let whole = sandbox.train(&format!("{loss}-whole"), &flags);
        for (idx, parts) in PARTS.iter().enumerate() {
            let run = sandbox.train(&format!("{loss}-{idx}"), &format!("{flags} {parts}"));
            assert_same_training(&whole, &run, &format!("{loss} {parts}"));
        }
    }
}

/// Another model is where the reference begins; only the rows of the steps before the first update are asked for beforehand.
#[test]
fn another_model_follows_too() {
    let sandbox = Sandbox::new();
    let other = sandbox.train("other", &tiny("--max-steps 4 --warmup-steps 0"));
    let flags = tiny(&format!("{MOVING} --reference {}", other.model().display()));
    let run = sandbox.train("run", &flags);
    let said = &run.messages;
    assert!(said.contains("follows the policy: after every 3 steps 0.6 of it is mixed in"), "{said}");
    assert!(said.contains("of the training rows: 0 rows from the cache, 12 computed"), "{said}");
    let fixed = sandbox.train(
        "fixed",
        &tiny(&format!("--max-steps 8 --warmup-steps 1 --reference {}", other.model().display())),
    );
    assert_eq!(run.series("loss")[..3], fixed.series("loss")[..3]);
    assert!(run.series("loss")[3] != fixed.series("loss")[3]);
}

#[test]
fn a_reference_that_cannot_follow_is_refused() {
    let sandbox = Sandbox::new();
    let refused = |model: &str, flags: &str| {
        let args =
            train_args(&golden(model), &golden("runs/train_conv.json"), &sandbox.path("out"), &tiny(flags));
        let ended = sandbox.run("train", &args);
        assert_ne!(ended.code, Some(0), "{flags}");
        ended.messages
    };
    let said = refused("runs/model", "--max-steps 8 --reference-update-every 8");
    assert!(said.contains("`reference.update_every` is 8, and the run has 8 steps"), "{said}");
    let said = refused("runs/model", "--max-steps 8 --reference-update-every 2 --loss simpo");
    assert!(said.contains("the loss `simpo` has no reference that could follow"), "{said}");
    let said = refused("runs/model", "--max-steps 8 --reference-mix 0.5");
    assert!(said.contains("set `reference.update_every`"), "{said}");
}
