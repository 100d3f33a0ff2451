//! Bake files, in HCL and in JSON.

use super::*;

const SHOP: &str = r#"
variable "REGISTRY" {
  default = "registry.example/shop"
}
variable "TAG" {
  default = "dev"
  validation {
    condition = TAG != ""
  }
}
variable "GO" { default = 1.25 }

function "image" {
  params = [name]
  result = "${REGISTRY}/${name}:${TAG}"
}

group "default" {
  targets = ["api", "web"]
}
group "all" {
  targets = ["default", "tools"]
}

target "_common" {
  args = {
    GO_VERSION = GO
    BUILD_DATE = timestamp()
  }
  labels = {
    "org.opencontainers.image.vendor" = "Shop"
  }
  cache-from = ["type=gha"]
}

target "base" {
  context    = "./docker/base"
  tags       = ["${REGISTRY}/base:${TAG}"]
}

target "api" {
  inherits   = ["_common"]
  context    = "services"
  dockerfile = "api/Dockerfile"
  contexts   = { "registry.example/shop/base" = "target:base", "golang" = "docker-image://golang:1.25", base = "target:base" }
  args       = { COLOUR = upper("red"), BRACES = "a{b}" }
  tags       = [image("api"), "${REGISTRY}/api:latest"]
  secret     = ["id=token,env=API_TOKEN", "type=file,id=key,src=keys/api.pem"]
}

target "web" {
  inherits  = ["_common"]
  context   = "web"
  target    = "prod"
  args      = { GO_VERSION = null }
  platforms = ["linux/amd64", "linux/arm64"]
  tags      = ["${REGISTRY}/web:${TAG}"]
  output    = ["type=registry"]
  no-cache  = false
}

target "tools" {
  matrix = {
    tool = ["lint", "fmt"]
  }
  name       = "tool-${tool}"
  context    = "tools/${tool}"
  platforms  = ["linux/amd64"]
  tags       = ["${REGISTRY}/tool-${tool}:${TAG}"]
}
"#;

#[test]
fn a_bake_file_keeps_its_variables_templates_and_groups() {
    insta::assert_snapshot!(plainly("docker-bake.hcl", SHOP), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "{REGISTRY}/",
        vars: {"REGISTRY": "registry.example/shop", "TAG": "dev"},
        default: ["api", "web"],
        groups: {"tools": ["tool-lint", "tool-fmt"], "all": ["api", "web", "tools"]},
        templates: {
            "_common": (
                args: {"GO_VERSION": "1.25"},
                labels: {"org.opencontainers.image.vendor": "Shop"},
                cache_from: ["type=gha"],
            ),
        },
        images: {
            "base": (context: "docker/base", tags: ["{TAG}"]),
            "api": (
                like: "_common",
                dockerfile: "services/api/Dockerfile",
                context: "services",
                tags: ["{TAG}", "latest"],
                contexts: {"base": "base", "golang": "docker-image://golang:1.25"},
                args: {"BRACES": "a{{b}}", "COLOUR": "RED"},
                secrets: {"key": File("keys/api.pem"), "token": Env("API_TOKEN")},
            ),
            "web": (
                like: "_common",
                tags: ["{TAG}"],
                target: "prod",
                platforms: ["linux/amd64", "linux/arm64"],
            ),
            "tool-{tool}": (
                matrix: {"tool": ["lint", "fmt"]},
                context: "tools/{tool}",
                tags: ["{TAG}"],
                platform: "linux/amd64",
            ),
        },
    )
    - 7: validation of the variable `TAG`: an Imagefile checks no values
    - 26: args.BUILD_DATE: timestamp: it differs from run to run, and would make the image stale each time
    - 58: output: `type=registry` publishes the image: `imk push`, or `imk build --push`, publishes what was built under all its tags
    "#);
}

