//! Compose files.

use super::*;

const SHOP: &str = r#"
name: shop
x-args: &args
  VERSION: ${VERSION:-1.0}
  DEBUG: false

x-build: &build
  context: .
  args:
    <<: *args
    EXTRA: "yes"

services:
  web:
    image: ${REGISTRY:-registry.example}/shop/web:${VERSION:-1.0}
    build:
      <<: *build
      dockerfile: web/Dockerfile
      target: prod
      cache_from: [type=gha]
    ports: ["80:80"]
    depends_on: [db]
  api:
    image: ${REGISTRY:-registry.example}/shop/api:${VERSION:-1.0}
    platform: linux/arm64
    build:
      context: ./api
      args:
        - PORT=8080
        - GIT_SHA
      tags:
        - ${REGISTRY:-registry.example}/shop/api:latest
      secrets:
        - token
        - source: key
          target: ssh_key
      labels:
        com.example.team: api
      additional_contexts:
        web: service:web
        assets: ../assets
  worker:
    extends:
      service: api
    image: ${REGISTRY:-registry.example}/shop/worker
    build:
      args:
        PORT: 9090
    command: work
  db:
    image: postgres:16
  short:
    build: tools

secrets:
  token:
    environment: API_TOKEN
  key:
    file: ./keys/id
volumes:
  data: {}
"#;

#[test]
fn what_is_the_builders_is_carried_over() {
    let text = r#"
services:
  list:
    build:
      context: list
      ssh: [default, "key=keys/id"]
      extra_hosts: ["db=10.0.0.7", "up:host-gateway"]
      shm_size: 2gb
      ulimits:
        nproc: 65535
        nofile: {soft: 1024, hard: 2048}
  map:
    build:
      context: map
      ssh:
        default:
      extra_hosts:
        db: 10.0.0.7
"#;
    insta::assert_snapshot!(with_environment("compose.yaml", text, &[]), @r#"
    // Made by `imk import` from compose.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "list": (
                ssh: ["default", "key=keys/id"],
                ulimits: ["nproc=65535", "nofile=1024:2048"],
                extra_hosts: {"db": "10.0.0.7", "up": "host-gateway"},
                shm_size: "2gb",
            ),
            "map": (ssh: ["default"], extra_hosts: {"db": "10.0.0.7"}),
        },
    )
    "#);
}

#[test]
fn services_that_build_become_images() {
    insta::assert_snapshot!(with_environment("compose.yaml", SHOP, &[("VERSION", "2.0")]), @r#"
    // Made by `imk import` from compose.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "{REGISTRY}/shop/",
        vars: {"REGISTRY": "registry.example", "VERSION": "2.0"},
        images: {
            "web": (
                dockerfile: "web/Dockerfile",
                context: ".",
                tags: ["{VERSION}"],
                target: "prod",
                args: {"DEBUG": "false", "EXTRA": "yes", "VERSION": "{VERSION}"},
                cache_from: ["type=gha"],
            ),
            "api": (
                tags: ["{VERSION}", "latest"],
                contexts: {"web": "web"},
                platform: "linux/arm64",
                args: {"PORT": "8080"},
                labels: {"com.example.team": "api"},
                secrets: {"ssh_key": File("keys/id"), "token": Env("API_TOKEN")},
            ),
            "worker": (
                context: "api",
                contexts: {"web": "web"},
                platform: "linux/arm64",
                args: {"PORT": "9090"},
                labels: {"com.example.team": "api"},
                secrets: {"ssh_key": File("keys/id"), "token": Env("API_TOKEN")},
            ),
            "short": (context: "tools"),
        },
    )
    - 14: depends_on, ports of `web`: imk runs nothing
    ~ 15: the variable `VERSION` has the value that the environment or .env gives it now
    - 30: args.GIT_SHA: the environment has no value for it now
    - 31: the tag `registry.example/shop/api:latest` of `worker`: imk tags it `registry.example/shop/worker:TAG`
    - 39: additional_contexts.assets of `api`: `../assets` lies outside of the Imagefile's folder
    - 39: additional_contexts.assets of `worker`: `../assets` lies outside of the Imagefile's folder
    - 42: command of `worker`: imk runs nothing
    - 50: the service `db`: it builds nothing, it runs `postgres:16`
    - 60: volumes: imk runs nothing
    "#);
}

