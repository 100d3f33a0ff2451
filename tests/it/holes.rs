//! What a commit's tree lacks of its checkout: submodules, modes, what git ignores; every verb that reads commits.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use imk::registry::Registry as _;

use crate::hook::Pushing;
use crate::registry_server::RegistryServer;

/// Modes as a checkout under the umask 002 has them.
fn loosen(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let (path, metadata) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        if path.ends_with(".git") || path.ends_with(".imk") || metadata.is_symlink() {
            continue;
        }
        let mode = metadata.permissions().mode() | 0o020;
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        if metadata.is_dir() {
            loosen(&path);
        }
    }
}

/// The repository of the hook's tests, where `app` copies all of its folder, and `app/lib` is a submodule.
fn with_submodule(test: &str, hook: &str) -> Option<(Pushing, tempfile::TempDir)> {
    let push = Pushing::new(test, hook)?;
    let beside = tempfile::tempdir().unwrap();
    push.git_in(beside.path(), "init -q -b main .").ok();
    fs::write(beside.path().join("one.txt"), "one").unwrap();
    push.git_in(beside.path(), "add -A").ok();
    push.git_in(beside.path(), "commit -q -m one").ok();
    push.git(&format!("submodule --quiet add {} app/lib", beside.path().display())).ok();
    push.sandbox.append("app/Dockerfile", "COPY lib /lib\n");
    push.commit("submodule");
    Some((push, beside))
}

fn move_submodule(push: &Pushing) {
    push.edit("app/lib/one.txt", "moved");
    let lib = push.sandbox.root().join("app/lib");
    push.git_in(&lib, "commit -q -a -m moved").ok();
}

/// Both outputs of a run that ended so.
#[track_caller]
fn told(push: &Pushing, words: &str, status: i32) -> String {
    let run = push.sandbox.imk(words).code(status);
    format!("{}{}", run.out(), run.err())
}

#[track_caller]
fn tells(push: &Pushing, words: &str, status: i32, text: &str) {
    let told = told(push, words, status);
    assert!(told.contains(text), "{text:?} is not in\n{told}");
}

/// Nothing is to be built.
#[track_caller]
fn is_fresh(push: &Pushing, words: &str) {
    tells(push, words, 0, "2 fresh, 0 to build\n");
}

#[test]
fn under_a_umask_of_002_a_push_of_what_is_built_passes() {
    let Some(push) = Pushing::new("hook under umask 002", "hook install --mode block") else { return };
    loosen(push.sandbox.root());
    push.sandbox.imk("").success();
    push.git("push origin main").ok().silent();
    is_fresh(&push, "plan --rev HEAD");
    // What the hook builds of the commit is what the work tree has.
    push.edit("app/file.txt", "2").commit("two");
    push.git_with("push origin main", "IMK_HOOK_MODE", "build").ok().says("web: built in");
    is_fresh(&push, "plan");
}

#[test]
fn a_moved_submodule_affects_what_copies_of_it() {
    let Some((push, _beside)) = with_submodule("affected by a submodule", "") else { return };
    let (both, work_tree) = ("app\nweb\n", "affected --since HEAD --worktree");
    assert_eq!(told(&push, work_tree, 0), "");
    move_submodule(&push);
    assert_eq!(told(&push, work_tree, 0), both);
    push.commit("moved");
    assert_eq!(told(&push, "affected --since HEAD~1", 0), both);
    tells(&push, "diff HEAD~1 HEAD", 0, "`lib/one.txt` changed");
    // An edit that is not committed there is an edit all the same.
    push.edit("app/lib/one.txt", "edited");
    assert_eq!(told(&push, work_tree, 0), both);
    tells(&push, "plan --since HEAD", 0, "2 to build");
    push.git_in(&push.sandbox.root().join("app/lib"), "checkout -q -- .").ok();
    // Where its files are not there, its commit is known all the same.
    let clone = tempfile::tempdir().unwrap();
    let folder = clone.path().join("clone");
    push.git(&format!("clone -q . {}", folder.display())).ok();
    assert_eq!(told(&push, &format!("-C {} affected --since HEAD~1", folder.display()), 0), both);
    tells(&push, &format!("-C {} plan --rev HEAD app", folder.display()), 2, "git submodule update --init");
}