#[test]
fn a_matrix_stays_one_where_that_says_the_same() {
    let text = r#"
target "app" {
  matrix  = { py = ["3.12", "3.13"], item = [{ os = "alpine", slim = "" }, { os = "debian", slim = "-slim" }] }
  name    = "app-${replace(py, ".", "-")}-${item.os}"
  context = "app"
  args    = { BASE = "python:${py}-${item.os}${item.slim}", MAJOR = "3" }
  tags    = ["shop/app:${py}-${item.os}"]
}
target "odd" {
  matrix  = { v = ["1", "2"] }
  name    = "odd-${v}"
  context = "odd"
  args    = v == "1" ? { FIRST = "yes" } : {}
}
target "out" {
  matrix  = { a = ["x", "y"], b = ["1", "2"] }
  name    = "out-${a}-${b}"
  context = "${a}${b}" == "y2" ? "../outside" : "in/${a}"
}
target "sum" {
  matrix  = { n = ["1", "2"] }
  name    = "sum-${n}"
  context = "sum"
  args    = { NEXT = n + 1 }
}
"#;
    insta::assert_snapshot!(plainly("docker-bake.hcl", text), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "shop/",
        groups: {
            "app": ["app:3.12-alpine", "app:3.13-alpine", "app:3.12-debian", "app:3.13-debian"],
            "odd": ["odd-1", "odd-2"],
            "out": ["out-x-1", "out-x-2", "out-y-1"],
            "sum": ["sum-1", "sum-2"],
        },
        images: {
            "app:{py}-{item.os}": (
                matrix: {"item": [{"os": "alpine", "slim": ""}, {"os": "debian", "slim": "-slim"}], "py": ["3.12", "3.13"]},
                context: "app",
                args: {"BASE": "python:{py}-{item.os}{item.slim}", "MAJOR": "3"},
            ),
            "odd-1": (context: "odd", args: {"FIRST": "yes"}),
            "odd-2": (context: "odd"),
            "out-{a}-{b}": (
                matrix: {"a": ["x", "y"], "b": ["1", "2"]},
                exclude: [{"a": "y", "b": "2"}],
                context: "in/{a}",
            ),
            "sum-1": (context: "sum", args: {"NEXT": "2"}),
            "sum-2": (context: "sum", args: {"NEXT": "3"}),
        },
    )
    ~ 2: `app-3-12-alpine` is named `app:3.12-alpine`
    ~ 2: `app-3-12-debian` is named `app:3.12-debian`
    ~ 2: `app-3-13-alpine` is named `app:3.13-alpine`
    ~ 2: `app-3-13-debian` is named `app:3.13-debian`
    - 15: `out-y-2` in a group: no such image was carried over
    - 18: the image `out-y-2`: its context `../outside` is not below the Imagefile's folder
    "#);
}

