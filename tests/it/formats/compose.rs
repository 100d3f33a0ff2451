//! Random compose files: services that extend each other, merge keys, variables, and the `.env` beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use super::{Said, chosen, clean, differences, imported, number, peers_or_skip, printed, repository, whole};
use crate::differential::random::Random;

const NAMES: [&str; 4] = ["s1", "s2", "s3", "s4"];
const VALUES: &[&str] = &[
    "1",
    "\"x\"",
    "${V}",
    "$V",
    "\"${V:-d}\"",
    "${N:-d}",
    "${N-d}",
    "\"${E:-d}\"",
    "\"${E-d}\"",
    "\"$$V\"",
    "true",
    "1.50",
    "\"{b}\"",
    "${V:+alt}",
    "${N:+alt}",
    "\"a${V}b\"",
    "${D1}",
    "${D2}",
    "\"${D3}\"",
    "0x10",
    "yes",
    "null",
    "\"\"",
    "~",
    "!!str 5",
    "2024-01-01",
    "1e3",
    "010",
    "-.5",
    "1_000",
    "True",
    "*v",
    "${N:-${V:-x}}",
    "\"${N:-a-${E:-b}}\"",
    "${N-${D1:-${D2:+q}}}",
    "\"{$V}${V}$$\"",
];
const LINES: &[&str] = &[
    "D1=plain",
    "D2=\"quo ted\"",
    "D3='si$V'",
    "D1=${V}x",
    "export D2=e",
    "D3=a # c",
    "D3=a#c",
    "D1: y",
    "D2=\"a\\nb\"",
    "D2=${N:-q}",
    "# c",
    "",
    "D1=",
    "D3=\"${D1}z\"",
    "V=dot",
    "D2=$D1$$",
    " D1 = sp ",
    "D3=${E-k}",
    "D2=\"a\\$b\"",
    "D1=\"two\nlines\"",
    "D2='a\\nb'",
    "D3=${D2:+set}",
];
const ENVIRONMENT: &[(&str, &str)] = &[("V", "v"), ("E", "")];
const TAGGED: &[(&str, usize, &[&str])] = &[
    (
        "args",
        12,
        &[
            "!override {A: over, D: \"${V}\"}",
            "!reset null",
            "!reset {}",
            "!override [C=c]",
            "{A: !reset null, B: 2}",
        ],
    ),
    ("target", 20, &["!reset null", "!override t", "!reset s"]),
    ("labels", 20, &["!override {l.c: 3}", "!reset []", "{l.a: !reset null}"]),
    ("tags", 10, &["!reset []", "!override []"]),
];
/// Documents that are laid over the first.
const MORE: &[&str] = &[
    "---\nservices:\n  s1:\n    build: {args: {D: doc}, target: t}\n",
    "---\nservices:\n  s5: {build: {context: b, args: {A: \"${V}\"}}}\n",
    "---\nservices:\n  s2:\n    image: s2:9\n    build: {args: !override {D: doc}}\n",
    "---\nservices: {}\n---\nservices:\n  s1: {build: {labels: [l.b=doc]}}\n",
];
const INCLUDES: &[&str] = &[
    "include: [other/inc.yaml]\n",
    "include:\n  - path: [other/inc.yaml, other/over.yaml]\n",
    "include:\n  - {path: other/inc.yaml, project_directory: a}\n",
    "include:\n  - {path: other/inc.yaml, project_directory: ., env_file: b/x.env}\n",
    "include:\n  - {path: other/inc.yaml, env_file: [a/x.env, b/x.env]}\n",
    "include: [other/twice.yaml, \"${N:-other}/inc.yaml\"]\n",
    "include: [other/inc.yaml, other/inc.yaml]\n",
    "include: [other/circle.yaml]\n",
    "include: [other/nothing.yaml]\n",
    "include: [{path: other/inc.yaml, env_file: /dev/null}]\n",
];