#[test]
fn a_hook_builds_a_commit_with_the_files_of_its_submodules() {
    let Some((push, _beside)) = with_submodule("hook builds submodules", "hook install --mode build") else {
        return;
    };
    move_submodule(&push);
    push.commit("moved");
    push.git("push origin main").ok().says("web: built in");
    is_fresh(&push, "plan");
    assert_eq!(push.sandbox.file_in("app", "/lib/one.txt"), "moved");
}

#[test]
fn what_git_ignores_is_no_mistake_of_a_commit_and_lets_a_push_pass_once_it_is_built() {
    let Some(push) = Pushing::new("hook and ignored files", "hook install --mode block") else { return };
    push.sandbox.append("app/Dockerfile", "COPY dist/made /\n");
    push.edit(".gitignore", "dist/\n").commit("ignored");
    let why = "copies `app/dist/made`: git ignores it, so a commit cannot hold it";
    push.git("push origin main").stopped().says(why).says("it is not here either");
    tells(&push, "plan --rev HEAD", 0, &format!("app: {why}\n"));
    tells(&push, "plan --rev HEAD", 0, "1 with files that git ignores");
    tells(&push, "replay --last 1", 0, why);
    fs::create_dir(push.sandbox.root().join("app/dist")).unwrap();
    push.edit("app/dist/made", "1");
    push.git("push origin main").stopped().says(why).says("`imk` builds it as it lies in the work tree");
    // It is not for a hook to build what no commit says.
    push.git_with("push origin main", "IMK_HOOK_MODE", "build").stopped().says(why);
    push.sandbox.imk("").success();
    push.git("push origin main").ok().silent();
    tells(&push, "plan --rev HEAD", 0, "`app/dist/made` is taken as it lies here: git ignores it");
}

#[test]
fn the_state_of_a_project_in_a_folder_never_counts() {
    let Some(push) = Pushing::new("nested state", "") else { return };
    push.sandbox.append("app/Dockerfile", "COPY . /all\n");
    push.commit("all");
    push.sandbox.imk("").success();
    fs::create_dir(push.sandbox.root().join("app/.imk")).unwrap();
    push.edit("app/.imk/ledger", "1");
    is_fresh(&push, "plan");
    push.git("add -f app/.imk").ok();
    push.git("commit -q --no-verify -m state").ok();
    is_fresh(&push, "plan --rev HEAD");
    assert_eq!(told(&push, "affected --since HEAD~1", 0), "");
}

#[test]
fn a_submodule_that_is_not_checked_out_is_told_where_it_is_copied() {
    let Some((push, _beside)) = with_submodule("an empty submodule", "") else { return };
    push.git("submodule --quiet deinit app/lib").ok();
    tells(&push, "plan", 0, "app: the submodule `app/lib` is not checked out, so an empty folder is copied");
    // A commit of it has its files all the same, for git keeps them.
    tells(&push, "plan --rev HEAD", 0, "0 fresh, 2 to build");
}

#[test]
fn a_partial_clone_has_its_hook_and_its_commits() {
    let Some(push) = Pushing::new("hook of a partial clone", "") else { return };
    push.git("config core.repositoryformatversion 1").ok();
    push.git("config extensions.partialClone origin").ok();
    push.sandbox.imk("hook install --mode block").success();
    push.git("push origin main").stopped().says("app: stale, never built here");
    push.sandbox.imk("").success();
    push.git("push origin main").ok().silent();
    push.edit("app/file.txt", "2").commit("two");
    assert_eq!(told(&push, "affected --since HEAD~1", 0), "app\nweb\n");
    push.sandbox.imk("hook uninstall").success();
    assert_eq!(push.git("config --get imk.hook").out, "");
}

