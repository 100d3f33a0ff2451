//! Files that nobody wrote to be built: each must end, with a word or without.

use super::*;

#[test]
fn aliases_of_aliases_do_not_multiply() {
    let chain = |levels: usize| -> String {
        let lines = (1..levels).map(|level| {
            let below = level - 1;
            format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}, *a{below}]\n")
        });
        let lines: String = lines.collect();
        format!("a0: &a0 {{x: [1, 2]}}\n{lines}x-a: *a{}\nservices: {{web: {{build: web}}}}\n", levels - 1)
    };
    assert!(
        plainly("compose.yaml", &chain(50)).contains("\"web\""),
        "{}",
        plainly("compose.yaml", &chain(50))
    );
    assert!(plainly("compose.yaml", &chain(2000)).contains("nested more than"));
}

#[test]
fn merge_keys_do_not_multiply() {
    let mut text = String::from("m0: &m0 {a: 1, b: 2}\n");
    for level in 1..40_usize {
        let merges = vec![format!("*m{}", level - 1); 10].join(", ");
        let _ = writeln!(text, "m{level}: &m{level} {{k{level}: 1, <<: [{merges}]}}");
    }
    text += "services: {web: {build: {context: .}}}\n";
    assert!(plainly("compose.yaml", &text).contains("images"));
    let wide: String = (0..2000).map(|key| format!("k{key}: 1, ")).collect();
    let merges = "x: {<<: *w}\ny: {<<: *w}\n".replace('x', "A");
    let many: String =
        (0..80).map(|at| merges.replace('A', &format!("a{at}")).replace('y', &format!("b{at}"))).collect();
    let text = format!("w: &w {{{wide}}}\n{many}");
    assert!(plainly("compose.yaml", &text).contains("bring in too much"));
}

#[test]
fn an_alias_of_itself_is_told() {
    let text = "services: &s {web: *s}\n";
    assert!(plainly("compose.yaml", text).contains("inside of what it names"));
}

#[test]
fn deep_nesting_is_told() {
    for (path, text) in [
        ("compose.yaml", "[".repeat(200_000)),
        ("compose.yaml", "- ".repeat(200_000)),
        ("compose.yaml", "{a: ".repeat(100_000)),
        ("docker-bake.json", "{\"a\":".repeat(80_000)),
        ("docker-bake.hcl", format!("a = {}", "(".repeat(200_000))),
        ("docker-bake.hcl", format!("a = {}1", "!".repeat(200_000))),
        ("docker-bake.hcl", format!("a = {}1", "-".repeat(200_000))),
        ("docker-bake.hcl", format!("a = {}1", "true ? 1 : ".repeat(40_000))),
        ("docker-bake.hcl", format!("a = \"{}", "${\"".repeat(100_000))),
        ("docker-bake.hcl", "a {\n".repeat(100_000)),
    ] {
        let told = plainly(path, &text);
        assert!(told.starts_with("1:") || told.contains(':'), "{told}");
    }
    let sum = format!("target \"t\" {{ args = {{ A = {}1 }} }}\n", "1 + ".repeat(50_000));
    assert!(!plainly("docker-bake.hcl", &sum).is_empty());
}

#[test]
fn a_file_too_long_is_told() {
    assert!(plainly("compose.yaml", &"# x\n".repeat(200_000)).contains("KiB"));
}

#[test]
fn variables_do_not_double_without_end() {
    let mut text = String::from("variable \"v0\" { default = \"xxxxxxxxxx\" }\n");
    for level in 1..64 {
        let below = level - 1;
        let _ = writeln!(text, "variable \"v{level}\" {{ default = \"${{v{below}}}${{v{below}}}\" }}");
    }
    text += "target \"t\" { args = { A = v63 } }\n";
    let told = plainly("docker-bake.hcl", &text);
    assert!(told.contains("its value is too long"), "{told}");
}

#[test]
fn functions_that_call_each_other_end() {
    let text = "function \"f\" {\n params = [n]\n result = f(n) + f(n)\n}\n\
                function \"g\" {\n params = [n]\n result = n == 0 ? 1 : g(n - 1) + g(n - 1)\n}\n\
                target \"t\" { args = { A = f(1), B = g(30) } }\n";
    let told = plainly("docker-bake.hcl", text);
    assert!(told.contains("is made of itself"), "{told}");
    // Each calls the one before it twice: no circle, and no end either.
    let mut text = String::from("function \"f0\" {\n params = [n]\n result = n\n}\n");
    for level in 1..31 {
        let below = level - 1;
        let _ = writeln!(
            text,
            "function \"f{level}\" {{\n params = [n]\n result = f{below}(n) + f{below}(n)\n}}"
        );
    }
    text += "target \"t\" { args = { A = f30(1) } }\n";
    let told = plainly("docker-bake.hcl", &text);
    assert!(told.contains("too much to evaluate"), "{told}");
}

