//! How random Dockerfiles are made and edited.

use super::super::random::Random;
use super::super::tree::Tree;
use super::newer::{self, Flags};
use super::{Base, Body, Line, Recipe, Role, Step};
use crate::differential::abilities::Abilities;

/// What a variable may be given.
const VALUES: [&str; 5] = ["one", "two", "three", "\"\"", "x.y"];

impl Recipe {
    pub fn random(
        random: &mut Random,
        tree: &Tree,
        number: usize,
        stamp: &str,
        (tools, can): (&str, Abilities),
    ) -> Self {
        let mut recipe = Self::empty(number, stamp, tools, can);
        recipe.dress = random.below(8);
        recipe.stages.insert(Role::Main, Vec::new());
        for _ in 0..[1, 1, 1, 1, 1, 2, 2, 3][random.below(8)] {
            let count = [1, 1, 1, 1, 2, 3][random.below(6)];
            let add = random.chance(if can.newer { 25 } else { 15 });
            let flags = Flags::random(random, tree, can, add);
            let word = if flags.parents { newer::source } else { source };
            let sources: Vec<String> = (0..count).map(|_| word(random, tree)).collect();
            let step = Step {
                add,
                chown: random.chance(10),
                json: random.chance(30),
                given: count == 1 && random.chance(10),
                within: if random.chance(10) { recipe.variable(random) } else { String::new() },
                flags,
                sources,
            };
            let role = if random.chance(15) { Role::Aux } else { Role::Main };
            let line = recipe.numbered(Body::Copy(step));
            recipe.stages.entry(role).or_default().push(line);
        }
        if random.chance(10) {
            let sources = vec![source(random, tree)];
            let step = Step { sources, ..Step::default() };
            let line = recipe.numbered(Body::Copy(step));
            recipe.stages.insert(Role::Idle, vec![line]);
        }
        recipe.base = match random.below(20) {
            0 => Base::Tools,
            1 | 2 => Base::Named,
            3..6 if recipe.stages.contains_key(&Role::Aux) => Base::Aux,
            _ => Base::Scratch,
        };
        if recipe.base == Base::Named {
            recipe.globals.push((format!("B{number}"), "scratch".into()));
        }
        if random.chance(50) {
            for _ in 0..random.below(6) {
                recipe.insert(random);
            }
        }
        recipe
    }

    fn numbered(&mut self, body: Body) -> Line {
        self.next += 1;
        Line { id: self.next, body }
    }

    /// A variable, as a Dockerfile names it.
    fn variable(&self, random: &mut Random) -> String {
        let name = self.variable_name(random);
        match random.below(4) {
            0 => format!("${{{name}:-none}}"),
            1 => format!("${{{name}:+some}}"),
            2 => format!("${{{name}}}"),
            _ => format!("${name}"),
        }
    }

    fn variable_name(&self, random: &mut Random) -> String {
        let letter = ["A", "A", "A", "E", "G"][random.below(5)];
        format!("{letter}{}{}", self.number, ["x", "y"][random.below(2)])
    }

    fn argument_name(&self, random: &mut Random) -> String {
        format!("{}{}{}", ["A", "A", "G"][random.below(3)], self.number, ["x", "y"][random.below(2)])
    }

    fn value(&self, random: &mut Random) -> String {
        if random.chance(30) { self.variable(random) } else { random.pick(&VALUES).to_owned() }
    }

    /// A word for another line than `COPY`.
    fn other(&self, random: &mut Random, role: Role) -> Body {
        let number = self.number;
        if self.can.newer && random.chance(25) {
            let value = self.value(random);
            return match newer::body(random, value) {
                Body::Script(_) if self.base != Base::Tools || role != Role::Main => Body::Fetched(0),
                body => body,
            };
        }
        match random.below(12) {
            0..4 => {
                let default = random.chance(60).then(|| self.value(random));
                Body::Arg(self.argument_name(random), default)
            }
            4 | 5 => {
                let letter = if random.chance(80) { "E" } else { "A" };
                let name = format!("{letter}{number}{}", ["x", "y"][random.below(2)]);
                Body::Env(name, self.value(random))
            }
            6 => Body::Label(format!("l{}", random.below(2)), self.value(random)),
            7 => Body::Workdir(match random.below(3) {
                0 => "sub".into(),
                1 => format!("/w/{}", random.below(3)),
                _ => format!("/w-{}", self.variable(random)),
            }),
            8 => Body::User(match random.below(3) {
                0 => format!("5${{{}:+6}}", self.variable_name(random)),
                _ => ["5", "6:7"][random.below(2)].into(),
            }),
            9 | 10 if role == Role::Main && self.base == Base::Tools => {
                Body::Run(self.value(random).replace('"', ""))
            }
            _ => Body::Cmd(match random.below(3) {
                0 => format!("[\"{}\"]", random.below(3)),
                // No engine expands it.
                1 => format!("echo {}", self.variable(random)),
                _ => format!("echo {}", random.below(3)),
            }),
        }
    }

    fn role(&self, random: &mut Random) -> Role {
        let all: Vec<Role> = self.stages.keys().copied().collect();
        all[random.below(all.len())]
    }

    fn insert(&mut self, random: &mut Random) -> String {
        if random.chance(15) {
            let name = format!("G{}{}", self.number, ["x", "y"][random.below(2)]);
            let default = self.value(random);
            self.globals.retain(|(global, _)| *global != name);
            self.globals.push((name.clone(), default));
            return format!("global {name} written anew");
        }
        let role = self.role(random);
        let body = self.other(random, role);
        let line = self.numbered(body);
        let lines = self.stages.entry(role).or_default();
        let at = random.below(lines.len() + 1);
        lines.insert(at, line);
        format!("line {at} of {role:?} inserted")
    }