#[test]
fn ids_of_a_kind_to_come_are_told_and_doctor_fails() {
    let Some(sandbox) = crate::sandbox::engine_or_skip("ids to come") else { return };
    sandbox.edit("Imagefile.ron", "(images: {\"app\": (tags: [\"{git.sha}\", \"latest\"])})");
    sandbox.edit("app/Dockerfile", &format!("FROM scratch\nLABEL imk.test={}\nCOPY x /\n", sandbox.prefix()));
    sandbox.edit("app/x", "1");
    let init = Command::new("git").args(["init", "-q"]).arg(sandbox.root()).status();
    assert!(init.unwrap().success());
    let config = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = blake3\n";
    fs::write(sandbox.root().join(".git/config"), config).unwrap();
    let plan = sandbox.imk("plan").code(0);
    assert!(plan.err().contains("blake3"), "{}", plan.err());
    let doctor = sandbox.imk("doctor");
    assert!(doctor.status != 0 && doctor.out().contains("blake3"), "{}", doctor.out());
    assert!(sandbox.imk("affected --since HEAD").code(2).err().contains("blake3"));
}

#[test]
fn a_tag_of_a_commit_that_git_cannot_tell_fails_the_push_and_its_dry_run() {
    let Some(registry) = RegistryServer::open("commits that cannot be read") else { return };
    let Some(sandbox) = crate::sandbox::engine_or_skip("commits that cannot be read") else { return };
    let sandbox = sandbox.prefixed(&registry.name("unread/"));
    let file = "(images: {\"app\": (tags: [\"{git.sha}\", \"latest\"]), \"web\": ()})";
    sandbox.edit("Imagefile.ron", file);
    for name in ["app", "web"] {
        sandbox.edit(&format!("{name}/Dockerfile"), "FROM scratch\nCOPY x /\n");
        sandbox.edit(&format!("{name}/x"), &format!("{name} of {}", sandbox.prefix()));
    }
    assert!(Command::new("git").args(["init", "-q"]).arg(sandbox.root()).status().unwrap().success());
    let version = |number: u32| format!("[core]\n\trepositoryformatversion = {number}\n");
    for (config, why) in [
        (version(99), "version 99"),
        (version(1) + "[extensions]\n\tfutureThing = true\n", "futurething"),
        (version(1) + "[extensions]\n\tobjectFormat = blake3\n", "blake3"),
        ("[core\n".to_owned(), "config"),
    ] {
        fs::write(sandbox.root().join(".git/config"), config).unwrap();
        for words in
            ["push --dry-run", "push -n --json", "build --push -n", "push", "publish --dry-run", "publish"]
        {
            let err = sandbox.imk(words).code(2).err();
            assert!(err.to_lowercase().contains(why), "{words}, {why}: {err}");
            assert!(!err.contains("git says: git says"), "{words}: {err}");
        }
        // What names no commit is published all the same; nor does a plan publish.
        sandbox.imk("push -n web").success();
        sandbox.imk("push web").success();
        sandbox.imk("plan").success();
        let told = registry.client().manifest(&registry.at("unread/app:latest")).unwrap();
        assert!(told.is_none(), "{why}: the other tags were moved without it");
    }
    sandbox.remove(".git");
    // No repository at all is an absence, and told as one.
    assert!(sandbox.imk("push app").code(0).err().contains("there is no git repository"));
}

#[test]
fn ids_that_are_sha_256_are_ids_to_every_verb() {
    let Some(push) = Pushing::with_ids("hook with SHA-256", "hook install --mode build", "sha256") else {
        return;
    };
    let head = push.git("rev-parse HEAD").ok().out.trim().to_owned();
    assert_eq!(head.len(), 64);
    push.git("push origin main").ok().says("web: built in");
    is_fresh(&push, "plan");
    is_fresh(&push, "plan --rev HEAD");
    push.edit("app/file.txt", "2");
    assert_eq!(told(&push, "affected --since HEAD --worktree", 0), "app\nweb\n");
    push.commit("two");
    assert_eq!(told(&push, "affected --since HEAD~1", 0), "app\nweb\n");
    tells(&push, "diff HEAD~1 HEAD", 0, "`file.txt` changed");
    tells(&push, "why app", 0, "file.txt");
    tells(&push, "replay --last 2", 0, "2 commits");
    push.edit(
        "Imagefile.ron",
        "(images: {\"app\": (tags: [\"{git.sha:12}\", \"{git.branch}\"]), \"web\": ()})",
    );
    push.commit("tags");
    push.sandbox.imk("").success();
    let head = push.git("rev-parse HEAD").ok().out.trim().to_owned();
    tells(&push, "tags app", 0, &head[..12]);
    tells(&push, "doctor", 0, "");
}

