//! The real engine as judge: docker's own client sends the whole context, as people build.
//!
//! The client must be one that brings BuildKit's side of a session with it. The one of docker.io 20.10 does, and
//! builds on engines of its age; on newer ones buildx builds, since the older client knows neither newer ignore rules nor how newer
//! engines spell names that are not ASCII.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::abilities::{self, Abilities};
use super::recipe::Recipe;

/// A Dockerfile and the arguments it is given.
pub struct Text {
    pub text: String,
    pub args: BTreeMap<String, String>,
}

/// What a build by docker came to.
pub struct Built {
    pub id: String,
    /// Every step of a named stage, and whether the cache had it.
    pub steps: Vec<(String, bool)>,
}

impl Built {
    /// Was anything of this recipe done anew?
    pub fn executed(&self, recipe: &Recipe) -> bool {
        self.steps.iter().any(|(stage, cached)| recipe.owns(stage) && !cached)
    }
}

/// An image with one static program, for the steps that run something. Removed in the end.
pub struct Tools {
    pub image: String,
    pub can: Abilities,
    builder: Builder,
}

/// The client that sends a context to the engine and has it built.
#[derive(Clone)]
pub struct Builder {
    /// docker-buildx; else the docker of this machine.
    newer: Option<PathBuf>,
    /// The frontend that is asked for.
    syntax: Option<String>,
}

/// Builds for one tree; removes what it made.
pub struct Oracle {
    tools: String,
    builder: Builder,
    stamp: String,
    made: std::sync::Mutex<BTreeSet<String>>,
}

pub fn docker(words: &[&str]) -> Result<Vec<u8>, String> {
    let program = ["/usr/bin/docker"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("docker");
    output(Command::new(program).args(words).env("DOCKER_BUILDKIT", "1"))
}

fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(said);
    }
    // A build tells its progress on one side and nothing on the other.
    Ok(if output.stdout.is_empty() { said.into_bytes() } else { output.stdout })
}

impl Builder {
    fn new() -> Self {
        let syntax = std::env::var("IMK_TEST_SYNTAX").ok().filter(|syntax| !syntax.is_empty());
        Self { newer: abilities::newer_client(), syntax }
    }

    /// Whether its client ignores files by the rules of today.
    pub fn is_newer(&self) -> bool {
        self.newer.is_some()
    }

    /// The argument that asks for the frontend.
    pub fn syntax(&self) -> Option<(String, String)> {
        self.syntax.as_ref().map(|syntax| ("BUILDKIT_SYNTAX".to_owned(), syntax.clone()))
    }

    /// Builds a Dockerfile with a folder; the image's id, and what was said.
    pub fn build(
        &self,
        context: &Path,
        text: &str,
        args: &BTreeMap<String, String>,
        more: &[&str],
    ) -> Result<(String, Vec<u8>), String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, id) = (folder.path().join("Dockerfile"), folder.path().join("id"));
        fs_err::write(&file, text).unwrap();
        let [file, id_file, context] = [&file, &id, context].map(|path| path.to_str().unwrap());
        let mut words =
            vec!["build", "--progress=plain", "--network=none", "-f", file, "--iidfile", id_file, context];
        words.extend(more);
        let args = args.clone().into_iter().chain(self.syntax());
        let args: Vec<String> = args.map(|(name, value)| format!("--build-arg={name}={value}")).collect();
        words.extend(args.iter().map(String::as_str));
        let said = match &self.newer {
            None => docker(&words)?,
            Some(buildx) => {
                let config = folder.path().join("buildx");
                let mut command = Command::new(buildx);
                output(command.args(words).arg("--provenance=false").env("BUILDX_CONFIG", config))?
            }
        };
        Ok((fs_err::read_to_string(id).unwrap().trim().to_owned(), said))
    }
}

impl Tools {
    pub fn new(stamp: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::copy(crate::sandbox::busybox(), folder.path().join("busybox")).unwrap();
        fs_err::write(
            folder.path().join("Dockerfile"),
            format!("FROM scratch\nCOPY busybox /\nCOPY passwd /etc/\nLABEL s={stamp}\n"),
        )
        .unwrap();
        // Engines of today look users up before a command runs, numbers as well.
        fs_err::write(folder.path().join("passwd"), "root:x:0:0::/:/busybox\n").unwrap();
        let image = format!("imk-test-differential:{stamp}");
        docker(&["build", "-q", "-t", &image, folder.path().to_str().unwrap()]).unwrap();
        let builder = Builder::new();
        Self { image, can: Abilities::of(&builder), builder }
    }
}

