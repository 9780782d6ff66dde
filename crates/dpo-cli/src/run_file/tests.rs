//! The claims of the run file.

use std::{collections::BTreeSet, path::Path};

use clap::{CommandFactory, Parser};
use dpo_core::{IpoReduction, LossKind, Objective, PairwiseLoss};

use super::{
    InvalidRunFile, RunConfig, RunFile, TrainArgs,
    config::{Duration, MicroBatches, Warmup},
    keys::keys,
    parse::parse,
    reference_page, template,
    values::Resume,
};

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    train: TrainArgs,
}

/// The part of a group, with a share of it held out.
const GROUPED: &str = "[data]\ncolumns = { group = \"g\" }\nonly_group = \"x\"\nheldout = 0.2";

const MINIMAL: &str = "[model]\nbase = \"m\"\n[data]\ntrain = \"d.jsonl\"\n";

fn read(text: &str) -> Result<RunFile, InvalidRunFile> {
    parse("run.toml", text).map(|parsed| parsed.file)
}

fn init(text: &str) -> RunConfig {
    read(text).unwrap().init().unwrap()
}

/// What is said about a file with these lines.
fn said(lines: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let cli = Cli::parse_from(["dpo", "--config", path.to_str().unwrap()]);
    let error = cli.train.run_config(&RunFile::default()).unwrap_err().to_string();
    error.replace(path.to_str().unwrap(), "run.toml")
}

fn flags(arguments: &[&str]) -> Result<RunConfig, InvalidRunFile> {
    let minimal = ["dpo", "--model", "m", "--data", "d.jsonl"];
    Cli::parse_from(minimal.iter().chain(arguments)).train.run_config(&RunFile::default())
}

/// Two ways to the same: nothing said, and every default said.
#[test]
fn the_printed_file_is_the_defaults() {
    assert_eq!(read(&template()).unwrap(), RunFile::default());
    let mut spoken = String::new();
    let mut is_example = false;
    for line in template().lines() {
        match line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')) {
            Some(setting) if !is_example && !needs_another(setting) => spoken += setting,
            Some(_) => {}
            None => spoken += line,
        }
        is_example = line.starts_with("# Not set");
        spoken.push('\n');
    }
    let spoken = read(&spoken).unwrap().apply(&read(MINIMAL).unwrap()).init().unwrap();
    assert_eq!(spoken, init(MINIMAL));
}

/// Settings that are refused without another: of another loss, of an adapter.
fn needs_another(setting: &str) -> bool {
    let of_losses = [
        "ipo_reduction",
        "bco_delta",
        "discopop_tau",
        "dpop_lambda",
        "r_dpo_alpha",
        "tdpo_alpha",
        "simpo_gamma",
        "simpo_alpha",
        "orpo_lambda",
        "cpo_alpha",
        "beta_dpo_alpha",
        "beta_dpo_momentum",
        "odpo_alpha",
        "rpo_eta",
        "rao_kupper_a",
        "davidson_nu",
        "kto_desirable",
        "kto_undesirable",
        "group_robust_eta",
        "modpo_weight",
    ];
    let of_adapters = ["targets", "dropout", "rslora", "dora"];
    of_losses.iter().chain(&of_adapters).any(|key| setting.starts_with(key))
}

/// The examples in the printed file are of the right type, too.
#[test]
fn every_example_of_the_printed_file_can_be_read() {
    let is_setting =
        |line: &&str| line.starts_with('[') || (line.starts_with('#') && !line.starts_with("# "));
    let template = template();
    let lines = template.lines().filter(is_setting).map(|line| line.trim_start_matches('#'));
    let text: Vec<&str> = lines.filter(|line| !line.trim().is_empty() && !line.starts_with(' ')).collect();
    let file = read(&text.join("\n")).unwrap();
    assert_eq!(file.data.eval.unwrap().len(), 2);
    assert_eq!(file.train.max_steps, Some(1000));
    assert_eq!(text.iter().filter(|line| line.contains(" = ")).count(), keys().len());
}

