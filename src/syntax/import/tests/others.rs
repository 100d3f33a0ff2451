//! Shipwright, dobi, Skaffold, and a builder's list.

use super::*;

#[test]
fn shipwright_names_folders() {
    let text = "{\n\t\"version\": 1.0,\n\t\"namespace\": \"registry.example/shop\",\n\t\"names\": {\n\t\t\
                \"/\": \"registry.example/shop/shared\",\n\t\t\"/tools/lint\": \"other.example/lint\",\n\t\t\
                \"/gone\": \"x/y\"\n\t},\n\t\"hooks\": []\n}\n";
    let dockerfiles = ["Dockerfile", "web/Dockerfile", "web/Dockerfile-dev", "tools/lint/Dockerfile"];
    let source = Source {
        path: ".shipwright.json",
        current: "",
        text,
        overrides: &[],
        environment: &BTreeMap::new(),
        dotenv: None,
        read: &|_| None,
        dockerfiles: &dockerfiles.map(str::to_owned),
        repository: "repo",
    };
    insta::assert_snapshot!(imported(&source), @r#"
    // Made by `imk import` from .shipwright.json.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "registry.example/shop/",
        defaults: (tags: ["{git.sha:12}", "{git.branch}", "latest"]),
        images: {
            "shared": (context: "."),
            "web": (),
            "web-dev": (dockerfile: "web/Dockerfile-dev"),
            "lint": (context: "tools/lint"),
        },
    )
    ~ 1: `repo` is named `shared`
    - 6: the tag `other.example/lint` of `lint`: imk tags it `registry.example/shop/lint:TAG`
    - 7: the name of `/gone`: no Dockerfile is there
    - 9: hooks: an Imagefile has no such key
    "#);
}

#[test]
fn dobi_images_and_aliases() {
    let text = r#"
meta:
  project: shop
  default: all

image=builder:
  image: shop/builder
  context: dockerfiles
  dockerfile: Dockerfile.build
  args:
    VERSION: "{env.VERSION:1.0}"
    SHA: "{git.sha}"
  tags: ["{env.VERSION:1.0}", latest]

image=app:
  image: shop/app
  context: .
  target: prod
  depends: [binary]

image=postgres:
  image: postgres
  pull: once

image=inline:
  image: shop/inline
  steps: |
    FROM scratch

job=binary:
  use: builder
  command: make

mount=source:
  bind: .
  path: /src

alias=all:
  tasks: [builder, "app:build", binary]
"#;
    insta::assert_snapshot!(plainly("dobi.yaml", text), @r#"
    // Made by `imk import` from dobi.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "shop/",
        vars: {"VERSION": "1.0"},
        default: ["all"],
        groups: {"all": ["builder", "app"]},
        images: {
            "builder": (
                dockerfile: "dockerfiles/Dockerfile.build",
                tags: ["{VERSION}", "latest"],
                args: {"VERSION": "{VERSION}"},
            ),
            "app": (context: ".", target: "prod"),
        },
    )
    - 12: args.SHA: `{git.sha}` is known to a run of dobi only
    ~ 19: depends of `app`: edges are found in Dockerfiles
    - 21: the image `postgres`: it is pulled, not built
    - 28: the image `inline`: its Dockerfile stands in `steps`; write it to a file of its own
    - 30: job=binary: imk builds images and runs nothing
    - 34: mount=source: imk builds images and runs nothing
    - 38: `binary` in a group: no such image was carried over
    "#);
}

