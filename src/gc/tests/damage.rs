//! State that is lost, old or another repository's: it costs time and nothing else.

use std::path::Path;

use super::*;
use crate::exec::push::PublishError;
use crate::registry::fake::FakeFault;

/// The files of the state that a run over a tree in memory leaves.
const STATE: [&str; 5] = ["ledger", "snapshot", "evidence", "upstream", "images"];

/// An image with many bases, each of which is on one of two others.
fn wide(bases: usize) -> String {
    let names: Vec<String> = (0..bases).map(|number| format!("b{number}")).collect();
    let declared: String = names.iter().map(|name| format!("\"{name}\": (), ")).collect();
    let mut text = format!("//- Imagefile.ron\n(images: {{\"root\": (), {declared}\"top\": ()}})\n");
    text += "//- root/Dockerfile\nFROM scratch\nCOPY file /\n//- root/file\n1\n";
    let mut top = "FROM scratch\nCOPY file /\n".to_owned();
    for name in &names {
        text += &format!("//- {name}/Dockerfile\nFROM root\nCOPY file /\n//- {name}/file\n{name}\n");
        top += &format!("COPY --from={name} / /{name}\n");
    }
    text + &format!("//- top/Dockerfile\n{top}//- top/file\n1\n")
}

fn state(lab: &Lab) -> std::path::PathBuf {
    lab.folder.path().join(".imk")
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if from.exists() {
        fs::copy(from, to).unwrap();
    }
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { drop(fs::remove_file(path)) }
}

/// A run is right: what a repository without any state comes to, with its tags, and then there is nothing to do.
#[track_caller]
fn is_right(lab: &Lab, fixture: &str, edits: &[(&str, &str)], at: &str) {
    let outcome = lab.run("");
    let clean = Lab::new(fixture);
    for (path, text) in edits {
        clean.write(path, text);
    }
    let expected = clean.run("");
    for (name, wanted) in &expected.summary.results {
        let ending = &outcome.summary.endings[name];
        assert!(!matches!(ending, Ending::Failed(_) | Ending::Skipped), "{at}: {name} is {ending:?}");
        assert_eq!(outcome.summary.results[name].id, wanted.id, "{at}: {name} is {ending:?} and stale");
        assert_eq!(lab.id(name), wanted.id, "{at}: the tag of {name}");
    }
    assert!(outcome.summary.untagged.is_empty(), "{at}: {:?}", outcome.summary.untagged);
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert!(verdicts::plan(&session, &synced, false).is_fresh(), "{at}: and then a plan says fresh");
    drop(session);
    let again = lab.run("");
    assert!(again.built.is_empty(), "{at}: a second run built {:?}", again.built);
}

#[test]
fn a_lost_ledger_beside_a_kept_snapshot_costs_builds_and_no_error() {
    for bases in [1, 2, 3, 7, 20] {
        for jobs in [1, 3] {
            let fixture = wide(bases);
            let mut lab = Lab::new(&fixture);
            lab.jobs = jobs;
            lab.run("");
            remove(&state(&lab).join("ledger"));
            lab.write("top/file", "2");
            is_right(&lab, &fixture, &[("top/file", "2")], &format!("{bases} bases, -j{jobs}"));
        }
    }
}

#[test]
fn bases_that_a_registry_lost_are_all_built_in_one_run() {
    for bases in [1, 3, 7] {
        let registry = Arc::new(FakeRegistry::new());
        let fixture = wide(bases).replace("(images:", "(prefix: \"r.example/\", images:");
        let machine = || {
            let lab = Lab { registry: Arc::clone(&registry), ..Lab::new(&fixture) };
            lab.engine.connect(Arc::new(publish::Wire(Arc::clone(&registry))));
            lab
        };
        publish::push(&machine(), "");
        let second = machine();
        second.run("");
        assert_eq!(second.engine.images().len(), 0, "all of it is in the registry");
        // Everything is gone from there, and this machine remembers that it was there.
        registry.clear();
        second.write("top/file", "2");
        let outcome = second.run("");
        for (name, ending) in &outcome.summary.endings {
            assert!(matches!(ending, Ending::Built { .. }), "{bases} bases: {name} is {ending:?}");
        }
    }
}

