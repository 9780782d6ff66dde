use super::*;
use std::fs;

fn step(step: u64) -> StepMetrics {
    StepMetrics {
        step,
        epoch: step as f64 / 8.0,
        loss: std::f64::consts::LN_2 / step as f64,
        grad_norm: 1.5,
        learning_rate: 1e-6,
        pairs: Some(MetricMeans {
            rewards_chosen: 0.1,
            rewards_rejected: -0.1,
            rewards_accuracies: 0.75,
            rewards_margins: 0.2,
            logps_chosen: -100.5,
            logps_rejected: -120.25,
        }),
        kl: None,
        divergences: None,
        group_shares: None,
        reference_updates: None,
        num_tokens: 512 * step,
        tokens_per_second: 1000.0,
    }
}

fn eval(step: u64) -> EvalMetrics {
    EvalMetrics { step, set: "eval".to_owned(), loss: 0.5, pairs: None, divergences: None }
}

struct Run {
    dir: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("metrics.jsonl")
    }

    /// Makes these steps, and an evaluation after every second one.
    fn go(&self, done: u64, to: u64) -> usize {
        let mut sink = JsonlSink::open(&self.path(), &self.dir.path().join("eval.jsonl"), done).unwrap();
        for at in done + 1..=to {
            sink.step(&step(at)).unwrap();
            if at % 2 == 0 {
                sink.eval(&eval(at)).unwrap();
            }
        }
        sink.n_dropped()
    }

    fn files(&self) -> [String; 2] {
        ["metrics.jsonl", "eval.jsonl"].map(|name| fs::read_to_string(self.dir.path().join(name)).unwrap())
    }
}

#[test]
fn a_line_has_the_names_of_the_contract_in_order() {
    let run = Run::new();
    run.go(0, 1);
    JsonlSink::open(&run.path(), &run.path(), 1).unwrap().flush().unwrap();
    let value: serde_json::Map<_, _> = serde_json::from_str(&run.files()[0]).unwrap();
    let names: Vec<_> = value.keys().map(String::as_str).collect();
    let expected = "step epoch loss grad_norm learning_rate rewards/chosen rewards/rejected rewards/accuracies \
                    rewards/margins logps/chosen logps/rejected num_tokens tokens_per_second";
    assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!(serde_json::from_str::<StepMetrics>(&run.files()[0]).unwrap(), step(1));
}

/// Killed after step 7, whose checkpoint is of step 4.
#[test]
fn a_resumed_file_equals_that_of_a_run_never_stopped() {
    let (whole, resumed) = (Run::new(), Run::new());
    whole.go(0, 9);
    resumed.go(0, 7);
    assert_eq!(resumed.go(4, 9), 3 + 1);
    assert_eq!(resumed.files(), whole.files());
}

#[test]
fn a_torn_last_line_is_taken_away_wherever_it_is_torn() {
    let whole = Run::new();
    whole.go(0, 4);
    let text = whole.files()[0].clone();
    let line_start = text.trim_end().rfind('\n').unwrap() + 1;
    for cut in line_start..text.len() {
        let torn = Run::new();
        torn.go(0, 4);
        fs::write(torn.path(), &text[..cut]).unwrap();
        torn.go(3, 4);
        assert_eq!(torn.files()[0], text, "cut at {cut}");
    }
}

#[test]
fn what_is_no_line_of_ours_ends_the_file() {
    for junk in ["\0\0\0\0\0\0\0\0", "not json\n", "{\"step\":-1}\n", "[1]\n"] {
        let run = Run::new();
        run.go(0, 2);
        let expected = run.files();
        let junk_then_line = format!("{}{junk}{}", expected[0], expected[0]);
        fs::write(run.path(), junk_then_line).unwrap();
        run.go(2, 2);
        assert_eq!(run.files(), expected, "{junk:?}");
    }
}

#[test]
fn a_new_run_starts_with_empty_files() {
    let run = Run::new();
    run.go(0, 3);
    run.go(0, 0);
    assert_eq!(run.files(), ["", ""]);
}