#[test]
fn dotenv_gives_values_that_the_environment_overrides() {
    let text = "services:\n  a:\n    build: {context: a, args: {X: $X, Y: '${Y}'}}\n";
    let environment = BTreeMap::from([("Y".to_owned(), "env".to_owned())]);
    let source = Source {
        path: "deploy/compose.yaml",
        current: "",
        text,
        overrides: &[],
        environment: &environment,
        dotenv: Some("X=file\nY=file\n"),
        read: &|_| None,
        dockerfiles: &[],
        repository: "",
    };
    insta::assert_snapshot!(imported(&source), @r#"
    // Made by `imk import` from deploy/compose.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        vars: {"X": "file", "Y": "env"},
        images: {
            "a": (context: "deploy/a", args: {"X": "{X}", "Y": "{Y}"}),
        },
    )
    ~ 3: the variable `X` has the value that the environment or .env gives it now
    ~ 3: the variable `Y` has the value that the environment or .env gives it now
    "#);
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    insta::assert_snapshot!(plainly("compose.yaml", "services:\n  a: {build: .\n  b: ]\n"), @"3:4: cannot be read: while parsing a flow mapping, did not find expected ',' or '}'");
    insta::assert_snapshot!(plainly("compose.yaml", "services:\n  a: {build: .}\n  a: {build: .}\n"), @"3:3: the key `a` stands here twice");
    let circle = "services:\n  a: {extends: b}\n  b: {extends: {service: a}}\n";
    insta::assert_snapshot!(plainly("compose.yaml", circle), @"2:3: services extend each other in a circle: a -> b -> a");
    insta::assert_snapshot!(plainly("compose.yaml", "hello: world\n"), @"1:1: this is none of the files that imk can import");
    insta::assert_snapshot!(plainly("compose.yaml", ""), @"1:1: this is none of the files that imk can import");
}

#[test]
fn tags_of_compose_take_the_place_of_what_is_inherited() {
    let text = "
services:
  b: {build: {context: b, args: {A: '1', B: '2'}, target: t, tags: [b]}}
  a:
    extends: b
    build: {args: !override {C: '3'}, target: !reset null, context: a}
  c:
    extends: b
    build: {args: {A: !reset null, D: '4'}, context: c}
  d:
    extends: b
    build: !reset null
    image: z
  e: {build: {context: e, args: !other {A: '1'}}}
";
    let whole = plainly("compose.yaml", text);
    let read = imagefile::read(&import_of(text).imagefile, &BTreeMap::new()).unwrap();
    let args: Vec<String> = read
        .images
        .iter()
        .map(|i| format!("{} {:?} {:?}", i.name.text, i.args, i.target.as_ref().map(|t| &t.text)))
        .collect();
    assert_eq!(
        args,
        [
            r#"a {"C": "3"} None"#,
            r#"b {"A": "1", "B": "2"} Some("t")"#,
            r#"c {"B": "2", "D": "4"} Some("t")"#,
            r#"e {"A": "1"} None"#,
        ]
    );
    assert!(whole.contains("the service `d`: it builds nothing, it runs `z`"), "{whole}");
    assert!(whole.contains("- 14: the tag `!other`: compose has none of that name"), "{whole}");
}

fn import_of(text: &str) -> Imported {
    let environment = BTreeMap::new();
    let source = Source {
        path: "compose.yaml",
        current: "",
        text,
        overrides: &[],
        environment: &environment,
        dotenv: None,
        read: &|_| None,
        dockerfiles: &[],
        repository: "",
    };
    import(&source).unwrap()
}

