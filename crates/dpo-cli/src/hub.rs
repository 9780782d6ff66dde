//! Models and data sets by hub id: what is in the cache is used as it is, the rest is downloaded into it.
//!
//! The cache has the layout of Python's `huggingface_hub`, and both share it. All files of a download come from one
//! commit; the name of a revision is recorded last, so that an interrupted download is continued and never used.

mod explain;
mod files;
mod id;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use explain::explain;
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use id::RepoId;
use std::path::{Path, PathBuf};

/// Revision to which the hub itself converts every data set.
const PARQUET_REVISION: &str = "refs/convert/parquet";

/// Where the hub is, where its cache is, and whether to ask it at all.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `~/.cache/huggingface`.
    cache_dir: PathBuf,
    /// `HF_ENDPOINT`, else <https://huggingface.co>.
    endpoint: String,
    /// `HF_TOKEN`, else what `hf auth login` stored.
    token: Option<String>,
    /// `HF_HUB_OFFLINE`.
    offline: bool,
    /// Whether downloads show a bar.
    progress: bool,
}

impl Hub {
    /// The settings of the environment.
    pub(crate) fn from_env(progress: bool) -> Result<Self> {
        Self::from_vars(|name| std::env::var(name).ok().filter(|value| !value.is_empty()), progress)
    }