#[test]
fn compose_and_imk_read_the_same_in_compose_files() {
    let Some(peers) = peers_or_skip("compose_and_imk_read_the_same_in_compose_files") else { return };
    let (seed, cases) = (number("IMK_TEST_SEED", 12), number("IMK_TEST_CASES", 40));
    let sandbox = repository();
    sandbox.edit(
        "other/compose.yaml",
        "services:\n  x1: {build: {context: b, args: {A: other}, target: s}, image: x1:1}\n  x2: {build: ., extends: x1}\n",
    );
    sandbox.edit(
        "other/inc.yaml",
        "services:\n  i1: {build: {context: b, dockerfile: x.Dockerfile, args: {A: \"${D1:-a}\", B: \"${V}\", C: \"${I:-i}\"}}}\n",
    );
    for (path, text) in [
        (
            "other/over.yaml",
            "services:\n  i1: {build: {context: ., args: [A=over, C], target: t}}\n  i2: {build: ./b}\n",
        ),
        ("other/twice.yaml", "include: [inc.yaml]\nservices: {i3: {build: {context: .}}}\n"),
        ("other/circle.yaml", "include: [circle.yaml]\nservices: {}\n"),
        ("other/.env", "I=beside\nV=never\n"),
        ("a/.env", "I=of-a\n"),
        ("a/x.env", "I=one\nD1=d${V}\n"),
        ("b/x.env", "I=${I:-unset}two\nV=never\n"),
    ] {
        sandbox.edit(path, text);
    }
    for case in 0..cases {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let (text, dotenv) = (file(&mut random), dotenv(&mut random));
        sandbox.edit("compose.yaml", &text).edit(".env", &dotenv);
        let mut command = Command::new(peers.join("docker-compose"));
        command.args(["--profile", "*", "config", "--format", "json"]).current_dir(sandbox.root());
        for name in ["N", "D1", "D2", "D3", "COMPOSE_FILE", "COMPOSE_PROFILES"] {
            command.env_remove(name);
        }
        let theirs = printed(&command.envs(ENVIRONMENT.iter().copied()).output().unwrap());
        let ours = imported(&sandbox, ENVIRONMENT);
        let told = match (theirs, ours) {
            (Err(_), Err(_)) => Vec::new(),
            (Err(why), Ok(_)) => vec![format!("compose alone refuses it: {why}")],
            (Ok(_), Err(why)) => vec![format!("imk alone refuses it: {why}")],
            (Ok(theirs), Ok((ours, notes))) => {
                let root = sandbox.root().canonicalize().unwrap();
                differences(&said(&theirs, &root.to_string_lossy()), &ours, &notes)
            }
        };
        assert!(
            told.is_empty(),
            "IMK_TEST_SEED={seed}, case {case}:\n{}\n{text}--- .env\n{dotenv}",
            told.join("\n")
        );
    }
}

/// The services that build, with what compose knows of them outside of `build`.
fn said(config: &Value, root: &str) -> BTreeMap<String, Said> {
    let services = config["services"].as_object().into_iter().flatten();
    let built = services.filter(|(_, service)| service["build"].is_object());
    let read = |(name, service): (&String, &Value)| {
        let mut build = service["build"].clone();
        let context = build["context"].as_str().unwrap_or_default();
        build["context"] = clean(context.strip_prefix(root).unwrap_or(context)).into();
        // `$$` is how it writes a dollar.
        let mut said = Said::read(&build, |text| text.replace("$$", "$"));
        said.tags.extend(service["image"].as_str().map(whole));
        if let (true, Some(platform)) = (said.platforms.is_empty(), service["platform"].as_str()) {
            said.platforms.insert(platform.to_owned());
        }
        (name.clone(), said)
    };
    built.map(read).collect()
}

fn dotenv(random: &mut Random) -> String {
    (0..random.below(6)).fold(String::new(), |text, _| text + random.pick(LINES) + "\n")
}

