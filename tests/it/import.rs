//! `imk import`, and `imk graph --bake` which goes the other way.

use crate::sandbox::Sandbox;

fn shop() -> Sandbox {
    Sandbox::with(
        "
    //- docker-bake.hcl
    variable \"TAG\" { default = \"dev\" }
    group \"default\" { targets = [\"web\"] }
    group \"tools\" { targets = [\"lint\"] }
    target \"base\" {
      context = \"base\"
      tags    = [\"registry.example/shop/base:${TAG}\"]
    }
    target \"web\" {
      context    = \"web\"
      dockerfile = \"../docker/web.Dockerfile\"
      target     = \"prod\"
      args       = { COLOUR = \"red\", TEXT = \"$${x} {y}\" }
      labels     = { \"com.example.team\" = \"web\" }
      platforms  = [\"linux/amd64\"]
      secret     = [\"id=token,env=TOKEN\", \"type=file,id=key,src=keys/id\"]
      network    = \"none\"
      tags       = [\"registry.example/shop/web:${TAG}\", \"registry.example/shop/web\"]
      cache-to   = [\"type=inline\"]
    }
    target \"lint\" {
      context = \"tools/lint\"
      tags    = [\"registry.example/shop/lint\"]
    }
    //- base/Dockerfile
    FROM scratch
    //- docker/web.Dockerfile
    FROM registry.example/shop/base:dev AS dev
    FROM dev AS prod
    COPY --from=lint / /lint
    //- tools/lint/Dockerfile
    FROM scratch
",
    )
    .without_engine()
}

/// What `imk` would do with the prefix that the Imagefile has.
fn graph(sandbox: &Sandbox, words: &str) -> String {
    let output = sandbox.command("", words).env_remove("IMK_PREFIX").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_one_known_file_is_imported() {
    let sandbox = shop();
    let run = sandbox.imk("import").code(0);
    insta::assert_snapshot!(run.out(), @"wrote Imagefile.ron with 3 images of docker-bake.hcl");
    insta::assert_snapshot!(run.err(), @"");
    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    insta::assert_snapshot!(text, @r#"
    // Made by `imk import` from docker-bake.hcl.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "registry.example/shop/",
        vars: {"TAG": "dev"},
        default: ["web"],
        groups: {"tools": ["lint"]},
        images: {
            "base": (tags: ["{TAG}"]),
            "web": (
                dockerfile: "docker/web.Dockerfile",
                context: "web",
                tags: ["{TAG}", "latest"],
                target: "prod",
                platform: "linux/amd64",
                args: {"COLOUR": "red", "TEXT": "${{x}} {{y}}"},
                labels: {"com.example.team": "web"},
                secrets: {"key": File("keys/id"), "token": Env("TOKEN")},
                cache_to: ["type=inline"],
                network: "none",
            ),
            "lint": (context: "tools/lint"),
        },
    )
    "#);
    insta::assert_snapshot!(graph(&sandbox, "graph"), @"
    base
    └── web
    lint
    └── web
    ");
}

#[test]
fn an_export_to_bake_imports_as_the_same_images() {
    let sandbox = shop();
    sandbox.imk("import").success();
    let exported = graph(&sandbox, "graph --bake");
    insta::assert_snapshot!(exported, @r#"
    {
      "group": {
        "default": {
          "targets": [
            "web"
          ]
        },
        "tools": {
          "targets": [
            "lint"
          ]
        }
      },
      "target": {
        "base": {
          "context": "base",
          "dockerfile": "Dockerfile",
          "tags": [
            "registry.example/shop/base:dev"
          ]
        },
        "lint": {
          "context": "tools/lint",
          "dockerfile": "Dockerfile",
          "tags": [
            "registry.example/shop/lint:latest"
          ]
        },
        "web": {
          "context": "web",
          "dockerfile": "../docker/web.Dockerfile",
          "target": "prod",
          "network": "none",
          "contexts": {
            "registry.example/shop/base:dev": "target:base",
            "lint": "target:lint"
          },
          "args": {
            "COLOUR": "red",
            "TEXT": "$${x} {y}"
          },
          "labels": {
            "com.example.team": "web"
          },
          "tags": [
            "registry.example/shop/web:dev",
            "registry.example/shop/web:latest"
          ],
          "cache-to": [
            "type=inline"
          ],
          "platforms": [
            "linux/amd64"
          ],
          "secret": [
            "type=file,id=key,src=keys/id",
            "id=token,env=TOKEN"
          ]
        }
      }
    }
    "#);
    let before = graph(&sandbox, "graph --json");
    let listed = graph(&sandbox, "list --json");
    sandbox.remove("docker-bake.hcl").edit("docker-bake.json", &exported);
    let again = sandbox.imk("import --force").code(0);
    assert_eq!(again.stderr, "", "nothing is lost on the way");
    assert_eq!(graph(&sandbox, "graph --json"), before);
    assert_eq!(graph(&sandbox, "list --json"), listed);
    assert_eq!(graph(&sandbox, "graph --bake"), exported);
}

#[test]
fn print_writes_nothing_and_an_imagefile_is_not_written_over() {
    let sandbox = shop();
    let printed = sandbox.imk("import --print").code(0).stdout;
    assert!(!sandbox.path("Imagefile.ron").exists());
    sandbox.edit("Imagefile.ron", "(images: {})");
    let refused = sandbox.imk("import").code(2);
    insta::assert_snapshot!(refused.err(), @"
    error: there is an Imagefile.ron in `[ROOT]` already
     |
     = help: `imk import --print` shows what would be written, --force writes over it
    ");
    assert_eq!(sandbox.imk("import --print").code(0).stdout, printed);
    sandbox.imk("import --force").success();
    assert_eq!(fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap(), printed);
}

#[test]
fn of_several_files_one_is_to_be_named() {
    let sandbox = shop();
    sandbox.edit("compose.yaml", "services: {web: {build: web}}\n");
    insta::assert_snapshot!(sandbox.imk("import").code(2).err(), @"
    error: there are several files to import: docker-bake.hcl, compose.yaml
     |
     = help: name one: `imk import docker-bake.hcl`
    ");
    let run = sandbox.imk("import compose.yaml").code(0);
    assert_eq!(run.out(), "wrote Imagefile.ron with 1 image of compose.yaml\n");
    sandbox.edit("compose.override.yaml", "services: {web: {build: {target: dev}}}\n");
    insta::assert_snapshot!(sandbox.imk("import compose.yaml --print").code(0).err(), @"not carried over: compose.override.yaml: it would be merged into compose.yaml; one file is imported");
}

#[test]
fn paths_start_at_the_folder_of_the_imagefile() {
    let sandbox = Sandbox::with(
        "
    //- .git/HEAD
    ref: refs/heads/main
    //- deploy/compose.yaml
    services:
      web:
        build: ../web
      db:
        build: db
    ",
    );
    let run = sandbox.imk_in("deploy", "import compose.yaml").code(0);
    insta::assert_snapshot!(run.out(), @"wrote Imagefile.ron with 2 images of deploy/compose.yaml");
    insta::assert_snapshot!(fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap(), @r#"
    // Made by `imk import` from deploy/compose.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "web": (),
            "db": (context: "deploy/db"),
        },
    )
    "#);
}

#[test]
fn shipwrights_images_are_its_dockerfiles() {
    let sandbox = Sandbox::with(
        "
    //- .shipwright.json
    {\"version\": 1.0, \"namespace\": \"shop\", \"names\": {\"/web\": \"shop/site\"}}
    //- web/Dockerfile
    FROM shop/base
    //- base/Dockerfile
    FROM scratch
    //- base/Dockerfile-dev
    FROM shop/base
    ",
    );
    sandbox.imk("import").success();
    insta::assert_snapshot!(graph(&sandbox, "graph"), @"
    base
    ├── base-dev
    └── site
    ");
}

#[test]
fn what_cannot_be_read_is_quoted() {
    let sandbox = Sandbox::with("//- compose.yaml\nservices:\n  web: {build: web\n  db: ]\n");
    insta::assert_snapshot!(sandbox.imk("import").code(2).err(), @"
    error: cannot be read: while parsing a flow mapping, did not find expected ',' or '}'
     --> compose.yaml:3:5
      |
    3 |   db: ]
      |     ^
    ");
    sandbox.edit("compose.yaml", "hello: world\n");
    insta::assert_snapshot!(sandbox.imk("import").code(2).err(), @"
    error: this is none of the files that imk can import
     --> compose.yaml:1:1
      |
    1 | hello: world
      | ^
      |
      = help: it reads docker-bake.hcl and .json, compose.yaml, .shipwright.json, dobi.yaml, skaffold.yaml, and a list `images: {name: {path: folder}}`
    ");
    insta::assert_snapshot!(sandbox.imk("import gone.yaml").code(2).err(), @"error: cannot read `gone.yaml`: it is not there");
    sandbox.remove("compose.yaml");
    insta::assert_snapshot!(sandbox.imk("import").code(2).err(), @"
    error: there is none of docker-bake.hcl, docker-bake.json, compose.yaml, compose.yml, docker-compose.yaml, docker-compose.yml, .shipwright.json, dobi.yaml, skaffold.yaml in `[ROOT]`
     |
     = help: name a file: `imk import FILE`; without one `imk init` writes what it finds
    ");
    insta::assert_snapshot!(sandbox.imk("import /etc/hostname").code(2).err(), @"
    error: `/etc/hostname` is not in the repository `[ROOT]`
     |
     = help: the Imagefile's paths start at its folder: copy the file there, or name the repository with -C DIR
    ");
}

#[test]
fn a_matrix_is_one_in_a_bake_file_too_and_comes_back_as_one() {
    let sandbox = Sandbox::with(
        r#"
        //- Imagefile.ron
        (images: {
            "os": (),
            "php:{php}-{os}": (
                context: "php",
                matrix: {"php": ["8.3", "8.4"], "os": ["alp", "deb"]},
                args: {"PHP": "{php}", "BASE": "debian-{os}"},
                tags: ["{tag}"],
            ),
        })
        //- os/Dockerfile
        FROM scratch
        COPY Dockerfile /
        //- php/Dockerfile
        FROM os
        ARG PHP
        ARG BASE
        COPY Dockerfile /
        "#,
    )
    .without_engine();
    let exported = sandbox.imk("graph --bake").code(0).stdout;
    let bake: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(bake["target"].as_object().unwrap().len(), 2, "{exported}");
    let php = &bake["target"]["php"];
    assert_eq!(php["matrix"]["php"], serde_json::json!(["8.3", "8.4"]), "{exported}");
    assert_eq!(php["args"]["BASE"], "debian-${os}", "{exported}");
    assert_eq!(bake["group"]["default"]["targets"].as_array().unwrap().len(), 5, "{exported}");
    // One choice is not made: each image is a target.
    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit(
        "Imagefile.ron",
        &text.replace("args:", "exclude: [{\"php\": \"8.3\", \"os\": \"alp\"}], args:"),
    );
    let exported = sandbox.imk("graph --bake").code(0).stdout;
    let bake: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(bake["target"].as_object().unwrap().len(), 4, "{exported}");
}
