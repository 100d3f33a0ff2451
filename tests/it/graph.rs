//! `imk graph` in all its forms.

use crate::sandbox::Sandbox;

fn diamond() -> Sandbox {
    Sandbox::with(
        "
    //- base/Dockerfile
    FROM scratch
    //- left/Dockerfile
    ARG FROM=base
    FROM ${FROM}:latest
    ARG USED=1
    //- right/Dockerfile
    FROM alpine:3 AS unused
    FROM golang:1 AS build
    FROM base
    COPY --from=build /x /x
    //- top/Dockerfile
    FROM base
    COPY --from=left / /l
    RUN --mount=type=bind,from=right,target=/r cp -r /r /s
",
    )
    .without_engine()
}

#[test]
fn as_a_tree() {
    insta::assert_snapshot!(diamond().imk("graph").code(0).out(), @"
    base
    ├── left
    │   └── top
    ├── right
    │   └── top
    └── top
    ");
}

#[test]
fn as_dot() {
    insta::assert_snapshot!(diamond().imk("graph --dot").code(0).out(), @r#"
    digraph images {
        rankdir=LR;
        node [shape=box];
        "base";
        "left";
        "base" -> "left";
        "right";
        "base" -> "right";
        "top";
        "base" -> "top";
        "left" -> "top" [style=dashed];
        "right" -> "top" [style=dashed];
    }
    "#);
}

#[test]
fn as_mermaid() {
    insta::assert_snapshot!(diamond().imk("graph --mermaid").code(0).out(), @r#"
    graph LR
        i0["base"]
        i1["left"]
        i0 --> i1
        i2["right"]
        i0 --> i2
        i3["top"]
        i0 --> i3
        i1 -.-> i3
        i2 -.-> i3
    "#);
}

#[test]
fn as_json_with_outside_bases_of_reached_stages_only() {
    insta::assert_snapshot!(diamond().imk("graph --json right top").code(0).out(), @r#"
    {
      "images": [
        {
          "name": "base",
          "dockerfile": "base/Dockerfile",
          "context": "base",
          "target": null,
          "args": {},
          "bases": [],
          "external": []
        },
        {
          "name": "left",
          "dockerfile": "left/Dockerfile",
          "context": "left",
          "target": null,
          "args": {
            "FROM": "base",
            "USED": "1"
          },
          "bases": [
            {
              "image": "base",
              "reference": "base:latest",
              "how": "from"
            }
          ],
          "external": []
        },
        {
          "name": "right",
          "dockerfile": "right/Dockerfile",
          "context": "right",
          "target": null,
          "args": {},
          "bases": [
            {
              "image": "base",
              "reference": "base",
              "how": "from"
            }
          ],
          "external": [
            "golang:1"
          ]
        },
        {
          "name": "top",
          "dockerfile": "top/Dockerfile",
          "context": "top",
          "target": null,
          "args": {},
          "bases": [
            {
              "image": "base",
              "reference": "base",
              "how": "from"
            },
            {
              "image": "left",
              "reference": "left",
              "how": "copy"
            },
            {
              "image": "right",
              "reference": "right",
              "how": "mount"
            }
          ],
          "external": []
        }
      ]
    }
    "#);
}
