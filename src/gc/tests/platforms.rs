//! Names for several platforms: a key, a build and a reason for each, and one index of them all.

use super::*;
use crate::build::publish::Publication;
use crate::engine::{Caches, EnginePool, Node};
use crate::gc::sweep::{self, GcOptions};
use crate::gc::tests::publish::{Wire, push};
use crate::gc::tests::random::Dice;
use crate::plan::{ready, verdicts};
use crate::registry::Registry;
use crate::registry::document::Document;
use crate::session::platforms;
use crate::syntax::reference;

const FILES: &str = r#"
//- Imagefile.ron
(prefix: "r.example/", images: {
    "base": (platforms: ["linux/amd64", "linux/arm64"]),
    "app": (platforms: ["linux/amd64", "linux/arm64"], tags: ["1", "latest"]),
    "tool": (),
})
//- base/Dockerfile
FROM scratch
COPY file /
//- base/file
base
//- app/Dockerfile
FROM base
COPY file /
//- app/file
app
//- tool/Dockerfile
FROM scratch
COPY file /
//- tool/file
tool
"#;

fn lab(files: &str) -> Lab {
    let lab = Lab::new(files);
    lab.engine.connect(Arc::new(Wire(Arc::clone(&lab.registry))));
    lab
}

/// The platforms of what a name stands for at the registry; nothing when there is no such name.
fn index(lab: &Lab, name: &str) -> Vec<String> {
    let at = reference::parse(name).unwrap();
    let Some(manifest) = lab.registry.manifest(&at).unwrap() else { return Vec::new() };
    Document::parse(&manifest.bytes).unwrap().platforms()
}

/// The first mistake of an image.
fn mistake(lab: &Lab, image: &str) -> String {
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    let problems = run::problems(&session, &synced, false, &Caches::default());
    problems.get(image).map(|of| of[0].message.clone()).unwrap_or_default()
}

#[test]
fn each_platform_is_built_once_and_has_a_name_on_the_engine() {
    let lab = lab(FILES);
    lab.builds("app@linux/amd64 app@linux/arm64 base@linux/amd64 base@linux/arm64 tool");
    let arm = lab.engine.tags()["r.example/app:1-linux-arm64"].clone();
    assert_eq!(lab.engine.inspect(&arm.0).unwrap().unwrap().platform, "linux/arm64");
    let tags: Vec<String> = lab.engine.tags().into_keys().filter(|tag| !tag.contains("imk")).collect();
    assert_eq!(
        tags.join(" "),
        "r.example/app:1 r.example/app:1-linux-arm64 r.example/app:latest r.example/app:latest-linux-arm64 \
         r.example/base:latest r.example/base:latest-linux-arm64 r.example/tool:latest"
    );
    lab.builds("");
    lab.write("app/file", "2");
    let outcome = lab.builds("app@linux/amd64 app@linux/arm64");
    let Some(Ending::Built { reasons, .. }) = outcome.summary.endings.get("app@linux/arm64") else {
        panic!()
    };
    assert_eq!((reasons[0].code, reasons[0].subject.as_str()), (Code::File, "file"));
}