#[test]
fn the_file_that_compose_lays_over_is_laid_over() {
    let environment = BTreeMap::new();
    let overrides = [(
        "compose.override.yaml".to_owned(),
        "services:\n  web:\n    build:\n      args: {A: '2'}\n      target: dev\n  new: {build: new}\n"
            .to_owned(),
    )];
    let source = Source {
        path: "compose.yaml",
        current: "",
        text: "services:\n  web:\n    build: {context: web, args: {A: '1', B: '3'}}\n",
        overrides: &overrides,
        environment: &environment,
        dotenv: None,
        read: &|_| None,
        dockerfiles: &[],
        repository: "",
    };
    insta::assert_snapshot!(imported(&source), @r#"
    // Made by `imk import` from compose.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "web": (target: "dev", args: {"A": "2", "B": "3"}),
            "new": (),
        },
    )
    "#);
}

#[test]
fn null_is_refused_where_compose_refuses_it_and_an_empty_text_is_none() {
    for key in ["context", "dockerfile", "network", "target"] {
        let null = format!("services:\n  a:\n    build: {{{key}: }}\n");
        assert_eq!(
            plainly("compose.yaml", &null),
            format!("3:13: `{key}` must be a text; a number is one in quotes\n")
        );
        let empty = format!("services:\n  a:\n    build: {{{key}: ''}}\n");
        assert!(plainly("compose.yaml", &empty).contains("\"a\": (context: \".\")"), "{key}");
    }
    assert_eq!(
        plainly("compose.yaml", "services:\n  a: {build: }\n"),
        "2:7: `build` must be a text; a number is one in quotes\n"
    );
}

#[test]
fn a_required_variable_stays_required() {
    let text = "services:\n  a: {build: {context: ., args: {A: '${V:?tell which}'}}}\n";
    assert_eq!(
        plainly("compose.yaml", text),
        "2:34: the variable `V` is required and has no value: tell which\n"
    );
    assert!(with_environment("compose.yaml", text, &[("V", "1")]).contains("\"V\": \"1\""));
}

/// As [`plainly`], with other files beside it.
fn with_files(text: &str, files: &[(&str, &str)]) -> String {
    with_files_and(text, files, &[])
}

fn with_files_and(text: &str, files: &[(&str, &str)], environment: &[(&str, &str)]) -> String {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let read = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let source = Source {
        path: "deploy/compose.yaml",
        current: "",
        text,
        overrides: &[],
        environment: &environment,
        dotenv: None,
        read: &read,
        dockerfiles: &[],
        repository: "",
    };
    imported(&source)
}

