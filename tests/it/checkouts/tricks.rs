//! What the author of a checkout may put into it to have his way. A trick is a row; each is tried with every verb.

use std::path::PathBuf;

use fs_err as fs;

use super::world::World;

/// One way to lay out a checkout.
pub struct Trick {
    pub name: &'static str,
    pub lay: fn(&World),
}

const fn trick(name: &'static str, lay: fn(&World)) -> Trick {
    Trick { name, lay }
}

/// Files of the state folder.
const STATE: &[&str] = &[
    "ledger",
    "snapshot",
    "stat",
    "upstream",
    "images",
    "lock",
    "recipes",
    "git-answers",
    "git-blobs",
    "git/heads",
    "CACHEDIR.TAG",
    ".gitignore",
];

pub const TRICKS: &[Trick] = &[
    trick("nothing wrong", |world| world.commit(false, "x")),
    trick("git's configuration in the checkout runs programs", git_configuration),
    trick("git's configuration is included from a tracked file", |world| {
        world.write("checkout/evil.config", &hostile_configuration(world));
        with_remote_overlay(world);
        world.commit(false, "x");
        append(world, "checkout/.git/config", "[include]\n\tpath = ../evil.config\n");
    }),
    trick("git's folder is elsewhere", |world| {
        with_remote_overlay(world);
        world.commit(false, "x");
        fs::rename(world.path("checkout/.git"), world.path("author/repo.git")).unwrap();
        world.write("checkout/.git", "gitdir: ../author/repo.git\n");
        append(world, "author/repo.git/config", &hostile_configuration(world));
    }),
    trick("git's work tree is elsewhere", |world| {
        world.commit(false, "x");
        append(
            world,
            "checkout/.git/config",
            &format!("[core]\n\tworktree = {}\n", world.path("outside").display()),
        );
    }),
    trick("the checkout is a bare repository that runs programs", |world| {
        world.commit(false, "x");
        for name in ["HEAD", "objects", "refs"] {
            copy(&world.path(&format!("checkout/.git/{name}")), &world.path(&format!("checkout/{name}")));
        }
        world.write("checkout/config", &hostile_configuration(world));
        fs::remove_dir_all(world.path("checkout/.git")).unwrap();
    }),
    trick("submodules are fetched by programs", |world| {
        let evil = world.evil();
        world.write(
            "checkout/.gitmodules",
            &format!("[submodule \"m\"]\n\tpath = src/m\n\turl = ext::{evil} m\n\tupdate = !{evil}\n"),
        );
        world.commit(false, "x");
        world.write("checkout/src/m/.git", "gitdir: ../../../author/m.git\n");
    }),
    trick("the clone brings state that git tracks", |world| {
        tracked_state(world);
        world.commit(true, "x");
    }),
    trick("an archive brings state", |world| {
        tracked_state(world);
        world.commit(false, "x");
    }),
    trick("the state folder is a link", |world| {
        world.link("checkout/.imk", &world.path("outside/folder"));
        world.commit(false, "x");
    }),
    trick("the state folder is a file", |world| {
        world.write("checkout/.imk", "x");
        world.commit(false, "x");
    }),
    trick("folders of state are links", |world| {
        for name in ["logs", "evidence", "registry", "git"] {
            world.link(&format!("checkout/.imk/{name}"), &world.path("outside/folder"));
        }
        world.commit(false, "x");
    }),
    trick("files of state are links", |world| {
        for name in STATE {
            world.link(&format!("checkout/.imk/{name}"), &world.path("outside/profile"));
        }
        for image in ["checkout", "src", "app"] {
            world.link(&format!("checkout/.imk/logs/{image}.log"), &world.path("outside/profile"));
        }
        world.commit(false, "x");
    }),
    trick("files of state are links to nothing yet", |world| {
        for name in STATE {
            world.link(
                &format!("checkout/.imk/{name}"),
                &world.path(&format!("outside/new-{}", name.replace('/', "-"))),
            );
        }
        world.commit(false, "x");
    }),
    trick("files of state are links by another name", |world| {
        fs::create_dir_all(world.path("checkout/.imk")).unwrap();
        for name in ["ledger", "snapshot", "stat", "upstream", "images", "lock", "recipes"] {
            fs::hard_link(world.path("outside/profile"), world.path(&format!("checkout/.imk/{name}")))
                .unwrap();
        }
        world.commit(false, "x");
    }),
    trick("files of state are pipes", |world| {
        world.commit(false, "x");
        for name in STATE {
            world.pipe(&format!("checkout/.imk/{name}"));
        }
    }),
    trick("files of the repository are pipes", |world| {
        world.commit(false, "x");
        for name in [".dockerignore", "Imagefile.lock", "docker-compose.yml", ".env", ".gitattributes"] {
            world.pipe(&format!("checkout/{name}"));
        }
    }),
    trick("the Imagefile is a pipe", |world| {
        world.commit(false, "x");
        world.pipe("checkout/Imagefile.ron");
    }),
    trick("the Dockerfile is a pipe", |world| {
        world.commit(false, "x");
        fs::remove_file(world.path("checkout/Dockerfile")).unwrap();
        world.pipe("checkout/Dockerfile");
    }),
    trick("contexts lead out by their names", |world| {
        world.write("checkout/Imagefile.ron", "(images: {\"app\": (context: \"../outside\")})\n");
        world.commit(false, "x");
    }),
    trick("contexts are absolute", |world| {
        let text =
            format!("(images: {{\"app\": (context: {:?})}})\n", world.path("outside").display().to_string());
        world.write("checkout/Imagefile.ron", &text);
        world.commit(false, "x");
    }),
    trick("the context is a link out", |world| {
        world.link("checkout/app", &world.path("outside"));
        world.write("checkout/Imagefile.ron", "(images: {\"app\": (context: \"app\")})\n");
        world.commit(false, "x");
    }),
    trick("the Dockerfile is a link out", |world| {
        fs::remove_file(world.path("checkout/Dockerfile")).unwrap();
        world.link("checkout/Dockerfile", &world.path("outside/Dockerfile"));
        world.commit(false, "x");
    }),
    trick("what is copied leads out", |world| {
        world.link("checkout/src/out", &world.path("outside/profile"));
        world.link("checkout/src/folder", &world.path("outside/folder"));
        world.link("checkout/loop", &PathBuf::from("loop"));
        world.write(
            "checkout/Dockerfile",
            "FROM scratch\nCOPY src/out /a\nCOPY src/folder/file /b\nCOPY loop /c\n",
        );
        world.commit(false, "x");
    }),
    trick("the Imagefile, its lock and rules are links out", |world| {
        world.write("outside/Imagefile.ron", "(images: {\"app\":(context:\".\")})\n");
        world.link("checkout/Imagefile.ron", &world.path("outside/Imagefile.ron"));
        world.link("checkout/Imagefile.lock", &world.path("outside/profile"));
        world.link("checkout/.dockerignore", &world.path("outside/profile"));
        world.commit(false, "x");
    }),
    trick("git sources are options", |world| {
        sources(world, &["--upload-pack={evil}", "-u{evil}"], "main");
    }),
    trick("git sources are programs", |world| {
        sources(
            world,
            &["ext::{evil} %S", "file://ext::{evil}", "ssh://-oProxyCommand={evil}/x/y.git"],
            "main",
        );
    }),
    trick("branches are options", |world| {
        let port = world.registry.port;
        sources(world, &[&format!("http://127.0.0.1:{port}/r.git")], "--upload-pack={evil}");
    }),
    trick("the Imagefile names an engine that listens", |world| {
        let port = world.registry.port;
        let text = format!(
            "(engines: {{\"big\": (host: \"tcp://127.0.0.1:{port}\")}}, images: {{\"app\": (context: \".\")}})\n"
        );
        world.write("checkout/Imagefile.ron", &text);
        world.commit(false, "x");
    }),
    trick("a base's registry asks for a login", |world| {
        let port = world.registry.port;
        world.write("checkout/Dockerfile", &format!("FROM 127.0.0.1:{port}/r.example/base:1\nCOPY src /\n"));
        world.commit(false, "x");
    }),
    trick("the prefix is a registry that asks for a login", |world| {
        let port = world.registry.port;
        let text = format!(
            "(prefix: \"127.0.0.1:{port}/r.example/\", images: {{\"app\": (context: \".\", base: \"float\")}})\n"
        );
        world.write("checkout/Imagefile.ron", &text);
        world.commit(false, "x");
    }),
    trick("a server that is added from asks for a login", |world| {
        let port = world.registry.port;
        let text = format!(
            "FROM scratch\nADD http://127.0.0.1:{port}/r.example/f /f\nADD http://127.0.0.1:{port}/r.git#main /g\n"
        );
        world.write("checkout/Dockerfile", &text);
        world.commit(false, "x");
    }),
    trick("names move the cursor", |world| {
        let name = "a\u{1b}[2J\u{9b}31m\u{7}\nFORGED: built in 1s\n\u{1b}]52;c;ZXZpbA==\u{7}";
        world.write(&format!("checkout/src/{name}"), "x");
        world.write("checkout/Dockerfile", "FROM scratch\nARG A=\u{1b}[2J\u{7}\nLABEL b=\"\u{1b}]0;x\u{7}\"\nCOPY src /src\nCOPY missing\u{1b}[31m /m\n");
        world.write("checkout/b\u{1b}[2J/Dockerfile", "FROM scratch\u{1b}[2J\n");
        world.commit(false, "subject\u{1b}[2J\rFORGED: all is well\n\nFORGED: x\n");
    }),
    trick("the Imagefile's words move the cursor", |world| {
        let text = "(vars: {\"V\": \"\\u{1b}[2J\\nFORGED\"}, images: {\"app\": (context: \"sr\\u{1b}[31mc\", description: \"\\u{1b}]52;c;x\\u{7}\\nFORGED: x\", args: {\"A\": \"{V}\"}, tags: [\"{V}\"], target: \"\\u{1b}c\")})\n";
        world.write("checkout/Imagefile.ron", text);
        world.commit(false, "x");
    }),
    trick("rules never end", |world| {
        world.write("checkout/.dockerignore", &format!("{}b\n{}\n", "*a".repeat(4000), "**/a/".repeat(4000)));
        world.write(
            "checkout/Dockerfile",
            &format!("FROM scratch\nCOPY {}b /\nCOPY src /\n", "*a".repeat(2000)),
        );
        world.write(&format!("checkout/{}", "a".repeat(200)), "x");
        world.commit(false, "x");
    }),
    trick("nesting never ends", |world| {
        world.write("checkout/Imagefile.ron", &"(images: {\"a\": (like: [".repeat(20_000));
        world.commit(false, "x");
    }),
    trick("files to import never end", |world| {
        let mut text = String::from("a0: &a0 {x: [1, 2]}\n");
        for level in 1..60 {
            let below = level - 1;
            text += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
        }
        world.write("checkout/compose.yaml", &format!("{text}services: {{web: {{build: *a59}}}}\n"));
        world.commit(false, "x");
    }),
    trick("arguments double without end", |world| {
        let mut text = String::from("FROM scratch\nARG A0=xxxxxxxxxxxxxxxx\n");
        for number in 1..64 {
            text += &format!("ARG A{number}=$A{0}$A{0}\n", number - 1);
        }
        world.write("checkout/Dockerfile", &format!("{text}COPY $A63 /\n"));
        world.commit(false, "x");
    }),
    trick("the lock file lies", |world| {
        let port = world.registry.port;
        world.write("checkout/Dockerfile", &format!("FROM 127.0.0.1:{port}/base:1\nCOPY src /\n"));
        let text = format!(
            "version 1\nbase 127.0.0.1:{port}/base:1 linux/amd64 sha256:{}\ngit --upload-pack={} main {}\n",
            "ab".repeat(32),
            world.evil(),
            "c".repeat(40)
        );
        world.write("checkout/Imagefile.lock", &text);
        world.commit(false, "x");
    }),
];

