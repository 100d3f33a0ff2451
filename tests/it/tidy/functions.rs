//! Functions of a file and their lengths, by the indentation that rustfmt gives them.

/// The functions of a text that have more lines than `most`, signature and braces included.
pub fn longer_than(most: usize, text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &&str| {
            line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}') || rest.starts_with(") ->"))
                || line.ends_with(';') && line.starts_with(indent) && !line[indent.len()..].starts_with(' ')
        };
        // A signature over several lines ends with `) -> …`, and its body comes after.
        let body = lines[at..]
            .iter()
            .position(|line| line.ends_with('{') || line.ends_with(';') || line.ends_with('}'));
        let body = body.map_or(at, |body| at + body);
        let length = match lines[body].ends_with('{') {
            true => lines[body + 1..].iter().position(ends).map_or(0, |end| body + 2 + end - at),
            false => body + 1 - at,
        };
        if length > most {
            long.push((name.to_owned(), length));
        }
    }
    long
}

/// The name of the function that begins in a line.
fn name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let before =
        |word: &str| word.starts_with("pub") || matches!(word, "const" | "async" | "in" | "crate::embedded)");
    let word = words.by_ref().find(|word| !before(word))?;
    let name = words.next().filter(|_| word == "fn")?;
    name.split(['(', '<']).next()
}

#[test]
fn a_long_function_is_found_and_a_short_one_is_not() {
    let body = "    let a = 1;\n".repeat(8);
    let signature = "    pub(super) fn wide(\n        &self,\n        other: u8,\n    ) -> u8 {\n";
    let text = format!(
        "fn short() {{}}\nfn long<T>(a: T) {{\n{body}}}\nimpl A {{\n{signature}        1\n    }}\n}}\n"
    );
    assert_eq!(longer_than(9, &text), [("long".to_owned(), 10)]);
    assert_eq!(longer_than(5, &text), [("long".to_owned(), 10), ("wide".to_owned(), 6)]);
}
