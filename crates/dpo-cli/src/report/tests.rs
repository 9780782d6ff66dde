//! The claims of the report, on a run directory that the test makes.

use std::{fmt::Write as _, fs, path::Path};

use super::write_report;

/// What must never be seen as HTML, in every place that a user can fill.
const HOSTILE: &str = "</p><script>alert('x')</script>\" onload=\"y";

/// From −0.5 to 0.5, the same each time, most of it near 0.
fn noise(seed: u32) -> f64 {
    let hash = |seed: u32| {
        f64::from(seed.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519) >> 8)
    };
    (0..3).map(|part| hash(3 * seed + part) / f64::from(1 << 24) - 0.5).sum::<f64>() / 3.0
}

/// A run whose loss falls, whose margins grow and whose last lines were cut off by a crash.
fn write_run(dir: &Path, n_steps: usize) {
    let mut metrics = String::new();
    for step in 1..=n_steps {
        let progress = step as f64 / n_steps as f64;
        let wobble = noise(step as u32);
        let gain = progress.powf(0.7) * (1.0 - (-6.0 * progress).exp());
        let margin = if step == 1 { 0.0 } else { 1.3 * gain + 0.5 * wobble };
        let _ = writeln!(
            metrics,
            "{}",
            serde_json::json!({
                "step": step, "epoch": 2.0 * progress, "loss": 0.693 - 0.33 * gain - 0.12 * wobble,
                "grad_norm": 9.0 + 5.0 * wobble - 4.0 * progress,
                "learning_rate": 1e-6 * if progress < 0.1 { progress * 10.0 } else { (1.0 - progress) / 0.9 },
                "rewards/chosen": 0.4 * gain - 0.25 * progress + 0.2 * wobble, "rewards/rejected": -0.9 * gain - 0.3 * wobble - 0.25 * progress,
                "rewards/accuracies": if step == 1 { 0.0 } else { (0.5 + 0.32 * gain + 0.3 * wobble).clamp(0.0, 1.0) },
                "rewards/margins": margin, "logps/chosen": -112.0 - 4.0 * progress + 30.0 * wobble,
                "logps/rejected": -118.0 - 21.0 * gain + 34.0 * wobble, "num_tokens": step * 2164,
                "tokens_per_second": 1480.0 + 130.0 * wobble,
            })
        );
    }
    metrics += "{\"step\": 99";
    fs::write(dir.join("metrics.jsonl"), metrics).unwrap();
    let mut evals = String::new();
    for (step, helpful, harmless) in [(0, 0.0, 0.0), (n_steps / 2, 0.661, 0.702), (n_steps, 0.688, 0.743)] {
        let _ = writeln!(
            evals,
            "{}",
            serde_json::json!({"step": step, "eval_helpful_loss": 0.693 - helpful / 9.0, "eval_helpful_rewards/accuracies": helpful,
                "eval_helpful_rewards/margins": helpful * 1.1, "eval_harmless_loss": 0.693 - harmless / 8.0,
                "eval_harmless_rewards/accuracies": harmless, "eval_harmless_rewards/margins": harmless * 1.4})
        );
    }
    fs::write(dir.join("eval.jsonl"), evals).unwrap();
    let after: Vec<f64> = (0..800).map(|pair| 7.5 + 46.0 * noise(pair)).collect();
    let margins = serde_json::json!({"before": vec![0.0; 800], "after": after});
    fs::write(dir.join("margins.json"), margins.to_string()).unwrap();
    let config = "[model]\nbase = \"HuggingFaceTB/SmolLM2-135M-Instruct\"\n[data]\ntrain = [\"data/hh/helpful.jsonl\", \"data/hh/<harmless>.jsonl\"]\n\
        [loss]\nkind = \"sigmoid\"\nbeta = 0.1\n[train]\nepochs = 2.0\nbatch_size = 8\n";
    fs::write(dir.join("config.toml"), config).unwrap();
    write_json(dir);
}

