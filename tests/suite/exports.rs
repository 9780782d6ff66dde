//! `dpo export --gguf`: the Modelfile beside the file.

use crate::{
    program::{Sandbox, paths},
    support::golden,
};

/// It names the file; the same one is written again, another is left as it is and nothing is exported.
#[test]
fn a_modelfile_is_written_over_by_itself_alone() {
    let sandbox = Sandbox::new();
    let (gguf, modelfile) = (sandbox.path("tiny.gguf"), sandbox.path("tiny.Modelfile"));
    let export = || sandbox.run("export", &paths([("--model", &golden("runs/model")), ("--gguf", &gguf)]));
    export().success();
    let text = std::fs::read_to_string(&modelfile).unwrap();
    assert!(text.contains("\nFROM ./tiny.gguf\n"), "{text}");

    std::fs::remove_file(&gguf).unwrap();
    export().success();
    assert_eq!(std::fs::read_to_string(&modelfile).unwrap(), text);

    std::fs::remove_file(&gguf).unwrap();
    let changed = format!("{text}PARAMETER temperature 0.5\n");
    std::fs::write(&modelfile, &changed).unwrap();
    let refused = export();
    assert_eq!(refused.code, Some(1), "{}", refused.messages);
    let message =
        "tiny.Modelfile is there already and is not the Modelfile of this export; choose another name";
    assert!(refused.messages.contains(message), "{}", refused.messages);
    assert_eq!(std::fs::read_to_string(&modelfile).unwrap(), changed);
    assert!(!gguf.exists(), "nothing is exported beside a Modelfile of something else");
}
