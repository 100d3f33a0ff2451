//! imk as the one that is judged: a real session over a real disk, with keys from the query of input hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use imk::engine::{
    BuildEvent, BuildRequest, Cancel, ContextFiles, DockerEngine, Endpoint, Engine, Environment, FakeEngine,
};
use imk::model::file::{FileKind, UsedFile, UsedFiles};
use imk::query::action_key::input_hash;
use imk::session::open::{Opening, Session};
use imk::session::project::Overrides;
use imk::session::sync;
use imk::source::disk::DiskTree;
use imk::source::locate::Located;
use imk::source::tree::SourceTree;

use super::recipe::Recipe;

/// What imk thinks of one recipe.
pub enum Verdict {
    /// It can be built: its key, and the files it would send.
    Good { key: String, files: UsedFiles },
    /// It cannot, for this reason.
    Bad(String),
}

/// A repository with one context and a Dockerfile for each recipe.
pub struct Subject {
    root: PathBuf,
    tree: Arc<DiskTree>,
    session: Session,
}

impl Subject {
    pub fn new(root: &Path, numbers: &BTreeSet<usize>) -> Self {
        let image = |number: &usize| {
            format!("\"r{number}\": (dockerfile: \"r/{number}/Dockerfile\", context: \"ctx\")")
        };
        let images: Vec<String> = numbers.iter().map(image).collect();
        fs::write(root.join("Imagefile.ron"), format!("(images: {{{}}})", images.join(", "))).unwrap();
        let state = imk::state::folder::StateFolder::at(&root.join(".imk"));
        let tree = Arc::new(DiskTree::open(root, &state).unwrap());
        let opening = Opening {
            located: Located { root: root.to_owned(), imagefile: Some("Imagefile.ron".into()) },
            overrides: Overrides::default(),
            engine: Arc::new(FakeEngine::new()),
            tree: Arc::clone(&tree) as Arc<dyn SourceTree>,
            registry: Arc::new(imk::registry::FakeRegistry::new()),
            lookups: imk::session::upstream::LookupOptions::default(),
            cancel: Cancel::default(),
            environment: Default::default(),
            state,
            exclusive: false,
        };
        let session = Session::open(opening, || Ok(Vec::new()), |_| {}).unwrap_or_else(|_| panic!("opens"));
        Self { root: root.to_owned(), tree, session }
    }

    /// Looks at everything as it is now.
    pub fn verdicts(&mut self, recipes: &[Recipe]) -> BTreeMap<usize, Verdict> {
        for recipe in recipes {
            let path = self.root.join(format!("r/{}/Dockerfile", recipe.number));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, recipe.to_string()).unwrap();
            let image = self.session.project.images.get_mut(&format!("r{}", recipe.number));
            image.unwrap().options.args = recipe.args();
        }
        let synced = sync::sync(&mut self.session, &[]).unwrap();
        let verdict = |recipe: &Recipe| {
            let name = format!("r{}", recipe.number);
            let image = self.session.input(&name).unwrap();
            let key = match input_hash(self.session.db(), image) {
                Ok(key) => key.to_string(),
                Err(problems) => {
                    let all: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
                    return Verdict::Bad(all.join("; "));
                }
            };
            let files = synced.selections.get(&name).map(|it| self.tree.used_files(it).unwrap());
            Verdict::Good { key, files: files.unwrap_or_default() }
        };
        recipes.iter().map(|recipe| (recipe.number, verdict(recipe))).collect()
    }
}

/// imk's own way to the engine.
pub struct Hand {
    engine: DockerEngine,
    context: PathBuf,
    syntax: Option<(String, String)>,
}

struct Sent {
    context: PathBuf,
    list: UsedFiles,
}

impl ContextFiles for Sent {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn std::io::Read + Send>, String> {
        let file = fs::File::open(self.context.join(&file.path)).map_err(|error| error.to_string())?;
        Ok(Box::new(file))
    }
}

impl Hand {
    pub fn new(context: &Path, syntax: Option<(String, String)>) -> Self {
        let environment = Environment::from_lookup(|name| std::env::var(name).ok());
        let engine = DockerEngine::new(Endpoint::resolve(&environment).unwrap());
        Self { engine, context: context.to_owned(), syntax }
    }

    /// Builds with these files and no others; the id, and the steps that the cache did not have.
    pub fn build(
        &self,
        text: &str,
        args: BTreeMap<String, String>,
        list: UsedFiles,
    ) -> Result<(String, Vec<String>), String> {
        let request = BuildRequest {
            layouts: Default::default(),
            ssh: Default::default(),
            sandbox: Default::default(),
            no_cache_stages: Vec::new(),
            entitlements: Default::default(),
            image: "differential".into(),
            dockerfile: text.to_owned(),
            target: None,
            args: args.into_iter().chain(self.syntax.clone()).collect(),
            labels: BTreeMap::new(),
            platform: None,
            network: Some("none".into()),
            secrets: BTreeMap::new(),
            no_cache: false,
            cache: Default::default(),
            repository: None,
            share: self.context.display().to_string(),
            files: Arc::new(Sent { context: self.context.clone(), list }),
            contexts: Default::default(),
        };
        let events = Mutex::new(Vec::new());
        let done =
            self.engine.build(&request, &|event| events.lock().unwrap().push(event), &Cancel::default());
        let id = done.map_err(|error| error.to_string())?;
        let mut names = BTreeMap::new();
        let mut executed = Vec::new();
        for event in events.into_inner().unwrap() {
            match event {
                BuildEvent::Step { id, name, .. } => {
                    names.insert(id, name);
                }
                BuildEvent::StepDone { id, cached: false, .. } => {
                    executed.extend(names.get(&id).filter(|name| is_instruction(name)).cloned());
                }
                _ => {}
            }
        }
        Ok((id.0, executed))
    }
}

/// Steps that the engine takes on its own have other names: `exporting to image`, `[internal] …`. The
/// folder that `WORKDIR` makes in an empty image is made every time.
fn is_instruction(name: &str) -> bool {
    // What is fetched is asked for every time, under the name of its instruction.
    let upper = name.to_uppercase();
    !upper.contains("] ADD --CHECKSUM") && upper.split(' ').any(|word| matches!(word, "COPY" | "ADD" | "RUN"))
}

/// All files of several lists, each once.
pub fn union<'a>(lists: impl IntoIterator<Item = &'a UsedFiles>) -> UsedFiles {
    let mut files: Vec<UsedFile> = lists.into_iter().flat_map(|list| list.files.iter().cloned()).collect();
    files.sort_by(|a, b| imk::source::select::by_components(&a.path, &b.path).then(b.counts.cmp(&a.counts)));
    files.dedup_by(|later, first| later.path == first.path);
    UsedFiles { files }
}

/// Paths of the regular files that count.
pub fn counted(files: &UsedFiles) -> impl Iterator<Item = &str> {
    let counted = files.files.iter().filter(|file| file.counts && file.kind == FileKind::File);
    counted.map(|file| file.path.as_str())
}