fn write_json(dir: &Path) {
    let run = serde_json::json!({
        "command": ["dpo", "train", "--model", "HuggingFaceTB/SmolLM2-135M-Instruct", "--data", "data/hh/it's.jsonl"],
        "status": "complete", "device": "cpu, 2 threads", "seed": 42,
        "versions": {"dpo": "0.1.0", "burn": "0.22.1", "rustc": HOSTILE},
        "model": {"digest": "blake3:5c1f0a6d3b1f28d5e5f0c1c7b0e7b5b0e6b1f7b7e9a1f0d4a6f7d6b2f2a1c3d4", "parameters": 134_515_008},
        "data": [{"path": "data/hh/helpful.jsonl", "rows": 3200, "digest": "blake3:0f1e2d"}],
        "cost": {"seconds": 1843.2, "tokens": 2_596_800, "tokens_per_second": 1409.0, "peak_memory_bytes": 3_221_225_472_u64},
        "warnings": ["the chosen answers lose log-probability (−4.1 nats since step 1) while the loss improves: consider a lower learning rate or a higher beta", HOSTILE],
    });
    fs::write(dir.join("run.json"), run.to_string()).unwrap();
    let row = |file: u32, row: u32| serde_json::json!({"file": file, "row": row});
    let cause = |effect: &str, phrase: &str, count: usize, rows: Vec<serde_json::Value>| serde_json::json!({"effect": effect, "phrase": phrase, "count": count, "rows": rows});
    let report = serde_json::json!({"rows_read": 4300, "rows_kept": 4264, "rows_dropped": 36, "causes": {
        "boundary_straddle": cause("noted", "a token straddles prompt and completion; it is trained on with the completions", 1, vec![row(0, 9)]),
        "identical_sides": cause("dropped", "chosen and rejected are the same", 3, vec![row(0, 12), row(0, 408), row(1, 77)]),
        "overlong": cause("dropped", "longer than the limit", 33, (0..32).map(|i| row(1, 31 * i + 5)).collect()),
    }, "files": [
        {"path": "data/hh/helpful.jsonl", "bytes": 7_123_456, "blake3": "00", "storage": "JSON Lines", "rows": 3200,
         "recognised": [{"format": "pairs of transcripts", "rows": 3200}], "notes": []},
        {"path": "data/hh/<harmless>.jsonl", "bytes": 123_456, "storage": "JSON Lines, gzip", "rows": 1100, "recognised": [], "notes": [HOSTILE]},
    ]});
    fs::write(dir.join("data_report.json"), report.to_string()).unwrap();
    let samples = [
        serde_json::json!({"prompt": [{"role": "user", "content": "How do I get a wine stain out of a white shirt?"}],
            "before": "You can try to wash it. You can try to wash it with water. You can try to wash it with water and soap.",
            "after": "Blot the stain with a clean cloth as soon as you can, then cover it with salt or baking soda for a few minutes. \
                Rinse from the back with cold water, dab with a little white vinegar or dish soap, and wash as usual.\n\nAvoid the dryer until the stain is gone: heat sets it."}),
        serde_json::json!({"prompt": HOSTILE, "before": "", "after": HOSTILE}),
        serde_json::json!({"prompt": "اكتب جملة قصيرة عن البحر.", "before": "البحر البحر البحر", "after": "البحر هادئ هذا المساء."}),
    ];
    fs::write(dir.join("samples.jsonl"), samples.map(|sample| sample.to_string()).join("\n")).unwrap();
}

fn report(dir: &Path) -> String {
    fs::read_to_string(write_report(dir).unwrap()).unwrap()
}

/// `DPO_KEEP_REPORT=DIR` keeps the page, to be looked at in a browser.
#[test]
fn a_whole_run_is_shown_in_full() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path(), 600);
    let html = report(dir.path());
    for claim in [
        "<h1>SmolLM2-135M-Instruct on helpful.jsonl and &lt;harmless&gt;.jsonl</h1>",
        "Accuracy on pairs of helpful: from no preference to <b>68.8\u{2009}%</b>",
        "30 min 43 s",
        "Preference accuracy",
        "held out: harmless",
        "before: all 0",
        "helpful.jsonl: 12, 408, &lt;harmless&gt;.jsonl: 77",
        "and 9 more",
        "3.0 GiB",
        "'data/hh/it&#39;\\&#39;&#39;s.jsonl'".replace('\'', "&#39;").as_str(),
        "the chosen answers lose log-probability",
        "pairs of transcripts",
        "metrics.jsonl has 1 line that cannot be read",
    ] {
        assert!(html.contains(claim), "{claim}");
    }
    if let Some(kept) = std::env::var_os("DPO_KEEP_REPORT") {
        fs::copy(dir.path().join("report.html"), Path::new(&kept).join("report.html")).unwrap();
    }
}

/// Nothing is loaded, run or left open, whatever the run says.
#[test]
fn the_page_is_closed_to_the_world() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path(), 40);
    let html = report(dir.path());
    for forbidden in
        ["<script", "onload=\"", "http://", "https://", "@import", "url(", "<img", "<link", "NaN"]
    {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("&lt;script&gt;"));
    for tag in
        ["section", "figure", "svg", "div", "table", "dl", "g", "title", "p", "small", "span", "article"]
    {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

/// Long runs are thinned: ten times the steps, about the same page.
#[test]
fn a_long_run_makes_no_long_page() {
    let dir = tempfile::tempdir().unwrap();
    write_run(dir.path(), 30_000);
    let html = report(dir.path());
    assert!(html.len() < 1 << 20, "{}", html.len());
    assert!(html.contains("A point is the mean of 16 logged steps;"));
}

#[test]
fn an_empty_or_broken_directory_still_has_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let html = report(dir.path());
    assert!(
        html.contains("metrics.jsonl has no steps.") && html.contains("config.toml is not there"),
        "{html}"
    );
    for name in [
        "config.toml",
        "metrics.jsonl",
        "eval.jsonl",
        "run.json",
        "data_report.json",
        "samples.jsonl",
        "margins.json",
    ] {
        fs::write(dir.path().join(name), b"\xff\x00[{\"step\": null}]\n{\"step\":1,\"loss\":null}\n")
            .unwrap();
    }
    let html = report(dir.path());
    assert!(html.contains("run.json is not JSON") && html.contains("metrics.jsonl has 1 line "), "{html}");
    assert!(write_report(&dir.path().join("absent")).is_err());
}