#[test]
fn files_that_bake_lays_over_are_laid_over() {
    let environment = BTreeMap::new();
    let overrides = [
        (
            "docker-bake.override.json".to_owned(),
            "{\"target\": {\"web\": {\"args\": {\"A\": \"2\"},\n \"attest\": [\"type=sbom\"]}}}".to_owned(),
        ),
        ("docker-bake.override.hcl".to_owned(), "variable \"V\" { default = \"new\" }\n".to_owned()),
    ];
    let source = Source {
        path: "docker-bake.hcl",
        current: "",
        text: "variable \"V\" { default = \"old\" }\ntarget \"web\" {\n args = { A = \"1\", B = V }\n call = \"check\"\n}\n",
        overrides: &overrides,
        environment: &environment,
        dotenv: None,
        read: &|_| None,
        dockerfiles: &[],
        repository: "shop",
    };
    insta::assert_snapshot!(imported(&source), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        vars: {"V": "new"},
        images: {
            "web": (context: ".", args: {"A": "2", "B": "{V}"}),
        },
    )
    - 4: call: imk builds
    - 8: attest: imk makes no attestations
    "#);
    let made = import(&source).unwrap();
    let places = made.notes.iter().map(|note| {
        let (path, text, span) = source.place(note.span);
        format!("{path}:{}: {}", span.line_and_column(text).0, note.text)
    });
    insta::assert_snapshot!(places.collect::<Vec<_>>().join("\n"), @r#"
    docker-bake.hcl:4: call: imk builds
    docker-bake.override.json:2: attest: imk makes no attestations
    "#);
}

#[test]
fn what_is_the_builders_is_carried_over() {
    let text = r#"
target "app" {
  context     = "app"
  output      = ["type=local,dest=out", { type = "oci", dest = "app.tar" }, "type=docker", "type=tar,dest=../x.tar"]
  ssh         = ["default=$SSH_AUTH_SOCK", { id = "key", paths = ["keys/id"] }]
  annotations = ["org.example.a=1", "manifest:b=2", "index:c=3"]
  extra-hosts = { db = "10.0.0.7" }
  shm-size    = "128m"
  ulimits     = ["nofile=1024:2048"]
}
target "proof" {
  context = "app"
  output  = ["type=cacheonly"]
}
"#;
    insta::assert_snapshot!(plainly("docker-bake.hcl", text), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "app": (
                output: ["type=local,dest=out", "type=oci,dest=app.tar"],
                ssh: ["default", "key=keys/id"],
                ulimits: ["nofile=1024:2048"],
                annotations: {"b": "2", "index:c": "3", "org.example.a": "1"},
                extra_hosts: {"db": "10.0.0.7"},
                shm_size: "128m",
            ),
            "proof": (context: "app", output: ["type=cacheonly"]),
        },
    )
    - 4: output: `../x.tar` is not below the Imagefile's folder; --output writes there
    "#);
}

#[test]
fn the_environment_overrides_variables_as_in_bake() {
    let text = r#"
variable "TAG" { default = "dev" }
variable "DEBUG" { default = false }
variable "N" { default = 1 }
target "app" {
  args = { DEBUG = DEBUG ? "yes" : "no", N = N + 1 }
  tags = ["app:${TAG}"]
}
"#;
    let environment = [("TAG", "1.2"), ("DEBUG", "true"), ("N", "41"), ("OTHER", "x")];
    insta::assert_snapshot!(with_environment("docker-bake.hcl", text, &environment), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        vars: {"TAG": "1.2"},
        images: {
            "app": (context: ".", tags: ["{TAG}"], args: {"DEBUG": "yes", "N": "42"}),
        },
    )
    ~ 2: the variable `TAG` has the value that the environment gives it now
    ~ 3: the variable `DEBUG` has the value that the environment gives it now
    ~ 4: the variable `N` has the value that the environment gives it now
    "#);
}

#[test]
fn the_json_form_says_the_same() {
    let text = r#"{
  "variable": {"TAG": {"default": "latest"}, "CI": {}},
  "group": {"default": {"targets": ["app", "db"]}},
  "target": {
    "app": {
      "context": ".",
      "dockerfile": "app.Dockerfile",
      "args": {"VERSION": "${TAG}", "N": 3, "ON": true, "OFF": null, "CI": "${CI != \"\" ? \"1\" : \"0\"}"},
      "tags": ["acme/app:${TAG}"],
      "cache-to": ["type=inline"],
      "network": "none"
    },
    "db": {"context": "db", "tags": ["acme/db"], "description": "The database"}
  }
}"#;
    insta::assert_snapshot!(plainly("build/docker-bake.json", text), @r#"
    // Made by `imk import` from build/docker-bake.json.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "acme/",
        vars: {"TAG": "latest"},
        images: {
            "app": (
                dockerfile: "app.Dockerfile",
                tags: ["{TAG}"],
                args: {"CI": "0", "N": "3", "ON": "true", "VERSION": "{TAG}"},
                cache_to: ["type=inline"],
                network: "none",
            ),
            "db": (description: "The database"),
        },
    )
    "#);
}

