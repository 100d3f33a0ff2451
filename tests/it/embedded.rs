//! imk's own builder: what a person has of it where there is no engine.

mod bare;
pub mod image;
mod killed;
mod large;
mod layouts;
mod mounts;
mod same;
mod travel;
mod user;
mod walls;

use crate::sandbox::Sandbox;

const TWO: &str = "
    //- base/Dockerfile
    FROM scratch
    COPY a /srv/
    ENV GREETING=hello
    //- base/a
    1
    //- web/Dockerfile
    FROM base
    WORKDIR /srv/web
    COPY --chown=3:4 . ./
    COPY <<EOF /etc/greeting
    $GREETING
    EOF
    //- web/b
    1
";

#[test]
fn without_any_engine_images_are_built_once_and_then_what_an_edit_touches() {
    let sandbox = Sandbox::with(TWO).embedded();
    let first = sandbox.imk("--progress plain").code(0);
    assert_eq!(first.built(), ["base", "web"]);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    sandbox.edit("web/b", "2\n");
    assert_eq!(sandbox.imk("-q").status, 1);
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["web"]);
    sandbox.imk("gc").success();
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    sandbox.imk("plan").says("2 fresh, 0 to build");
}

#[test]
fn the_same_images_come_of_another_store_and_of_no_state() {
    let sandbox = Sandbox::with(TWO).embedded();
    sandbox.imk("").success();
    let ids = |sandbox: &Sandbox| sandbox.imk("list --json").code(0).stdout;
    let before = ids(&sandbox);
    sandbox.remove(".imk");
    fs_err::remove_dir_all(sandbox.store()).unwrap();
    sandbox.imk("").success();
    let id = |text: &str| -> Vec<String> {
        let found = text.lines().filter(|line| line.contains("\"id\""));
        found.map(|line| line.trim().to_owned()).collect()
    };
    assert!(!id(&before).is_empty() && id(&before) == id(&ids(&sandbox)), "{before}");
}

/// A stage that runs something, beside images that run nothing.
const RUNS: &str = "
    //- base/Dockerfile
    FROM scratch AS one
    COPY busybox /bin/busybox
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox date >/dev/null; echo made >/made; /bin/busybox ln /made /again\"]
    FROM scratch
    COPY --from=one --chown=7:8 /made /again /srv/
    COPY --parents a/b /
    //- base/a/b
    1
";

#[test]
fn the_same_images_come_of_another_user_in_another_folder() {
    let id = |sandbox: &Sandbox| {
        let list: serde_json::Value =
            serde_json::from_str(&sandbox.imk("list --json").code(0).stdout).unwrap();
        list["images"][0]["id"].as_str().unwrap().to_owned()
    };
    let one = Sandbox::with(RUNS).embedded().without_engine().prefixed("same/");
    one.place_busybox();
    one.imk("--progress plain").success();
    let other = Sandbox::with(RUNS).embedded().without_engine().prefixed("same/");
    other.place_busybox();
    let somebody = std::process::Command::new("id").arg("-u").output().unwrap();
    if somebody.stdout.trim_ascii() != b"0" {
        eprintln!("SKIPPED the other user: only root is anybody");
        return;
    }
    let all = [other.root().to_owned(), other.store().parent().unwrap().to_owned()];
    let owned = std::process::Command::new("chown").args(["-R", "54321:54321"]).args(&all).status().unwrap();
    assert!(owned.success());
    let who = ["--reuid=54321", "--regid=54321", "--clear-groups"];
    let run = other.under("setpriv", &who, "--progress plain").env("HOME", other.root()).output().unwrap();
    other.run(run).code(0);
    let run = other.under("setpriv", &who, "list --json").env("HOME", other.root()).output().unwrap();
    let list: serde_json::Value = serde_json::from_str(&other.run(run).code(0).stdout).unwrap();
    assert_eq!(list["images"][0]["id"].as_str().unwrap(), id(&one));
}

#[test]
fn what_a_changed_root_lacks_is_told_once_however_many_commands_run() {
    if !user::is_root() {
        eprintln!("SKIPPED: that rung needs rights");
        return;
    }
    let text = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"true\"]\nRUN [\"/bin/busybox\", \"pwd\"]\n";
    let sandbox = Sandbox::with("").embedded().without_engine();
    for image in ["one", "two", "three"] {
        sandbox.edit(&format!("{image}/Dockerfile"), text);
        fs_err::copy(crate::sandbox::busybox(), sandbox.path(&format!("{image}/busybox"))).unwrap();
    }
    let run = sandbox.imk("--isolation chroot").code(0);
    let told = run.err().matches("no /proc and no wall around it").count();
    assert_eq!(told, 1, "{}", run.err());
    // Nothing runs, so there is nothing to be told.
    let run = sandbox.imk("--isolation chroot").code(0);
    assert!(!run.err().contains("no wall"), "{}", run.err());
}

#[test]
fn without_a_daemon_logs_are_what_the_last_build_said() {
    let sandbox = Sandbox::with(TWO).embedded().without_engine();
    let run = sandbox.imk("logs web").code(0);
    assert!(run.err().contains("none is kept of a build of it"), "{}", run.err());
    sandbox.imk("").success();
    let run = sandbox.imk("logs web").code(0);
    assert!(run.err().contains("its last build said this"), "{}", run.err());
    assert!(run.out().contains("COPY --chown=3:4 . ./"), "{}", run.out());
}

/// The files are young, so each build reads them once more, in several folders at once.
#[test]
fn many_images_of_files_just_written_are_all_built() {
    let sandbox = Sandbox::with("").embedded().without_engine();
    for image in 0..24 {
        sandbox.edit(&format!("i{image:02}/Dockerfile"), "FROM scratch\nCOPY . /\n");
    }
    for round in 0..3 {
        for file in 0..24 * 80 {
            let (image, folder) = (file % 24, file / 24);
            sandbox.edit(&format!("i{image:02}/d{folder}/f"), &format!("{round} {image} {folder}\n"));
        }
        sandbox.imk("-j 8").says("0 fresh, 24 built, 0 failed");
    }
}
