//! Which crate may know of which, as `cargo metadata` sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

/// What each crate may depend on among ours; nothing else may.
const MAY_DEPEND_ON: [(&str, &[&str]); 8] = [
    ("dpo-core", &[]),
    ("dpo-data", &[]),
    ("dpo-kernels", &[]),
    ("dpo-model", &["dpo-kernels"]),
    ("dpo-train", &["dpo-core", "dpo-data", "dpo-kernels", "dpo-model"]),
    ("dpo-cli", &["dpo-core", "dpo-data", "dpo-kernels", "dpo-model", "dpo-train"]),
    ("dpo-tests", &["dpo-core", "dpo-data", "dpo-kernels", "dpo-model", "dpo-train"]),
    ("xtask", &[]),
];
const LIBRARIES: [&str; 5] = ["dpo-core", "dpo-data", "dpo-kernels", "dpo-model", "dpo-train"];
/// What tensors need on every device.
const BURN_WITHOUT_BACKEND: [&str; 3] = ["autodiff", "extension", "std"];

fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--format-version", "1", "--locked"]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Our packages by name.
fn members() -> BTreeMap<&'static str, &'static Value> {
    let ids: BTreeSet<&str> = list(&metadata()["workspace_members"]).iter().map(text).collect();
    let ours = list(&metadata()["packages"]).iter().filter(|package| ids.contains(text(&package["id"])));
    ours.map(|package| (text(&package["name"]), package)).collect()
}

/// Dependencies that are linked in: neither those of tests nor of build scripts.
fn linked(package: &Value) -> impl Iterator<Item = &Value> {
    list(&package["dependencies"]).iter().filter(|dependency| dependency["kind"].is_null())
}

#[test]
fn every_crate_depends_on_its_layers_below_alone() {
    let members = members();
    let known: BTreeSet<&str> = MAY_DEPEND_ON.iter().map(|(name, _)| *name).collect();
    assert!(members.keys().copied().eq(known), "a crate without a place: {:?}", members.keys());
    for (name, may) in MAY_DEPEND_ON {
        for dependency in list(&members[name]["dependencies"]) {
            let other = text(&dependency["name"]);
            // A library's own tests may switch on a backend.
            let is_itself = other == name;
            assert!(
                !members.contains_key(other) || is_itself || may.contains(&other),
                "{name} depends on {other}"
            );
        }
    }
}

/// Names of all packages that are linked into `name`.
fn tree(name: &str) -> BTreeSet<&'static str> {
    let nodes = list(&metadata()["resolve"]["nodes"]);
    let by_id: BTreeMap<&str, &Value> = nodes.iter().map(|node| (text(&node["id"]), node)).collect();
    let names: BTreeMap<&str, &str> =
        list(&metadata()["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let (mut found, mut rest) = (BTreeSet::new(), vec![text(&members()[name]["id"])]);
    while let Some(id) = rest.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in list(&by_id[id]["deps"]) {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                rest.push(text(&dependency["pkg"]));
            }
        }
    }
    found.into_iter().map(|id| names[id]).collect()
}

#[test]
fn data_is_read_without_tensors() {
    let tree = tree("dpo-data");
    let tensors: Vec<_> =
        tree.iter().filter(|name| name.starts_with("burn") || name.starts_with("cubecl")).collect();
    assert!(tree.contains("tokenizers"), "the tree is the one of dpo-data");
    assert!(tensors.is_empty(), "dpo-data links {tensors:?}");
}

/// `clap` and progress bars are the program's business, errors without a type as well.
#[test]
fn libraries_link_nothing_of_a_program() {
    for name in LIBRARIES {
        for dependency in linked(members()[name]) {
            let other = text(&dependency["name"]);
            assert!(
                !["clap", "anyhow", "indicatif", "mimalloc"].contains(&other),
                "{name} depends on {other}"
            );
        }
    }
}

#[test]
fn xtask_links_none_of_ours_and_no_tensors() {
    assert!(tree("xtask").iter().all(|name| !name.starts_with("dpo") && !name.starts_with("burn")));
}

#[test]
fn libraries_bring_no_backend_unless_asked() {
    for name in LIBRARIES {
        let package = members()[name];
        let default = package["features"].get("default").map_or(&[][..], |default| list(default));
        assert!(default.is_empty(), "{name} has default features {default:?}");
        for burn in linked(package).filter(|dependency| dependency["name"] == "burn") {
            assert_eq!(burn["uses_default_features"], false, "{name}");
            let extra: Vec<_> = list(&burn["features"])
                .iter()
                .map(text)
                .filter(|f| !BURN_WITHOUT_BACKEND.contains(f))
                .collect();
            assert!(extra.is_empty(), "{name} switches on {extra:?} of burn");
        }
        for ours in linked(package).filter(|dependency| text(&dependency["name"]).starts_with("dpo-")) {
            assert!(
                list(&ours["features"]).is_empty(),
                "{name} switches on {} of {}",
                ours["features"],
                ours["name"]
            );
        }
    }
}

/// Code that the compiler cannot check is in one crate.
#[test]
fn unsafe_code_is_forbidden_everywhere_but_in_the_kernels() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let forbids = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(forbids.contains("unsafe_code = \"forbid\""));
    for (name, package) in members() {
        let manifest = std::fs::read_to_string(text(&package["manifest_path"])).unwrap();
        let inherits = manifest.contains("[lints]\nworkspace = true");
        assert!(inherits || name == "dpo-kernels", "{name} does not take the lints of the workspace");
    }
}
