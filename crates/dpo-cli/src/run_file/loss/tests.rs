use super::*;
use crate::run_file::{RunFile, parse::parse};

const MINIMAL: &str = "[model]\nbase = \"m\"\n[data]\ntrain = \"d.jsonl\"\n";

fn file(loss: &str) -> RunFile {
    parse("run.toml", &format!("{MINIMAL}{loss}")).unwrap().file
}

fn said(loss: &str) -> String {
    file(loss).init().unwrap_err().to_string()
}

const MPO: &str = "[[loss.mix]]\nkind = \"sigmoid\"\nweight = 0.8\nbeta = 0.2\n\
    [[loss.mix]]\nkind = \"bco_pair\"\nweight = 0.2\n[[loss.mix]]\nkind = \"sft\"\n";

/// What a run came to is written down, and comes to the same again.
#[test]
fn mixtures_and_modifiers_come_to_themselves() {
    for loss in [
        MPO,
        "[loss]\nld_alpha = 0.5\n[[loss.mix]]\nkind = \"ipo\"\n[[loss.mix]]\nkind = \"hinge\"\n",
        "[[loss.mix]]\nkind = \"simpo\"\nweight = 3\n",
        "[loss]\nf_divergence = \"alpha\"\nf_alpha = 2.0\n",
        "[loss]\nkind = \"ipo\"\nf_divergence = \"forward_kl\"\nsft_weight = 1\n",
        "[loss]\nkind = \"nca_pair\"\nld_alpha = 0.0\n",
        "[loss]\nkind = \"rpo_sq\"\nrpo_eta = 2.0\nf_divergence = \"js\"\nwpo = true\n",
        "[[loss.mix]]\nkind = \"odpo\"\nodpo_alpha = 0.5\n[[loss.mix]]\nkind = \"soft_label\"\nweight = 2\n",
    ] {
        let config = file(loss).init().unwrap();
        let again = parse("run.toml", &config.to_toml()).unwrap().file.init().unwrap();
        assert_eq!(again, config, "{}", config.to_toml());
    }
    let mpo = file(MPO).init().unwrap();
    let weights: Vec<f64> = mpo.loss.parts().iter().map(|part| part.weight).collect();
    assert_eq!(weights, [0.8, 0.2, 1.0]);
    assert_eq!((mpo.loss.beta(), mpo.loss.name(), mpo.loss.needs_reference()), (Some(0.2), "mix", true));
    assert_eq!(mpo.run.out, std::path::Path::new("runs/m-mix"));
}

/// A single loss of weight 1 is that loss.
#[test]
fn a_mixture_of_one_is_that_one() {
    let one = file("[[loss.mix]]\nkind = \"hinge\"\n").init().unwrap();
    assert_eq!(one, file("[loss]\nkind = \"hinge\"\n").init().unwrap());
}

#[test]
fn every_part_refuses_what_it_does_not_read() {
    let text = said("[[loss.mix]]\nkind = \"sigmoid\"\n[[loss.mix]]\nkind = \"sft\"\nbeta = 0.1\n");
    assert!(
        text.contains("`loss.mix` has a wrong setting in its loss 2: `beta` is set, but `sft` does not"),
        "{text}"
    );
    let text = said("[[loss.mix]]\nkind = \"ipo\"\nbeta = -1.0\n");
    assert!(text.contains("in its loss 1: `beta` is -1; expected a number above 0"), "{text}");
    let text = said("[[loss.mix]]\nkind = \"ipo\"\nld_alpha = 0.5\n");
    assert!(text.contains("has `ld_alpha` in its loss 1; it is for all of them"), "{text}");
    let text = said("[[loss.mix]]\nkind = \"ipo\"\nweight = 0.0\n");
    assert!(text.contains("`loss.mix` has a weight that is not a number above 0"), "{text}");
    let text = said("[[loss.mix]]\nkind = \"sft\"\nweight = 2.0\n");
    assert!(text.contains("`loss.mix` has no loss of pairs"), "{text}");
    let text = said("[loss]\nmix = []\n");
    assert!(text.contains("`loss.mix` is empty"), "{text}");
    let text = said("[loss]\nkind = \"ipo\"\nbeta = 0.1\n[[loss.mix]]\nkind = \"ipo\"\n");
    assert!(text.contains("`loss.kind` and `loss.mix` are both set"), "{text}");
    assert!(text.contains("`loss.beta` is set beside `loss.mix`"), "{text}");
    let unknown = parse("run.toml", &format!("{MINIMAL}[[loss.mix]]\nkind = \"ipo\"\nbta = 1.0\n"));
    assert!(unknown.unwrap_err().to_string().contains("unknown field `bta`"));
}

