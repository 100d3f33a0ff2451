//! List, clean, gc and doctor, with an engine and without.

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip, fixture_or_skip};

const TWO: &str = "
    //- Imagefile.ron
    (images: {\"base\": (description: \"the base\"), \"web\": ()})
    //- base/Dockerfile
    FROM scratch
    COPY a /
    //- base/a
    1
    //- web/Dockerfile
    FROM base
    COPY a /
    //- web/a
    1
";

/// The two, with contents of their own: an image that another test has too would be that test's as well.
fn two(sandbox: &Sandbox) {
    sandbox.write_all(TWO);
    sandbox.edit("base/a", sandbox.prefix());
}

/// Text with ids, sizes and ages replaced.
fn tidy(text: &str) -> String {
    let hex = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut shown: Vec<String> = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let word = words[at].trim_end_matches([',', ':', ';']);
            let rest = &words[at][word.len()..];
            let next = words.get(at + 1).map_or("", |next| next.trim_end_matches([',', ':', ';']));
            let number = word.parse::<f64>().is_ok();
            if number && ["B", "kB", "MB", "GB"].contains(&next) {
                shown.push(format!("[SIZE]{}", &words[at + 1][next.len()..]));
                at += 1;
            } else if next == "ago" {
                shown.push(format!("[AGO]{rest}"));
                at += 1;
            } else if hex(word) {
                shown.push(format!("[ID]{rest}"));
            } else {
                shown.push(words[at].to_owned());
            }
            at += 1;
        }
        out += &(shown.join(" ") + "\n");
    }
    out
}

