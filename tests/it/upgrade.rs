//! An upgrade: what the release before left behind serves this one, and nothing is built whose inputs did not change.
//!
//! `upgrade/` has its state, its images as an engine saved them, and a registry that it had pushed to, all of
//! the repository below. Made once, by that release; it is not to be made anew.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use fs_err as fs;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};

const REPOSITORY: &str = r#"
    //- Imagefile.ron
    (
        vars: {"V": "1.0"},
        templates: {"labelled": (labels: {"com.example.team": "site"})},
        images: {
            "base": (),
            "tool": (),
            "web": (like: "labelled", args: {"COLOUR": "red", "UNUSED": "x"}, overlays: {"shared": "shared"}, tags: ["latest", "{V}"]),
            "team/app": (dockerfile: "app/Dockerfile", target: "prod", platform: "linux/amd64"),
            "outside": (),
        },
    )
    //- base/Dockerfile
    FROM scratch
    COPY file /file
    ENV GREETING=hello
    ONBUILD COPY brought /brought
    //- base/file
    base
    //- tool/Dockerfile
    # escape=\
    FROM scratch AS tool
    ADD tool.txt /tool.txt
    STOPSIGNAL SIGTERM
    //- tool/tool.txt
    tool
    //- web/Dockerfile
    FROM base
    ARG COLOUR=blue
    LABEL colour=$COLOUR
    WORKDIR /srv
    COPY src/ .
    COPY shared /shared
    //- web/.dockerignore
    node_modules
    //- web/brought
    brought
    //- web/src/one
    one
    //- web/src/two
    two
    //- shared/lib
    lib
    //- app/Dockerfile
    ARG FLAVOUR=plain
    FROM web AS build
    COPY file /built-$FLAVOUR
    ARG FLAVOUR
    COPY --chmod=755 file /x
    FROM scratch AS test
    COPY never /
    FROM scratch AS prod
    COPY --from=build /x /x
    COPY --from=tool /tool.txt /tool.txt
    CMD ["/x"]
    //- app/brought
    brought
    //- app/file
    app
    //- outside/file
    outside
    //- outside/Dockerfile
    FROM imk-upgrade/outside:1
    COPY file /own
    "#;

/// The engine that the state is about.
const ENGINE: &str = "BAVV:T6Q7:2JTQ:MI2P:LYMX:R2PA:NERF:LUOC:LDV5:VW4A:IJNS:VALF";

fn unpack(name: &str, into: &Path) {
    let tar = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrade").join(name);
    fs::create_dir_all(into).unwrap();
    let done = Command::new("tar").args(["-xzf"]).arg(&tar).arg("-C").arg(into).status().unwrap();
    assert!(done.success(), "{}", tar.display());
}

/// Both tests have the same images, which each of them takes away at its end.
static ONE: Mutex<()> = Mutex::new(());

/// The repository, and an engine that has the images of the release before; none where ids are of another kind.
fn repository(test: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    if sandbox.docker(&["info", "-f", "{{.DriverStatus}}"]).contains("containerd") {
        eprintln!("SKIPPED {test}: this engine has other ids for the images of the fixture");
        return None;
    }
    sandbox.write_all(REPOSITORY);
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrade/images.tar.gz");
    sandbox.docker(&["load", "-q", "-i", images.to_str().unwrap()]);
    Some(sandbox)
}

#[test]
fn state_of_the_release_before_builds_nothing_whose_inputs_did_not_change() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(sandbox) = repository("an upgrade with its state") else { return };
    unpack("state.tar.gz", sandbox.root());
    let engine = sandbox.docker(&["info", "-f", "{{.ID}}"]);
    let ledger = fs::read_to_string(sandbox.path(".imk/ledger")).unwrap();
    assert!(ledger.contains(ENGINE), "{ledger}");
    sandbox.edit(".imk/ledger", &ledger.replace(ENGINE, engine.trim()));
    sandbox.imk("plan --offline").says("0 fresh, 0 to build, 5 to retag");
    let run = sandbox.imk("--offline").code(0);
    assert!(run.built().is_empty(), "{}", run.err());
    sandbox.imk("--offline").says("5 fresh, 0 built, 0 failed");
    // Without what is disposable of it, too.
    for name in [".imk/snapshot", ".imk/stat"] {
        sandbox.remove(name);
    }
    assert!(sandbox.imk("--offline").code(0).built().is_empty());
    // What it wrote down explains the next change.
    sandbox.edit("base/file", "2\n");
    let mut built = sandbox.imk("--offline").code(0).built();
    built.sort_unstable();
    assert_eq!(built, ["base", "team/app", "web"]);
    assert!(sandbox.imk("log base").code(0).out().contains("file"));
}

#[test]
fn a_registry_of_the_release_before_serves_a_fresh_clone() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(server) = RegistryServer::open("an upgrade with its registry") else { return };
    let Some(sandbox) = repository("an upgrade with its registry") else { return };
    unpack("registry.tar.gz", &server.data());
    let sandbox = sandbox.prefixed(&server.name("upgrade/"));
    let run = sandbox.imk("").code(0);
    assert!(run.built().is_empty(), "{}", run.err());
    let push = sandbox.imk("push").code(0);
    assert!(push.built().is_empty() && push.stdout.contains("(0 tags moved)"), "{}", push.stdout);
    sandbox.imk("").says("5 fresh, 0 built, 0 failed");
}