#[test]
fn names_that_imk_cannot_have_are_changed_and_told() {
    let text = r#"
group "default" { targets = ["Web_App", "worker", "gone"] }
group "worker" { targets = ["worker", "Web_App"] }
target "Web_App" {
  tags   = ["acme/site:dev"]
  target = "dev"
}
target "worker" {
  tags   = ["acme/site:prod", "elsewhere.example/worker"]
  target = "prod"
}
target "remote" { context = "https://git.example/x.git#main" }
target "above" { context = "../x" }
target "inline" { dockerfile-inline = "FROM scratch" }
"#;
    insta::assert_snapshot!(plainly("docker-bake.hcl", text), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "acme/",
        default: ["site:dev", "site:prod"],
        groups: {"worker": ["site:prod", "site:dev"]},
        images: {
            "site:dev": (context: ".", target: "dev"),
            "site:prod": (context: ".", target: "prod"),
            "remote": (context: "https://git.example/x.git#main"),
            "inline": (dockerfile_inline: "FROM scratch"),
        },
    )
    - 2: `gone` in a group: no such image was carried over
    ~ 4: `Web_App` is named `site:dev`
    ~ 8: `worker` is named `site:prod`
    - 9: the tag `elsewhere.example/worker` of `site:prod`: imk tags it `acme/site:TAG`
    - 13: the image `above`: its context `../x` is not below the Imagefile's folder
    "#);
}

#[test]
fn a_dockerfile_in_the_file_stays_one_whatever_is_in_it() {
    let text = "variable \"V\" { default = \"1\" }\ntarget \"parent\" { dockerfile-inline = \"FROM parent\" }\n\
        target \"web\" {\n  inherits = [\"parent\"]\n  dockerfile-inline = <<EOT\nFROM scratch\n\
        LABEL a=\"{x}\" b=\"#\" c=\"$${V}\" d=\"${V}\"\nEOT\n}\n\
        target \"child\" {\n  inherits = [\"parent\"]\n  tags = [\"child\"]\n}\n";
    insta::assert_snapshot!(plainly("docker-bake.hcl", text), @r###"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "parent": (dockerfile_inline: "FROM parent"),
            "web": (
                dockerfile_inline: r##"FROM scratch
    LABEL a="{x}" b="#" c="${V}" d="1"
    "##,
            ),
            "child": (dockerfile_inline: "FROM parent"),
        },
    )
    ~ 5: the Dockerfile of `web`: `V` has the value of now in it; an argument would bring in others
    "###);
}

#[test]
fn tags_that_a_target_has_of_its_parent_stay_the_parents() {
    let text = "target \"child\" { inherits = [\"web\"] }\ntarget \"web\" {\n  context = \"web\"\n  tags = [\"acme/web\", \"acme/web:2\"]\n}\n";
    insta::assert_snapshot!(plainly("docker-bake.hcl", text), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "acme/",
        images: {
            "child": (context: "web"),
            "web:2": (context: "web", tags: ["latest"]),
        },
    )
    ~ 2: `web` is named `web:2`
    - 4: the tag `acme/web:2` of `child`: imk tags it `acme/child:TAG`
    - 4: the tag `acme/web` of `child`: imk tags it `acme/child:TAG`
    "#);
}

#[test]
fn a_parent_that_is_built_itself_is_no_template() {
    let text = r#"
target "default" {
  inherits = ["lib", "ci"]
  dockerfile = "Dockerfile"
}
target "lib" {
  dockerfile = "Dockerfile.lib"
  args = { A = "1", B = "2" }
  tags = ["lib"]
}
target "ci" {
  args = { B = "3" }
  tags = ["app"]
}
target "docker-metadata-action" {}
"#;
    insta::assert_snapshot!(plainly("docker-bake.hcl", text), @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        default: ["app"],
        templates: {
            "ci": (args: {"B": "3"}),
        },
        images: {
            "app": (like: "ci", context: ".", args: {"A": "1"}),
            "lib": (dockerfile: "Dockerfile.lib", args: {"A": "1", "B": "2"}),
        },
    )
    ~ 2: `default` is named `app`
    ~ 11: the target `ci` is a template: others inherit it, and no group names it
    - 15: the target `docker-metadata-action`: it says nothing here; what other files or the command line add is not read
    "#);
}

