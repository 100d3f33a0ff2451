//! What serves shells and editors: help, man pages, variables, the schema, `imk fmt`.

use fs_err as fs;

use crate::sandbox::Sandbox;

const TWO: &str = "
    //- Imagefile.ron
    (images: {\"base\": (), \"web\": ()})
    //- base/Dockerfile
    FROM scratch
    //- web/Dockerfile
    FROM base
";

#[test]
fn the_manual_is_a_page_for_each_verb() {
    let sandbox = Sandbox::empty().without_engine();
    let page = sandbox.imk("man").code(0).stdout;
    assert!(page.contains(".TH imk 1"), "{page}");
    insta::assert_snapshot!(sandbox.imk("-C . man pages/man1").code(0).out().lines().count(), @"1");
    let plan = fs::read_to_string(sandbox.path("pages/man1/imk-plan.1")).unwrap();
    assert!(plan.contains(".TH imk\\-plan 1") || plan.contains(".TH imk-plan 1"), "{plan}");
    assert!(plan.contains("Examples") && plan.contains("IMK_TRACE"), "{plan}");
    assert!(sandbox.path("pages/man1/imk.1").exists());
}

#[test]
fn a_variable_that_says_no_is_as_good_as_none() {
    let sandbox = Sandbox::with(TWO).without_engine();
    let json = |value: &str| {
        let output = sandbox.command("", "list").env("IMK_JSON", value).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap().starts_with('{'))
    };
    for no in ["0", "false", "no", "off", ""] {
        assert_eq!(json(no), (Some(0), false), "{no}");
    }
    for yes in ["1", "true", "yes", "on"] {
        assert_eq!(json(yes), (Some(0), true), "{yes}");
    }
    assert_eq!(json("maybe"), (Some(2), false));
}

#[test]
fn what_was_typed_wins_over_a_variable() {
    let sandbox = Sandbox::with(TWO).without_engine();
    let dot = sandbox.command("", "graph --dot").env("IMK_JSON", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&dot.stdout).starts_with("digraph"), "{dot:?}");
    let both = sandbox.command("", "plan").env("IMK_OFFLINE", "1").env("IMK_PULL", "1").output().unwrap();
    assert_eq!(both.status.code(), Some(2), "two variables that contradict each other are a mistake");
}

#[test]
fn docker_s_variable_is_heard_and_imk_s_own_wins() {
    let sandbox = Sandbox::with(TWO).without_engine();
    let platform = |own: &str| {
        let mut command = sandbox.command("", "inputs web");
        command.env("DOCKER_DEFAULT_PLATFORM", "linux/arm64").env("IMK_PLATFORM", own);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(platform("").contains("linux/arm64"), "{}", platform(""));
    assert!(platform("linux/s390x").contains("linux/s390x"));
}

#[test]
fn build_arguments_come_from_variables_too() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.edit("web/Dockerfile", "FROM base\nARG COLOUR=red\nLABEL c=$COLOUR\n");
    let output = sandbox.command("", "inputs web").env("IMK_BUILD_ARG_COLOUR", "blue").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("blue"), "{output:?}");
}

#[test]
fn a_verb_a_flag_and_a_value_are_guessed() {
    let sandbox = Sandbox::with(TWO).without_engine();
    let told = |words: &str| sandbox.imk(words).code(2).err();
    assert!(told("outdatd").contains("did you mean `outdated`?"));
    assert!(told("statsu").contains("did you mean `status`?"));
    assert!(told("plan --trase").contains("'--trace'"), "{}", told("plan --trase"));
    assert!(told("--progress plian").contains("'plain'"), "{}", told("--progress plian"));
    assert!(told("inputs wbe").contains("did you mean `web`?"));
    assert!(told("help paln").contains("plan"), "{}", told("help paln"));
}

#[test]
fn the_schema_is_json_of_the_draft_it_names() {
    let sandbox = Sandbox::empty().without_engine();
    let schema: serde_json::Value = serde_json::from_str(&sandbox.imk("schema").code(0).stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["images"]["additionalProperties"]["$ref"], "#/$defs/image");
}

#[test]
fn fmt_puts_the_imagefile_in_order_and_check_only_says() {
    let sandbox = Sandbox::with(TWO).without_engine();
    let messy = "( images :{\n\"base\":( ), // first\n \"web\" :()}\n)\n";
    sandbox.edit("Imagefile.ron", messy);
    insta::assert_snapshot!(sandbox.imk("fmt --check").code(1).out(), @"Imagefile.ron is not in order; `imk fmt` puts it");
    assert_eq!(fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap(), messy);
    insta::assert_snapshot!(sandbox.imk_in("web", "fmt").code(0).out(), @"Imagefile.ron put in order");
    insta::assert_snapshot!(fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap(), @r#"
    (images: {
        "base": (), // first
        "web": (),
    })
    "#);
    assert_eq!(sandbox.imk("fmt --check").code(0).stdout, "");
}

#[test]
fn fmt_tells_mistakes_and_writes_nothing() {
    let sandbox = Sandbox::with(TWO).without_engine();
    sandbox.edit("Imagefile.ron", "( images: {\"web\": (contxt: \"x\")})");
    insta::assert_snapshot!(sandbox.imk("fmt").code(2).err(), @r#"
    error: an image has no key `contxt`
     --> Imagefile.ron:1:20
      |
    1 | ( images: {"web": (contxt: "x")})
      |                    ^^^^^^
      |
      = help: did you mean `context`?
    "#);
    assert!(fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap().starts_with("( images"));
}

#[test]
fn fmt_without_an_imagefile_says_where_to_get_one() {
    let sandbox = Sandbox::empty().without_engine();
    insta::assert_snapshot!(sandbox.imk("fmt").code(2).err(), @"
    error: there is no Imagefile.ron in `[ROOT]` or above
     |
     = help: `imk init` writes one; name another with -f FILE
    ");
}

#[test]
fn what_init_writes_and_what_this_repository_has_is_in_order() {
    let sandbox = Sandbox::with("//- a/Dockerfile\nFROM scratch\n").without_engine();
    sandbox.imk("init").code(0);
    sandbox.imk("fmt --check").code(0);
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Imagefile.ron");
    sandbox.edit("Imagefile.ron", &fs::read_to_string(own).unwrap());
    sandbox.imk("fmt --check").code(0);
}