#[test]
fn unsound_combinations_are_refused_with_a_reason() {
    for (loss, expected) in [
        (
            "kind = \"nca_pair\"\nf_divergence = \"js\"",
            "`loss.f_divergence` is set, but `nca_pair` reads each log-ratio",
        ),
        ("kind = \"simpo\"\nf_divergence = \"js\"", "has no reference to diverge from"),
        ("f_alpha = 0.5", "`loss.f_alpha` is set, but `f_divergence` is not `alpha`"),
        ("kind = \"simpo\"\nld_alpha = 0.5", "`loss.ld_alpha` is set, but `simpo` has no reference"),
        ("kind = \"cpo\"\nsft_weight = 0.5", "`loss.sft_weight` is set, but `cpo` has the chosen"),
        (
            "kind = \"aot\"\n[train]\naccumulate = 2",
            "`train.accumulate` is 2, and the loss `aot` couples the rows",
        ),
        ("ld_alpha = 2.0", "`loss.ld_alpha` is 2; give a number from 0 to 1"),
        ("kind = \"kto\"\nwpo = true", "`loss.wpo` is set, but `kto` reads single completions"),
        (
            "kind = \"kto\"\nf_divergence = \"js\"",
            "`loss.f_divergence` is set, but `kto` reads each log-ratio",
        ),
        ("kind = \"lipo\"\nsft_weight = 1", "`loss.sft_weight` is set, but `lipo` reads ranked lists"),
        (
            "kind = \"group_robust\"\nld_alpha = 0.5",
            "but `group_robust` counts rows by how their groups fare",
        ),
        ("kind = \"davidson\"\nsft_weight = 1", "but `davidson` learns from ties, which have no chosen"),
        (
            "[[loss.mix]]\nkind = \"plackett_luce\"\n[[loss.mix]]\nkind = \"sft\"",
            "`loss.mix` has `plackett_luce`, which reads ranked lists, and a mixture is a mean over pairs",
        ),
        (
            "[[loss.mix]]\nkind = \"rao_kupper\"\n[[loss.mix]]\nkind = \"sigmoid\"",
            "`loss.mix` has `rao_kupper`, which learns from ties, and `sigmoid`",
        ),
    ] {
        let text = said(&format!("[loss]\n{loss}\n"));
        assert!(text.contains(expected), "{text}");
    }
}

/// `ties` names one of the two losses that read it, and is refused beside another.
#[test]
fn a_model_of_ties_is_a_loss_and_no_other_reads_it() {
    let of_ties = file("[loss]\nties = \"davidson\"\ndavidson_nu = 0.5\n").init().unwrap();
    assert_eq!(of_ties, file("[loss]\nkind = \"davidson\"\ndavidson_nu = 0.5\n").init().unwrap());
    let again = parse("run.toml", &of_ties.to_toml()).unwrap().file.init().unwrap();
    assert_eq!(again, of_ties);
    for (loss, expected) in [
        (
            "[loss]\nkind = \"sigmoid\"\nties = \"rao_kupper\"\n",
            "`loss.ties` models ties as `rao_kupper`, and the loss is `sigmoid`",
        ),
        ("[loss]\nkind = \"davidson\"\nties = \"rao_kupper\"\n", "and the loss is `davidson`"),
        (
            "[loss]\nties = \"davidson\"\n[[loss.mix]]\nkind = \"sft\"\n",
            "`loss.ties` is set beside `loss.mix`",
        ),
    ] {
        assert!(said(loss).contains(expected), "{}", said(loss));
    }
    let mut flag = RunFile::default();
    flag.loss.kind = Some(LossKind::Hinge);
    let over = parse("run.toml", &of_ties.to_toml()).unwrap().file.apply(&flag);
    assert_eq!((over.loss.ties, over.loss.kind), (None, Some(LossKind::Hinge)));
}

/// A flag takes the place of what the file says in another way.
#[test]
fn a_loss_takes_the_place_of_a_mixture() {
    let mixture = file(MPO);
    let mut flag = RunFile::default();
    flag.loss.kind = Some(LossKind::Hinge);
    assert_eq!(mixture.apply(&flag).init().unwrap().loss.name(), "hinge");
    let mut flag = RunFile::default();
    flag.loss.mix = Some(vec!["sigmoid=1".parse().unwrap(), "sft=0.5".parse().unwrap()]);
    assert_eq!(file("[loss]\nkind = \"hinge\"\n").apply(&flag).init().unwrap().loss.name(), "mix");
}
