use super::*;
use crate::run_file::RunFile;

fn settings(evidence: Evidence) -> Vec<String> {
    follows(&evidence).into_iter().map(|advice| advice.setting).collect()
}

fn shapes() -> [(Found, &'static str); 6] {
    let pairs = Found { pairs: 100, ..Found::default() };
    [
        (pairs, "sigmoid"),
        (Found { gaps: 100, ..pairs }, "odpo"),
        (Found { ties: 9, ..pairs }, "rao_kupper"),
        (Found { divided: 40, ties: 9, ..pairs }, "soft_label"),
        (Found { lists: 100, ..Found::default() }, "plackett_luce"),
        (Found { labels: 100, ..Found::default() }, "kto"),
    ]
}

/// Votes are answered by a loss of votes, lists by one of lists.
#[test]
fn the_advice_follows_the_shape_of_the_rows() {
    for (found, kind) in shapes() {
        let settings = settings(Evidence { found, ..Evidence::default() });
        assert!(settings[0].starts_with(&format!("loss.kind = \"{kind}\"")), "{settings:?}");
    }
    let (votes, _) = shapes()[3];
    let noisy =
        settings(Evidence { found: votes, contradicted: 0.1, surprising: 0.2, ..Evidence::default() });
    assert_eq!(noisy, ["loss.kind = \"soft_label\"", "repair or remove these rows"]);
    let (pairs, _) = shapes()[0];
    let noisy = settings(Evidence { found: pairs, contradicted: 0.1, ..Evidence::default() });
    assert_eq!(noisy, ["loss.kind = \"robust\", loss.label_smoothing = 0.10"]);
    let split = settings(Evidence { found: pairs, groups: Some(0.2), ..Evidence::default() });
    assert!(split[0].contains("group_robust"), "{split:?}");
}

/// Whatever was found, each setting that is one is accepted beside the loss that the rows ask for.
#[test]
fn what_is_advised_can_be_set() {
    for (found, kind) in shapes() {
        let everything = Evidence {
            found,
            contradicted: 0.1,
            surprising: 0.1,
            at_risk: 0.5,
            already_right: 0.95,
            length: Some([0.6, 0.7]),
            limit: Some((512, 0.001)),
            annotators: Some(0.3),
            groups: None,
            off_policy: Some((0.9, 2.0)),
        };
        for setting in settings(everything) {
            for option in setting.split(" (").next().unwrap_or_default().split(", or ") {
                accepts(option, kind);
            }
        }
    }
}

fn accepts(option: &str, kind: &str) {
    if !["loss.", "data."].iter().any(|table| option.starts_with(table)) {
        return;
    }
    let mut text = "model.base = \"m\"\ndata.train = \"d\"\n".to_owned() + &option.replace(", ", "\n");
    if !text.contains("loss.kind") {
        text += &format!("\nloss.kind = \"{kind}\"");
    }
    let file: RunFile = toml::from_str(&text).unwrap_or_else(|error| panic!("{option}: {error}"));
    file.init().unwrap_or_else(|error| panic!("{option} beside {kind}: {error}"));
}