#[test]
fn a_resolved_file_comes_to_itself() {
    let full = "[model]\nbase = \"a/b\"\nreference = \"r\"\n[data]\ntrain = [\"x\", \"y\"]\n\
        eval = { b = \"1\", a = \"2\" }\ncolumns = { chosen = \"win\" }\noverlong = \"keep_start\"\n\
        [loss]\nkind = \"ipo\"\nipo_reduction = \"sum\"\nbeta = 0.3\n\
        [train]\nmax_steps = 7\nwarmup_steps = 2\ntokens_per_batch = 99\n[run]\nresume = \"auto\"\n";
    let every_loss = LossKind::ALL.map(|kind| format!("{MINIMAL}[loss]\nkind = \"{kind}\"\n"));
    for text in
        [MINIMAL, full, &MINIMAL.replace("[data]", GROUPED)].map(str::to_owned).into_iter().chain(every_loss)
    {
        let config = init(&text);
        assert_eq!(init(&config.to_toml()), config, "{}", config.to_toml());
        assert_eq!(init(&config.to_toml()).to_toml(), config.to_toml());
    }
    let config = init(full);
    assert_eq!(
        config.loss,
        Objective::Pairwise(PairwiseLoss::Ipo { beta: 0.3, reduction: IpoReduction::Sum })
    );
    assert_eq!(config.train.duration, Duration::Steps(7));
    assert_eq!(config.train.warmup, Warmup::Steps(2));
    assert_eq!(config.train.micro_batches, MicroBatches::Tokens(99));
    assert_eq!(config.run.out, Path::new("runs/b-ipo"));
    assert_eq!(config.run.resume, Resume::Auto);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, format!("{MINIMAL}[loss]\nbeta = 0.3\n[train]\nepochs = 3\nseed = 7\n")).unwrap();
    let over = ["dpo", "--config", path.to_str().unwrap(), "--beta", "0.5", "--max-steps", "20"];
    let config = Cli::parse_from(over).train.run_config(&RunFile::default()).unwrap();
    assert_eq!(config.loss, Objective::Pairwise(PairwiseLoss::Sigmoid { beta: 0.5, label_smoothing: 0.0 }));
    assert_eq!(config.train.duration, Duration::Steps(20));
    assert_eq!((config.train.seed, config.train.batch_size), (7, 8));
}

#[test]
fn lists_are_flags_that_repeat() {
    let config = flags(&[
        "--data",
        "e",
        "--eval-data",
        "h=1.jsonl",
        "--eval-data",
        "x/2.jsonl.gz",
        "--column",
        "chosen=w",
    ]);
    let data = config.unwrap().data;
    assert_eq!(data.train, ["d.jsonl", "e"]);
    let names: Vec<_> =
        data.eval.iter().map(|set| (set.name.as_deref().unwrap(), set.source.as_str())).collect();
    assert_eq!(names, [("2", "x/2.jsonl.gz"), ("h", "1.jsonl")]);
    assert_eq!((data.columns[0].role.as_str(), data.columns[0].column.as_str()), ("chosen", "w"));
    assert_eq!(flags(&["--eval-data", "a.jsonl"]).unwrap().data.eval[0].name, None);
}

