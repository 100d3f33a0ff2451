//! Random expressions of functions within functions, as arguments of a bake target.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use imk::syntax::imagefile;
use imk::syntax::import::{Source, import};

use super::{number, of_bake, peers_or_skip};
use crate::differential::random::Random;

/// Expressions of one file.
const TOGETHER: usize = 25;

const TEXTS: &[&str] = &[
    "\"a.b-c\"",
    "\"\"",
    "\"Hello wOrld\"",
    "\"é x\"",
    "\"1.22.3\"",
    "V",
    "\"a,b,,c\"",
    "\"<&>\"",
    "\"/a/b/../c\"",
];
const NUMBERS: &[&str] = &["0", "1", "-3", "2.5", "10", "0.1", "\"7\"", "1e3"];

#[test]
fn bake_and_imk_come_to_the_same_values() {
    let Some(peers) = peers_or_skip("bake_and_imk_come_to_the_same_values") else { return };
    let (seed, cases) = (number("IMK_TEST_SEED", 13), number("IMK_TEST_CASES", 12));
    for case in 0..cases {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(case));
        let expressions: Vec<String> = (0..TOGETHER).map(|_| text(&mut random, 3)).collect();
        let ours = ours(&expressions);
        let program = peers.join("docker-buildx");
        let theirs = match theirs(&program, &expressions) {
            Some(all) => all.into_iter().map(Some).collect(),
            // One that is refused hides the others.
            None => expressions
                .iter()
                .map(|one| Some(theirs(&program, std::slice::from_ref(one))?.remove(0)))
                .collect::<Vec<_>>(),
        };
        for ((expression, theirs), ours) in expressions.iter().zip(theirs).zip(ours) {
            // imk may take what bake refuses: no file in use has it.
            if theirs.is_some() {
                assert_eq!(ours, theirs, "IMK_TEST_SEED={seed}, case {case}: {expression}");
            }
        }
    }
}

fn file(expressions: &[String]) -> String {
    let mut text = String::from("variable \"V\" { default = \"v1\" }\ntarget \"t\" {\n  args = {\n");
    for (at, expression) in expressions.iter().enumerate() {
        let _ = writeln!(text, "    A{at} = {expression}");
    }
    text + "  }\n}\n"
}

/// What bake prints of each; nothing where it refuses.
fn theirs(program: &Path, expressions: &[String]) -> Option<Vec<String>> {
    let mut command = Command::new(program);
    command
        .args(["bake", "--print", "-f", "-", "t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), file(expressions).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let json: serde_json::Value =
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())?;
    let args = &json["target"]["t"]["args"];
    let one = |at: usize| args[format!("A{at}")].as_str().map(of_bake).unwrap_or_default();
    Some((0..expressions.len()).map(one).collect())
}

/// The argument that imk carries over of each; nothing where it tells why it does not.
fn ours(expressions: &[String]) -> Vec<Option<String>> {
    let source = Source {
        path: "docker-bake.hcl",
        current: "",
        text: &file(expressions),
        overrides: &[],
        environment: &BTreeMap::new(),
        dotenv: None,
        read: &|_| None,
        dockerfiles: &[],
        repository: "",
    };
    let imported = import(&source).unwrap();
    let read = imagefile::read(&imported.imagefile, &BTreeMap::new()).unwrap();
    // An Imagefile that cannot have one of the texts has no such image, and a note tells of it.
    let none = BTreeMap::new();
    let args = read.images.first().map_or(&none, |image| &image.args);
    let plain = |text: &String| text.replace("{V}", "v1").replace("{{", "{").replace("}}", "}");
    (0..expressions.len()).map(|at| args.get(&format!("A{at}")).map(plain)).collect()
}

/// An expression that comes to a text, so many calls deep.
fn text(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random.pick(TEXTS).to_owned();
    }
    let mut one = || text(random, depth - 1);
    let (a, b) = (one(), one());
    let (n, m) = (whole(random), whole(random));
    let (list, map) = (list(random, depth - 1), map(random, depth - 1));
    let count = count(random, depth - 1);
    let forms = [
        format!("upper({a})"),
        format!("title(lower({a}))"),
        format!("replace({a}, \".\", {b})"),
        format!("substr({a}, {n}, {m})"),
        format!("trim({a}, \"a.\")"),
        format!("reverse({a})"),
        format!("join(\"-\", {list})"),
        format!("jsonencode({list})"),
        format!("jsonencode({map})"),
        format!("join(\",\", keys({map}))"),
        format!("format(\"%s|%v|%-6s|%05.1f\", {a}, {list}, \"x\", {count})"),
        format!("regex_replace({a}, \"[a-c]+\", \"<$0>\")"),
        format!("try(regex(\"[0-9]+\", {a}), {b})"),
        format!("md5({a})"),
        format!("urlencode({a})"),
        format!("basename({a})"),
        format!("dirname({a})"),
        format!("\"${{{a}}}:${{{count}}}\""),
        format!("{a} == {b} ? {a} : {b}"),
        format!("join(\"\", [for x in {list} : \"${{x}}!\"])"),
        format!("jsonencode({{for k, v in {map} : upper(k) => v}})"),
        format!("lookup({map}, \"a\", {b})"),
        format!("element({list}, {})", n.abs()),
        format!("tostring({count})"),
        format!("\"%{{ for x in {list} }}${{x}};%{{ endfor }}\""),
        format!("jsonencode({count})"),
    ];
    forms[random.below(forms.len())].clone()
}

fn list(random: &mut Random, depth: usize) -> String {
    let (a, b) = (text(random, depth.min(1)), text(random, depth.min(1)));
    let forms = [
        format!("[{a}, {b}]"),
        format!("split(\",\", {a})"),
        format!("distinct([{a}, {a}, {b}])"),
        format!("sort([{b}, {a}])"),
        format!("concat([{a}], split(\".\", {b}))"),
        format!("setunion([{a}], [{b}])"),
        format!("regexall(\"[a-z]\", {a})"),
        format!("compact([{a}, {b}, \"\"])"),
        format!("reverselist([{a}, {b}])"),
        format!("slice([{a}, {b}, \"z\"], 1, 3)"),
        "[]".to_owned(),
    ];
    forms[random.below(forms.len())].clone()
}

fn map(random: &mut Random, depth: usize) -> String {
    let (a, n) = (text(random, depth.min(1)), count(random, depth.min(1)));
    let forms = [
        format!("{{ b = {a}, a = {n} }}"),
        format!("merge({{ a = 1 }}, {{ c = {a} }})"),
        format!("zipmap([\"y\", \"x\"], [{a}, {n}])"),
        "jsondecode(\"{\\\"q\\\": [1, 2.50], \\\"a\\\": null}\")".to_owned(),
    ];
    forms[random.below(forms.len())].clone()
}

/// An expression that comes to a number.
fn count(random: &mut Random, depth: usize) -> String {
    let (a, b) = (random.pick(NUMBERS), random.pick(NUMBERS));
    let text = text(random, depth.min(1));
    let forms = [
        a.to_owned(),
        format!("({a} + {b})"),
        format!("({a} * {b})"),
        format!("divide({a}, {})", if b == "0" { "4" } else { b }),
        format!("modulo({a}, {})", if b == "0" { "4" } else { b }),
        format!("strlen({text})"),
        format!("max({a}, {b})"),
        format!("floor({a} / 3)"),
        format!("length(split(\".\", {text}))"),
    ];
    forms[random.below(forms.len())].clone()
}

fn whole(random: &mut Random) -> i64 {
    i64::try_from(random.below(9)).unwrap() - 4
}
