//! Questions about what has not happened: what-if, who-uses, affected, --since. None needs an engine.

use crate::history::History;

/// Two bases, an image with a test stage on one of them, and one apart.
const REPOSITORY: &str = "
    //- base/Dockerfile
    FROM scratch
    COPY etc/ /etc/
    //- base/etc/hosts
    localhost
    //- tools/Dockerfile
    FROM base
    COPY . /tools/
    //- tools/run.sh
    echo run
    //- tools/.dockerignore
    # what nobody needs
    *.md
    //- api/Dockerfile
    FROM tools AS build
    ARG VERSION=1
    COPY src/ /src/
    FROM build AS check
    COPY tests/ /tests/
    FROM build AS final
    ENV VERSION=$VERSION
    //- api/src/main.rs
    fn main() {}
    //- api/tests/one.rs
    one
    //- apart/Dockerfile
    FROM debian:12
    COPY file /
    //- apart/file
    1
";

#[test]
fn what_if_a_file_changed() {
    let history = History::with(REPOSITORY);
    let what_if = |words: &str| history.sandbox.imk(&format!("what-if -j2 {words}")).code(0).out();
    insta::assert_snapshot!(what_if("base/etc/hosts"), @"");
    insta::assert_snapshot!(what_if("tools/new.sh"), @"");
    insta::assert_snapshot!(what_if("tools/README.md api/tests/one.rs"), @"");
    insta::assert_snapshot!(what_if("api/Dockerfile"), @"");
    insta::assert_snapshot!(what_if("--arg VERSION=2"), @"");
    insta::assert_snapshot!(what_if("--base debian"), @"");
    insta::assert_snapshot!(what_if("--base tools"), @"");
    insta::assert_snapshot!(what_if("--rm tools/run.sh"), @"");
    insta::assert_snapshot!(what_if("--rm apart/file --json"), @"");
    // Paths are read from where one is.
    let inside = history.sandbox.imk_in("apart", "what-if -j2 file").code(0).out();
    assert_eq!(inside, what_if("apart/file"));
    let outside = history.sandbox.imk("what-if ../elsewhere").code(2).err();
    assert!(outside.contains("`../elsewhere` is not in the repository"), "{outside}");
    let nobody = history.sandbox.imk("what-if --base alpine").code(2).err();
    assert!(nobody.contains("no image is built on `alpine`"), "{nobody}");
    assert_eq!(history.git(&["status", "--porcelain"]), "", "nothing was changed");
}

#[test]
fn who_uses_a_file_or_an_image() {
    let history = History::with(REPOSITORY);
    let who = |words: &str| history.sandbox.imk(&format!("who-uses {words}")).code(0).out();
    insta::assert_snapshot!(who("tools/run.sh"), @"");
    insta::assert_snapshot!(who("base/etc"), @"");
    insta::assert_snapshot!(who("api/Dockerfile"), @"");
    insta::assert_snapshot!(who("base"), @"");
    insta::assert_snapshot!(who("api/tests/one.rs"), @"");
    insta::assert_snapshot!(who("--json base/etc/hosts"), @"");
}

#[test]
fn affected_images_are_those_whose_inputs_two_commits_have_different() {
    let history = History::with(REPOSITORY);
    let sandbox = &history.sandbox;
    let affected = |words: &str| sandbox.imk(&format!("affected {words}")).code(0).out();
    sandbox.edit("tools/README.md", "ignored\n").edit("api/tests/one.rs", "not reached\n");
    sandbox.append("apart/Dockerfile", "# a comment\n");
    history.commit("nothing that counts");
    assert_eq!(affected("--since HEAD~1"), "");
    assert_eq!(affected("--since HEAD~1 --json").trim(), "[]");

    sandbox.edit("base/etc/hosts", "other\n").edit("apart/file", "2\n");
    assert_eq!(affected("--since HEAD"), "", "the work tree is not asked");
    assert_eq!(affected("--since HEAD --worktree"), "apart\nbase\ntools\napi\n");
    history.commit("a base and one apart");
    assert_eq!(affected("--since HEAD~1"), "apart\nbase\ntools\napi\n");
    assert_eq!(affected("--since HEAD~1 --json").trim(), r#"["apart","base","tools","api"]"#);
    assert_eq!(affected("--since HEAD~1 --json --waves").trim(), r#"[["apart","base"],["tools"],["api"]]"#);
    assert_eq!(affected("--since HEAD~1 --waves"), "apart base\ntools\napi\n");
    assert_eq!(affected("--since HEAD~1 ap*"), "apart\napi\n");

    // A branch is compared with where it left, whatever the other side did meanwhile.
    history.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    sandbox.edit("api/src/main.rs", "fn main() { todo() }\n");
    history.commit("side");
    assert_eq!(affected("--since main..."), "api\n");
    assert_eq!(affected("--since main"), "apart\nbase\ntools\napi\n");
    assert_eq!(history.git(&["status", "--porcelain"]), "", "nothing was checked out");
    insta::assert_snapshot!(sandbox.imk("affected").code(2).err(), @"");
    assert!(sandbox.imk("affected --since nowhere").code(2).err().contains("nowhere"));
}

#[test]
fn where_nothing_was_before_everything_is_affected() {
    let history = History::with("//- notes\nnothing yet\n");
    history.sandbox.write_all(REPOSITORY);
    history.commit("images");
    let run = history.sandbox.imk("affected --since HEAD~1").code(0);
    assert_eq!(run.out(), "apart\nbase\ntools\napi\n");
    assert!(run.err().contains("every image counts as changed"), "{}", run.err());
}

#[test]
fn since_narrows_every_verb() {
    let history = History::with(REPOSITORY);
    let sandbox = &history.sandbox;
    let plan = |words: &str| sandbox.imk(words).code(0).out();
    insta::assert_snapshot!(plan("plan --since HEAD"), @"");
    // The work tree counts, files that git does not know yet included; those it ignores do not.
    sandbox.edit("tools/new.sh", "new\n").edit("apart/.gitignore", "file\n");
    insta::assert_snapshot!(plan("plan --since HEAD"), @"");
    insta::assert_snapshot!(plan("list --since HEAD"), @"");
    insta::assert_snapshot!(plan("list --since HEAD base api"), @"");
    assert_eq!(history.git(&["diff", "--cached", "--name-only"]), "", "git's index is left alone");
}