#[test]
fn held_out_rows_come_from_one_place() {
    let both = said(&["[data]", "heldout = 0.1", "eval = \"e\"", "heldout_seed = 1"]);
    assert!(both.contains("run.toml:2:11: `data.heldout` and `data.eval` are both set"), "{both}");
    let seed = said(&["[data]", "heldout_seed = 1", "only_group = \"x\""]);
    assert!(seed.contains("run.toml:2:16: `data.heldout_seed` is set, but nothing is drawn"), "{seed}");
    assert!(seed.contains("`data.only_group` is set, but no column of groups is named"), "{seed}");
    assert!(said(&["[data]", "heldout = 1.0"]).contains("`data.heldout` is 1; expected a share above 0"));
    // What lies on top takes the place of the other.
    let over =
        read(&MINIMAL.replace("[data]", GROUPED)).unwrap().apply(&read("[data]\neval = \"e\"\n").unwrap());
    assert_eq!(over.init().unwrap().data.held_out, None);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let text = said(&[
        "[loss]",
        "bta = 1",
        "[los]",
        "[train]",
        "beta = 2",
        "lern_rate = 3",
        "[model]",
        "model = \"x\"",
    ]);
    for claim in [
        "run.toml:2:1: unknown key `bta` in `[loss]`; did you mean `beta`?",
        "run.toml:3:2: unknown table `los`; did you mean `loss`?",
        "run.toml:5:1: unknown key `beta` in `[train]`; did you mean `beta` in `[loss]`?",
        "run.toml:6:1: unknown key `lern_rate` in `[train]`; did you mean `learning_rate`?",
        "run.toml:8:1: unknown key `model` in `[model]`; did you mean `base`?",
        "5 settings are wrong",
    ] {
        assert!(text.contains(claim), "{claim}\nis not in\n{text}");
    }
    assert!(said(&["beta = 1"]).contains("`beta` belongs under `[loss]`"));
    assert!(said(&["zzzzz = 1"]).contains("known are model, data, loss"));
}

#[test]
fn wrong_types_and_words_are_all_said_at_once() {
    let text = said(&[
        "[loss]",
        "kind = \"dpo\"",
        "beta = \"high\"",
        "[train]",
        "batch_size = -4",
        "epochs = true",
        "[data]",
        "train = 3",
        "eval = { a = 1 }",
        "[run]",
        "resume = 1",
    ]);
    for claim in [
        "run.toml:2:8: `loss.kind`: unknown variant `dpo`, expected one of `sigmoid`, `ipo`",
        "run.toml:3:8: `loss.beta`: invalid type: string \"high\", expected f64",
        "run.toml:5:14: `train.batch_size`: invalid value: integer `-4`, expected u32",
        "run.toml:6:10: `train.epochs`: invalid type: boolean `true`",
        "run.toml:8:9: `data.train`: expected a path or a list of paths",
        "run.toml:9:8: `data.eval`: expected a path, a list of paths, or a table",
        "run.toml:11:10: `run.resume`: invalid type",
    ] {
        assert!(text.contains(claim), "{claim}\nis not in\n{text}");
    }
}

#[test]
fn values_out_of_range_are_all_said_at_once() {
    let text = said(&[
        "[loss]",
        "beta = nan",
        "label_smoothing = 0.5",
        "[train]",
        "batch_size = 0",
        "learning_rate = -1",
        "epochs = 1",
        "max_steps = 2",
        "warmup_steps = 1",
        "warmup_ratio = 0.5",
        "adam_beta1 = 1.0",
        "max_grad_norm = inf",
    ]);
    for claim in [
        "run.toml:2:8: `loss.beta` is NaN; expected a number above 0",
        "run.toml:3:19: `loss.label_smoothing` is 0.5; expected a number from 0 to below 0.5",
        "run.toml:5:14: `train.batch_size` is 0; expected at least 1",
        "run.toml:6:17: `train.learning_rate` is -1; expected a number of at least 0",
        "`train.epochs` and `train.max_steps` are both set; remove one of them",
        "`train.warmup_ratio` and `train.warmup_steps` are both set",
        "`train.adam_beta1` is 1; expected a number from 0 to below 1",
        "`train.max_grad_norm` is inf",
        "`model.base` is missing; give a folder, a hub id or a .gguf file",
        "`data.train` is missing",
    ] {
        assert!(text.contains(claim), "{claim}\nis not in\n{text}");
    }
    assert_eq!(
        flags(&["--beta", "-1"]).unwrap_err().to_string(),
        "--beta: `loss.beta` is -1; expected a number above 0, such as 0.1"
    );
}