#[test]
fn services_of_other_files_are_extended_from_their_folders() {
    let text = "services:\n  a:\n    extends: {file: ../common/base.yaml, service: a}\n    build: {args: {B: '2'}}\n  \
                b: {extends: {file: ../common/base.yaml, service: b}}\n";
    let base = "services:\n  a: {build: {context: app, args: {A: '1'}, target: t}}\n  \
                b: {build: {dockerfile: x.Dockerfile}, extends: {file: deep/c.yaml, service: c}}\n";
    let deep = "services: {c: {build: {args: {C: '3'}}}}\n";
    let files = [("common/base.yaml", base), ("common/deep/c.yaml", deep)];
    let whole = with_files(text, &files);
    assert!(
        whole.contains(r#""a": (context: "common/app", target: "t", args: {"A": "1", "B": "2"})"#),
        "{whole}"
    );
    assert!(whole.contains(r#""b": (dockerfile: "common/x.Dockerfile", args: {"C": "3"})"#), "{whole}");
    assert_eq!(with_files(text, &[]), "3:14: there is no file `../common/base.yaml`\n");
    let circle = "services: {a: {build: ., extends: {file: ../common/base.yaml, service: a}}}\n";
    let back = "services: {a: {extends: {file: ../deploy/compose.yaml, service: a}}}\n";
    let files = [("common/base.yaml", back), ("deploy/compose.yaml", circle)];
    assert!(with_files(circle, &files).contains("extend each other"), "{}", with_files(circle, &files));
}

#[test]
fn included_files_bring_their_services() {
    let text = "include:\n  - ../web/compose.yaml\n  - path: db/compose.yaml\nservices:\n  a: {build: a}\n";
    let web = "services: {web: {build: {args: {A: '1'}, secrets: [key]}}}\nsecrets: {key: {file: ./id}}\n";
    let files = [("web/compose.yaml", web), ("deploy/db/compose.yaml", "services: {db: {build: ./x}}\n")];
    let whole = with_files(text, &files);
    for line in [
        r#""a": (context: "deploy/a")"#,
        r#""web": (args: {"A": "1"}, secrets: {"key": File("web/id")})"#,
        r#""db": (context: "deploy/db/x")"#,
    ] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
    let twice = [("web/compose.yaml", "services: {a: {build: .}}\n"), files[1]];
    assert!(with_files(text, &twice).contains("the service `a` stands in an included file too"));
    let itself = [("web/compose.yaml", "include: [../web/compose.yaml]\nservices: {}\n"), files[1]];
    assert!(with_files(text, &itself).contains("includes itself"));
    // By two ways it is one.
    let again = [("web/compose.yaml", "include: [../deploy/db/compose.yaml]\nservices: {}\n"), files[1]];
    assert!(with_files(text, &again).contains(r#""db": (context: "deploy/db/x")"#));
}

#[test]
fn an_include_has_a_folder_values_and_files_over_it_of_its_own() {
    let text = "include:\n  - path: [inc/a.yaml, inc/over.yaml]\n    project_directory: ../app\n    \
                env_file: [one.env, two.env]\n  - ${WHERE:-plain}/compose.yaml\nservices: {}\n";
    let a = "services:\n  web: {build: {context: ., dockerfile: x.Dockerfile, args: {A: '${A}', B: '${B}', V: '${V}'}}}\n";
    let over = "services:\n  web: {build: {args: {C: '3'}, target: t}}\n  more: {build: ./more}\n";
    let plain = "services: {plain: {build: {context: ., args: {A: '${A:-none}'}}}}\n";
    let files = [
        ("deploy/inc/a.yaml", a),
        ("deploy/inc/over.yaml", over),
        ("deploy/one.env", "A=1\nB=1\nV=never\n"),
        ("deploy/two.env", "B=${A}2\n"),
        ("deploy/plain/compose.yaml", plain),
        ("deploy/plain/.env", "A=other\n"),
        ("app/.env", "A=never\n"),
    ];
    let whole = with_files_and(text, &files, &[("V", "v")]);
    for part in [
        r#""web": ("#,
        r#"dockerfile: "app/x.Dockerfile""#,
        r#"args: {"A": "{A}", "B": "{B}", "C": "3", "V": "{V}"}"#,
        r#"target: "t""#,
        r#"vars: {"A": "1", "B": "12", "V": "v"}"#,
        r#""more": (context: "app/more")"#,
        r#""plain": (context: "deploy/plain", args: {"A": "other"})"#,
    ] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    assert!(with_files(text, &files[..2]).contains("there is no file `one.env`"));
}

#[test]
fn a_dockerfile_in_the_file_has_the_values_of_variables() {
    let text = "services:\n  a: {build: {dockerfile_inline: \"FROM x:${V:-1}\\nLABEL a=$${V} {b}\\n\"}}\n";
    let whole = plainly("compose.yaml", text);
    for part in
        ["dockerfile_inline: r#\"FROM x:1\nLABEL a=${V} {b}\n\"#", "~ 2: the Dockerfile of `a`: `V` has"]
    {
        assert!(whole.contains(part), "{part}: {whole}");
    }
}

#[test]
fn documents_of_one_file_are_laid_over_each_other() {
    let text = "services:\n  a: {build: {context: a, args: {A: '1', B: '1'}}}\n---\nservices:\n  \
                a: {build: {target: t, args: {A: !reset null, B: '2'}}}\n  b: {build: b}\n";
    let whole = plainly("compose.yaml", text);
    for line in [r#""a": (target: "t", args: {"B": "2"})"#, r#""b": ()"#] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
}

#[test]
fn what_is_reset_beside_a_merge_key_has_the_value_that_is_merged() {
    let text = "
x-base: &base {args: {A: base}, target: t}
services:
  b: {build: {context: b, args: {B: inherited}, labels: {l: '1'}}}
  a:
    extends: b
    build: {<<: *base, context: a, args: !reset {}, target: !reset null, labels: !reset {}}
  c:
    extends: b
    build: {context: c, args: {<<: {B: merged}, B: !reset null, D: '4'}}
";
    let whole = plainly("compose.yaml", text);
    for line in [
        r#""a": (target: "t", args: {"A": "base"})"#,
        r#""b": (args: {"B": "inherited"}, labels: {"l": "1"})"#,
        r#""c": (args: {"B": "merged", "D": "4"}, labels: {"l": "1"})"#,
    ] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
}

#[test]
fn profiles_are_groups_that_are_no_part_of_the_default() {
    let text = "services:\n  a: {build: a}\n  b: {build: b, profiles: [dev, test]}\n  c: {build: c, profiles: [dev]}\n";
    let whole = plainly("compose.yaml", text);
    for line in [
        r#"default: ["a"],"#,
        r#"groups: {"dev": ["b", "c"]"#,
        "~ 3: the profile `dev` is a group: `imk dev` builds its images",
    ] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
}

#[test]
fn scalars_have_the_types_that_compose_gives_them() {
    let text = "services:\n  a:\n    build:\n      context: .\n      args: {A: 1.50, B: 010, C: True, D: !!str 1.50, E: 1e3}\n";
    let whole = plainly("compose.yaml", text);
    assert!(whole.contains(r#"{"A": "1.5", "B": "8", "C": "true", "D": "1.50", "E": "1000"}"#), "{whole}");
    for (key, wanted) in [
        ("target: 5", "`target` must be a text"),
        ("tags: x", "`tags` must be a list of texts"),
        ("platforms: [1]", "`platforms` must be a list of texts"),
        ("args: ", "`args` must be a map of texts"),
        ("args: {A: 2024-01-01}", "`args` must be a map of texts"),
        ("args: [5]", "`args` must be a map of texts"),
        ("secrets: [gone]", "the secret `gone` is not declared"),
    ] {
        let text = format!("services:\n  a:\n    build:\n      {key}\n");
        assert!(plainly("compose.yaml", &text).contains(wanted), "{key}: {}", plainly("compose.yaml", &text));
    }
}

#[test]
fn the_platform_of_a_service_is_among_those_of_its_build() {
    let service = |platforms: &str| {
        let text = format!(
            "services:\n  a:\n    platform: linux/arm64\n    build: {{context: a, platforms: {platforms}}}\n"
        );
        plainly("compose.yaml", &text)
    };
    assert!(service("[]").contains(r#"platform: "linux/arm64""#), "{}", service("[]"));
    assert!(service("[linux/arm64]").contains(r#"platform: "linux/arm64""#));
    assert!(service("[linux/amd64]").contains("do not have the service's own, `linux/arm64`"));
}

#[test]
fn caches_that_an_engine_can_be_asked_for_stay() {
    let text = "services:\n  a:\n    build: {context: a, cache_from: ['type=registry,ref=x/y'], cache_to: [type=inline]}\n";
    let whole = plainly("compose.yaml", text);
    assert!(whole.contains(r#"cache_from: ["type=registry,ref=x/y"], cache_to: ["type=inline"]"#), "{whole}");
}
