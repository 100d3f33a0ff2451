//! The tools that are compared: what each reads, and the command that brings all images up to date with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::{Map, Value, json};

use crate::common::repository::Shape;
use crate::common::round::{is_installed, run};
use crate::common::{ninja, walk};

const IMK: &str = env!("CARGO_BIN_EXE_imk");

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Imk,
    /// imk with its file system monitor.
    Monitored,
    /// One walk that asks for the status of every file: no tool, the yardstick.
    Walk,
    GitStatus,
    Ninja,
    Make,
    Bake,
    Compose,
    /// `docker build` of every image in order.
    Loop,
}

impl Tool {
    /// What is compared with imk where nothing changed.
    pub const ALL: [Self; 8] = [
        Self::Monitored,
        Self::Walk,
        Self::GitStatus,
        Self::Ninja,
        Self::Make,
        Self::Bake,
        Self::Compose,
        Self::Loop,
    ];

    /// As the tables say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imk => "imk",
            Self::Monitored => "imk with its monitor",
            Self::Walk => "bare walk, two threads",
            Self::GitStatus => "git status",
            Self::Ninja => "ninja and docker build",
            Self::Make => "make -rR and docker build",
            Self::Bake => "docker buildx bake",
            Self::Compose => "docker compose build",
            Self::Loop => "docker build in a loop",
        }
    }
}

/// A repository with what each tool wants beside it.
pub struct Bench {
    pub shape: Shape,
    root: PathBuf,
    /// Beside the repository: the tools' own files, which are nobody's context.
    state: PathBuf,
    plugins: Option<PathBuf>,
    edits: std::cell::Cell<usize>,
}

impl Bench {
    /// Writes the repository and all the tools' files below `folder`.
    pub fn new(shape: Shape, folder: &Path) -> Self {
        let (root, state) = (folder.join("work"), folder.join("state"));
        shape.write(&root).expect("the repository can be written");
        crate::commit(&root);
        let bench = Self { shape, root, state, plugins: crate::plugins(), edits: Default::default() };
        let stamp = format!("{} $image $image >/dev/null && touch $out", bench.build());
        ninja::write(shape, &bench.state, &stamp).expect("build.ninja can be written");
        let texts = [
            ("Makefile", bench.makefile()),
            ("bake.json", bench.bake().to_string()),
            ("compose.json", bench.compose().to_string()),
            ("loop.sh", bench.in_a_loop()),
        ];
        for (name, text) in texts {
            fs::write(bench.state.join(name), text).expect("a tool's file can be written");
        }
        bench
    }

    /// The recipe of make, ninja and the loop, up to the name: that which the Dockerfiles say.
    ///
    /// A docker command without buildx builds without BuildKit.
    fn build(&self) -> String {
        let program =
            self.plugin("docker-buildx").map_or_else(|| "docker".into(), |path| path.display().to_string());
        let load = if program == "docker" { "" } else { " --load" };
        format!("{program} build --quiet{load} --tag")
    }

    fn names(&self) -> impl Iterator<Item = (String, Option<String>)> {
        (0..self.shape.images).map(|number| (Shape::name(number), self.shape.base(number).map(Shape::name)))
    }

    fn makefile(&self) -> String {
        let all: Vec<String> = self.names().map(|(name, _)| format!("$(STATE)/{name}.made")).collect();
        let build = self.build();
        let mut text = format!("STATE := {}\nall: {}\n", self.state.display(), all.join(" "));
        for (name, base) in self.names() {
            let _ = write!(text, "$(STATE)/{name}.made: {name}/Dockerfile");
            for file in self.shape.files() {
                let _ = write!(text, " {name}/{file}");
            }
            let base = base.map(|base| format!(" $(STATE)/{base}.made")).unwrap_or_default();
            let _ = writeln!(text, "{base}\n\t@{build} {name} {name} >/dev/null && touch $@");
        }
        text
    }

    fn bake(&self) -> Value {
        let targets: Map<String, Value> = self
            .names()
            .map(|(name, base)| {
                let mut target = json!({ "context": name, "tags": [format!("bake-bench/{name}")] });
                if let Some(base) = base {
                    target["contexts"] = json!({ base.clone(): format!("target:{base}") });
                }
                (name, target)
            })
            .collect();
        let all: Vec<&String> = targets.keys().collect();
        json!({ "group": { "default": { "targets": all } }, "target": targets })
    }

    fn compose(&self) -> Value {
        let services: Map<String, Value> = self
            .names()
            .map(|(name, base)| {
                let mut build = json!({ "context": self.root.join(&name) });
                if let Some(base) = base {
                    build["additional_contexts"] = json!({ base.clone(): format!("service:{base}") });
                }
                let service = json!({ "build": build, "image": format!("compose-bench/{name}") });
                (name, service)
            })
            .collect();
        json!({ "name": "bench", "services": services })
    }

    fn in_a_loop(&self) -> String {
        let build = self.build();
        self.names().fold("set -e\n".to_owned(), |mut text, (name, _)| {
            let _ = writeln!(text, "{build} {name} {name} >/dev/null");
            text
        })
    }

    /// Is the tool there?
    pub fn has(&self, tool: Tool) -> bool {
        let is_there = match tool {
            Tool::Bake => self.plugin("docker-buildx").is_some(),
            Tool::Compose => {
                self.plugin("docker-compose").is_some() && self.plugin("docker-buildx").is_some()
            }
            Tool::Ninja => is_installed("ninja") && is_installed("docker"),
            Tool::Make => is_installed("make") && is_installed("docker"),
            Tool::Loop => is_installed("docker"),
            Tool::Imk | Tool::Monitored | Tool::Walk | Tool::GitStatus => true,
        };
        if !is_there {
            eprintln!("{} is not installed: not compared", tool.name());
        }
        is_there
    }