#[test]
fn any_part_of_the_state_may_be_lost_old_or_anothers() {
    let fixture = REPOSITORY.replace("FROM scratch", "FROM r.example/os:3");
    let lab = Lab::new(&fixture);
    lab.registry.add_image("r.example/os:3", "one");
    // Another repository with the same names, at the same engine and registry.
    let other =
        Lab { engine: Arc::clone(&lab.engine), registry: Arc::clone(&lab.registry), ..Lab::new(&fixture) };
    other
        .write("base/file", "other")
        .write("Imagefile.ron", r#"(images: {"base": (), "api": (), "gone": ()})"#);
    other.write("gone/Dockerfile", "FROM base\n");
    other.run("");
    lab.run("");
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy(&state(&lab), old.path());
    lab.write("base/file", "2").write("web/file", "2");
    lab.run("");
    copy(&state(&lab), new.path());
    // What every part is for itself: kept, lost, older, the other repository's.
    let ways = 4_usize.pow(u32::try_from(STATE.len()).unwrap());
    // All of them with IMK_TEST_STEPS=1024; a few that have every part in every way otherwise.
    let steps: usize = std::env::var("IMK_TEST_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    for number in (0..ways).step_by((ways / steps.clamp(1, ways)) | 1) {
        let mut rest = number;
        let mut at = String::new();
        for part in STATE {
            let way = rest % 4;
            rest /= 4;
            remove(&state(&lab).join(part));
            let from = match way {
                0 => new.path().to_owned(),
                1 => continue,
                2 => old.path().to_owned(),
                _ => state(&other),
            };
            at += &format!("{part}:{} ", ["kept", "lost", "old", "other"][way]);
            copy(&from.join(part), &state(&lab).join(part));
        }
        // With something to do, and with nothing.
        let (edit, web) = if number % 2 == 0 { ("app/file", "3") } else { ("web/file", "2") };
        lab.write(edit, web);
        let outcome = lab.run("");
        for (name, ending) in &outcome.summary.endings {
            assert!(!matches!(ending, Ending::Failed(_) | Ending::Skipped), "{at}: {name} is {ending:?}");
        }
        let again = lab.run("");
        assert!(again.built.is_empty(), "{at}: a second run built {:?}", again.built);
        let clean = Lab { registry: Arc::clone(&lab.registry), ..Lab::new("") };
        *clean.tree.get() = lab.tree.get().clone();
        let expected = clean.run("");
        for (name, wanted) in &expected.summary.results {
            assert_eq!(again.summary.results[name].id, wanted.id, "{at}: {name} is stale");
            assert_eq!(lab.id(name), wanted.id, "{at}: the tag of {name}");
        }
        let mut session = lab.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        assert!(verdicts::plan(&session, &synced, false).is_fresh(), "{at}: and then a plan says fresh");
    }
}

/// A machine whose images are published at `r.example`, with a base from another registry.
fn publisher(registry: &Arc<FakeRegistry>, fixture: &str) -> Lab {
    let lab = Lab { registry: Arc::clone(registry), ..Lab::new(fixture) };
    lab.engine.connect(Arc::new(publish::Wire(Arc::clone(registry))));
    lab
}

const OUTSIDE: &str = r#"
//- Imagefile.ron
(prefix: "r.example/", images: {"base": (), "api": (), "tool": (), "alone": ()})
//- base/Dockerfile
FROM os.example/os:3
//- api/Dockerfile
FROM base
//- tool/Dockerfile
FROM scratch
ADD https://files.example/tool.tgz /
//- alone/Dockerfile
FROM scratch
COPY file /
//- alone/file
1
"#;

/// The images that a push did not publish.
fn unpublished(outcome: &Outcome) -> Vec<(&str, &PublishError)> {
    outcome.summary.unpublished.iter().map(|(name, error)| (name.as_str(), error)).collect()
}

#[test]
fn a_key_that_is_this_machines_guess_is_built_and_never_published() {
    let url = "https://files.example/tool.tgz";
    for trouble in [FakeFault::Unreachable, FakeFault::Denied, FakeFault::Throttled(None), FakeFault::Corrupt]
    {
        // Whether this machine has asked before, and whether its engine has the base.
        for (asked, pulled) in [(false, false), (false, true), (true, false), (true, true)] {
            let at = format!("{trouble:?}, asked before: {asked}, on the engine: {pulled}");
            let registry = Arc::new(FakeRegistry::new());
            let mut lab = publisher(&registry, OUTSIDE);
            let digest = registry.add_image("os.example/os:3", "one");
            registry.put_file(url, "etag 1");
            if pulled {
                let repo_digests = vec![format!("os.example/os@{digest}")];
                let id = ImageId("sha256:os".into());
                let (tags, onbuild, environment) = (vec![], vec![], BTreeMap::new());
                let content = crate::model::content::text(&[], &serde_json::Value::Null);
                let platform = "linux/amd64".into();
                let os = ImageInfo {
                    id,
                    platform,
                    repo_digests,
                    tags,
                    onbuild,
                    environment,
                    own_bases: None,
                    size_bytes: 0,
                    manifest: None,
                    content,
                };
                lab.engine.add_image("os.example/os:3", os);
            }
            if asked {
                lab.run("");
                lab.now.0 += 2 * 3600;
            }
            registry.fail("os.example", trouble.clone());
            registry.fail("files.example", trouble.clone());
            let outcome = publish::push(&lab, "");
            assert!(
                !outcome.summary.endings.values().any(|ending| matches!(ending, Ending::Failed(_))),
                "{at}: {:?}",
                outcome.summary.endings
            );
            let told = unpublished(&outcome);
            let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["api", "base", "tool"], "{at}");
            for (name, error) in told {
                let what = if name == "tool" { url } else { "os.example/os:3" };
                assert!(error.to_string().contains(what), "{at}: {name}: {error}");
            }
            assert!(registry.digest("r.example/alone:latest").is_some(), "{at}: what is sure is published");
            for name in ["api", "base", "tool"] {
                assert_eq!(registry.tags_of(&format!("r.example/{name}")), [""; 0], "{at}: {name}");
            }
            // They answer: now the key is everybody's.
            registry.mend("os.example");
            registry.mend("files.example");
            lab.now.0 += 3600;
            assert_eq!(unpublished(&publish::push(&lab, "")), [], "{at}");
            let other = publisher(&registry, OUTSIDE);
            assert!(other.run("").built.is_empty(), "{at}: and another machine finds it");
        }
    }
}

