//! What a person without an engine can do, and is told.

use crate::sandbox::Sandbox;

const TWO: &str = "
    //- base/Dockerfile
    FROM scratch
    COPY a /
    //- base/a
    1
    //- web/Dockerfile
    FROM base
    COPY . /
    //- web/b
    1
";

#[test]
fn a_build_without_an_engine_says_what_was_tried() {
    let sandbox = Sandbox::with(TWO).without_engine();
    insta::assert_snapshot!(sandbox.imk("").code(2).err(), @"
    error: no engine at unix:///nowhere/docker.sock (from DOCKER_HOST): the socket `/nowhere/docker.sock` does not exist; is the engine running? Start it, or set DOCKER_HOST or a docker context
     |
     = help: `sudo systemctl start docker` starts one, `--engine embedded` builds without; `imk plan` needs none
    ");
}

#[test]
fn a_plan_needs_no_engine_and_says_so() {
    let sandbox = Sandbox::with(TWO).without_engine();
    let run = sandbox.imk("plan").code(0);
    insta::assert_snapshot!(run.out(), @"
    base: stale, never built here
    web: stale, never built here
    0 fresh, 2 to build
    ");
    assert!(run.err().contains("the plan believes what imk wrote down"), "{}", run.err());
}

#[test]
fn a_plan_writes_nothing_beside_its_state() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.imk("plan").code(0);
    let mut names: Vec<_> =
        fs_err::read_dir(sandbox.root()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, [".imk", "base", "web"]);
}

#[test]
fn help_names_every_verb() {
    let sandbox = Sandbox::empty().without_engine();
    let help = sandbox.imk("--help").code(0).stdout;
    for verb in [
        "build", "plan", "why-not", "diff", "what-if", "who-uses", "affected", "graph", "inputs", "list",
        "init", "keys",
    ] {
        assert!(help.contains(verb), "{verb} in:\n{help}");
    }
}

#[test]
fn init_writes_what_discovery_stands_for_and_changes_nothing_else() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.edit("deep/er/Dockerfile.dev", "FROM web\n");
    let before = sandbox.imk("graph --json").code(0).stdout;
    insta::assert_snapshot!(sandbox.imk("init").code(0).out(), @"wrote Imagefile.ron with 3 images");
    insta::assert_snapshot!(fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap(), @r#"
    // What `imk` builds here. `imk keys` explains every key.
    (
        images: {
            "base": (),
            "er-dev": (dockerfile: "deep/er/Dockerfile.dev"),
            "web": (),
        },
    )
    "#);
    assert_eq!(sandbox.imk("graph --json").code(0).stdout, before);
    insta::assert_snapshot!(sandbox.imk("init").code(2).err(), @"
    error: there is an Imagefile.ron in `[ROOT]` already
     |
     = help: `imk init --print` shows what would be written, --force writes over it
    ");
}

#[test]
fn list_tells_what_is_known_without_an_engine() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.edit("Imagefile.ron", r#"(images: {"base": (description: "the base"), "web": ()})"#);
    insta::assert_snapshot!(sandbox.imk("list").code(0).out(), @"
    image  state  tag     id  size  built  took  base
    base   stale  latest  -   -     -      -     scratch
    web    stale  latest  -   -     -      -     base
    ");
}

#[test]
fn a_variable_set_to_1_turns_its_flag_on_and_0_off() {
    let sandbox = Sandbox::with("//- a/Dockerfile\nFROM scratch\n").without_engine();
    let run = |words: &str, value: &str, variables: &[&str]| {
        let mut command = sandbox.command("", words);
        let output = command.envs(variables.iter().map(|name| (name, value))).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), out, err)
    };
    let build = ["KEEP_GOING", "DRY_RUN", "ALWAYS_MAKE", "NO_CACHE", "QUIET", "TRACE", "OFFLINE"];
    let build: Vec<String> = build.iter().map(|name| format!("IMK_{name}")).collect();
    let build: Vec<&str> = build.iter().map(String::as_str).collect();
    let (code, out, err) = run("", "1", &build);
    assert_eq!((code, out.as_str()), (0, "a: stale, never built here\n0 fresh, 1 to build\n"), "{err}");
    assert_eq!(run("", "0", &build).0, 2, "without -n it builds, and there is no engine");
    assert_eq!(run("", "1", &["IMK_QUESTION"]).0, 1);
    assert!(run("list", "1", &["IMK_JSON"]).1.starts_with(['[', '{']));
    assert!(run("list", "no", &["IMK_JSON"]).1.starts_with("image "));
}