#[test]
fn skaffold_artifacts() {
    let text = r#"
apiVersion: skaffold/v4beta11
kind: Config
metadata:
  name: shop
build:
  tagPolicy:
    gitCommit: {}
  artifacts:
    - image: registry.example/shop/base
      context: base
    - image: registry.example/shop/web
      context: web
      docker:
        dockerfile: Dockerfile.prod
        target: final
        buildArgs:
          ENV: production
          COMMIT: "{{.COMMIT}}"
        secrets:
          - id: npm
            env: NPM_TOKEN
      requires:
        - image: registry.example/shop/base
          alias: BASE
      sync:
        infer: ["**/*.js"]
    - image: registry.example/shop/java
      jib: {}
profiles:
  - name: dev
  - name: ci
deploy:
  kubectl: {}
---
apiVersion: skaffold/v4beta11
kind: Config
build:
  artifacts:
    - image: registry.example/shop/tools
      platforms: [linux/amd64]
"#;
    insta::assert_snapshot!(plainly("skaffold.yaml", text), @r#"
    // Made by `imk import` from skaffold.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        prefix: "registry.example/shop/",
        images: {
            "base": (),
            "web": (
                dockerfile: "web/Dockerfile.prod",
                target: "final",
                args: {"BASE": "registry.example/shop/base", "ENV": "production"},
                secrets: {"npm": Env("NPM_TOKEN")},
            ),
            "tools": (context: ".", platform: "linux/amd64"),
        },
    )
    - 7: build.tagPolicy: imk builds on the engine of DOCKER_HOST and tags as declared
    - 19: buildArgs.COMMIT: `{{.COMMIT}}` is known to a run of Skaffold only
    - 26: sync of `registry.example/shop/web`: imk builds images and does nothing with them
    - 29: the image `registry.example/shop/java`: jib builds it, not a Dockerfile
    - 30: profiles dev, ci: an Imagefile has variables and templates instead
    - 33: deploy: imk builds images and does nothing with them
    "#);
}

#[test]
fn a_builders_list_in_both_forms() {
    let text = r#"
images:
  base: {path: images/base}
  app: app
  tool:
    git: https://git.example/tool.git
    branch: stable
database: state.db
"#;
    insta::assert_snapshot!(plainly("builder.yaml", text), @r#"
    // Made by `imk import` from builder.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "base": (context: "images/base"),
            "app": (),
            "tool": (context: "https://git.example/tool.git#stable"),
        },
    )
    - 8: database: imk does not know this key
    "#);
    let text = r#"
images:
  - name: base
    source: images/base
  - name: App One
    source: app
    dockerfile: Dockerfile.one
    args: {A: "1"}
    tags: [latest, "1"]
  - name: tool
    source: git@git.example:tool.git
    branch: main
  - source: nameless
"#;
    insta::assert_snapshot!(plainly("builder.yaml", text), @r#"
    // Made by `imk import` from builder.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "base": (context: "images/base"),
            "app-one": (dockerfile: "app/Dockerfile.one", tags: ["latest", "1"], args: {"A": "1"}),
            "tool": (context: "git@git.example:tool.git#main"),
        },
    )
    ~ 5: `App One` is named `app-one`
    - 13: an image without a `name`
    "#);
}

#[test]
fn a_builders_list_below_its_name_takes_repositories() {
    let text = "builder:\n  database: x\n  images:\n    - {name: web, from: github.com/acme/web}\n    \
                - {name: api, from: 'github.com/acme/api#v2:docker'}\n    - {name: base, from: ./base}\n    \
                - {name: tool, from: 'https://git.example/tool', branch: main}\n    - {name: up, from: ../up}\n";
    insta::assert_snapshot!(plainly("builder.yaml", text), @r#"
    // Made by `imk import` from builder.yaml.
    // `imk keys` explains every key, `imk list` shows the images.
    (
        images: {
            "web": (context: "github.com/acme/web"),
            "api": (context: "github.com/acme/api#v2:docker"),
            "base": (),
        },
    )
    - 2: database: imk does not know this key
    - 7: the image `tool`: its context `https://git.example/tool#main`: `https://git.example/tool` does not end in `.git`: docker would take it for an archive, and imk reads repositories only
    - 8: the image `up`: its context `../up` is not below the Imagefile's folder
    "#);
}