/// Each loss reads β, but for `sft` and `orpo`; the other parameters have one loss each, and `label_smoothing` seven.
#[test]
fn a_setting_the_loss_does_not_read_is_refused() {
    let refused = |loss: &str, flag: &str, value: &str| flags(&["--loss", loss, flag, value]).is_err();
    for loss in LossKind::ALL.map(LossKind::name) {
        let smoothed = ["sigmoid", "robust", "exo_pair", "simpo", "cpo", "aot", "aot_unpaired"];
        let is_smoothed = smoothed.contains(&loss);
        assert_eq!(refused(loss, "--beta", "0.2"), ["sft", "orpo"].contains(&loss), "{loss}");
        assert_eq!(refused(loss, "--label-smoothing", "0.1"), !is_smoothed, "{loss}");
        assert_eq!(refused(loss, "--ipo-reduction", "sum"), loss != "ipo", "{loss}");
        assert_eq!(refused(loss, "--bco-delta", "-0.1"), loss != "bco_pair", "{loss}");
        assert_eq!(refused(loss, "--discopop-tau", "0.1"), loss != "discopop", "{loss}");
        assert_eq!(refused(loss, "--dpop-lambda", "1"), loss != "dpop", "{loss}");
        assert_eq!(refused(loss, "--r-dpo-alpha", "0.1"), loss != "r_dpo", "{loss}");
        assert_eq!(refused(loss, "--simpo-gamma", "0.5"), loss != "simpo", "{loss}");
        assert_eq!(refused(loss, "--simpo-alpha", "0.5"), loss != "simpo", "{loss}");
        assert_eq!(refused(loss, "--orpo-lambda", "0.5"), loss != "orpo", "{loss}");
        assert_eq!(refused(loss, "--cpo-alpha", "0.5"), loss != "cpo", "{loss}");
        assert_eq!(refused(loss, "--beta-dpo-alpha", "0.5"), loss != "beta_dpo", "{loss}");
        assert_eq!(refused(loss, "--beta-dpo-momentum", "0.5"), loss != "beta_dpo", "{loss}");
        assert_eq!(refused(loss, "--odpo-alpha", "0.5"), loss != "odpo", "{loss}");
        assert_eq!(refused(loss, "--rpo-eta", "0.5"), !loss.starts_with("rpo_"), "{loss}");
        assert_eq!(refused(loss, "--rao-kupper-a", "0.5"), loss != "rao_kupper", "{loss}");
        assert_eq!(refused(loss, "--davidson-nu", "0.5"), loss != "davidson", "{loss}");
        assert_eq!(refused(loss, "--kto-desirable", "0.5"), loss != "kto", "{loss}");
        assert_eq!(refused(loss, "--group-robust-eta", "0.5"), loss != "group_robust", "{loss}");
        assert_eq!(refused(loss, "--modpo-weight", "0.5"), loss != "modpo", "{loss}");
        let couples = ["aot", "aot_unpaired", "beta_dpo"].contains(&loss);
        let is_alone = ["plackett_luce", "lipo", "kto", "group_robust"].contains(&loss);
        assert_eq!(
            flags(&["--loss", loss, "--wpo"]).is_err(),
            couples || is_alone || loss == "sft",
            "{loss}"
        );
        let has_no_choice = is_alone || ["sft", "orpo", "cpo", "rao_kupper", "davidson"].contains(&loss);
        assert_eq!(refused(loss, "--sft-weight", "0.5"), has_no_choice, "{loss}");
        let has_no_pairs = ["sft", "plackett_luce", "lipo", "kto"].contains(&loss);
        assert_eq!(refused(loss, "--pairs", "all"), has_no_pairs, "{loss}");
        assert_eq!(flags(&["--loss", loss, "--accumulate", "2"]).is_err(), couples, "{loss}");
        let has_reference = !["sft", "simpo", "orpo", "cpo"].contains(&loss);
        assert_eq!(refused(loss, "--reference", "r"), !has_reference, "{loss}");
        let has_no_lengths = !has_reference || is_alone || loss == "tdpo";
        assert_eq!(refused(loss, "--ld-alpha", "0.5"), has_no_lengths, "{loss}");
        assert_eq!(refused(loss, "--tdpo-alpha", "0.5"), loss != "tdpo", "{loss}");
    }
    let beta = |loss| flags(&["--loss", loss]).unwrap().loss.beta();
    assert_eq!((beta("sigmoid_norm"), beta("hinge")), (Some(5.0), Some(0.1)));
}