    fn plugin(&self, name: &str) -> Option<PathBuf> {
        self.plugins.as_ref().map(|folder| folder.join(name)).filter(|path| path.exists())
    }

    /// What brings all images up to date.
    pub fn command(&self, tool: Tool) -> Command {
        let of = |program: &str| {
            let mut command = Command::new(program);
            command.current_dir(&self.root);
            command
        };
        let plugin =
            |name: &str| of(&self.plugin(name).expect("asked whether it is there").to_string_lossy());
        let file = |name: &str| self.state.join(name);
        let mut command = match tool {
            Tool::Imk | Tool::Monitored => of(IMK),
            Tool::Walk => of(&std::env::current_exe().expect("a program knows its path").to_string_lossy()),
            Tool::GitStatus => of("git"),
            Tool::Ninja => of("ninja"),
            Tool::Make => of("make"),
            Tool::Bake => plugin("docker-buildx"),
            Tool::Compose => plugin("docker-compose"),
            Tool::Loop => of("sh"),
        };
        match tool {
            Tool::Imk => command.args(["--prefix", "imk-bench/", "--fsmonitor=false"]),
            Tool::Monitored => command.args(["--prefix", "imk-bench/", "--fsmonitor=true"]),
            Tool::Walk => command.arg("--walk").arg(&self.root),
            Tool::GitStatus => command.arg("status"),
            Tool::Ninja => command.arg("-f").arg(file("build.ninja")),
            Tool::Make => command.args(["-rR", "-j2", "-f"]).arg(file("Makefile")),
            Tool::Bake => command.args(["bake", "--load", "-f"]).arg(file("bake.json")),
            Tool::Compose => command.arg("-f").arg(file("compose.json")).arg("build"),
            Tool::Loop => command.arg(file("loop.sh")),
        };
        command
    }

    /// Brings a tool to where it has nothing to do, twice: a tool that looks at times writes down what it saw.
    pub fn settle(&self, tool: Tool) {
        for tool in [Tool::Imk, tool, tool] {
            run(&mut self.command(tool));
        }
        let output = self.command(Tool::Imk).output().expect("imk starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(" 0 built, 0 failed"), "imk has something to do: {said}");
    }

    /// Changes one file of the last image, on which none is built.
    pub fn edit(&self) {
        self.edits.set(self.edits.get() + 1);
        // Tools that go by time stamps miss an edit in the same tick of the file system's clock as their own stamp.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let file = self.shape.files().next().expect("an image has files");
        let path = self.root.join(Shape::name(self.shape.images - 1)).join(file);
        fs::write(path, format!("edit {}\n", self.edits.get())).expect("a file can be written");
    }

    /// Takes from a tool and from the engine what was built.
    pub fn forget_everything(&self, tool: Tool) {
        self.remove_images();
        run(docker().args(["builder", "prune", "--all", "--force"]));
        if tool == Tool::Imk {
            let _ = fs::remove_dir_all(self.root.join(".imk"));
        }
        for (name, _) in self.names() {
            let _ = fs::remove_file(self.state.join(&name));
        }
        let _ = fs::remove_file(self.state.join(".ninja_log"));
    }

    /// Takes all images of the bench from the engine, and stops the monitor.
    pub fn remove_images(&self) {
        let mut stop = Command::new(IMK);
        let _ = stop.current_dir(&self.root).args(["fsmonitor", "stop"]).output();
        let listed = docker().args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).output();
        let listed = listed.expect("docker starts");
        let ours: Vec<String> = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter(|name| {
                ["imk-bench/", "bake-bench/", "compose-bench/", "image-"]
                    .iter()
                    .any(|start| name.starts_with(start))
            })
            .map(str::to_owned)
            .collect();
        if !ours.is_empty() {
            run(docker().args(["image", "rm", "--force"]).args(&ours));
        }
        run(docker().args(["image", "prune", "--force"]));
    }
}

/// The walk that is the yardstick, when this program is called for it.
pub fn walk_if_asked() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [word, root] = &words[..] else { return false };
    let is_asked = word == "--walk";
    if is_asked {
        println!("{}", walk::walk(Path::new(root)));
    }
    is_asked
}

fn docker() -> Command {
    Command::new("docker")
}

/// The tools with their versions.
pub fn versions() -> Vec<String> {
    let plugins = crate::plugins();
    let plugin = |name: &str| plugins.as_ref().map(|folder| folder.join(name));
    let asked = [
        (Some(PathBuf::from(IMK)), vec!["--version"]),
        (Some("git".into()), vec!["--version"]),
        (Some("ninja".into()), vec!["--version"]),
        (Some("make".into()), vec!["--version"]),
        (plugin("docker-buildx"), vec!["version"]),
        (plugin("docker-compose"), vec!["version"]),
        (Some("docker".into()), vec!["--version"]),
    ];
    asked
        .into_iter()
        .filter_map(|(program, words)| {
            let program = program?;
            let output = Command::new(&program).args(words).output().ok()?;
            let said = String::from_utf8_lossy(&output.stdout);
            let name = program.file_name()?.to_string_lossy().replace("docker-", "");
            let version = said.split_whitespace().find(|word| {
                word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) && word.contains('.')
            })?;
            let version = version.trim_matches(['v', ',']).split('+').next()?;
            Some(format!("{name} {version}"))
        })
        .collect()
}
