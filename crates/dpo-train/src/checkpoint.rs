//! Checkpoints that are complete or absent. What is in them is the business of whoever writes them.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::TrainError;
use crate::files::{TEMPORARY, parent, remove, sync_dir};
use crate::manifest::{MANIFEST, Manifest};

/// What the name of a checkpoint ends in while one of the same step takes its place.
const REPLACED: &str = ".replaced";

/// The checkpoints of a run, `step-000100` and so on. The run's lock must be held.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

/// A checkpoint's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Steps made before it.
    pub step: u64,
    /// Its folder.
    pub path: PathBuf,
}

/// The checkpoint to go on from.
#[derive(Debug)]
pub struct LastComplete {
    /// The latest one of which every byte is as written; none if there is none.
    pub checkpoint: Option<Checkpoint>,
    /// Later ones that were found damaged.
    pub damaged: Vec<TrainError>,
}

impl Checkpoints {
    /// Opens the folder, makes it if it is absent, and clears away what a fault left in it.
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        fs::create_dir_all(dir).map_err(TrainError::io("make the directory", dir))?;
        let checkpoints = Self { dir: dir.to_owned() };
        checkpoints.clear_leftovers()?;
        Ok(checkpoints)
    }

    /// Writes the checkpoint of this step, completely or not at all: `write` fills a folder that takes its name
    /// only when every byte of it is on the disk.
    pub fn save<W>(&self, step: u64, write: W) -> Result<Checkpoint, TrainError>
    where
        W: FnOnce(&Path) -> Result<(), TrainError>,
    {
        let name = name_of(step);
        let temporary = Builder::new()
            .prefix(&format!("{name}{TEMPORARY}"))
            .tempdir_in(&self.dir)
            .map_err(TrainError::io("make a directory in", &self.dir))?;
        write(temporary.path())?;
        Manifest::of_synced(temporary.path(), step)?.write(temporary.path())?;
        make_readable(temporary.path()).map_err(TrainError::io("write", temporary.path()))?;
        let path = self.dir.join(&name);
        self.put_in_place(temporary.path(), &path).map_err(TrainError::io("write", &path))?;
        // It has another name now, and is no temporary any more.
        let _ = temporary.keep();
        self.delete(&format!("{name}{REPLACED}"))?;
        Ok(Checkpoint { step, path })
    }

    /// All checkpoints, the earliest first; their content is not looked at.
    pub fn list(&self) -> Result<Vec<Checkpoint>, TrainError> {
        let mut found: Vec<Checkpoint> = self
            .names()?
            .into_iter()
            .filter_map(|name| Some(Checkpoint { step: step_of(&name)?, path: self.dir.join(name) }))
            .filter(|checkpoint| checkpoint.path.join(MANIFEST).exists())
            .collect();
        found.sort_by_key(|checkpoint| checkpoint.step);
        Ok(found)
    }

    /// The latest checkpoint that is as it was written; damaged ones are passed over.
    pub fn last_complete(&self) -> Result<LastComplete, TrainError> {
        let mut damaged = Vec::new();
        for checkpoint in self.list()?.into_iter().rev() {
            match checkpoint.verify() {
                Ok(()) => return Ok(LastComplete { checkpoint: Some(checkpoint), damaged }),
                Err(error) => damaged.push(error),
            }
        }
        Ok(LastComplete { checkpoint: None, damaged })
    }

    /// Deletes all but the latest `keep` checkpoints.
    pub fn prune(&self, keep: NonZeroUsize) -> Result<(), TrainError> {
        let all = self.list()?;
        let n_old = all.len().saturating_sub(keep.get());
        for checkpoint in &all[..n_old] {
            let name = name_of(checkpoint.step);
            // Half deleted it must not look like a checkpoint.
            let doomed = format!("{name}{TEMPORARY}pruned");
            self.delete(&doomed)?;
            fs::rename(&checkpoint.path, self.dir.join(&doomed))
                .map_err(TrainError::io("delete", &checkpoint.path))?;
            self.delete(&doomed)?;
        }
        Ok(())
    }

    /// Gives the finished folder its name. A checkpoint of the same step steps aside until that is done.
    fn put_in_place(&self, finished: &Path, path: &Path) -> std::io::Result<()> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(REPLACED);
        let aside = Path::new(&aside);
        if path.exists() {
            remove(aside)?;
            fs::rename(path, aside)?;
        }
        if let Err(error) = fs::rename(finished, path) {
            // Should this fail too, the next `open` does it.
            let _ = fs::rename(aside, path);
            return Err(error);
        }
        sync_dir(&self.dir)
    }

    /// Deletes temporaries, and finishes or takes back a replacement that was cut short.
    fn clear_leftovers(&self) -> Result<(), TrainError> {
        for name in self.names()? {
            if name.starts_with("step-") && name.contains(TEMPORARY) {
                self.delete(&name)?;
            } else if let Some(original) = name.strip_suffix(REPLACED) {
                let original = self.dir.join(original);
                if original.exists() {
                    self.delete(&name)?;
                } else {
                    fs::rename(self.dir.join(&name), &original)
                        .map_err(TrainError::io("rename", &original))?;
                }
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, TrainError> {
        let at = || TrainError::io("read the directory", &self.dir);
        let entries = fs::read_dir(&self.dir).map_err(at())?;
        entries.map(|entry| Ok(entry.map_err(at())?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn delete(&self, name: &str) -> Result<(), TrainError> {
        let path = self.dir.join(name);
        remove(&path).map_err(TrainError::io("delete", &path))
    }
}

impl Checkpoint {
    /// A checkpoint anywhere, as a user names it; it must be whole.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let manifest = Manifest::read(path)?;
        manifest.verify(path)?;
        Ok(Self { step: manifest.step, path: path.to_owned() })
    }

    /// Whether every byte is as it was written.
    pub fn verify(&self) -> Result<(), TrainError> {
        let manifest = Manifest::read(&self.path)?;
        if manifest.step != self.step {
            let what = format!("{MANIFEST} is that of step {}", manifest.step);
            return Err(TrainError::CheckpointDamaged { path: self.path.clone(), what });
        }
        manifest.verify(&self.path)
    }
}

fn name_of(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step of a name that [`name_of`] gave.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}

/// Temporary folders are their owner's alone; a checkpoint may be read by whom the run directory's folders may.
fn make_readable(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        let parent = fs::metadata(parent(path))?;
        fs::set_permissions(path, parent.permissions())?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