fn file(random: &mut Random) -> String {
    let mut text = String::from(
        "x-base: &base\n  context: a\n  args: {A: base, Z: base}\n  target: t\n\
         x-v: &v anchored\nx-args: &args {A: anchor, C: \"${V}\"}\nx-more: &more {B: more, A: more}\n",
    );
    if random.chance(30) {
        text += random.pick(INCLUDES);
    }
    text += "services:\n";
    for (at, name) in NAMES.iter().enumerate() {
        let mut lines = vec![build(name, random)];
        let image =
            [format!("image: {name}"), format!("image: {name}:2"), format!("image: {name}:${{N:-3}}")];
        if random.chance(50) {
            lines.push(image[random.below(3)].clone());
        }
        if random.chance(15) {
            lines.push("platform: linux/arm64".to_owned());
        }
        if random.chance(15) {
            lines.push("profiles: [dev]".to_owned());
        }
        match NAMES.get(at + 1) {
            Some(other) if random.chance(30) => lines.push(format!("extends: {{service: {other}}}")),
            _ if random.chance(20) => {
                lines.push(format!(
                    "extends: {{file: other/compose.yaml, service: {}}}",
                    random.pick(&["x1", "x2"])
                ));
            }
            _ => {}
        }
        let _ = write!(text, "  {name}:\n    {}\n", lines.join("\n    "));
    }
    if random.chance(12) {
        text += random.pick(MORE);
    }
    text
}

/// The `build` of a service, short or long.
fn build(name: &str, random: &mut Random) -> String {
    if random.chance(15) {
        return format!("build: {}", random.pick(&["a", ".", "./a/sub", "\"${CTX:-b}\""]));
    }
    let tags = format!("[\"{name}:1\", \"{name}:${{V}}\"]");
    let fixed: &[(&str, usize, &[&str])] = &[
        ("context", 90, &["a", ".", "./b", "a/sub", "\"${CTX:-b}\"", "./", "a/../b"]),
        ("dockerfile", 30, &["x.Dockerfile", "Dockerfile", "\"${N:-x.Dockerfile}\"", "\"\""]),
        (
            "dockerfile_inline",
            8,
            &[
                "\"FROM scratch AS s\\nFROM scratch AS t\\nLABEL v=$$V{}\"",
                "\"FROM scratch AS s\\nFROM scratch AS t\\nLABEL v=${V}\"",
                "|\n        FROM scratch AS s\n        FROM scratch AS t\n        # \"#",
                "",
                "\"\"",
            ],
        ),
        ("labels", 25, &["{l.a: 1, l.b: \"${V}\"}", "[\"l.a=1\", \"l.b\"]", "{l.a: true}", "{l.a: }"]),
        ("target", 30, &["s", "t", "\"${N:-s}\"", "\"\"", "5"]),
        ("network", 20, &["none", "host", "default"]),
        ("platforms", 15, &["[linux/amd64]", "[\"linux/arm64\"]", "[]"]),
        ("tags", 20, &[&tags]),
        ("no_cache", 10, &["true"]),
    ];
    let mut lines = chosen(fixed, ": ", random);
    // A tag in the place of a value that is there or not. What compose makes of one in a service that others extend
    // depends on which of them it comes to first, and that is by chance.
    for (key, percent, values) in TAGGED {
        if name == NAMES[0] && random.chance(*percent) {
            lines.retain(|line| !line.starts_with(&format!("{key}:")));
            lines.push(format!("{key}: {}", random.pick(values)));
        }
    }
    if random.chance(60) && !lines.iter().any(|line| line.starts_with("args:")) {
        lines.push(format!("args: {}", args(random)));
    }
    if random.chance(20) {
        lines.push("<<: *base".to_owned());
    }
    if lines.is_empty() {
        lines.push("context: .".to_owned());
    }
    format!("build:\n      {}", lines.join("\n      "))
}

fn args(random: &mut Random) -> String {
    let names: Vec<&str> = ["A", "B", "C"].into_iter().filter(|_| random.chance(60)).collect();
    if random.chance(50) {
        let pairs: Vec<String> =
            names.iter().map(|name| format!("{name}: {}", random.pick(VALUES))).collect();
        let merged = random.pick(&["", "", "<<: *args, ", "<<: [*args, *more], "]);
        return format!("{{{merged}{}}}", pairs.join(", "));
    }
    let items: Vec<String> = names
        .iter()
        .map(|name| match random.below(4) {
            0 => format!("\"{name}\""),
            _ => format!("\"{name}={}\"", random.pick(&["1", "${V}", "x y", "a=b", ""])),
        })
        .collect();
    format!("[{}]", items.join(", "))
}
