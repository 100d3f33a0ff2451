//! Random bake files: targets in several blocks, parents, matrices, groups, variables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use super::{Said, chosen, differences, imported, number, of_bake, peers_or_skip, printed, repository};
use crate::differential::random::Random;

const NAMES: [&str; 5] = ["t1", "t2", "t3", "t4", "_base"];
const VALUES: &[&str] = &[
    "\"1\"",
    "\"x\"",
    "V",
    "\"${V}-x\"",
    "W",
    "null",
    "5",
    "true",
    "upper(V)",
    "\"{b}\"",
    "\"$${x}\"",
    "1.50",
    "f(V)",
    "f(f(W))",
    "\"a%{ if V == \\\"v\\\" }y%{ else }n%{ endif }\"",
    "\"${V == \\\"v\\\" ? W : V}\"",
    "[for x in [V, W] : \"${x}!\"][1]",
    "join(\"-\", [V, W, E])",
    "format(\"%s-%03d\", V, 3)",
    "{ k = \"in\" }.k",
    "D",
    "E == null ? \"none\" : \"some\"",
    "try(nothing.here, \"t\")",
    "coalesce(\"\", W)",
    "-1 + 2.5",
    "!true",
];
const ENVIRONMENT: &[(&str, &str)] = &[("E", "env")];

#[test]
fn bake_and_imk_read_the_same_in_bake_files() {
    let Some(peers) = peers_or_skip("bake_and_imk_read_the_same_in_bake_files") else { return };
    let (seed, cases) = (number("IMK_TEST_SEED", 11), number("IMK_TEST_CASES", 40));
    let sandbox = repository();
    for case in 0..cases {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let text = file(&mut random);
        sandbox.edit("docker-bake.hcl", &text);
        let mut command = Command::new(peers.join("docker-buildx"));
        command.args(["bake", "--print", "t1", "t2", "t3", "t4"]).current_dir(sandbox.root());
        command.args(text.contains("target \"m\"").then_some("m")).envs(ENVIRONMENT.iter().copied());
        let theirs = printed(&command.output().unwrap());
        let ours = imported(&sandbox, ENVIRONMENT);
        let told = match (theirs, ours) {
            (Err(_), Err(_)) => Vec::new(),
            (Err(why), Ok((_, notes))) if notes.is_empty() => vec![format!("bake alone refuses it: {why}")],
            (Err(_), Ok(_)) => Vec::new(),
            (Ok(_), Err(why)) => vec![format!("imk alone refuses it: {why}")],
            (Ok(theirs), Ok((ours, notes))) => {
                let targets = theirs["target"].as_object().into_iter().flatten();
                let theirs: BTreeMap<String, Said> =
                    targets.map(|(name, target)| (name.clone(), Said::read(target, of_bake))).collect();
                differences(&theirs, &ours, &notes)
            }
        };
        assert!(told.is_empty(), "IMK_TEST_SEED={seed}, case {case}:\n{}\n{text}", told.join("\n"));
    }
}

fn file(random: &mut Random) -> String {
    let mut text = String::from(
        "variable \"V\" { default = \"v\" }\nvariable \"W\" { default = \"w-${V}\" }\nvariable \"E\" {}\nD = \"b\"\n\
         function \"f\" {\n  params = [x]\n  result = \"<${x}>\"\n}\n",
    );
    for (at, name) in NAMES.iter().enumerate() {
        for _ in 0..=usize::from(random.chance(25)) {
            let mut keys = keys(name, random);
            let later = &NAMES[at + 1..];
            if !later.is_empty() && random.chance(50) {
                let parents: Vec<String> = later
                    .iter()
                    .filter(|_| random.chance(50))
                    .map(|parent| format!("\"{parent}\""))
                    .collect();
                keys.push(format!("inherits = [{}]", parents.join(", ")));
            }
            let _ = write!(text, "target \"{name}\" {{\n  {}\n}}\n", keys.join("\n  "));
        }
    }
    if random.chance(40) {
        text += "target \"m\" {\n  name = \"m-${i}-${replace(v, \".\", \"-\")}\"\n  matrix = {\n    v = [\"1.0\", \"2\"]\n    i = [\"p\", \"q\"]\n  }\n  \
                 args = { A = v, B = i }\n  tags = [\"m-${i}-${replace(v, \".\", \"-\")}:z\"]\n}\n";
    }
    for group in ["g1", "default"] {
        if random.chance(40) {
            let members: Vec<String> =
                NAMES[..4].iter().filter(|_| random.chance(50)).map(|name| format!("\"{name}\"")).collect();
            let _ = writeln!(text, "group \"{group}\" {{ targets = [{}] }}", members.join(", "));
        }
    }
    text
}

/// Keys of a target, each with a value that it can have.
fn keys(name: &str, random: &mut Random) -> Vec<String> {
    let tag = format!("[\"{name}:1\"]");
    let variable = format!("[\"{name}:${{V}}\"]");
    let both = format!("[\"{name}:1\", \"{name}\"]");
    let fixed: &[(&str, usize, &[&str])] = &[
        (
            "context",
            40,
            &["\"a\"", "\"b\"", "\"./a\"", "\"a/sub\"", "\".\"", "null", "\"${D}\"", "BAKE_CMD_CONTEXT"],
        ),
        ("dockerfile", 30, &["\"x.Dockerfile\"", "\"Dockerfile\"", "null", "\"\""]),
        (
            "dockerfile-inline",
            8,
            &[
                "\"FROM scratch AS s\\nFROM scratch AS t\\nLABEL v=$${V}\\n\"",
                "\"FROM scratch AS s\\nFROM scratch AS t\\nLABEL v=${V}\\n\"",
                "<<E\nFROM scratch AS s\nFROM scratch AS t\n# \"#\nE\n",
                "null",
                "\"\"",
            ],
        ),
        ("target", 30, &["\"s\"", "\"t\"", "null", "\"\"", "V == \"v\" ? \"s\" : \"t\""]),
        ("platforms", 25, &["[\"linux/amd64\"]", "[]", "[\"\"]", "[\"\", \"linux/arm64\"]"]),
        ("network", 20, &["\"none\"", "\"host\"", "\"default\"", "null"]),
        ("tags", if name == "_base" { 0 } else { 60 }, &[&tag, &variable, &both, "[]", "null"]),
        ("cache-from", 10, &["[\"type=registry,ref=x/y\"]", "[\"x/y:z\"]", "[]"]),
        ("secret", 10, &["[\"id=a,env=A\"]", "[{ id = \"b\", env = \"B\" }]"]),
    ];
    let mut keys = chosen(fixed, " = ", random);
    for (key, names) in [("args", ["A", "B", "C"]), ("labels", ["\"l.a\"", "\"l.b\"", "\"l.c\""])] {
        if random.chance(50) {
            let pairs = chosen(&names.map(|name| (name, 50, VALUES)), " = ", random);
            match random.below(4) {
                0 => keys.push(format!(
                    "{key} = {{\n    {}\n    {} = <<-E\n      a ${{V}}\n        b\n    E\n  }}",
                    pairs.join("\n    "),
                    names[2].replace('C', "Z").replace("l.c", "l.z")
                )),
                _ => keys.push(format!("{key} = {{ {} }}", pairs.join(", "))),
            }
        }
    }
    keys
}