#[test]
fn what_a_lock_file_has_needs_no_answer_to_be_published() {
    let registry = Arc::new(FakeRegistry::new());
    let lab = publisher(&registry, OUTSIDE);
    let digest = registry.add_image("os.example/os:3", "one");
    lab.run("base");
    lab.write("base/Dockerfile", &format!("FROM os.example/os@{digest}\n"));
    lab.run("base");
    registry.fail("os.example", FakeFault::Unreachable);
    assert_eq!(unpublished(&publish::push(&lab, "base")), []);
}

#[test]
fn transfers_leave_nothing_behind_and_where_tags_stay_they_do_not_pile_up() {
    let registry = Arc::new(FakeRegistry::new());
    let lab = publish::machine(&registry);
    let transfers = || {
        let of = |name: &&str| registry.tags_of(&format!("r.example/{name}"));
        let tags = ["base", "api", "web"].iter().flat_map(of);
        tags.filter(|tag| tag.contains("staging")).collect::<BTreeSet<String>>()
    };
    publish::push(&lab, "");
    assert_eq!(transfers(), BTreeSet::new());
    registry.keep_tags("r.example");
    for edit in 0..4 {
        lab.write("base/file", &format!("again {edit}"));
        assert_eq!(unpublished(&publish::push(&lab, "")), []);
    }
    assert_eq!(transfers().len(), 3, "one an image: {:?}", transfers());
    assert!(!lab.engine.tags().keys().any(|tag| tag.contains("staging")), "{:?}", lab.engine.tags());
}

#[test]
fn a_transfer_that_is_crossed_begins_again() {
    let registry = Arc::new(FakeRegistry::new());
    registry.keep_tags("r.example");
    let lab = publish::machine(&registry);
    // Another machine behind the same engine takes the tag that is shared, each time.
    lab.engine.cross("imk-staging", 1);
    assert_eq!(unpublished(&publish::push(&lab, "base")), []);
    let other = publish::machine(&registry);
    let outcome = other.run("base");
    assert_eq!(outcome.summary.results["base"].content, lab.run("base").summary.results["base"].content);
}
