//! Preparing a run: what of a profile and of the words becomes of the container. No engine.

use super::*;
use crate::syntax::container::mounts;

fn facts() -> Facts {
    Facts {
        image: "sha256:1".into(),
        name: "team/app:dev".into(),
        version: "20180923T082316Z".into(),
        root: "/repo".into(),
        env: BTreeMap::from([("HOME".into(), "/home/me".into())]),
        caller: Caller { uid: 1000, gid: 100, name: "me".into(), group: "users".into(), home: "/".into() },
        timezone: Some("Europe/Zurich".into()),
        reach: Reach::Here,
    }
}

#[test]
fn a_profile_without_a_word_runs_the_image_as_it_is() {
    let prepared = prepare(&Profile::default(), &facts(), &[]).unwrap();
    assert_eq!(prepared.spec.command, None);
    assert!(prepared.folders.is_empty() && prepared.caller.is_none() && prepared.spec.init);
    let env: Vec<&str> = prepared.spec.env.keys().map(String::as_str).collect();
    assert_eq!(env, ["IMAGE_NAME", "IMAGE_VERSION"]);
}

#[test]
fn folders_are_made_below_the_root_that_is_named_and_nowhere_else() {
    let profile = Profile { folders: Some("{env.HOME}/jobs".into()), ..Profile::default() };
    let prepared = prepare(&profile, &facts(), &[]).unwrap();
    let root = "/home/me/jobs/team%2Fapp%3Adev";
    let folders: Vec<String> = prepared.folders.iter().map(|it| it.display().to_string()).collect();
    assert_eq!(folders, ["data", "config", "log", "tmp"].map(|name| format!("{root}/{name}")));
    assert_eq!(prepared.spec.env["DATADIR"], format!("{root}/data"));
    assert_eq!(prepared.spec.mounts.len(), 4);
    assert!(prepared.spec.mounts.iter().all(|it| it.source == Source::Path(it.target.clone())));
}

#[test]
fn the_source_is_mounted_or_sealed_and_its_folder_has_one_name() {
    let sealed = Profile { source_dir: Some("/app/src".into()), ..Profile::default() };
    let prepared = prepare(&sealed, &facts(), &[]).unwrap();
    assert!(prepared.spec.mounts.is_empty());
    let mounted = Profile { source: Some("app/src".into()), ..sealed };
    let with = prepare(&mounted, &facts(), &[]).unwrap();
    assert_eq!(with.spec.mounts[0].source, Source::Path("/repo/app/src".into()));
    assert_eq!(
        (&with.spec.env["SRCDIR"], &with.spec.env["SCRIPTDIR"]),
        (&"/app/src".to_owned(), &"/app/src".to_owned())
    );
    assert_eq!(prepared.spec.env["SRCDIR"], "/app/src");
    let nowhere = Profile { source: Some("app/src".into()), ..Profile::default() };
    assert!(prepare(&nowhere, &facts(), &[]).unwrap_err().contains("source_dir"));
}

#[test]
fn a_script_is_the_first_word_and_the_rest_are_its_arguments() {
    let words = |list: &[&str]| -> Vec<String> { list.iter().map(|word| (*word).to_owned()).collect() };
    let profile = Profile {
        script_dir: Some("/scripts".into()),
        command: Some(words(&["sh", "{script}"])),
        ..Profile::default()
    };
    let run = |typed: &[&str]| prepare(&profile, &facts(), &words(typed)).map(|it| it.spec.command);
    assert_eq!(run(&["a.sh", "-x", "{y}"]).unwrap().unwrap(), words(&["sh", "/scripts/a.sh", "-x", "{y}"]));
    assert_eq!(run(&["/b.sh"]).unwrap().unwrap(), words(&["sh", "/b.sh"]));
    assert!(run(&[]).unwrap_err().contains("script"));
}

#[test]
fn the_caller_is_a_user_of_the_container_with_a_home() {
    let profile = Profile { user: Some("host".into()), timezone: Some("host".into()), ..Profile::default() };
    let prepared = prepare(&profile, &facts(), &[]).unwrap();
    assert_eq!(prepared.spec.user.as_deref(), Some("1000:100"));
    assert_eq!((&*prepared.spec.env["HOME"], &*prepared.spec.env["TZ"]), ("/tmp", "Europe/Zurich"));
    assert_eq!(prepared.caller.unwrap().home, "/tmp");
}

#[test]
fn a_folder_of_this_machine_is_refused_by_name_where_the_engine_is_elsewhere() {
    let mount = |text: &str| Profile { mounts: vec![mounts::short(text).unwrap()], ..Profile::default() };
    let far = Facts { reach: Reach::Elsewhere("big".into()), ..facts() };
    let error = prepare(&mount("./data:/d"), &far, &[]).unwrap_err();
    assert!(error.contains("`/repo/data`") && error.contains("`big`"), "{error}");
    prepare(&mount("data:/d"), &far, &[]).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let env = |value: &str| Profile {
        env: BTreeMap::from([("A".to_owned(), value.to_owned())]),
        ..Profile::default()
    };
    assert!(prepare(&env("{env.NOPE}"), &facts(), &[]).unwrap_err().contains("`NOPE`"));
    assert!(prepare(&env("{LOGDIR}/x"), &facts(), &[]).unwrap_err().contains("folders"));
    assert_eq!(prepare(&env("{{x}} {uid}"), &facts(), &[]).unwrap().spec.env["A"], "{x} 1000");
}

#[test]
fn names_of_folders_lead_nowhere_else() {
    assert_eq!(escaped("../a"), "%2E.%2Fa");
    assert_eq!(escaped("os:deb"), "os%3Adeb");
    assert_eq!(escaped("ü"), "%C3%BC");
}
