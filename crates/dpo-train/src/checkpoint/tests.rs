use super::*;

fn setup() -> (tempfile::TempDir, Checkpoints) {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(&dir.path().join("checkpoints")).unwrap();
    (dir, checkpoints)
}

fn fill(content: &'static str) -> impl FnOnce(&Path) -> Result<(), TrainError> {
    move |dir| {
        let write = || {
            fs::create_dir(dir.join("optimizer"))?;
            fs::write(dir.join("optimizer/moments.bin"), content)?;
            fs::write(dir.join("state.json"), "{}")?;
            fs::write(dir.join("empty"), "")
        };
        write().map_err(TrainError::io("write", dir))
    }
}

fn names(checkpoints: &Checkpoints) -> Vec<String> {
    let mut names = checkpoints.names().unwrap();
    names.sort();
    names
}

#[test]
fn what_was_saved_is_listed_and_whole() {
    let (_dir, checkpoints) = setup();
    assert!(checkpoints.last_complete().unwrap().checkpoint.is_none());
    for step in [9, 100, 1_000_000, 20] {
        checkpoints.save(step, fill("m")).unwrap();
    }
    let steps: Vec<u64> = checkpoints.list().unwrap().iter().map(|c| c.step).collect();
    assert_eq!(steps, [9, 20, 100, 1_000_000]);
    let last = checkpoints.last_complete().unwrap();
    assert!(last.damaged.is_empty());
    let last = last.checkpoint.unwrap();
    assert_eq!(last, Checkpoint::open(&last.path).unwrap());
    assert_eq!(fs::read_to_string(last.path.join("optimizer/moments.bin")).unwrap(), "m");
    assert!(checkpoints.dir.join("step-000009").is_dir());
}

#[test]
fn a_save_that_fails_leaves_nothing_and_loses_nothing() {
    let (_dir, checkpoints) = setup();
    checkpoints.save(1, fill("good")).unwrap();
    for step in [1, 2] {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = checkpoints.save(step, |dir| {
            fill("half")(dir)?;
            Err(TrainError::io("write", dir)(full()))
        });
        assert!(error.unwrap_err().to_string().contains("nothing that was saved before is lost"));
        assert_eq!(names(&checkpoints), ["step-000001"]);
    }
    let last = checkpoints.last_complete().unwrap().checkpoint.unwrap();
    assert_eq!(fs::read_to_string(last.path.join("optimizer/moments.bin")).unwrap(), "good");
}

/// Every single byte of every file, manifest included.
#[test]
fn any_flipped_byte_any_cut_and_any_missing_file_is_found() {
    let (_dir, checkpoints) = setup();
    checkpoints.save(1, fill("first")).unwrap();
    let second = checkpoints.save(2, fill("second")).unwrap();
    let stands = || checkpoints.last_complete().unwrap().checkpoint.unwrap().step;
    for name in ["optimizer/moments.bin", "state.json", MANIFEST] {
        let path = second.path.join(name);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            // White space may turn into other white space, which changes nothing.
            if serde_json::from_slice::<Manifest>(&flipped).ok() == serde_json::from_slice(&bytes).ok()
                && name == MANIFEST
            {
                continue;
            }
            fs::write(&path, &flipped).unwrap();
            assert_eq!(stands(), 1, "{name}: byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(stands(), 1, "{name}: cut at {at}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(stands(), 1, "{name} is missing");
        assert!(Checkpoint::open(&second.path).is_err());
        fs::write(&path, &bytes).unwrap();
        assert_eq!(stands(), 2);
    }
}

#[test]
fn a_manifest_cannot_reach_outside() {
    let (dir, checkpoints) = setup();
    fs::write(dir.path().join("secret"), "s").unwrap();
    let saved = checkpoints.save(1, fill("m")).unwrap();
    let path = saved.path.join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("state.json", "../../secret")).unwrap();
    let error = saved.verify().unwrap_err().to_string();
    assert!(error.contains("lies outside"), "{error}");
}

#[test]
fn the_latest_are_kept() {
    let (_dir, checkpoints) = setup();
    for step in 1..=5 {
        checkpoints.save(step, fill("m")).unwrap();
    }
    checkpoints.prune(NonZeroUsize::new(2).unwrap()).unwrap();
    assert_eq!(names(&checkpoints), ["step-000004", "step-000005"]);
    checkpoints.prune(NonZeroUsize::new(9).unwrap()).unwrap();
    assert_eq!(names(&checkpoints).len(), 2);
}

#[test]
fn a_step_that_is_saved_again_replaces_the_one_there() {
    let (_dir, checkpoints) = setup();
    checkpoints.save(3, fill("old")).unwrap();
    let saved = checkpoints.save(3, fill("new")).unwrap();
    assert_eq!(fs::read_to_string(saved.path.join("optimizer/moments.bin")).unwrap(), "new");
    assert_eq!(names(&checkpoints), ["step-000003"]);
}

/// The states that a kill between two system calls of `save` and `prune` can leave.
#[test]
fn leftovers_of_a_kill_are_cleared_and_the_last_complete_one_stands() {
    let (_dir, checkpoints) = setup();
    checkpoints.save(1, fill("one")).unwrap();
    let at = |name: &str| checkpoints.dir.join(name);
    // While writing, and while pruning.
    fs::create_dir_all(at("step-000002.tmp-x1y2z3/optimizer")).unwrap();
    fs::write(at("step-000002.tmp-x1y2z3/state.json"), "{").unwrap();
    fs::create_dir(at("step-000000.tmp-pruned")).unwrap();
    // Between both renames of a replacement.
    fs::rename(at("step-000001"), at("step-000001.replaced")).unwrap();
    // A folder that is nobody's is not touched.
    fs::create_dir(at("notes")).unwrap();

    let reopened = Checkpoints::open(&checkpoints.dir).unwrap();
    assert_eq!(names(&reopened), ["notes", "step-000001"]);
    assert_eq!(reopened.last_complete().unwrap().checkpoint.unwrap().step, 1);

    // After both renames, before the old one was deleted.
    fs::create_dir(at("step-000001.replaced")).unwrap();
    let reopened = Checkpoints::open(&checkpoints.dir).unwrap();
    assert_eq!(names(&reopened), ["notes", "step-000001"]);
    assert!(reopened.last_complete().unwrap().damaged.is_empty());
}