#[test]
fn sets_and_columns_that_cannot_be_told_apart_are_refused() {
    for arguments in [
        &["--eval-data", "x/a.jsonl", "--eval-data", "y/a.jsonl"][..],
        &["--eval-data", "h=a.jsonl", "--eval-data", "h=b.jsonl"],
        &["--eval-data", "my file.jsonl", "--eval-data", "b.jsonl"],
        &["--column", "chosn=x"],
        &["--column", "chosen=x", "--column", "chosen=y"],
        &["--accumulate", "9"],
        &["--accumulate", "2", "--tokens-per-batch", "10"],
        &["--out", ""],
        &["--max-length", "1"],
    ] {
        assert!(flags(arguments).is_err(), "{arguments:?}");
    }
    assert!(flags(&["--column", "chosn=x"]).unwrap_err().to_string().contains("did you mean `chosen`?"));
}

#[test]
fn files_that_are_no_run_files_are_one_error() {
    assert!(said(&["[loss]", "beta = "]).starts_with("run.toml:2:"), "{}", said(&["[loss]", "beta = "]));
    assert!(said(&["[loss]", "beta = 1", "beta = 2"]).contains("run.toml:3:1: duplicate key"));
    assert!(said(&["\u{feff}[loss]", "bta = 1"]).contains("run.toml:2:1"));
    assert!(said(&["[train]", "seed = 99999999999999999999999"]).contains("run.toml:2:8"));
    assert!(said(&["loss = 3"]).contains("`loss` is integer; expected the table `[loss]`"));
    assert!(said(&[&format!("x = {}1{}", "[".repeat(100_000), "]".repeat(100_000))]).contains("run.toml:1:"));
    assert!(said(&[&"#".repeat(2 << 20)]).contains("larger than 1 MiB"));
    let absent = Cli::parse_from(["dpo", "--config", "no/such.toml"]).train.run_file().unwrap_err();
    assert!(absent.to_string().starts_with("no/such.toml: cannot read this run file"), "{absent}");
}

/// What needs all rows is told why it cannot have them.
#[test]
fn what_needs_all_rows_is_refused_beside_a_stream() {
    let said = |more: &str| {
        let text = format!("{MINIMAL}stream = true\n{more}");
        parse("run.toml", &text).unwrap().file.init().unwrap_err().to_string()
    };
    let steps = "[train]\nmax_steps = 10\n";
    let text = said("[loss]\nkind = \"ipo\"\n");
    assert!(text.contains("nobody knows how many steps a pass over the rows takes"), "{text}");
    let text = said(steps);
    assert!(text.contains("the loss follows the rows, which are not read beforehand"), "{text}");
    let text = said(&format!("[loss]\nkind = \"group_robust\"\n{steps}"));
    assert!(text.contains("`group_robust` has to know all groups"), "{text}");
    let text = said(&format!("heldout = 0.1\n[loss]\nkind = \"ipo\"\n{steps}"));
    assert!(text.contains("`data.heldout` is set beside `data.stream`"), "{text}");
    let text = said(&format!("preset = \"helpsteer\"\n[loss]\nkind = \"ipo\"\n{steps}"));
    assert!(text.contains("its lists are made of rows that follow each other"), "{text}");
    let text = said(&format!("[loss]\nkind = \"aot\"\n{steps}tokens_per_batch = 9\n"));
    assert!(text.contains("whether every step of `aot` fits"), "{text}");
    let text = parse("run.toml", &format!("{MINIMAL}stream_buffer = 9\n"))
        .unwrap()
        .file
        .init()
        .unwrap_err()
        .to_string();
    assert!(text.contains("set `data.stream` or remove it"), "{text}");
}