    /// Changes one thing, and says which.
    pub fn edit(&mut self, random: &mut Random, tree: &Tree) -> String {
        let role = self.role(random);
        let lines = self.stages.get(&role).map_or(0, Vec::len);
        let at = random.below(lines.max(1));
        let what = match random.below(20) {
            0 => {
                self.salt += 1;
                "destinations".to_owned()
            }
            1 | 2 => {
                self.dress = random.below(8);
                "dress".to_owned()
            }
            3..9 => self.give(random),
            9 if !self.globals.is_empty() => {
                let at = random.below(self.globals.len());
                let value = self.value(random);
                let (name, default) = &mut self.globals[at];
                if !name.starts_with('B') {
                    *default = value;
                }
                format!("default of global {name}")
            }
            10 if lines > 1 => {
                let other = random.below(lines);
                if let Some(lines) = self.stages.get_mut(&role) {
                    lines.swap(at, other);
                }
                format!("lines {at} and {other} of {role:?} swapped")
            }
            11 | 12 => self.insert(random),
            _ if lines > 0 => self.change(random, role, at, tree),
            _ => self.insert(random),
        };
        format!("recipe {}: {what}", self.number)
    }

    /// Another `--build-arg`, or one less.
    fn give(&mut self, random: &mut Random) -> String {
        if self.base == Base::Named && random.chance(20) {
            let base = if random.chance(50) { "scratch".to_owned() } else { self.tools.clone() };
            self.given.insert(format!("B{}", self.number), base.clone());
            return format!("base given: {base}");
        }
        let name = self.argument_name(random);
        if self.given.remove(&name).is_some() && random.chance(40) {
            return format!("{name} no longer given");
        }
        let value = ["one", "two", "three", "", "a b", "$x"][random.below(6)].to_owned();
        self.given.insert(name.clone(), value.clone());
        format!("{name} given: {value:?}")
    }

    fn change(&mut self, random: &mut Random, role: Role, at: usize, tree: &Tree) -> String {
        let Some(line) = self.stages.get(&role).and_then(|lines| lines.get(at)).cloned() else {
            return "nothing".into();
        };
        let value = self.value(random);
        let body = match line.body {
            Body::Copy(step) if random.chance(50) => {
                let mut sources = step.sources.clone();
                let which = random.below(sources.len());
                sources[which] = match random.below(3) {
                    0 => format!("./{}", sources[which].trim_start_matches('/')),
                    1 => format!("/{}", sources[which].trim_start_matches('/')),
                    _ if step.flags.parents => newer::source(random, tree),
                    _ => source(random, tree),
                };
                Some(Body::Copy(Step { sources, ..step }))
            }
            Body::Copy(mut step) if self.can.newer && random.chance(60) => {
                step.flags.edit(random, tree, step.add);
                Some(Body::Copy(step))
            }
            Body::Copy(step) => Some(Body::Copy(Step { chown: !step.chown, ..step })),
            _ if random.chance(30) => None,
            Body::Arg(name, _) => Some(Body::Arg(name, random.chance(70).then_some(value))),
            Body::Env(name, _) => Some(Body::Env(name, value)),
            Body::Label(name, _) => Some(Body::Label(name, value)),
            Body::Run(_) => Some(Body::Run(value.replace('"', ""))),
            Body::Workdir(_) => Some(Body::Workdir(format!("/w/{}", random.below(5)))),
            Body::User(_) => Some(Body::User(random.below(9).to_string())),
            Body::Text(_) => Some(Body::Text(value)),
            Body::Script(_) => Some(Body::Script(value.replace('"', ""))),
            Body::Fetched(_) => Some(Body::Fetched(random.below(9))),
            Body::Cmd(_) => Some(Body::Cmd(format!("echo {value}"))),
        };
        let lines = self.stages.entry(role).or_default();
        match body {
            Some(body) => lines[at].body = body,
            None => {
                lines.remove(at);
            }
        }
        format!("line {at} of {role:?} changed")
    }
}

/// A word that names something of the tree, or nearly.
fn source(random: &mut Random, tree: &Tree) -> String {
    let path = tree.any(random);
    let escaped: String =
        path.chars().flat_map(|c| ["\\".repeat(usize::from("[]*?\\".contains(c))), c.into()]).collect();
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let at = random.below(parts.len());
    match random.below(24) {
        0 | 1 => ".".into(),
        2 => format!("{path}/"),
        3 => format!("/{path}"),
        4 => format!("./x/../{path}"),
        5 => format!("../../{path}"),
        6 | 7 => with(&mut parts, at, "*".into()),
        8 => {
            let first: String = parts[at].chars().take(1).collect();
            with(&mut parts, at, format!("{first}*"))
        }
        9 => {
            let shape = "?".repeat(parts[at].chars().count());
            with(&mut parts, at, shape)
        }
        10 => with(&mut parts, at, "[a-z]*".into()),
        11 => with(&mut parts, at, "[^a-f]*".into()),
        12 => "*".into(),
        13 => "*/*".into(),
        14 => format!("{path}/*"),
        15 => ["nowhere", "l/nowhere", "d/nowhere/f", "*.none", "/", ""][random.below(6)].into(),
        16 => format!("{}/{path}", ["l", "m", "d/l", "e/.l"][random.below(4)]),
        17 => ["l", "m", "d/l", ".l", "l.txt", "l/", "l*", "*l/*"][random.below(8)].into(),
        // Read as a pattern where the name has wildcards, and as itself where it has none.
        18 => path,
        _ => escaped,
    }
}

fn with(parts: &mut [String], at: usize, part: String) -> String {
    parts[at] = part;
    parts.join("/")
}
