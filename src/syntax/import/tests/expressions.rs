//! Values of a bake file's expressions, against what bake printed of them.

use super::*;
use crate::syntax::import::draft::fill;

/// Each line of the file is an expression and what `docker buildx bake --print` made of it; `-` where it refused.
#[test]
fn expressions_come_to_what_bake_prints() {
    let rows: Vec<(&str, &str)> =
        include_str!("answers.txt").lines().map(|line| line.rsplit_once('\t').unwrap()).collect();
    let args: String = rows.iter().enumerate().map(|(at, (e, _))| format!("A{at} = {e}\n")).collect();
    let imported = import_of(&format!("target \"t\" {{\n args = {{\n{args}}}\n}}\n"));
    let read = imagefile::read(&imported.imagefile, &BTreeMap::new()).unwrap();
    let own = &read.images[0].args;
    for (at, (expression, answer)) in rows.iter().enumerate() {
        let found = own.get(&format!("A{at}")).map(|text| fill(text, &BTreeMap::new()));
        let expected = serde_json::from_str::<Option<String>>(answer).unwrap_or_default();
        assert_eq!(found, expected, "{expression}");
        let told = imported.notes.iter().any(|note| note.text.starts_with(&format!("args.A{at}: ")));
        assert_eq!(told, *answer == "-", "{expression}");
    }
}

/// Functions that the bake of the file above has none of yet.
#[test]
fn functions_of_later_bakes_are_known() {
    let expressions = [
        (r#"semvercmp("1.2.3", ">=1.2, <2")"#, "true"),
        (r#"semvercmp("1.3.0", "~1.2.0")"#, "false"),
        (r#"semvercmp("0.3.0", "^0.2")"#, "false"),
        (r#"semvercmp("2.0.0", "1.x || 2.x")"#, "true"),
        (r#"semvercmp("1.2.3", "1.0 - 1.4")"#, "true"),
        (r#"semvercmp("1.2.3-rc1", ">1.0")"#, "false"),
        (r#"formattimestamp("YYYY-MM-DD", 86400)"#, "1970-01-02"),
        (r#"formattimestamp("X", "1970-01-02T00:00:00Z")"#, "86400"),
        ("unixtimestampparse(1700000000).iso_week", "46"),
    ];
    let args: String = expressions.iter().enumerate().map(|(at, (e, _))| format!("A{at} = {e}\n")).collect();
    let read = read_of(&format!("target \"t\" {{\n args = {{\n{args}}}\n}}\n"));
    for (at, (expression, answer)) in expressions.iter().enumerate() {
        assert_eq!(
            read.images[0].args.get(&format!("A{at}")).map(String::as_str),
            Some(*answer),
            "{expression}"
        );
    }
}

#[test]
fn functions_of_the_file_take_the_rest_and_know_no_circle() {
    let text = "function \"twice\" {\n params = [n]\n result = n * 2\n}\n\
                function \"sum\" {\n params = [a]\n variadic_params = rest\n result = a + length(rest)\n}\n\
                target \"t\" { args = { A = twice(twice(3)), B = sum(1, 2, 3), C = twice(1, 2) } }\n";
    let whole = plainly("docker-bake.hcl", text);
    assert!(whole.contains(r#"args: {"A": "12", "B": "3"}"#), "{whole}");
    assert!(whole.contains("args.C: the function `twice` takes 1 arguments, not 2"), "{whole}");
    let circle = "function \"f\" {\n params = [n]\n result = n < 1 ? 1 : f(n - 1)\n}\ntarget \"t\" { args = { A = f(1) } }\n";
    assert_eq!(plainly("docker-bake.hcl", circle), "5:1: the function `f` is made of itself\n");
}

#[test]
fn a_key_of_another_target_can_be_named() {
    let text = "target \"a\" {\n args = { V = \"1\" }\n tags = [\"a:1\"]\n}\n\
                target \"b\" { args = { W = target.a.args.V, T = target.a.tags[0], N = target.a.target == null } }\n";
    assert!(
        bake::line_of("b", text).contains(r#"args: {"N": "true", "T": "a:1", "W": "1"}"#),
        "{}",
        bake::line_of("b", text)
    );
    let circle = "target \"a\" { args = { V = target.a.args.V } }\n";
    assert!(plainly("docker-bake.hcl", circle).contains("is made of itself"));
}

#[test]
fn variables_have_types_and_rules() {
    let text = "variable \"N\" {\n type = number\n default = \"5\"\n}\n\
                variable \"L\" {\n type = list(string)\n default = [1, \"b\"]\n}\n\
                variable \"TAG\" {\n default = \"dev\"\n validation {\n  condition = TAG != \"\"\n  error_message = \"a tag is wanted\"\n }\n}\n\
                target \"t\" { args = { N = N + 1, L = join(\",\", L), T = TAG } }\n";
    assert!(
        bake::line_of("t", text).contains(r#"args: {"L": "1,b", "N": "6", "T": "{TAG}"}"#),
        "{}",
        bake::line_of("t", text)
    );
    let set = |name, value| with_environment("docker-bake.hcl", text, &[(name, value)]);
    assert!(set("L", "x,\"y,z\"").contains(r#""L": "x,y,z""#), "{}", set("L", "x,\"y,z\""));
    assert!(set("L_JSON", "[\"q\"]").contains(r#""L": "q""#));
    assert_eq!(set("TAG", ""), "11:2: the variable `TAG`: a tag is wanted\n");
    assert!(set("N", "many").contains("the variable `N`: the environment's `many` is not a number"));
}

fn import_of(text: &str) -> Imported {
    let environment = BTreeMap::new();
    let source = Source {
        path: "docker-bake.hcl",
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

fn read_of(text: &str) -> imagefile::Imagefile {
    imagefile::read(&import_of(text).imagefile, &BTreeMap::new()).unwrap()
}