#[test]
fn loops_and_matrices_are_bounded() {
    let text = "target \"t\" { args = { A = join(\"\", flatten([for a in range(900) : [for b in range(900) : \
                [for c in range(900) : c]]])) } }\n";
    let told = plainly("docker-bake.hcl", text);
    assert!(told.contains("too long") || told.contains("too much to evaluate"), "{told}");
    let axes: String = ('a'..='j').map(|axis| format!("{axis} = [\"1\", \"2\", \"3\", \"4\"]\n")).collect();
    let text = format!("target \"t\" {{\n matrix = {{\n{axes}}}\n name = \"t-${{a}}\"\n}}\n");
    assert!(plainly("docker-bake.hcl", &text).contains("more than 1000 targets"));
}

#[test]
fn the_work_of_a_whole_file_is_bounded() {
    let wide = vec!["1"; 2000].join(", ");
    let loops = "  A = join(\"\", flatten([for a in w : [for b in w : \"x\"]]))\n";
    let many =
        |count: usize| -> String { (0..count).map(|at| loops.replace('A', &format!("A{at}"))).collect() };
    let text = format!("w = [{wide}]\ntarget \"t\" {{\n args = {{\n{}}}\n}}\n", many(500));
    let told = plainly("docker-bake.hcl", &text);
    assert!(told.contains("too much to evaluate"), "{told}");
    let refs = "${v}".repeat(100_000);
    let text = format!("v = \"{}\"\ntarget \"t\" {{ args = {{ A = \"{refs}\" }} }}\n", "x".repeat(4000));
    assert!(plainly("docker-bake.hcl", &text).contains("too long"));
}

#[test]
fn marks_in_a_text_are_only_letters() {
    let text =
        "variable \"A\" { default = \"1\" }\ntarget \"t\" { args = { X = \"\u{e000}B\u{e001}${A}\" } }\n";
    assert!(plainly("docker-bake.hcl", text).contains("images"));
}

#[test]
fn a_variable_whose_value_leads_out_of_the_repository_is_told() {
    let text = "services: {web: {build: {context: \"${B}\"}}, db: {build: ./db}}\n";
    for value in ["/srv", "//h/x", "../x", "https://h/r.git"] {
        let made = with_environment("compose.yaml", text, &[("B", value)]);
        assert!(made.contains("the image `web`: its context") && made.contains("\"db\""), "{made}");
    }
}

#[test]
fn parents_of_parents_do_not_multiply() {
    let mut text = String::new();
    for level in 0..900_usize {
        let parents: Vec<String> =
            (level.saturating_sub(30)..level).map(|parent| format!("\"t{parent}\"")).collect();
        let _ = writeln!(
            text,
            "target \"t{level}\" {{\n inherits = [{}]\n args = {{ A{level} = \"1\" }}\n}}",
            parents.join(", ")
        );
    }
    let told = plainly("docker-bake.hcl", &text);
    assert!(
        told.contains("inherit too much") || told.contains("64 deep"),
        "{}",
        &told[..told.len().min(300)]
    );
}

#[test]
fn aliases_of_services_and_variables_of_variables_do_not_multiply() {
    let keys: String = (0..20_000).map(|key| format!("k{key}: 1, ")).collect();
    let services: String = (0..8000).map(|service| format!("s{service}: *s, ")).collect();
    let text = format!("x-s: &s {{build: a, {keys}}}\nservices: {{{services}}}\n");
    assert!(plainly("compose.yaml", &text).contains("too many keys"));
    let refs = "${V}".repeat(50_000);
    let text = format!("services: {{a: {{build: {{context: ., args: {{A: '{refs}'}}}}}}}}\n");
    let long = "x".repeat(4000);
    assert!(with_environment("compose.yaml", &text, &[("V", &long)]).contains("come to too much"));
    let args: String = (0..20_000).map(|at| format!("A{at}: '${{V}}', ")).collect();
    let text = format!("services: {{a: {{build: {{context: ., args: {{{args}}}}}}}}}\n");
    assert!(with_environment("compose.yaml", &text, &[("V", &long)]).contains("come to too much"));
}
