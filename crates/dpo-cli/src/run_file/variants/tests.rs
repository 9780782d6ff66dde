use super::*;

fn said(text: &str) -> String {
    match VariantsFile::parse("v.toml", text) {
        Ok(_) => String::new(),
        Err(invalid) => invalid.to_string(),
    }
}

#[test]
fn a_variant_lays_its_own_settings_over_the_shared_ones() {
    let text = "[model]\nbase = \"m\"\n[data]\ntrain = \"a\"\n[lora]\nrank = 4\n[loss]\nbeta = 0.3\n\
        [[variant]]\nname = \"one\"\n[[variant]]\nname = \"two\"\ndata.train = \"b\"\nloss.beta = 0.5\n";
    let file = VariantsFile::parse("v.toml", text).unwrap();
    let Origin::Named(named) = &file.origin else { panic!("{:?}", file.origin) };
    let config = |idx: usize| file.shared.apply(&named[idx].1).init().unwrap();
    assert_eq!((named[0].0.as_str(), named[1].0.as_str()), ("one", "two"));
    assert_eq!((config(0).data.train, config(1).data.train), (vec!["a".into()], vec!["b".into()]));
    let beta = |idx: usize| config(idx).to_run_file().loss.beta;
    assert_eq!((beta(0), beta(1)), (Some(0.3), Some(0.5)));
}

#[test]
fn every_mistake_is_said_with_its_place() {
    let text = "[variants]\ngroop = \"a\"\npooled = 3\n[los]\n[[variant]]\nname = \"base\"\n\
        [[variant]]\nname = \"a b\"\n[[variant]]\nloss.bta = 1\n[[variant]]\nname = \"x\"\nrun.threads = 2\n";
    let said = said(text);
    for claim in [
        "v.toml:2:1: unknown key `groop` in `[variants]`; did you mean `group`?",
        "v.toml:3:10: `variants.pooled`: invalid type: integer `3`, expected a boolean",
        "v.toml:4:2: unknown table `los`; did you mean `loss`?",
        "v.toml:6:8: `name` is \"base\", which the model without adapters is called",
        "v.toml:8:8: `name` is \"a b\"; expected letters, digits, `_` and `-`",
        "v.toml:10:6: unknown key `bta` in `[loss]`; did you mean `beta`?",
        "a variant without a name; give it `name = \"…\"`",
        "v.toml:13:15: `run.threads` is the same for all variants; set it under `[run]`",
    ] {
        assert!(said.contains(claim), "{claim}\n{said}");
    }
}

#[test]
fn variants_come_from_one_place() {
    assert!(said("[model]\nbase = \"m\"\n").contains("`variants.group` is missing; name the column"));
    let both = said("[variants]\ngroup = \"a\"\n[[variant]]\nname = \"x\"\n");
    assert!(both.contains("v.toml:2:9: `variants.group` and `[[variant]]` are both there"), "{both}");
    let pooled = said("[variants]\npooled = true\n[[variant]]\nname = \"x\"\n");
    assert!(pooled.contains("v.toml:2:10: `variants.pooled` is set, but there are no groups"), "{pooled}");
    let twice = said("[[variant]]\nname = \"x\"\n[[variant]]\nname = \"x\"\n");
    assert!(twice.contains("v.toml:4:8: there are two variants named \"x\""), "{twice}");
}

#[test]
fn what_cannot_be_a_variant_is_refused() {
    let text = "[model]\nbase = \"m\"\nreference = \"r\"\n[data]\ntrain = \"a\"\n[loss]\nkind = \"sft\"\n\
        [[variant]]\nname = \"x\"\n";
    let file = VariantsFile::parse("v.toml", text).unwrap();
    let said = file.shared.init().unwrap_err().to_string();
    for claim in
        ["`lora.rank` is missing", "v.toml:7:8: `loss.kind` is `sft`", "`model.reference` is set, but"]
    {
        assert!(said.contains(claim), "{claim}\n{said}");
    }
}
