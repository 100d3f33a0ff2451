//! From YAML or JSON to what it expects. Every mistake is told, with its place; a key that there is none of is one.

use super::expected::{Check, CommandTest, Existence, Metadata, RunOptions, Structure, StructureTest};
use super::go;
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::suggest::did_you_mean;
use crate::syntax::yaml::{self, Node, Shared, Value};

/// The schema that is read.
const VERSION: &str = "2.0.0";
/// Longer files are refused: no person wrote them.
const LONGEST: usize = 512 * 1024;

const TOP: &[&str] = &[
    "schemaVersion",
    "globalEnvVars",
    "commandTests",
    "fileExistenceTests",
    "fileContentTests",
    "metadataTest",
    "licenseTests",
    "containerRunOptions",
];
const COMMAND: &[&str] = &[
    "name",
    "setup",
    "teardown",
    "envVars",
    "exitCode",
    "command",
    "args",
    "expectedOutput",
    "excludedOutput",
    "expectedError",
    "excludedError",
];
const EXISTENCE: &[&str] = &["name", "path", "shouldExist", "permissions", "uid", "gid", "isExecutableBy"];
const CONTENT: &[&str] = &["name", "path", "expectedContents", "excludedContents"];
const METADATA: &[&str] = &[
    "env",
    "envVars",
    "unboundEnvVars",
    "labels",
    "entrypoint",
    "cmd",
    "exposedPorts",
    "unexposedPorts",
    "volumes",
    "unmountedVolumes",
    "workdir",
    "user",
];
const OPTIONS: &[&str] =
    &["user", "privileged", "allocateTty", "envVars", "envFile", "capabilities", "bindMounts"];
const PAIR: &[&str] = &["key", "value", "isRegex"];

/// Reads a file of container-structure-test.
///
/// # Errors
/// Every mistake in it.
pub fn read(text: &str) -> Result<Structure, Vec<SyntaxError>> {
    if text.len() > LONGEST {
        let message = format!("this file has more than {} KiB", LONGEST / 1024);
        return Err(vec![SyntaxError::new(Span::new(0, 0), message)]);
    }
    let documents = yaml::read(text).map_err(|error| vec![error])?;
    let start = Span::first_of(text);
    let Some(root) = documents.first().filter(|root| matches!(root.value, Value::Map(_))) else {
        return Err(vec![SyntaxError::new(start, "this is no file of container-structure-test")]);
    };
    let mut reader = Reader { text, errors: Vec::new() };
    if !reader.is_of_this_version(root, start) {
        return Err(reader.errors);
    }
    let structure = reader.structure(root);
    if structure.tests.is_empty() && reader.errors.is_empty() {
        reader.wrong(start, "there is no test in this file that is read");
    }
    if reader.errors.is_empty() { Ok(structure) } else { Err(reader.errors) }
}

struct Reader<'a> {
    text: &'a str,
    errors: Vec<SyntaxError>,
}

