//! The directory of a run: who may write there, and what lies where.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::TrainError;
use crate::files::{TEMPORARY, read_bounded, write_atomically};

const CONFIG: &str = "config.toml";
const LOCK: &str = ".lock";
/// Rows that are written for a run before it begins.
const REPLAY: &str = "replay.jsonl";
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// Whether a run begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunMode {
    /// A new run, in a directory that is absent or empty.
    Fresh,
    /// The run that the directory holds, with the settings it was started with.
    Resume,
}

/// A run directory that this process holds, until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Open, and thereby locked.
    _lock: File,
}

impl RunDir {
    /// Takes the directory, makes it if it is absent, and writes `config`, the resolved run file, to `config.toml`
    /// of a new run.
    ///
    /// Refuses a directory that another process holds, one with a run in it unless that is to be resumed, one with
    /// other files, and a resume whose `config` is not the one there.
    pub fn open(path: &Path, mode: RunMode, config: &str) -> Result<Self, TrainError> {
        if mode == RunMode::Resume && !path.join(CONFIG).exists() {
            return Err(TrainError::NothingToResume { dir: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(TrainError::io("make the directory", path))?;
        refuse_foreign_files(path)?;
        let run = Self { path: path.to_owned(), _lock: lock(path)? };
        match (mode, run.config().exists()) {
            (RunMode::Fresh, false) => write_atomically(&run.config(), config.as_bytes())?,
            (RunMode::Fresh, true) => return Err(TrainError::HoldsRun { dir: run.path }),
            (RunMode::Resume, _) => run.refuse_other_config(config)?,
        }
        Ok(run)
    }

    /// Whether a new run could begin there; an error says why not. Nothing is made or locked.
    pub fn check_free(path: &Path) -> Result<(), TrainError> {
        if path.exists() && !path.is_dir() {
            return Err(TrainError::io("make the directory", path)(io::ErrorKind::NotADirectory.into()));
        }
        if path.join(CONFIG).exists() {
            refuse_used(path)?;
            return Err(TrainError::HoldsRun { dir: path.to_owned() });
        }
        if path.exists() { refuse_foreign_files(path) } else { Ok(()) }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved run file, which says which run this is.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// One object a step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// One object an evaluation.
    pub fn eval(&self) -> PathBuf {
        self.path.join("eval.jsonl")
    }

    /// The folder of checkpoints, see [`Checkpoints`](crate::Checkpoints).
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The result: a Hugging Face folder or a PEFT adapter folder.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// The page for a browser.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Versions, digests, seed, device, cost.
    pub fn run_json(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// What became of the rows.
    pub fn data_report(&self) -> PathBuf {
        self.path.join("data_report.json")
    }

    fn refuse_other_config(&self, wanted: &str) -> Result<(), TrainError> {
        let path = self.config();
        let bytes = read_bounded(&path, MAX_CONFIG_BYTES).map_err(TrainError::io("read", &path))?;
        let found = String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
        if found == wanted {
            return Ok(());
        }
        let (mut there, mut here) = (found.lines(), wanted.lines());
        let mut line = 1;
        loop {
            let (a, b) = (there.next(), here.next());
            // Two texts can also differ in their line ends alone.
            if a != b || a.is_none() {
                let shown = |line: Option<&str>| line.unwrap_or("").chars().take(120).collect();
                return Err(TrainError::OtherRun {
                    dir: self.path.clone(),
                    line,
                    found: shown(a),
                    wanted: shown(b),
                });
            }
            line += 1;
        }
    }
}

/// A directory without `config.toml` must be empty, so that a mistyped path costs nobody his files.
fn refuse_foreign_files(path: &Path) -> Result<(), TrainError> {
    let at = || TrainError::io("read the directory", path);
    if path.join(CONFIG).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(at())? {
        let name = entry.map_err(at())?.file_name().to_string_lossy().into_owned();
        if name != LOCK && name != REPLAY && !name.contains(TEMPORARY) {
            return Err(TrainError::NotARun { dir: path.to_owned(), found: name });
        }
    }
    Ok(())
}

/// Refuses a directory that another process holds.
fn refuse_used(dir: &Path) -> Result<(), TrainError> {
    let Ok(mut file) = File::open(dir.join(LOCK)) else { return Ok(()) };
    match file.try_lock_shared() {
        Err(fs::TryLockError::WouldBlock) => {
            Err(TrainError::RunInUse { dir: dir.to_owned(), holder: holder(&mut file) })
        }
        _ => Ok(()),
    }
}

/// Locks the directory for as long as the file stays open; the system unlocks it when the process ends.
fn lock(dir: &Path) -> Result<File, TrainError> {
    let path = dir.join(LOCK);
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(TrainError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(TrainError::RunInUse { dir: dir.to_owned(), holder: holder(&mut file) });
        }
        Err(fs::TryLockError::Error(error)) => return Err(TrainError::io("lock", &path)(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(TrainError::io("write", &path))?;
    Ok(file)
}

/// Who wrote the lock file.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let is_read = file.take(32).read_to_string(&mut text).is_ok();
    match text.trim().parse::<u32>() {
        Ok(id) if is_read => format!("process {id}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_new_run_writes_its_config_and_a_second_process_is_told_which_one_is_there() {
        let dir = dir();
        let path = dir.path().join("deep/run");
        let run = RunDir::open(&path, RunMode::Fresh, "seed = 1\n").unwrap();
        assert_eq!(fs::read_to_string(run.config()).unwrap(), "seed = 1\n");
        let error = RunDir::open(&path, RunMode::Resume, "seed = 1\n").unwrap_err();
        assert!(matches!(error, TrainError::RunInUse { .. }));
        assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    }

    #[test]
    fn a_finished_run_is_not_overwritten_but_resumed() {
        let dir = dir();
        drop(RunDir::open(dir.path(), RunMode::Fresh, "seed = 1\n").unwrap());
        let again = RunDir::open(dir.path(), RunMode::Fresh, "seed = 1\n");
        assert!(matches!(again, Err(TrainError::HoldsRun { .. })));
        drop(again);
        RunDir::open(dir.path(), RunMode::Resume, "seed = 1\n").unwrap();
    }

    #[test]
    fn whether_a_run_could_begin_is_known_before_one_does() {
        let dir = dir();
        let path = dir.path().join("run");
        RunDir::check_free(&path).unwrap();
        assert!(!path.exists());
        let run = RunDir::open(&path, RunMode::Fresh, "").unwrap();
        assert!(matches!(RunDir::check_free(&path), Err(TrainError::RunInUse { .. })));
        drop(run);
        assert!(matches!(RunDir::check_free(&path), Err(TrainError::HoldsRun { .. })));
        let config = path.join(CONFIG);
        let TrainError::Io { source, .. } = RunDir::check_free(&config).unwrap_err() else { panic!() };
        assert_eq!(source.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_resume_with_other_settings_names_the_first_that_differs() {
        let dir = dir();
        drop(RunDir::open(dir.path(), RunMode::Fresh, "seed = 1\nbeta = 0.1\n").unwrap());
        let error = RunDir::open(dir.path(), RunMode::Resume, "seed = 1\nbeta = 0.2\n").unwrap_err();
        let TrainError::OtherRun { line, found, wanted, .. } = error else { panic!("{error}") };
        assert_eq!((line, found.as_str(), wanted.as_str()), (2, "beta = 0.1", "beta = 0.2"));
        let error = RunDir::open(dir.path(), RunMode::Resume, "seed = 1\n").unwrap_err();
        assert!(matches!(error, TrainError::OtherRun { line: 2, .. }));
    }

    #[test]
    fn there_is_nothing_to_resume_in_an_absent_directory_and_none_is_made() {
        let dir = dir();
        let path = dir.path().join("absent");
        let error = RunDir::open(&path, RunMode::Resume, "").unwrap_err();
        assert!(matches!(error, TrainError::NothingToResume { .. }));
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_with_other_files_is_left_alone() {
        let dir = dir();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        let error = RunDir::open(dir.path(), RunMode::Fresh, "").unwrap_err();
        assert!(matches!(error, TrainError::NotARun { found, .. } if found == "thesis.tex"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// Killed between making the directory and writing `config.toml`: its lock file and a temporary are there.
    #[test]
    fn a_start_that_was_cut_short_is_no_run_and_can_be_made_again() {
        let dir = dir();
        fs::write(dir.path().join(LOCK), "1\n").unwrap();
        fs::write(dir.path().join("config.toml.tmp-abc"), "se").unwrap();
        RunDir::open(dir.path(), RunMode::Fresh, "seed = 1\n").unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_an_error() {
        let dir = dir();
        let path = dir.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(matches!(RunDir::open(&path, RunMode::Fresh, ""), Err(TrainError::Io { .. })));
    }
}