#[test]
fn list_tells_how_each_image_stands_and_what_it_is() {
    let Some(sandbox) = engine_or_skip("list") else { return };
    two(&sandbox);
    insta::assert_snapshot!(tidy(&sandbox.imk("list").code(0).out()), @"
    image state tag id size built took base
    base stale latest - - - - scratch
    web stale latest - - - - base
    ");
    sandbox.imk("").success();
    insta::assert_snapshot!(tidy(&sandbox.imk("list").code(0).out()), @"
    image state tag id size built took base
    base fresh latest [ID] [SIZE] [AGO] [TIME] scratch
    web fresh latest [ID] [SIZE] [AGO] [TIME] base
    ");
    sandbox.append("base/a", "2\n");
    insta::assert_snapshot!(tidy(&sandbox.imk("list web base").code(0).out()), @"
    image state tag id size built took base
    base stale latest [ID] [SIZE] [AGO] [TIME] scratch
    web waits latest [ID] [SIZE] [AGO] [TIME] base
    ");
    assert_eq!(sandbox.imk("list -q").code(0).stdout, "base\nweb\n");
    assert_eq!(sandbox.imk("list -q w*").code(0).stdout, "web\n");
    let document = sandbox.imk("list --json base").code(0).stdout;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let base = &document["images"][0];
    assert_eq!(base["state"], "stale");
    assert_eq!(base["description"], "the base");
    assert_eq!(base["tags"][0], format!("{}base:latest", sandbox.prefix()));
    assert_eq!(base["id"], sandbox.id("base"));
    assert!(base["size"].as_u64().unwrap() > 0);
    assert!(base["built"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn list_shows_images_with_mistakes_among_the_others() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.edit("web/Dockerfile", "FROM base\nCOPY nothing /\n");
    insta::assert_snapshot!(tidy(&sandbox.imk("list").code(0).out()), @"
    image state tag id size built took base
    base stale latest - - - - scratch
    web mistake latest - - - - base
    ");
}

#[test]
fn without_an_engine_list_believes_what_was_written_down() {
    let Some(sandbox) = engine_or_skip("list believes") else { return };
    two(&sandbox);
    sandbox.imk("").success();
    let mut command = sandbox.command("", "list");
    let run =
        sandbox.run(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap()).code(0);
    insta::assert_snapshot!(tidy(&run.out()), @"
    image state tag id size built took base
    base fresh latest [ID] ? [AGO] [TIME] scratch
    web fresh latest [ID] ? [AGO] [TIME] base
    ");
    assert!(run.stderr.contains("what imk wrote down is believed"), "{}", run.stderr);
}

#[test]
fn clean_removes_the_state_and_the_images_on_request() {
    let Some(sandbox) = engine_or_skip("clean") else { return };
    two(&sandbox);
    sandbox.imk("").success();
    let (web, base) = (sandbox.id("web"), sandbox.id("base"));
    let would = sandbox.imk("clean --images -n web").code(0);
    assert!(would.out().contains("would be removed"), "{}", would.out());
    assert_eq!(sandbox.id("web"), web);
    let run = sandbox.imk("clean --images web").code(0);
    assert!(run.out().lines().last().unwrap().contains("1 builds, 1 images of up to"), "{}", run.out());
    assert_eq!(
        sandbox.docker(&["images", "-q", "--filter", &format!("reference={}web", sandbox.prefix())]),
        ""
    );
    sandbox.imk("").says("1 fresh, 1 built, 0 failed");
    // With all state gone the images that are there are only found again by the engine's cache.
    sandbox.imk("clean").success();
    assert!(!sandbox.path(".imk/ledger").exists() && !sandbox.path(".imk/snapshot").exists());
    assert_eq!(sandbox.id("base"), base);
}

#[test]
fn clean_leaves_what_a_container_uses_or_somebody_else_named() {
    let Some(sandbox) = engine_or_skip("clean leaves") else { return };
    two(&sandbox);
    sandbox.imk("").success();
    let reference = format!("{}web", sandbox.prefix());
    let container = sandbox.docker(&["create", &reference, "true"]);
    sandbox.docker(&["tag", &format!("{}base", sandbox.prefix()), &format!("{}other:1", sandbox.prefix())]);
    let run = sandbox.imk("clean --images").code(0);
    sandbox.docker(&["rm", &container]);
    let out = run.out();
    assert!(out.contains("stays: used by the container `"), "{out}");
    assert!(out.contains("stays: somebody else named it `[PREFIX]/other:1`"), "{out}");
    sandbox.id("web");
    sandbox.id("base");
}

#[test]
fn gc_removes_old_builds_and_the_next_run_builds_nothing() {
    let Some(sandbox) = engine_or_skip("gc") else { return };
    two(&sandbox);
    let mut ids = Vec::new();
    for n in 0..3 {
        sandbox.append("web/a", &format!("{n}\n"));
        sandbox.imk("").success();
        ids.push(sandbox.id("web"));
    }
    let plan = sandbox.imk("gc --keep 1 -n").code(0);
    insta::assert_snapshot!(tidy(&plan.out()), @"
    web [ID] (no name) would be removed, up to [SIZE]: newer builds took its place
    web [ID] (no name) would be removed, up to [SIZE]: newer builds took its place
    would be removed: 2 images of up to [SIZE], [SIZE] of state
    ");
    sandbox.imk("gc --keep 1").success();
    let there = |id: &String| sandbox.docker(&["images", "-aq", "--no-trunc"]).contains(id.as_str());
    assert_eq!(ids.iter().map(there).collect::<Vec<_>>(), [false, false, true]);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    insta::assert_snapshot!(tidy(&sandbox.imk("gc --keep 1").code(0).out()), @"removed: 0 images of up to [SIZE], [SIZE] of state");
}

#[test]
fn an_image_gone_from_the_imagefile_is_forgotten_and_swept() {
    let Some(sandbox) = engine_or_skip("gone") else { return };
    two(&sandbox);
    sandbox.imk("").success();
    let web = sandbox.id("web");
    sandbox.edit("Imagefile.ron", "(images: {\"base\": ()})");
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    assert!(!sandbox.path(".imk/logs/web.log").exists() && sandbox.path(".imk/logs/base.log").exists());
    sandbox.id("web");
    let run = sandbox.imk("gc --json").code(0);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["images"][0]["id"], web);
    assert!(!sandbox.docker(&["images", "-aq", "--no-trunc"]).contains(&web));
}

#[test]
fn doctor_finds_nothing_wrong_where_nothing_is() {
    let Some(sandbox) = fixture_or_skip("doctor", "diamond") else { return };
    sandbox.imk("").success();
    let snapshot = fs::read(sandbox.path(".imk/snapshot")).unwrap();
    let run = sandbox.imk("doctor").code(0);
    let out = run.out();
    for wanted in [
        "ok    Imagefile ",
        "ok    engine ",
        "builder BuildKit",
        "the engine's clock agrees",
        "lines, all whole",
        "snapshot: whole, and of this imk",
        "4 images: what is remembered is what comes of reading everything again",
        "IMK_PREFIX is set: --prefix: Put before every image's name",
    ] {
        assert!(out.contains(wanted), "no {wanted:?} in\n{out}");
    }
    assert!(out.lines().last().unwrap().starts_with("0 failed"), "{out}");
    assert_eq!(fs::read(sandbox.path(".imk/snapshot")).unwrap(), snapshot, "it changes nothing");
}

#[test]
fn doctor_says_what_is_broken_and_what_to_do() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.edit(".imk/ledger", "{\"key\": torn\n").edit(".imk/snapshot", "garbage");
    let mut command = sandbox.command("", "doctor");
    command.env("IMK_JOB", "8").env("IMK_REGISTRY_PASSWORD", "hush-hush-hush");
    let run = sandbox.run(command.output().unwrap()).code(2);
    let out = run.out();
    for wanted in [
        "fail  engine         no engine at unix:///nowhere/docker.sock (from DOCKER_HOST)",
        "→ start it",
        "warn  state          ledger: 1 of 1 lines say nothing to this imk",
        "warn  state          snapshot: damaged, or of another imk, so it counts as none",
        "warn  variables      IMK_JOB is set, and means nothing to imk",
        "ok    variables      IMK_REGISTRY_PASSWORD is set: the password for registries",
    ] {
        assert!(out.contains(wanted), "no {wanted:?} in\n{out}");
    }
    assert!(!out.contains("hush"), "{out}");
    let json = sandbox.imk("doctor --json").code(2).stdout;
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["failed"], 1, "{json}");
}
