//! imk's own builder: what a person has of it where there is no engine.

mod image;
mod same;

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