/// One key, one flag, one line of `--help`, and no two of them the same.
#[test]
fn every_key_is_a_flag_with_help() {
    Cli::command().debug_assert();
    let keys = keys();
    let paths: BTreeSet<_> = keys.iter().map(super::keys::Key::path).collect();
    let flags: BTreeSet<_> = keys.iter().map(|key| &key.flag).collect();
    assert_eq!((paths.len(), flags.len()), (keys.len(), keys.len()));
    let help = Cli::command().render_long_help().to_string();
    for key in &keys {
        let is_there = [" <", "[=<"].iter().any(|value| help.contains(&format!("--{}{value}", key.flag)));
        assert!(is_there, "{}", key.flag);
        assert!(!key.help.is_empty() && key.choices.iter().all(|(_, help)| !help.is_empty()), "{}", key.name);
    }
    assert!(help.contains("[default: 0.1]") && help.contains("Training:"), "{help}");
}

/// The keys that serde reads are the keys that are documented.
#[test]
fn keys_are_those_of_the_structs() {
    let mut texts = vec![
        init(MINIMAL),
        init(&format!("{MINIMAL}[loss]\nkind = \"ipo\"\n[lora]\nrank = 4\n")),
        init(&format!("{MINIMAL}[reference]\nupdate_every = 8\n")),
        init(&format!("{MINIMAL}stream = true\n[loss]\nkind = \"ipo\"\n[train]\nmax_steps = 1\n")),
        init(&format!("{MINIMAL}[lora]\nadapter = \"a\"\nbase_quant = \"q4\"\n")),
        init(&MINIMAL.replace("[data]", GROUPED)),
    ];
    texts[1].model.reference = Some("r".to_owned());
    texts[1].data.preset = Some(super::choices::Preset::Shp);
    texts[1].data.pairing = Some(dpo_data::Pairing::All);
    texts[1].train.duration = Duration::Steps(1);
    texts[1].train.warmup = Warmup::Steps(1);
    texts[1].train.micro_batches = MicroBatches::Tokens(1);
    texts.push(init(&format!(
        "{MINIMAL}[loss]\nf_divergence = \"alpha\"\nld_alpha = 0.5\nsft_weight = 1.0\nwpo = true\n"
    )));
    texts.push(init(&format!("{MINIMAL}[[loss.mix]]\nkind = \"sigmoid\"\n[[loss.mix]]\nkind = \"sft\"\n")));
    texts.extend(LossKind::ALL.map(|kind| init(&format!("{MINIMAL}[loss]\nkind = \"{kind}\"\n"))));
    let mut written = BTreeSet::new();
    for config in texts {
        for (section, keys) in config.to_run_file().to_table() {
            written.extend(keys.as_table().unwrap().keys().map(|key| format!("{section}.{key}")));
        }
    }
    assert_eq!(written, keys().iter().map(super::keys::Key::path).collect());
}

/// `DPO_UPDATE=1` writes the page instead.
#[test]
fn the_page_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/run-file.md");
    if std::env::var_os("DPO_UPDATE").is_some() {
        std::fs::write(&path, reference_page()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == reference_page(), "docs/run-file.md is out of date; run this test with DPO_UPDATE=1");
    for key in keys() {
        assert!(page.contains(&format!("| `{}` | `--{}` |", key.name, key.flag)), "{}", key.path());
    }
}

#[test]
fn runs_that_compute_the_same_differ_in_nothing() {
    let one = flags(&[]).unwrap();
    assert!(
        one.differences(&flags(&["--out", "elsewhere", "--threads", "3", "--resume", "auto"]).unwrap())
            .is_empty()
    );
    let other = flags(&["--loss", "hinge", "--seed", "1"]).unwrap();
    assert_eq!(one.differences(&other), ["loss.kind", "loss.label_smoothing", "train.seed"]);
    assert_eq!(other.loss.name(), LossKind::Hinge.name());
}
