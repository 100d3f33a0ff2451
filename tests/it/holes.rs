//! What a commit's tree lacks of its checkout: submodules, modes, what git ignores; every verb that reads commits.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use crate::hook::Pushing;

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
    push.sandbox.imk("").success();
    fs::create_dir(push.sandbox.root().join("app/.imk")).unwrap();
    push.edit("app/.imk/ledger", "1");
    is_fresh(&push, "plan");
    push.git("add -f app/.imk").ok();
    push.git("commit -q --no-verify -m state").ok();
    is_fresh(&push, "plan --rev HEAD");
    assert_eq!(told(&push, "affected --since HEAD~1", 0), "");
}