#[test]
fn what_is_not_hcl_is_told_with_its_place() {
    insta::assert_snapshot!(plainly("docker-bake.hcl", "target \"a\" {\n  context = = 1\n}\n"), @r#"2:13: not valid HCL: invalid expression; expected `"`, `[`, `{`, `-`, `!`, `(`, `_`, `<`, letter or digit"#);
}

/// The line of the Imagefile for this image, and its notes.
#[track_caller]
pub fn line_of(image: &str, text: &str) -> String {
    let whole = plainly("docker-bake.hcl", text);
    let begin = format!("\"{image}\": (");
    let line = whole.lines().find(|line| line.trim_start().starts_with(&begin));
    line.unwrap_or_else(|| panic!("{whole}")).trim().to_owned()
}

#[test]
fn blocks_of_one_target_are_laid_over_each_other_attribute_by_attribute() {
    let text = r#"
target "a" {
  args = { X = "1", Y = "2" }
  tags = ["a:t1"]
  secret = ["id=a,env=A"]
  platforms = ["linux/amd64"]
}
target "a" {
  args = { X = null, Z = "3" }
  tags = ["a:t2"]
  secret = ["id=b,env=B", "id=a,env=A"]
  platforms = ["", "linux/arm64"]
  context = null
}
"#;
    let whole = plainly("docker-bake.hcl", text);
    for part in [
        r#"tags: ["t2"]"#,
        r#"platform: "linux/arm64""#,
        r#"args: {"X": "1", "Y": "2", "Z": "3"}"#,
        r#"secrets: {"a": Env("A"), "b": Env("B")}"#,
    ] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
}

#[test]
fn targets_may_inherit_in_a_circle_and_not_from_nowhere() {
    let text = "target \"a\" {\n inherits = [\"b\"]\n args = { A = \"a\" }\n}\n\
                target \"b\" {\n inherits = [\"a\"]\n args = { B = \"b\" }\n}\n";
    assert!(line_of("a", text).contains(r#"args: {"A": "a", "B": "b"}"#), "{}", line_of("a", text));
    assert!(line_of("b", text).contains(r#"args: {"A": "a", "B": "b"}"#), "{}", line_of("b", text));
    let nowhere = plainly("docker-bake.hcl", "target \"a\" { inherits = [\"gone\"] }\n");
    assert_eq!(nowhere, "1:1: `a` inherits `gone`, which is not here\n");
}

#[test]
fn blocks_and_names_that_bake_has_none_of_are_told_or_refused() {
    let block = plainly("docker-bake.hcl", "target \"a\" {\n args {\n  X = \"1\"\n }\n}\n");
    assert!(
        block.contains(
            "- 2: the block `args` of `a`: bake passes over a block in a target; write it with `=`"
        ),
        "{block}"
    );
    for (text, expected) in [
        ("target \"a.b\" {}", "1:1: `a.b` is no name of a target\n"),
        ("target {}", "1:1: `` is no name of a target\n"),
        ("target \"a\" { matrix = [1] }", "1:14: `matrix` must be a map\n"),
        ("target \"a\" { matrix = { x = \"1\" } }", "1:14: `x` of the matrix must be a list\n"),
    ] {
        assert_eq!(plainly("docker-bake.hcl", text), expected, "{text}");
    }
}

#[test]
fn texts_of_the_json_form_have_no_escapes_but_jsons() {
    let text = r#"{"function": {"f": {"params": ["a"], "result": "a"}, "g": {"params": ["a"], "result": "${a}-x"}},
      "variable": {"V": {"type": "number", "default": 5}},
      "target": {"t": {"args": {"A": "${f(1)}", "B": "${g(2)}", "C": "a\\nb", "D": "q\\n${V}\\\"", "E": "${V+1}"}}}}"#;
    let whole = plainly("docker-bake.json", text);
    assert!(
        whole.contains(r#"args: {"A": "a", "B": "2-x", "C": "a\\nb", "D": "q\\n5\\\"", "E": "6"}"#),
        "{whole}"
    );
}

#[test]
fn what_is_inherited_in_two_blocks_comes_in_their_order() {
    let text = "
target \"a\" { inherits = [\"b\"] }
target \"a\" { inherits = [\"c\"] }
target \"b\" {
  context = \"b\"
  args = { P = \"b\", Q = \"b\" }
  tags = [\"b\"]
}
target \"c\" {
  context = \"c\"
  args = { P = \"c\", Q = null }
  tags = []
}
";
    assert!(line_of("a", text).contains(r#"args: {"P": "c", "Q": "b"}"#), "{}", line_of("a", text));
}

#[test]
fn the_json_form_takes_lists_of_blocks_and_comments() {
    let text = r#"{
  "//": "a comment",
  "target": [
    {"x": {"args": {"A": "1"}}},
    {"x": {"args": {"B": "2"}, "//": "another"}},
    {"y": [{"context": "u"}, {"tags": ["y:1"]}]}
  ]
}"#;
    let whole = plainly("docker-bake.json", text);
    assert!(whole.contains(r#""x": (context: ".", args: {"A": "1", "B": "2"})"#), "{whole}");
    assert!(whole.contains(r#""y": (context: "u", tags: ["1"])"#), "{whole}");
    let wrong = plainly("docker-bake.json", r#"{"target": {"x": [1]}}"#);
    assert_eq!(wrong, "1:19: expected `x` to hold the keys of a target\n");
}

#[test]
fn targets_that_share_a_repository_are_named_by_their_tags() {
    let target = |name: &str, tags: &str| format!("target \"{name}\" {{ tags = [{tags}] }}\n");
    for (targets, wanted) in [
        (
            vec![("a", r#""acme/php:8.3""#), ("b", r#""acme/php:8.4", "acme/php:latest""#)],
            vec![r#""php:8.3": ("#, r#""php:8.4": (context: ".", tags: ["latest"])"#],
        ),
        // A tag with a variable cannot be a name: the target's is.
        (
            vec![("alp", r#""os:alpine-${TAG}""#), ("deb", r#""os:debian-${TAG}", "os""#)],
            vec![
                r#""os:alp": (context: ".", tags: ["alpine-{TAG}"])"#,
                r#""os:deb": (context: ".", tags: ["debian-{TAG}", "latest"])"#,
            ],
        ),
        // Who has `latest` alone has the repository's name; an image whose tags others have keeps its own.
        (
            vec![("a", r#""os""#), ("b", r#""os:deb""#), ("c", r#""os:deb""#)],
            vec![r#""os": (context: "."),"#, r#""os:deb": ("#, r#""c": ("#],
        ),
        (
            vec![("a", r#""r.example:5000/x/os:1""#), ("b", r#""r.example:5000/x/os:2""#)],
            vec![r#""os:1""#, r#""os:2""#],
        ),
        // Nobody shares it: the tag stays a tag.
        (
            vec![("a", r#""acme/php:8.3""#), ("b", r#""acme/web:8.3""#)],
            vec![r#""php": (context: ".", tags: ["8.3"])"#],
        ),
    ] {
        let text: String = std::iter::once("variable \"TAG\" { default = \"1\" }\n".to_owned())
            .chain(targets.iter().map(|(name, tags)| target(name, tags)))
            .collect();
        let imagefile = plainly("docker-bake.hcl", &text);
        for part in wanted {
            assert!(imagefile.contains(part), "{part} of\n{text}\n{imagefile}");
        }
    }
}

#[test]
fn links_between_targets_become_contexts_unless_the_name_leads_there() {
    for (word, value, wanted) in [
        ("acme/core", "target:core", ""),
        ("acme/core:1", "target:core", ""),
        ("docker.io/acme/core", "target:core", ""),
        ("acme/core:2", "target:core", r#"contexts: {"acme/core:2": "core"}"#),
        ("other/core", "target:core", r#"contexts: {"other/core": "core"}"#),
        // It may be the name of a stage, which a context stands for.
        ("core", "target:core", r#"contexts: {"core": "core"}"#),
        ("base", "target:core", r#"contexts: {"base": "core"}"#),
        ("acme/os:deb", "target:deb", ""),
        ("acme/os", "target:deb", r#"contexts: {"acme/os": "os:deb"}"#),
        ("golang", "docker-image://golang:1.25", r#"contexts: {"golang": "docker-image://golang:1.25"}"#),
        ("golang", "docker-image://golang:${V}", r#"contexts: {"golang": "docker-image://golang:{V}"}"#),
        ("golang", "docker-image://golang", ""),
        ("golang", "docker-image://docker.io/library/golang:latest", ""),
        ("x", "", ""),
        ("x", "target:gone", "- 3: `x` in the Dockerfile of `app` is `gone`, which was not carried over"),
        ("x", "./lib", r#"contexts: {"x": "./lib"}"#),
        ("x", "lib", r#"contexts: {"x": "./lib"}"#),
        ("x", ".", r#"contexts: {"x": "."}"#),
        ("x", "https://h/r.git#${V}", r#"contexts: {"x": "https://h/r.git#{V}"}"#),
        ("x", "../lib", "- 3: contexts.x of `app`: `../lib` lies outside of the Imagefile's folder"),
        ("x", "https://h/a.tar", "- 3: contexts.x of `app`: `https://h/a.tar` is an address of neither"),
        ("x", "oci-layout://o:${V}", r#"contexts: {"x": "oci-layout://o:{V}"}"#),
        (
            "x",
            "oci-layout://../o",
            "- 3: contexts.x of `app`: `oci-layout://../o` lies outside of the Imagefile's folder; whoever",
        ),
        ("x", "oci-layout://o@1", "- 3: contexts.x of `app`: `oci-layout://o@1` names no OCI layout"),
        ("X", "target:core", "- 3: contexts.X of `app`: docker looks for no context of that name"),
    ] {
        let text = format!(
            "variable \"V\" {{ default = \"1.25\" }}\ntarget \"app\" {{\ncontexts = {{ \"{word}\" = \"{value}\" }}\n}}\n\
             target \"core\" {{\n tags = [\"acme/core:1\"]\n}}\n\
             target \"deb\" {{\n tags = [\"acme/os:deb\"]\n}}\ntarget \"alp\" {{\n tags = [\"acme/os:alp\"]\n}}\n"
        );
        let imagefile = plainly("docker-bake.hcl", &text);
        assert!(imagefile.contains(wanted), "{word} = {value}\n{imagefile}");
        if wanted.is_empty() {
            assert!(!imagefile.contains("contexts") && !imagefile.contains("- 3:"), "{word}\n{imagefile}");
        }
    }
}

#[test]
fn what_bake_refuses_is_refused_with_its_place() {
    for (text, expected) in [
        ("target \"a\" { tags = \"x\" }", "1:14: `tags` must be a list of texts\n"),
        ("target \"a\" { context = [\"x\"] }", "1:14: `context` must be a text\n"),
        ("target \"a\" { args = [\"A=1\"] }", "1:14: `args` must be a map of texts\n"),
        ("target \"a\" { args = { F = [1] } }", "1:14: `args` must be a map of texts\n"),
        ("target \"a\" { secret = \"id=x\" }", "1:14: `secret` must be a list\n"),
        ("target \"a\" { name = \"b\" }", "1:1: `a` has a `name` and no `matrix`\n"),
        ("target \"a\" { matrix = { x = [\"1\", \"2\"] } }", "1:1: the matrix of `a` makes `a` twice\n"),
        (
            "variable \"A\" { default = B }\nvariable \"B\" { default = A }\ntarget \"a\" {}\n",
            "1:1: the variable `A` is made of itself\n",
        ),
        (
            "target \"a\" { contexts = { b = \"target:b\" } }\ntarget \"b\" { contexts = { a = \"target:a\" } }\n",
            "1:1: the contexts of `a` lead back to it\n",
        ),
    ] {
        assert_eq!(plainly("docker-bake.hcl", text), expected, "{text}");
    }
    // A number is a text to bake.
    assert_eq!(line_of("a", "target \"a\" { context = 5 }"), r#""a": (context: "5"),"#);
}

#[test]
fn paths_start_at_the_current_folder() {
    let text = "target \"a\" { context = \"sub\" }\ntarget \"b\" { dockerfile = \"cwd://b.Dockerfile\" }\n\
                target \"c\" { context = \"cwd://c\" }\n";
    let environment = BTreeMap::new();
    for (current, expected) in [("", "sub b.Dockerfile c"), ("db", "db/sub db/b.Dockerfile db/c")] {
        let source = Source {
            path: "db/docker-bake.hcl",
            current,
            text,
            overrides: &[],
            environment: &environment,
            dotenv: None,
            read: &|_| None,
            dockerfiles: &[],
            repository: "",
        };
        let imagefile = import(&source).unwrap().imagefile;
        let read = imagefile::read(&imagefile, &BTreeMap::new()).unwrap();
        let [a, b, c] = read.images.as_slice() else { panic!("{imagefile}") };
        let dockerfile = b.dockerfile.as_ref().unwrap().text.clone();
        assert_eq!(format!("{} {dockerfile} {}", a.context.text, c.context.text), expected);
    }
}

#[test]
fn a_context_from_git_stays_one() {
    let text = "target \"a\" {\n context = \"github.com/acme/a#main:app\"\n dockerfile = \"x.Dockerfile\"\n}\n\
                target \"b\" { context = \"https://x.example/b.tar.gz\" }\n";
    assert_eq!(
        line_of("a", text),
        r#""a": (dockerfile: "x.Dockerfile", context: "github.com/acme/a#main:app"),"#
    );
    assert!(
        plainly("docker-bake.hcl", text)
            .contains("the image `b`: its context `https://x.example/b.tar.gz`: ")
    );
}

#[test]
fn empty_groups_and_unused_targets_are_told() {
    let text = "group \"default\" { targets = [\"a\"] }\ngroup \"none\" { targets = [] }\n\
                target \"a\" { context = \"a\" }\ntarget \"_unused\" { args = { A = \"1\" } }\ntarget \"empty\" {}\n";
    let whole = plainly("docker-bake.hcl", text);
    for note in [
        "- 2: the group `none`: it has no targets\n",
        "- 4: the target `_unused`: no image takes anything from it\n",
        "- 5: the target `empty`: it says nothing here; what other files or the command line add is not read\n",
    ] {
        assert!(whole.contains(note), "{note}{whole}");
    }
}

#[test]
fn what_an_imagefile_cannot_have_is_left_out_and_told() {
    let text = "group \"worker\" { targets = [\"worker\", \"worker-all\"] }\n\
                target \"worker\" { context = \"a\" }\ntarget \"worker-all\" { context = \"b\" }\n";
    let whole = plainly("docker-bake.hcl", text);
    assert!(!whole.contains("groups: {"), "{whole}");
    let note =
        "- 1: the groups: an Imagefile cannot have them: the group `worker-all` has the name of an image\n";
    assert!(whole.contains(note), "{whole}");
}