impl Reader<'_> {
    fn wrong(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(SyntaxError::new(span, message));
    }

    fn is_of_this_version(&mut self, root: &Node, start: Span) -> bool {
        let hint = format!("imk reads `schemaVersion: \"{VERSION}\"`, the newest there is");
        match root.get("schemaVersion") {
            Some(node) if node.text() == Some(VERSION) => return true,
            Some(node) => {
                let found = node.text().unwrap_or("this");
                let error = SyntaxError::new(node.span, format!("the schema version `{found}` is not read"));
                self.errors.push(error.hint(hint));
            }
            None => self.errors.push(SyntaxError::new(start, "it has no `schemaVersion`").hint(hint)),
        }
        false
    }

    fn structure(&mut self, root: &Shared) -> Structure {
        let mut structure = Structure::default();
        self.keys(root, "a file of tests", TOP);
        let (mut commands, mut existence, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for (key, node) in root.entries() {
            match key.text.as_str() {
                "globalEnvVars" => structure.env = self.variables(node),
                "commandTests" => commands = self.each(node, Self::command),
                "fileExistenceTests" => existence = self.each(node, Self::existence),
                "fileContentTests" => contents = self.each(node, Self::content),
                "containerRunOptions" => structure.options = self.options(node),
                "licenseTests" if !node.is_nothing() => structure.left_out.push((
                    key.span,
                    "licence tests are not read: what they allow is a list of another's".into(),
                )),
                _ => {}
            }
        }
        let metadata = root.get("metadataTest").filter(|node| !node.is_nothing());
        let metadata = metadata.map(|node| {
            let line = node.span.line_and_column(self.text).0;
            let check = Check::Metadata(self.metadata(node));
            StructureTest { name: "metadata".to_owned(), line, check }
        });
        structure.tests = commands.into_iter().chain(contents).chain(existence).chain(metadata).collect();
        structure
    }

    fn each(
        &mut self,
        list: &Shared,
        read: impl Fn(&mut Self, &Shared) -> Option<Check>,
    ) -> Vec<StructureTest> {
        let items = self.list(list);
        let mut tests = Vec::new();
        for item in &items {
            let name = self.needed(item, "name");
            if let (Some(name), Some(check)) = (name, read(self, item)) {
                tests.push(StructureTest { name, line: item.span.line_and_column(self.text).0, check });
            }
        }
        tests
    }

    fn command(&mut self, node: &Shared) -> Option<Check> {
        self.keys(node, "a command test", COMMAND);
        let first = self.needed(node, "command");
        let args = self.texts_of(node, "args");
        let setup = self.commands_of(node, "setup");
        // Read, and not run: the container is gone by then.
        self.commands_of(node, "teardown");
        let status = node.get("exitCode").and_then(|node| self.number(node));
        let env = node.get("envVars").map(|node| self.variables(node)).unwrap_or_default();
        let test = CommandTest {
            setup,
            env,
            status: status.unwrap_or_default(),
            out: self.patterns_of(node, "expectedOutput"),
            never_out: self.patterns_of(node, "excludedOutput"),
            err: self.patterns_of(node, "expectedError"),
            never_err: self.patterns_of(node, "excludedError"),
            command: std::iter::once(first?).chain(args).collect(),
        };
        Some(Check::Command(test))
    }

    fn existence(&mut self, node: &Shared) -> Option<Check> {
        self.keys(node, "a file existence test", EXISTENCE);
        let path = self.needed(node, "path");
        let permissions = self.text_of(node, "permissions");
        let executable_by = node.get("isExecutableBy").filter(|node| !node.is_nothing());
        let executable_by = executable_by.and_then(|node| {
            let who = self.text(node)?;
            let bits = match who.as_str() {
                "any" => 0o111,
                "owner" => 0o100,
                "group" => 0o010,
                "other" => 0o001,
                _ => {
                    self.wrong(node.span, format!("`{who}` is not one of any, owner, group, other"));
                    return None;
                }
            };
            Some((bits, who))
        });
        let mut owner = |key: &str| {
            let number = node.get(key).and_then(|node| self.number(node));
            // Less than nothing is nobody in particular, as there.
            number.and_then(|number| u64::try_from(number).ok())
        };
        let (uid, gid) = (owner("uid"), owner("gid"));
        let exists = node.get("shouldExist").and_then(|node| self.flag(node)).unwrap_or(true);
        Some(Check::Existence(Existence { path: path?, exists, permissions, uid, gid, executable_by }))
    }

    fn content(&mut self, node: &Shared) -> Option<Check> {
        self.keys(node, "a file content test", CONTENT);
        let path = self.needed(node, "path");
        let has = self.patterns_of(node, "expectedContents");
        let lacks = self.patterns_of(node, "excludedContents");
        Some(Check::Content { path: path?, has, lacks })
    }

    fn metadata(&mut self, node: &Shared) -> Metadata {
        self.keys(node, "a metadata test", METADATA);
        let mut env = self.values_of(node, "env");
        env.append(&mut self.values_of(node, "envVars"));
        let unbound = node.get("unboundEnvVars").map(|node| self.variables(node)).unwrap_or_default();
        Metadata {
            env,
            unbound: unbound.into_iter().map(|(name, _)| name).collect(),
            labels: self.values_of(node, "labels"),
            entrypoint: self.whole_list(node, "entrypoint"),
            cmd: self.whole_list(node, "cmd"),
            ports: self.ports_of(node, "exposedPorts"),
            closed_ports: self.ports_of(node, "unexposedPorts"),
            volumes: self.texts_of(node, "volumes"),
            no_volumes: self.texts_of(node, "unmountedVolumes"),
            workdir: self.text_of(node, "workdir"),
            user: self.text_of(node, "user"),
        }
    }

    fn options(&mut self, node: &Shared) -> RunOptions {
        self.keys(node, "`containerRunOptions`", OPTIONS);
        let refused = [
            ("privileged", "a privileged container has this machine, and a test gets none"),
            ("bindMounts", "a test gets no folders of this machine: `volumes` of the test are its own"),
        ];
        for (key, why) in refused {
            if let Some(node) = node.get(key).filter(|node| !node.is_nothing()) {
                self.wrong(node.span, format!("`{key}` is refused: {why}"));
            }
        }
        RunOptions {
            user: self.text_of(node, "user"),
            tty: node.get("allocateTty").and_then(|node| self.flag(node)).unwrap_or_default(),
            env: self.texts_of(node, "envVars"),
            env_file: self.text_of(node, "envFile"),
            capabilities: self.texts_of(node, "capabilities"),
        }
    }

    /// Keys that there is none of.
    fn keys(&mut self, node: &Node, what: &str, known: &[&str]) {
        if !matches!(node.value, Value::Map(_)) {
            self.wrong(node.span, format!("{what} is a map of keys"));
        }
        for (key, _) in node.entries() {
            if !known.contains(&key.text.as_str()) {
                let error = SyntaxError::new(key.span, format!("{what} has no key `{}`", key.text));
                let near = did_you_mean(&key.text, known.iter().copied());
                self.errors.push(error.hint(near.unwrap_or_else(|| format!("it has {}", known.join(", ")))));
            }
        }
    }

    fn needed(&mut self, node: &Node, key: &str) -> Option<String> {
        let found = self.text_of(node, key).filter(|text| !text.is_empty());
        let lacks = found.is_none() && node.get(key).is_none_or(|node| node.is_nothing());
        if lacks && matches!(node.value, Value::Map(_)) {
            self.wrong(node.span, format!("this test needs `{key}`"));
        }
        found
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        let text = node.text().map(str::to_owned);
        if text.is_none() {
            self.wrong(node.span, "a text is expected here");
        }
        text
    }

    fn text_of(&mut self, node: &Node, key: &str) -> Option<String> {
        let node = node.get(key).filter(|node| !matches!(node.value, Value::Null))?;
        self.text(node)
    }

    fn list(&mut self, node: &Node) -> Vec<Shared> {
        match &node.value {
            Value::List(items) => return items.clone(),
            Value::Null => {}
            _ => self.wrong(node.span, "a list is expected here"),
        }
        Vec::new()
    }

    fn texts(&mut self, node: &Node) -> Vec<String> {
        let items = self.list(node);
        items.iter().filter_map(|item| self.text(item)).collect()
    }

    fn texts_of(&mut self, node: &Node, key: &str) -> Vec<String> {
        node.get(key).map(|node| self.texts(node)).unwrap_or_default()
    }

    /// A list that counts when it is empty too.
    fn whole_list(&mut self, node: &Node, key: &str) -> Option<Vec<String>> {
        let node = node.get(key).filter(|node| !matches!(node.value, Value::Null))?;
        Some(self.texts(node))
    }

    fn commands_of(&mut self, node: &Node, key: &str) -> Vec<Vec<String>> {
        let Some(node) = node.get(key) else { return Vec::new() };
        let mut commands = Vec::new();
        for item in &self.list(node) {
            let words = self.texts(item);
            match words.is_empty() {
                true => self.wrong(item.span, format!("a command of `{key}` is empty")),
                false => commands.push(words),
            }
        }
        commands
    }

    fn patterns_of(&mut self, node: &Node, key: &str) -> Vec<String> {
        let items = node.get(key).map(|node| self.list(node)).unwrap_or_default();
        items.iter().filter_map(|item| self.pattern(item)).collect()
    }

    fn pattern(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        match go::pattern(&text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                self.wrong(node.span, format!("`{text}` is {why}"));
                None
            }
        }
    }

    /// Variables with their values; a pattern of a value is not asked for here.
    fn variables(&mut self, node: &Node) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for item in &self.list(node) {
            self.keys(item, "a variable", PAIR);
            if let Some(name) = self.needed(item, "key") {
                variables.push((name, self.text_of(item, "value").unwrap_or_default()));
            }
        }
        variables
    }

    /// Variables or labels with a pattern for the whole value of each.
    fn values_of(&mut self, node: &Node, key: &str) -> Vec<(String, String)> {
        let items = node.get(key).map(|node| self.list(node)).unwrap_or_default();
        let mut values = Vec::new();
        for item in &items {
            self.keys(item, "a variable or a label", PAIR);
            let name = self.needed(item, "key");
            let is_pattern = item.get("isRegex").and_then(|node| self.flag(node)).unwrap_or_default();
            let value = match item.get("value") {
                // A pattern may be found anywhere in a value.
                Some(value) if is_pattern => {
                    self.pattern(value).map(|pattern| format!("(?s:.*?)(?:{pattern})(?s:.*)"))
                }
                Some(value) if !matches!(value.value, Value::Null) => {
                    self.text(value).map(|text| regex::escape(&text))
                }
                _ => Some(String::new()),
            };
            values.extend(name.zip(value));
        }
        values
    }

    fn ports_of(&mut self, node: &Node, key: &str) -> Vec<u16> {
        let items = node.get(key).map(|node| self.list(node)).unwrap_or_default();
        let mut ports = Vec::new();
        for item in &items {
            let Some(text) = self.text(item) else { continue };
            match text.split('/').next().unwrap_or_default().parse() {
                Ok(port) => ports.push(port),
                Err(_) => self.wrong(item.span, format!("`{text}` is not a port")),
            }
        }
        ports
    }

    fn number(&mut self, node: &Node) -> Option<i64> {
        let text = self.text(node)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.wrong(node.span, format!("`{text}` is not a number"));
        }
        number
    }

    /// True or false, in the words of YAML 1.1.
    fn flag(&mut self, node: &Node) -> Option<bool> {
        let text = self.text(node)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Some(true),
            "false" | "no" | "off" | "n" => Some(false),
            _ => {
                self.wrong(node.span, format!("`{text}` is neither true nor false"));
                None
            }
        }
    }
}