    fn from_vars(var: impl Fn(&str) -> Option<String>, progress: bool) -> Result<Self> {
        let cached = || Some(PathBuf::from(var("XDG_CACHE_HOME")?).join("huggingface"));
        let standard =
            || Some(PathBuf::from(var("HOME").or_else(|| var("USERPROFILE"))?).join(".cache/huggingface"));
        let home = var("HF_HOME").map(PathBuf::from).or_else(cached).or_else(standard);
        let home = home.context("neither HF_HOME nor HOME is set: there is no place for the hub's cache")?;
        let cache_dir = var("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        let stored = || {
            let path = var("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
            std::fs::read_to_string(path).ok()
        };
        let token = var("HF_TOKEN").or_else(stored).map(|token| token.trim().to_owned());
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            // hf-hub links files by relative paths, which it can only find between absolute ones.
            cache_dir: std::path::absolute(&cache_dir).with_context(|| cache_dir.display().to_string())?,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
            offline: var("HF_HUB_OFFLINE").is_some_and(yes),
            progress,
        })
    }

    /// The folder or file of a model: `given` itself where that exists, else the hub's `org/name[@revision]`.
    pub(crate) fn model(&self, given: &str) -> Result<PathBuf> {
        if Path::new(given).exists() {
            return Ok(PathBuf::from(given));
        }
        let id = RepoId::model(given)?;
        if let Some(folder) =
            self.snapshot(RepoType::Model, &id.name, &id.revision).filter(|f| files::is_model(f))
        {
            return Ok(folder);
        }
        self.refuse_offline(&format!("model `{given}`"))?;
        let commit = self.commit(RepoType::Model, &id.name, &id.revision)?;
        let plan = files::small_model_files(&id.name, &commit.names)?;
        let small = commit.download(&plan)?;
        let weights = files::weight_files(&id.name, &commit.names, |name| {
            Ok(std::fs::read_to_string(commit.download_one(name)?)?)
        })?;
        commit.download(&weights)?;
        commit.record()?;
        let config = small.iter().find(|path| path.ends_with("config.json"));
        let folder = config.and_then(|path| path.parent());
        Ok(folder.context("the cache lost a file while it was filled")?.to_path_buf())
    }

    /// The files of one split of a data set: `given` itself where that exists, else the Parquet files of the hub's
    /// `org/name[/subset][@revision]`.
    pub(crate) fn dataset(&self, given: &str, split: &str) -> Result<Vec<PathBuf>> {
        if Path::new(given).exists() {
            return Ok(vec![PathBuf::from(given)]);
        }
        let id = RepoId::dataset(given)?;
        let revisions = dataset_revisions(&id);
        for revision in &revisions {
            if let Some(paths) = self.cached_split(&id, revision, split)? {
                return Ok(paths);
            }
        }
        self.refuse_offline(&format!("split `{split}` of data set `{given}`"))?;
        for revision in &revisions {
            let commit = self.commit(RepoType::Dataset, &id.name, revision)?;
            if !commit.names.iter().any(|name| files::is_parquet(name)) {
                continue;
            }
            let mut names = files::split_files(&id, &commit.names, split)?;
            names.reverse(); // The first part arrives last: where it is there, all are.
            let mut paths = commit.download(&names)?;
            commit.record()?;
            paths.reverse();
            return Ok(paths);
        }
        bail!("data set `{given}` has no Parquet files; download its files and give their paths")
    }

    fn cached_split(&self, id: &RepoId, revision: &str, split: &str) -> Result<Option<Vec<PathBuf>>> {
        let Some(folder) = self.snapshot(RepoType::Dataset, &id.name, revision) else { return Ok(None) };
        let names = files::parquet_below(&folder)?;
        let Ok(names) = files::split_files(id, &names, split) else { return Ok(None) };
        let whole = files::is_whole(&names);
        Ok(whole.then(|| names.iter().map(|name| folder.join(name)).collect()))
    }

    fn refuse_offline(&self, what: &str) -> Result<()> {
        if self.offline {
            let cache = self.cache_dir.display();
            bail!(
                "{what} is neither a path nor complete in the cache {cache}, and HF_HUB_OFFLINE is set; unset it to \
                 download, or give a path that is there"
            );
        }
        Ok(())
    }

    /// The cache's folder for a revision, by its recorded name or as a commit.
    fn snapshot(&self, repo_type: RepoType, name: &str, revision: &str) -> Option<PathBuf> {
        let repo = Repo::with_revision(name.to_owned(), repo_type, revision.to_owned());
        let base = self.cache_dir.join(repo.folder_name());
        let recorded = std::fs::read_to_string(base.join("refs").join(revision)).ok();
        let commit = recorded.map_or_else(|| revision.to_owned(), |text| text.trim().to_owned());
        if !id::is_commit(&commit) {
            return None;
        }
        Some(base.join("snapshots").join(commit)).filter(|folder| folder.is_dir())
    }

    /// Asks the hub which commit a revision is, and for its files.
    fn commit(&self, repo_type: RepoType, name: &str, revision: &str) -> Result<Commit> {
        let builder = ApiBuilder::from_cache(Cache::new(self.cache_dir.clone()));
        let builder = builder.with_endpoint(self.endpoint.clone()).with_token(self.token.clone());
        let api = builder.with_progress(self.progress).build().context("cannot start the hub client")?;
        let repo = |revision: &str| Repo::with_revision(name.to_owned(), repo_type, revision.to_owned());
        let what = format!("{} `{name}` at revision `{revision}`", files::kind(repo_type));
        let RepoInfo { siblings, sha } =
            api.repo(repo(revision)).info().map_err(|error| explain(error, &what, &self.endpoint))?;
        if !id::is_commit(&sha) {
            bail!("{what}: {} answered with the commit `{sha}`, which is none", self.endpoint);
        }
        // Names become paths in the cache: nothing that leaves it.
        let names =
            siblings.into_iter().map(|file| file.rfilename).filter(|name| id::is_plain_path(name)).collect();
        Ok(Commit { hub: self.clone(), files: api.repo(repo(&sha)), named: repo(revision), sha, what, names })
    }
}

/// The named revision, and the hub's own conversion where none was named.
fn dataset_revisions(id: &RepoId) -> Vec<String> {
    let converted = (id.revision == id::MAIN).then(|| PARQUET_REVISION.to_owned());
    [id.revision.clone()].into_iter().chain(converted).collect()
}

/// One commit of a repository on the hub.
struct Commit {
    hub: Hub,
    /// The repository at this commit.
    files: ApiRepo,
    /// The repository at the revision that was asked for.
    named: Repo,
    sha: String,
    what: String,
    names: Vec<String>,
}

impl Commit {
    fn download(&self, names: &[String]) -> Result<Vec<PathBuf>> {
        names.iter().map(|name| self.download_one(name)).collect()
    }

    fn download_one(&self, name: &str) -> Result<PathBuf> {
        let what = format!("{}, file `{name}`", self.what);
        self.files.get(name).map_err(|error| explain(error, &what, &self.hub.endpoint))
    }

    /// Lets the revision's name stand for this commit from now on.
    fn record(&self) -> Result<()> {
        let cache = Cache::new(self.hub.cache_dir.clone()).repo(self.named.clone());
        cache
            .create_ref(&self.sha)
            .with_context(|| format!("cannot write to {}", self.hub.cache_dir.display()))
    }
}