#[test]
fn one_file_that_cannot_be_read_stops_only_what_copies_it() {
    let Some(push) = Pushing::new("an unreadable file", "") else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become somebody who may not read a file");
        return;
    }
    push.edit("app/secret", "1").edit("beside.txt", "1");
    let own = Command::new("chown").args(["-R", "65534:65534"]).arg(push.sandbox.root()).status();
    assert!(own.unwrap().success());
    fs::set_permissions(push.sandbox.root().join("app/secret"), PermissionsExt::from_mode(0o000)).unwrap();
    let as_nobody = |words: &str| {
        let imk = push.sandbox.command("", words);
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        nobody.arg(imk.get_program()).args(imk.get_args()).current_dir(push.sandbox.root());
        nobody.env("HOME", push.sandbox.root()).env("IMK_PREFIX", push.sandbox.prefix()).env("NO_COLOR", "1");
        push.sandbox.run(nobody.output().unwrap())
    };
    for words in ["affected --since HEAD --worktree", "plan --since HEAD"] {
        let run = as_nobody(words);
        assert_eq!(run.status, 0, "{words}: {}", run.err());
    }
    push.sandbox.append("app/Dockerfile", "COPY secret /\n");
    let run = as_nobody("affected --since HEAD --worktree");
    assert_eq!(run.out(), "app\nweb\n", "{}", run.err());
    assert!(run.err().contains("`app` cannot be built: cannot read `app/secret`"), "{}", run.err());
}

#[test]
fn safe_directory_counts_wherever_git_takes_it_from() {
    let Some(push) = Pushing::new("safe.directory", "") else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give a folder to another user");
        return;
    }
    let own = Command::new("chown").args(["-R", "12345:12345"]).arg(push.sandbox.root()).status();
    assert!(own.unwrap().success());
    let run = |set: &[(&str, &str)]| {
        let mut imk = push.sandbox.command("", "affected --since HEAD");
        imk.env("HOME", "/nowhere").env_remove("SUDO_UID").envs(set.iter().copied());
        push.sandbox.run(imk.output().unwrap())
    };
    let refused = run(&[]);
    assert!(refused.status == 2 && refused.err().contains("safe.directory"), "{}", refused.err());
    let count =
        [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")];
    assert_eq!(run(&count).status, 0, "{}", run(&count).err());
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[safe]\n\tdirectory = *\n").unwrap();
    let global = [("GIT_CONFIG_GLOBAL", file.path().to_str().unwrap())];
    assert_eq!(run(&global).status, 0, "{}", run(&global).err());
}

#[test]
fn a_cause_in_an_overlay_names_the_repository_and_the_commit() {
    let Some(push) = Pushing::new("a cause in an overlay", "") else { return };
    let beside = tempfile::tempdir().unwrap();
    push.git_in(beside.path(), "init -q -b main .").ok();
    let commit = |text: &str| {
        fs::write(beside.path().join("x.txt"), text).unwrap();
        push.git_in(beside.path(), "add -A").ok();
        push.git_in(beside.path(), &format!("commit -q -m {text}")).ok();
        push.git_in(beside.path(), "rev-parse HEAD").ok().out.trim().to_owned()
    };
    commit("one");
    let source = format!("Git(url: {:?}, branch: \"main\")", beside.path());
    push.edit(
        "Imagefile.ron",
        &format!("(images: {{\"app\": (overlays: {{\"lib\": {source}}}), \"web\": ()}})"),
    );
    push.sandbox.append("app/Dockerfile", "COPY lib /lib\n");
    push.sandbox.imk("").success();
    let second = commit("two");
    let from = format!("{}#main at commit {}", beside.path().display(), &second[..12]);
    tells(&push, "why app", 0, &from);
    tells(&push, "why app --json", 0, &second);
}
