//! `--set IMAGE.KEY=VALUE`, as bake has it.

use crate::sandbox::Sandbox;

fn repository() -> Sandbox {
    Sandbox::with(
        "
    //- Imagefile.ron
    (vars: {\"V\": \"1\"}, images: {\"web\": (args: {\"A\": \"{V}\"}), \"api\": ()})
    //- web/Dockerfile
    FROM scratch AS dev
    ARG A
    LABEL a=$A
    FROM dev AS prod
    //- api/Dockerfile
    FROM scratch AS dev
    FROM dev AS prod
    ",
    )
    .without_engine()
}

#[test]
fn keys_of_images_are_set_at_the_command_line() {
    let sandbox = repository();
    let run = sandbox.imk("graph --bake --set web.args.A=x --set *.target=dev --set api.labels.org.x=y");
    let bake: serde_json::Value = serde_json::from_str(&run.code(0).stdout).unwrap();
    assert_eq!(bake["target"]["web"]["args"]["A"], "x");
    assert_eq!(
        (&bake["target"]["web"]["target"], &bake["target"]["api"]["target"]),
        (&"dev".into(), &"dev".into())
    );
    assert_eq!(bake["target"]["api"]["labels"]["org.x"], "y");
    // Without a dot it is a variable, as ever.
    let bake: serde_json::Value =
        serde_json::from_str(&sandbox.imk("graph --bake --set V=2").code(0).stdout).unwrap();
    assert_eq!(bake["target"]["web"]["args"]["A"], "2");
}

#[test]
fn what_cannot_be_set_is_told_with_what_could() {
    let sandbox = repository();
    for (set, wanted) in [
        ("wep.target=dev", "no image here is named `wep`"),
        ("web.targt=dev", "an image has no key `targt`"),
        ("web.args=A", "write it as IMAGE.args.NAME=VALUE"),
        ("web.platform=what ever", "cannot be built for"),
    ] {
        let mut command = sandbox.command("", "graph --bake --set");
        let run = sandbox.run(command.arg(set).output().unwrap()).code(2);
        assert!(run.stderr.contains(wanted), "{set}: {}", run.stderr);
    }
}