fn append(world: &World, path: &str, text: &str) {
    let old = fs::read_to_string(world.path(path)).unwrap();
    world.write(path, &(old + text));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

/// Every setting by which git runs something.
fn hostile_configuration(world: &World) -> String {
    let evil = world.evil();
    let port = world.registry.port;
    let core = ["fsmonitor", "sshCommand", "pager", "editor", "askPass", "gitProxy", "alternateRefsCommand"];
    let core: String = core.iter().map(|key| format!("\t{key} = {evil} {key}\n")).collect();
    format!(
        "[core]\n{core}\thooksPath = ../author\n[diff]\n\texternal = {evil} diff\n[diff \"x\"]\n\tcommand = {evil}\n\ttextconv = {evil}\n\
         [filter \"x\"]\n\tclean = {evil} clean\n\tsmudge = {evil} smudge\n\tprocess = {evil} process\n\trequired = true\n\
         [merge \"x\"]\n\tdriver = {evil}\n[credential]\n\thelper = !{evil} credential\n[protocol]\n\tallow = always\n\
         [protocol \"ext\"]\n\tallow = always\n[url \"ext::{evil} url \"]\n\tinsteadOf = http://127.0.0.1:{port}/\n\
         [gpg]\n\tprogram = {evil}\n[remote \"origin\"]\n\turl = ext::{evil} origin\n\tuploadpack = {evil} up\n\
         [uploadpack]\n\tpackObjectsHook = {evil} pack\n[alias]\n\tls-remote = !{evil}\n\tfetch = !{evil}\n[trace2]\n\teventTarget = {}\n",
        world.path("outside/profile").display()
    )
}

fn git_configuration(world: &World) {
    world.write("checkout/.gitattributes", "* filter=x diff=x merge=x\n");
    with_remote_overlay(world);
    world.commit(false, "x");
    for hook in
        ["pre-push", "post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"]
    {
        copy(&world.path("author/evil"), &world.path(&format!("checkout/.git/hooks/{hook}")));
    }
    append(world, "checkout/.git/config", &hostile_configuration(world));
}

/// An image that needs a repository of the listening server, so that git is called.
fn with_remote_overlay(world: &World) {
    let port = world.registry.port;
    world.write(
        "checkout/Imagefile.ron",
        &format!("(images: {{\"app\": (context: \".\", overlays: {{\"lib\": Git(url: \"http://127.0.0.1:{port}/r.git\", branch: \"main\")}})}})\n"),
    );
    world.write("checkout/Dockerfile", "FROM scratch\nCOPY lib /lib\nCOPY src /src\n");
}

/// State as imk would have it, with a repository that runs programs.
fn tracked_state(world: &World) {
    with_remote_overlay(world);
    let url = format!("http://127.0.0.1:{}/r.git", world.registry.port);
    let mut folder = blake3::hash(url.as_bytes()).to_hex().to_string();
    folder.truncate(32);
    let repository = world.path(&format!("checkout/.imk/git/{folder}"));
    git2::Repository::init_bare(&repository).unwrap();
    let config = format!("checkout/.imk/git/{folder}/config");
    append(world, &config, &hostile_configuration(world));
    for hook in ["reference-transaction", "post-checkout"] {
        copy(&world.path("author/evil"), &repository.join("hooks").join(hook));
    }
    // Without a file in them git would not track the folders that a repository needs.
    for name in ["refs/heads/keep", "objects/info/keep"] {
        world.write(&format!("checkout/.imk/git/{folder}/{name}"), "");
    }
    world.write("checkout/.imk/ledger", "{\"key\":\"x\"}\n");
    world.write("checkout/.imk/lock", "\u{1b}[2J\nFORGED: x");
    world.write("checkout/.imk/CACHEDIR.TAG", "x");
}

fn sources(world: &World, urls: &[&str], branch: &str) {
    let evil = world.evil();
    let fill = |text: &str| text.replace("{evil}", &evil);
    let images: String = urls
        .iter()
        .enumerate()
        .map(|(at, url)| {
            let (url, branch) = (fill(url), fill(branch));
            format!("\"app{at}\": (context: \".\", overlays: {{\"lib\": Git(url: {url:?}, branch: {branch:?})}}),\n")
        })
        .collect();
    world.write("checkout/Imagefile.ron", &format!("(images: {{{images}}})\n"));
    world.write("checkout/Dockerfile", "FROM scratch\nCOPY lib /lib\n");
    world.commit(false, "x");
}
