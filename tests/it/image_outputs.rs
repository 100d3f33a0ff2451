//! `output`: images written to files and folders.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip};

/// An image of two layers with a folder, a link, a hard link's worth of content and a file that the upper layer removes.
fn web(test: &str, keys: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        "
    //- web/Dockerfile
    FROM scratch AS low
    COPY busybox /bin/busybox
    COPY files /srv
    RUN [\"/bin/busybox\", \"rm\", \"-r\", \"/srv/gone\"]
    RUN [\"/bin/busybox\", \"ln\", \"-s\", \"kept.txt\", \"/srv/link\"]
    RUN [\"/bin/busybox\", \"chmod\", \"750\", \"/srv\"]
    //- web/files/kept.txt
    kept
    //- web/files/gone/secret.txt
    gone
    ",
    );
    sandbox.edit("Imagefile.ron", &format!("(images: {{\"web\": ({keys})}})\n"));
    sandbox.place_busybox();
    Some(sandbox)
}

/// The names in an archive, with their kinds.
fn names(path: &std::path::Path) -> BTreeMap<String, tar::EntryType> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.path().unwrap().display().to_string(), entry.header().entry_type())).collect()
}

#[test]
fn files_of_an_image_come_into_a_folder_once_and_again_when_they_are_gone() {
    let Some(sandbox) = web("folder", r#"output: "type=local,dest=out""#) else { return };
    sandbox.edit("out/mine.txt", "mine\n");
    sandbox.imk("").says("0 fresh, 1 built, 1 output written, 0 failed");
    let read = |path: &str| fs::read_to_string(sandbox.path(path)).unwrap();
    assert_eq!((read("out/srv/kept.txt").as_str(), read("out/mine.txt").as_str()), ("kept\n", "mine\n"));
    assert_eq!(fs::read_link(sandbox.path("out/srv/link")).unwrap().display().to_string(), "kept.txt");
    assert!(!sandbox.path("out/srv/gone").exists());
    assert_eq!(fs::metadata(sandbox.path("out/srv")).unwrap().permissions().mode() & 0o7777, 0o750);
    // It is there: nothing is done. Somebody's file beside it is no change.
    sandbox.imk("check").code(0);
    let before = fs::metadata(sandbox.path("out/srv/kept.txt")).unwrap().ino();
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    assert_eq!(fs::metadata(sandbox.path("out/srv/kept.txt")).unwrap().ino(), before);
    // Changed or gone: it is written, and nothing is built.
    sandbox.edit("out/srv/kept.txt", "another\n");
    let plan = sandbox.imk("check").code(1).out();
    assert!(plan.contains("the output `out` is to be written: it is not as it was written"), "{plan}");
    sandbox.imk("").says("1 fresh, 0 built, 1 output written, 0 failed");
    assert_eq!(read("out/srv/kept.txt"), "kept\n");
    // A file that the image has no more goes; what is somebody's stays.
    fs::rename(sandbox.path("web/files/kept.txt"), sandbox.path("web/files/new.txt")).unwrap();
    sandbox.imk("").says("0 fresh, 1 built, 1 output written, 0 failed");
    assert!(!sandbox.path("out/srv/kept.txt").exists() && sandbox.path("out/srv/new.txt").exists());
    assert_eq!(read("out/mine.txt"), "mine\n");
}

#[test]
fn archives_hold_the_image_and_are_the_same_twice() {
    let keys = r#"output: ["type=tar,dest=o/files.tar", "type=docker,dest=o/docker.tar", "type=oci,dest=o/oci.tar", "type=oci,dest=o/layout,tar=false,compression=zstd"]"#;
    let Some(sandbox) = web("archives", keys) else { return };
    sandbox.imk("").says("0 fresh, 1 built, 4 outputs written, 0 failed");
    let files = names(&sandbox.path("o/files.tar"));
    assert!(
        files.contains_key("srv/kept.txt") && !files.keys().any(|name| name.contains("gone")),
        "{files:?}"
    );
    assert_eq!(files["srv/link"], tar::EntryType::Symlink);
    let bytes = |path: &str| fs::read(sandbox.path(path)).unwrap();
    let first: Vec<Vec<u8>> = ["o/files.tar", "o/docker.tar", "o/oci.tar"].map(bytes).into();
    fs::remove_dir_all(sandbox.path("o")).unwrap();
    sandbox.imk("").says("1 fresh, 0 built, 4 outputs written, 0 failed");
    assert_eq!(first, ["o/files.tar", "o/docker.tar", "o/oci.tar"].map(bytes));
    // An engine takes the image back, with its name and its id where ids are configurations'.
    let name = format!("{}web:latest", sandbox.prefix());
    sandbox.docker(&["rmi", "-f", &name]);
    let archive = sandbox.path("o/docker.tar").display().to_string();
    let loaded = sandbox.docker(&["load", "-i", &archive]);
    assert!(loaded.contains(&name), "{loaded}");
    // Whoever reads OCI layouts reads these.
    for layout in [
        format!("oci-archive:{}", sandbox.path("o/oci.tar").display()),
        format!("oci:{}", sandbox.path("o/layout").display()),
    ] {
        let seen = Command::new("skopeo").args(["inspect", "--config", &layout]).output();
        match seen {
            Ok(seen) => assert!(seen.status.success(), "{layout}: {}", String::from_utf8_lossy(&seen.stderr)),
            Err(_) => eprintln!("SKIPPED: there is no skopeo"),
        }
    }
}

#[test]
fn a_destination_that_cannot_be_written_is_told_before_anything_is_built() {
    let Some(sandbox) = web("destination", r#"output: "type=tar,dest=there""#) else { return };
    fs::create_dir(sandbox.path("there")).unwrap();
    let run = sandbox.imk("").code(2);
    assert!(
        run.stderr.contains("`there` of `web` cannot be written") && run.stderr.contains("is a folder"),
        "{}",
        run.stderr
    );
    assert!(run.built().is_empty());
    // A link of the checkout leads nowhere.
    let away = tempfile::tempdir().unwrap();
    fs::remove_dir(sandbox.path("there")).unwrap();
    symlink(away.path(), sandbox.path("away")).unwrap();
    for dest in ["type=tar,dest=away/x.tar", "type=local,dest=away"] {
        sandbox.edit("Imagefile.ron", &format!("(images: {{\"web\": (output: \"{dest}\")}})\n"));
        let run = sandbox.imk("").code(2);
        assert!(run.stderr.contains("is a link"), "{}", run.stderr);
    }
    assert_eq!(fs::read_dir(away.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_written_through_a_link_in_a_folder() {
    let Some(sandbox) = web("through", r#"output: "type=local,dest=out""#) else { return };
    let away = tempfile::tempdir().unwrap();
    fs::create_dir(sandbox.path("out")).unwrap();
    symlink(away.path(), sandbox.path("out/srv")).unwrap();
    // The link itself gives way to the image's folder, or the output fails; where it leads nothing comes.
    sandbox.imk("");
    assert_eq!(fs::read_dir(away.path()).unwrap().count(), 0);
}

#[test]
fn a_proof_is_asked_for_once_and_leaves_no_image() {
    let Some(sandbox) = web("proof", r#"output: "type=cacheonly""#) else { return };
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    let name = format!("{}web:latest", sandbox.prefix());
    assert_eq!(sandbox.docker(&["images", "-q", &name]).trim(), "");
    sandbox.imk("check").code(0);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    sandbox.append("web/files/kept.txt", "more\n");
    sandbox.imk("check").code(1);
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    // Asked for as an image, it is one.
    sandbox.edit("Imagefile.ron", "(images: {\"web\": ()})\n");
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    let id = sandbox.id("web");
    // A proof that comes out as an image with a name takes nothing from it.
    sandbox.imk("-B -o type=cacheonly").says("0 fresh, 1 built, 0 failed");
    assert_eq!(sandbox.id("web"), id);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
}

#[test]
fn an_output_can_be_asked_for_at_the_command_line() {
    let Some(sandbox) = web("typed", "") else { return };
    let away = tempfile::tempdir().unwrap();
    let dest = away.path().join("deep/web.tar");
    sandbox.imk(&format!("build web -o type=docker,dest={}", dest.display())).success();
    let mut manifest = String::new();
    let mut archive = tar::Archive::new(fs::File::open(&dest).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().display().to_string() == "manifest.json" {
            entry.read_to_string(&mut manifest).unwrap();
        }
    }
    assert!(manifest.contains("web:latest"), "{manifest}");
    let run = sandbox.imk("build web -o type=lokal,dest=x");
    assert!(
        run.stderr.contains("there is no output of type `lokal`") && run.stderr.contains("`local`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_commit_that_is_planned_or_built_writes_no_output() {
    let Some(sandbox) = web("commit", r#"output: "type=local,dest=out""#) else { return };
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@t.example"]).args(words);
        let status = git.current_dir(sandbox.root()).status();
        assert!(status.unwrap().success(), "git {words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    sandbox.imk("").says("0 fresh, 1 built, 1 output written, 0 failed");
    fs::remove_dir_all(sandbox.path("out")).unwrap();
    assert!(sandbox.imk("plan").code(0).stdout.contains("the output `out` is to be written"));
    assert!(!sandbox.imk("plan --rev HEAD").code(0).stdout.contains("output"));
}