#[test]
fn a_platform_more_builds_that_platform_alone() {
    let lab =
        lab(&FILES.replace(r#"platforms: ["linux/amd64", "linux/arm64"]"#, r#"platform: "linux/amd64""#));
    lab.builds("app base tool");
    lab.write("Imagefile.ron", &FILES[FILES.find('(').unwrap()..FILES.find("//- base").unwrap()]);
    lab.builds("app@linux/arm64 base@linux/arm64");
    // And back: nothing is built whose inputs are as they were.
    lab.write("Imagefile.ron", r#"(prefix: "r.example/", images: {"base": (platforms: ["linux/amd64"]), "app": (platform: "linux/amd64", tags: ["1", "latest"]), "tool": ()})"#);
    lab.builds("");
}

#[test]
fn words_mean_all_platforms_of_a_name_or_one() {
    let lab = lab(FILES);
    for (words, meant) in [
        ("app", "app@linux/amd64 app@linux/arm64"),
        ("app@arm64", "app@linux/arm64"),
        ("app@linux/aarch64", "app@linux/arm64"),
        ("*@linux/arm64", "app@linux/arm64 base@linux/arm64"),
        ("*p", "app@linux/amd64 app@linux/arm64"),
        ("+app@amd64", "app@linux/amd64 base@linux/amd64"),
        ("base@arm64+", "app@linux/arm64 base@linux/arm64"),
    ] {
        let mut session = lab.open().unwrap();
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let synced = ready::sync(&mut session, &words).unwrap();
        assert_eq!(synced.targets.into_iter().collect::<Vec<_>>().join(" "), meant, "{words:?}");
    }
    let mut session = lab.open().unwrap();
    assert!(ready::sync(&mut session, &["app@s390x".to_owned()]).is_err());
}

#[test]
fn platforms_that_are_typed_choose_among_those_of_a_name() {
    let lab = lab(FILES);
    let open = |platforms: &[&str]| {
        let platforms = platforms.iter().map(|one| (*one).to_owned()).collect();
        let overrides = Overrides { platforms, ..Overrides::default() };
        lab.open_with("Imagefile.ron", overrides).unwrap()
    };
    let meant = |platforms: &[&str]| {
        let mut session = open(platforms);
        let synced = ready::sync(&mut session, &[]).unwrap();
        synced.targets.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(meant(&["linux/arm64"]), "app@linux/arm64 base@linux/arm64 tool");
    assert_eq!(meant(&["linux/s390x"]), "app base tool");
    assert_eq!(
        meant(&["linux/amd64", "linux/s390x"]),
        "app@linux/amd64 app@linux/s390x base@linux/amd64 base@linux/s390x tool@linux/amd64 tool@linux/s390x"
    );
    assert_eq!(open(&["linux/s390x"]).project.images["app"].options.platform.as_deref(), Some("linux/s390x"));
}

#[test]
fn a_push_puts_one_index_under_every_tag() {
    let lab = lab(FILES);
    let outcome = push(&lab, "app tool");
    assert!(outcome.summary.unpublished.is_empty(), "{:?}", outcome.summary);
    for tag in ["1", "latest"] {
        assert_eq!(index(&lab, &format!("r.example/app:{tag}")), ["linux/amd64", "linux/arm64"]);
    }
    assert_eq!(lab.registry.digest("r.example/app:1"), lab.registry.digest("r.example/app:latest"));
    // A base that was not asked for has its images there, by their keys, and no tag of its own.
    assert_eq!(lab.registry.digest("r.example/base:latest"), None);
    // Neither has one platform a tag there.
    assert!(lab.registry.tags_of("r.example/app").iter().all(|tag| !tag.contains("arm64")));
    let before = lab.registry.digest("r.example/app:1");
    let again = push(&lab, "app");
    assert!(again.built.is_empty());
    let Publication::Done { moved, .. } = &again.summary.indexes["app"] else { panic!() };
    assert_eq!((moved.len(), lab.registry.digest("r.example/app:1")), (0, before));
}

#[test]
fn a_second_machine_puts_the_same_index_and_builds_nothing() {
    let first = lab(FILES);
    push(&first, "");
    let before = first.registry.digest("r.example/app:latest");
    let second = Lab { registry: Arc::clone(&first.registry), ..Lab::new(FILES) };
    second.engine.connect(Arc::new(Wire(Arc::clone(&first.registry))));
    let outcome = push(&second, "");
    assert!(outcome.built.is_empty(), "{:?}", outcome.built);
    assert_eq!(first.registry.digest("r.example/app:latest"), before);
}

#[test]
fn the_index_waits_for_the_last_of_its_platforms() {
    let lab = lab(FILES);
    let outcome = push(&lab, "app@arm64");
    assert_eq!(outcome.summary.incomplete["app"], ["app@linux/amd64"]);
    assert_eq!(lab.registry.digest("r.example/app:latest"), None);
    // As two machines do it, each for its own platform, and a third that puts the index.
    push(&lab, "app@amd64");
    assert_eq!(lab.registry.digest("r.example/app:latest"), None);
    let last = push(&lab, "app");
    assert!(last.built.is_empty() && last.summary.incomplete.is_empty());
    assert_eq!(index(&lab, "r.example/app:latest"), ["linux/amd64", "linux/arm64"]);
}

#[test]
fn a_platform_that_fails_leaves_the_old_index_where_it_is() {
    let lab = lab(FILES);
    push(&lab, "app");
    let before = lab.registry.digest("r.example/app:latest");
    lab.write("app/file", "2");
    lab.engine.fail("app@linux/arm64", Failures::Times(1));
    let options = BuildOptions { push: true, keep_going: true, ..BuildOptions::default() };
    let outcome = lab.run_with("app", &options, true);
    assert!(matches!(outcome.summary.endings["app@linux/arm64"], Ending::Failed(_)));
    assert_eq!(lab.registry.digest("r.example/app:latest"), before);
    let mended = push(&lab, "app");
    assert_eq!(mended.built.into_iter().collect::<Vec<_>>(), ["app@linux/arm64"]);
    assert_ne!(lab.registry.digest("r.example/app:latest"), before);
}

#[test]
fn a_base_of_one_platform_is_no_base_of_another() {
    let lab = lab(FILES);
    lab.write("app/Dockerfile", "FROM tool\nCOPY file /\n");
    assert_eq!(
        mistake(&lab, "app@linux/arm64"),
        "`tool` is not for linux/arm64, and `app@linux/arm64` uses it for that"
    );
    assert_eq!(mistake(&lab, "app@linux/amd64"), "");
    // The other way round: an image for one platform, on a name that lacks it.
    lab.write(
        "Imagefile.ron",
        r#"(images: {"base": (platforms: ["arm64", "s390x"]), "app": (), "tool": ()})"#,
    );
    lab.write("app/Dockerfile", "FROM base\nCOPY file /\n");
    assert_eq!(mistake(&lab, "app"), "`base` is not for linux/amd64, and `app` uses it for that");
    lab.write("app/Dockerfile", "FROM --platform=s390x base\nCOPY file /\n");
    assert_eq!(mistake(&lab, "app"), "");
}

#[test]
fn what_runs_while_others_are_built_is_for_the_engines_platform() {
    let lab = lab(FILES);
    lab.write(
        "app/Dockerfile",
        "FROM --platform=$BUILDPLATFORM tool AS t\nFROM base\nCOPY --from=t / /\nCOPY file /\n",
    );
    lab.builds("app@linux/amd64 app@linux/arm64 base@linux/amd64 base@linux/arm64 tool");
    // One name for two platforms in one Dockerfile: each use has its own image.
    lab.write(
        "app/Dockerfile",
        "FROM --platform=$BUILDPLATFORM base AS t\nFROM base\nCOPY --from=t / /\nCOPY file /\n",
    );
    lab.builds("app@linux/amd64 app@linux/arm64");
    let build = lab.engine.builds().into_iter().find(|build| build.image == "app@linux/arm64").unwrap();
    let froms: BTreeSet<&str> =
        build.dockerfile.lines().filter_map(|line| line.split("imk.invalid/base:").nth(1)).collect();
    assert_eq!(froms.len(), 2, "{}", build.dockerfile);
    lab.write("base/file", "2");
    lab.builds("app@linux/amd64 app@linux/arm64 base@linux/amd64 base@linux/arm64");
    lab.builds("");
}

#[test]
fn a_platform_is_built_where_it_runs_by_itself() {
    let lab = lab(FILES);
    let arm = Arc::new(FakeEngine::new());
    let identity = lab.engine.identity().unwrap();
    arm.pose_as(EngineIdentity { id: "ARM".into(), platform: "linux/arm64".into(), ..identity });
    arm.connect(Arc::new(Wire(Arc::clone(&lab.registry))));
    let session = lab.open().unwrap();
    let (home, other) = (Arc::clone(&lab.engine) as _, Arc::clone(&arm) as _);
    session.executor.enlist(EnginePool::new(Node::new("home", home), vec![Node::new("arm", other)]));
    let options = BuildOptions { push: true, ..BuildOptions::default() };
    let outcome = lab.run_on(session, "app", &options, true);
    assert!(outcome.summary.unpublished.is_empty(), "{:?}", outcome.summary);
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names.join(" ")
    };
    assert_eq!(sorted(lab.engine.built()), "app@linux/amd64 base@linux/amd64");
    assert_eq!(sorted(arm.built()), "app@linux/arm64 base@linux/arm64");
    assert_eq!(index(&lab, "r.example/app:1"), ["linux/amd64", "linux/arm64"]);
}

#[test]
fn the_engine_keeps_what_is_current_of_every_platform() {
    let lab = lab(FILES);
    lab.run("");
    lab.write("app/file", "2");
    lab.run("");
    let gc = |keep: usize| {
        let mut session = lab.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        let plan = verdicts::plan(&session, &synced, false);
        let sweep = sweep::sweep(&session, &synced, &plan, &GcOptions { keep, published: false });
        sweep::carry_out(&mut session, &synced, sweep).unwrap().images.len()
    };
    assert_eq!(gc(0), 2, "the older result of each platform of app");
    lab.builds("");
}

#[test]
fn one_is_run_and_tested_of_several_the_engines_own() {
    let lab = lab(FILES);
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert_eq!(platforms::on_engine(&session, "app").as_deref(), Some("app@linux/amd64"));
    assert_eq!(platforms::on_engine(&session, "app@arm64").as_deref(), Some("app@linux/arm64"));
    assert_eq!(platforms::on_engine(&session, "tool").as_deref(), Some("tool"));
    assert_eq!(platforms::on_engine(&session, "nothing"), None);
    let own = platforms::of_engine(&session, &synced.targets);
    assert_eq!(own.into_iter().collect::<Vec<_>>().join(" "), "app@linux/amd64 base@linux/amd64 tool");
    let other = BTreeSet::from(["app@linux/arm64".to_owned()]);
    assert_eq!(platforms::of_engine(&session, &other), other);
}

#[test]
fn random_edits_and_failures_leave_indexes_of_whole_results_alone() {
    for seed in 1..=4 {
        let mut dice = Dice(seed);
        let lab = lab(FILES);
        for step in 0..10 {
            for image in ["base", "app"] {
                if dice.roll(3) == 0 {
                    lab.write(&format!("{image}/file"), &dice.roll(4).to_string());
                }
            }
            let platforms =
                ["\"amd64\", \"arm64\"", "\"arm64\", \"amd64\", \"s390x\"", "\"amd64\""][dice.roll(3)];
            lab.write(
                "Imagefile.ron",
                &format!(r#"(prefix: "r.example/", defaults: (platforms: [{platforms}]), images: {{"base": (), "app": (tags: ["1"]), "tool": ()}})"#),
            );
            let fails = dice.roll(3) == 0;
            let victim = ["app@linux/arm64", "base@linux/amd64", "app"][dice.roll(3)];
            if fails {
                lab.engine.fail(victim, Failures::Times(1));
            }
            let options = BuildOptions { push: true, keep_going: true, ..BuildOptions::default() };
            let outcome = lab.run_with("", &options, true);
            lab.engine.mend(victim);
            let told = format!("seed {seed}, step {step}: {:?}", outcome.summary);
            // An index has exactly the results of this run, or it was not put.
            for (name, publication) in &outcome.summary.indexes {
                let Publication::Done { at, .. } = publication else { panic!("{told}") };
                let manifest = lab.registry.manifest(&reference::parse(at).unwrap()).unwrap().unwrap();
                for entry in Document::parse(&manifest.bytes).unwrap().manifests {
                    let image = format!("{name}@{}", entry.platform.unwrap());
                    let Publication::Done { at, .. } = &outcome.summary.publications[&image] else {
                        panic!("{told}")
                    };
                    assert!(at.ends_with(&entry.digest), "{told}");
                }
            }
            let whole = outcome
                .summary
                .endings
                .values()
                .all(|ending| !matches!(ending, Ending::Failed(_) | Ending::Skipped));
            if whole {
                let again = lab.run_with("", &options, true);
                assert!(again.built.is_empty(), "{told}: {:?}", again.built);
                let expected = platforms.split(',').count();
                let found = index(&lab, "r.example/app:1").len();
                assert_eq!(found, if expected == 1 { 0 } else { expected }, "{told}");
            }
        }
    }
}