impl Drop for Tools {
    fn drop(&mut self) {
        let _ = docker(&["rmi", "-f", &self.image]);
    }
}

impl Oracle {
    /// For recipes of this stamp.
    pub fn new(tools: &Tools, stamp: &str) -> Self {
        let (tools, builder) = (tools.image.clone(), tools.builder.clone());
        Self { tools, builder, stamp: stamp.to_owned(), made: std::sync::Mutex::default() }
    }

    /// The client that builds.
    pub fn builder(&self) -> &Builder {
        &self.builder
    }

    /// One Dockerfile for all recipes; its last stage gathers what each made.
    pub fn gathered(&self, recipes: &[&Recipe]) -> Text {
        let mut text: String = recipes.iter().map(|recipe| recipe.head()).collect();
        text.extend(recipes.iter().map(|recipe| recipe.body()));
        text += &format!("FROM {}\nRUN", self.tools);
        for recipe in recipes {
            text += &format!(" \\\n  --mount=type=bind,from={},target=/m/{}", recipe.stage(), recipe.number);
        }
        text += " \\\n  [\"/busybox\", \"tar\", \"cf\", \"/out.tar\", \"-C\", \"/m\", \".\"]\n";
        Text { text, args: recipes.iter().flat_map(|recipe| recipe.args()).collect() }
    }

    /// Builds a Dockerfile with the whole context.
    pub fn build(&self, context: &Path, text: &Text) -> Result<Built, String> {
        let (id, said) = self.builder.build(context, &text.text, &text.args, &[])?;
        self.keep(&id);
        Ok(Built { id, steps: steps(&String::from_utf8_lossy(&said)) })
    }

    /// Whether a Dockerfile is refused where no cache has anything of it.
    pub fn refuses(&self, context: &Path, text: &Text) -> bool {
        let built = self.builder.build(context, &text.text, &text.args, &["--no-cache"]);
        built.inspect(|(id, _)| self.keep(id)).is_err()
    }

    /// Remembers an image, so that it is removed.
    pub fn keep(&self, id: &str) {
        self.made.lock().unwrap().insert(id.to_owned());
    }

    /// What reached each recipe's stage: for each file its path there and its content.
    pub fn reached(&self, id: &str) -> BTreeMap<usize, BTreeMap<String, String>> {
        let container = String::from_utf8(docker(&["create", id, "/busybox"]).unwrap()).unwrap();
        let container = container.trim();
        let bytes = docker(&["cp", &format!("{container}:/out.tar"), "-"]).unwrap();
        docker(&["rm", container]).unwrap();
        let mut outer = tar::Archive::new(bytes.as_slice());
        let inner = outer.entries().unwrap().next().unwrap().unwrap();
        let mut found: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
        for entry in tar::Archive::new(inner).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let Some((number, path)) = path.trim_start_matches("./").split_once('/') else { continue };
            let files = found.entry(number.parse().unwrap()).or_default();
            // What a program's image brings along is not of the tree.
            if path.starts_with(&self.stamp) && entry.header().entry_type().is_file() {
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                files.insert(path.to_owned(), text);
            }
        }
        found
    }

    /// Removes the images made so far; what the engine's cache holds stays.
    pub fn clear(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        let ids: Vec<&str> = made.iter().map(String::as_str).collect();
        if !ids.is_empty() {
            let _ = docker(&[&["rmi", "-f"], ids.as_slice()].concat());
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Reads plain progress: `#7 [s3 1/2] COPY …`, then `#7 CACHED` or `#7 DONE 0.1s`.
fn steps(said: &str) -> Vec<(String, bool)> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut steps = Vec::new();
    for line in said.lines() {
        let Some((number, rest)) = line.split_once(' ') else { continue };
        if let Some(rest) = rest.strip_prefix('[') {
            // What a stage begins with is found anew every time; so is a folder made in an empty image. A
            // `WORKDIR` that changed tells it by the image's id.
            // What is fetched is asked for every time, under the name of its instruction.
            let upper = rest.to_uppercase();
            if rest.contains("] FROM ") || upper.contains("] WORKDIR ") || upper.contains("] ADD --CHECKSUM")
            {
                continue;
            }
            let stage = rest.split([' ', ']']).next().unwrap_or_default();
            names.insert(number, stage);
        } else if let Some(stage) = names.get(number)
            && (rest == "CACHED" || rest.starts_with("DONE"))
        {
            steps.push(((*stage).to_owned(), rest == "CACHED"));
        }
    }
    steps
}
