//! An image's configuration as it grows from instruction to instruction.
//!
//! The document of the image specification with docker's additions; what imk does not know of a base's
//! passes through unchanged. Reads and writes JSON, and no file.

use serde::Serialize;
use serde_json::{Map, Value};

use super::trouble::{Result, refused};
use crate::syntax::dockerfile::{Command, Healthcheck};

/// The folders of programs where nothing else is said.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of an image, or of a stage on its way to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Everything but what is named below.
    document: Map<String, Value>,
    /// Settings that containers are made with.
    settings: Map<String, Value>,
    history: Vec<Value>,
    /// The layers, by the digests of their plain bytes.
    pub diff_ids: Vec<String>,
    /// `CMD` stands in this stage, so `ENTRYPOINT` leaves it alone.
    command_is_own: bool,
}

impl Config {
    /// Of an image of no layers.
    pub fn scratch(platform: &str) -> Self {
        let mut parts = platform.split('/');
        let mut document = Map::new();
        for key in ["os", "architecture", "variant"] {
            if let Some(part) = parts.next() {
                document.insert(key.into(), part.into());
            }
        }
        let settings =
            Map::from_iter([("Env".to_owned(), vec![PATH].into()), ("WorkingDir".to_owned(), "/".into())]);
        Self { document, settings, history: Vec::new(), diff_ids: Vec::new(), command_is_own: false }
    }

    /// Of the bytes that a registry or the store has.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let wrong = |what: &str| format!("its configuration {what}");
        let mut document: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|_| wrong("is no JSON object"))?;
        let diff_ids = document.get("rootfs").and_then(|it| it.get("diff_ids")).and_then(Value::as_array);
        let diff_ids = diff_ids.ok_or_else(|| wrong("names no layers"))?;
        let diff_ids: Option<Vec<String>> =
            diff_ids.iter().map(|id| id.as_str().map(str::to_owned)).collect();
        let diff_ids = diff_ids.ok_or_else(|| wrong("names layers by something else than digests"))?;
        document.remove("rootfs");
        let settings = match document.remove("config") {
            Some(Value::Object(settings)) => settings,
            _ => Map::new(),
        };
        let history = match document.remove("history") {
            Some(Value::Array(history)) => history,
            _ => Vec::new(),
        };
        Ok(Self { document, settings, history, diff_ids, command_is_own: false })
    }

    /// The document, byte for byte the same for the same image.
    pub fn to_bytes(&self, created: &str) -> Vec<u8> {
        let mut document = self.document.clone();
        document.insert("created".into(), created.into());
        document.insert("config".into(), Value::Object(sorted(&self.settings)));
        let mut history = self.history.clone();
        for one in &mut history {
            if one.get("created").is_none()
                && let Value::Object(one) = one
            {
                one.insert("created".into(), created.into());
            }
        }
        document.insert("history".into(), Value::Array(history));
        document.insert("rootfs".into(), value(&RootFs { kind: "layers", diff_ids: &self.diff_ids }));
        Value::Object(sorted(&document)).to_string().into_bytes()
    }

    /// `os/architecture[/variant]`.
    pub fn platform(&self) -> String {
        let part = |key: &str| self.document.get(key).and_then(Value::as_str).unwrap_or_default();
        match part("variant") {
            "" => format!("{}/{}", part("os"), part("architecture")),
            variant => format!("{}/{}/{variant}", part("os"), part("architecture")),
        }
    }

    /// All settings.
    pub fn settings(&self) -> Value {
        Value::Object(self.settings.clone())
    }

    /// A setting, as docker names it.
    pub fn setting(&self, name: &str) -> &Value {
        self.settings.get(name).unwrap_or(&Value::Null)
    }

    /// A setting that is a text; empty when there is none.
    pub fn text(&self, name: &str) -> &str {
        self.setting(name).as_str().unwrap_or_default()
    }

    /// A setting that is a list of texts.
    pub fn list(&self, name: &str) -> Vec<String> {
        let list = self.setting(name).as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Gives a setting a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.to_owned(), value.into());
    }

    /// Begins a stage on this image: what only its own last stage knew is forgotten, and a path is made sure of.
    pub fn begin(&mut self) -> Vec<String> {
        self.command_is_own = false;
        let triggers = self.list("OnBuild");
        self.settings.remove("OnBuild");
        if !self.list("Env").iter().any(|pair| pair.starts_with("PATH=")) {
            let mut all = self.list("Env");
            all.push(PATH.to_owned());
            self.set("Env", all);
        }
        triggers
    }

    /// `ENV`
    pub fn set_env(&mut self, name: &str, value: &str) {
        let mut all = self.list("Env");
        let pair = format!("{name}={value}");
        match all.iter_mut().find(|old| old.split('=').next() == Some(name)) {
            Some(old) => *old = pair,
            None => all.push(pair),
        }
        self.set("Env", all);
    }

    /// `LABEL`
    pub fn set_label(&mut self, name: &str, value: &str) {
        self.insert("Labels", name, value.into());
    }

    /// `VOLUME`
    pub fn add_volume(&mut self, path: &str) {
        self.insert("Volumes", path, Map::new().into());
    }

    fn insert(&mut self, setting: &str, key: &str, value: Value) {
        let slot = self.settings.entry(setting).or_insert(Value::Null);
        if !slot.is_object() {
            *slot = Map::new().into();
        }
        if let Value::Object(map) = slot {
            map.insert(key.to_owned(), value);
        }
    }

    /// `MAINTAINER`
    pub fn set_author(&mut self, name: &str) {
        self.document.insert("author".into(), name.into());
    }

    /// `EXPOSE`: `80`, `80/udp`, `8000-8002/tcp`.
    pub fn expose(&mut self, port: &str) -> Result<()> {
        let what = || format!("reading `EXPOSE {port}`");
        let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let protocol = protocol.to_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return refused(what(), format!("`{protocol}` is none of tcp, udp and sctp"));
        }
        // `host:container`, of which an image knows the last.
        let numbers = numbers.rsplit(':').next().unwrap_or(numbers);
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            return refused(what(), format!("`{numbers}` is no port"));
        };
        if first > last {
            return refused(what(), "the range ends before it begins");
        }
        (first..=last).for_each(|number| {
            self.insert("ExposedPorts", &format!("{number}/{protocol}"), Map::new().into())
        });
        Ok(())
    }

    /// A command as a list of words: a text is one for the shell.
    pub fn words(&self, command: &Command) -> Vec<String> {
        if command.exec {
            return command.args.clone();
        }
        let shell = self.list("Shell");
        let shell = if shell.is_empty() { vec!["/bin/sh".into(), "-c".into()] } else { shell };
        shell.into_iter().chain([command.args.join(" ")]).collect()
    }

    /// `CMD`
    pub fn set_command(&mut self, command: &Command) {
        self.set("Cmd", self.words(command));
        self.set("ArgsEscaped", true);
        self.command_is_own = true;
    }

    /// `ENTRYPOINT`: the base's command was meant for the base's.
    pub fn set_entrypoint(&mut self, command: &Command) {
        self.set("Entrypoint", self.words(command));
        if !self.command_is_own {
            self.settings.remove("Cmd");
        }
    }

    /// `HEALTHCHECK`
    pub fn set_healthcheck(&mut self, check: &Healthcheck) {
        let mut told = HealthConfig::default();
        match check {
            Healthcheck::None => told.test = vec!["NONE".into()],
            Healthcheck::Command { command, options } => {
                let kind = if command.exec { "CMD" } else { "CMD-SHELL" };
                told.test = [kind.to_owned()].into_iter().chain(command.args.iter().cloned()).collect();
                for (option, number) in options {
                    let slot = match option.as_str() {
                        "interval" => &mut told.interval,
                        "timeout" => &mut told.timeout,
                        "start-period" => &mut told.start_period,
                        "start-interval" => &mut told.start_interval,
                        _ => &mut told.retries,
                    };
                    *slot = Some(*number);
                }
            }
        }
        self.set("Healthcheck", value(&told));
    }

    /// `ONBUILD`
    pub fn add_trigger(&mut self, trigger: &str) {
        let mut all = self.list("OnBuild");
        all.push(trigger.to_owned());
        self.set("OnBuild", all);
    }

    /// Tells what was done, and the layer that it gave.
    pub fn record(&mut self, instruction: &str, layer: Option<&str>) {
        self.diff_ids.extend(layer.map(str::to_owned));
        let instruction = of_no_run(instruction);
        let step = HistoryStep { created_by: &instruction, comment: "imk", empty_layer: layer.is_none() };
        self.history.push(value(&step));
    }
}

/// An instruction without what belongs to one run of imk: the end of a name under which a base is held for
/// as long as it lasts.
fn of_no_run(instruction: &str) -> String {
    let mut parts = instruction.split("imk.invalid/base:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        out.push_str("sha256:");
        out.push_str(name.split('-').next().unwrap_or_default());
        out.push_str(rest);
    }
    out
}

/// The layers of an image, as the image specification writes them.
#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: &'a [String],
}

/// One step of an image's history. Its time comes when the image is written.
#[derive(Serialize)]
struct HistoryStep<'a> {
    created_by: &'a str,
    comment: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

/// Docker's health check. Times are nanoseconds.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthConfig {
    test: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_period: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_interval: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<i64>,
}

/// A part of the document. None of ours has a form that JSON lacks.
fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).unwrap_or_default()
}

/// With its keys in order, inside too.
fn sorted(map: &Map<String, Value>) -> Map<String, Value> {
    let mut pairs: Vec<(String, Value)> = map
        .iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Object(inner) => Value::Object(sorted(inner)),
                other => other.clone(),
            };
            (key.clone(), value)
        })
        .collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shell(text: &str) -> Command {
        Command { exec: false, args: vec![text.into()] }
    }

    #[test]
    fn an_entrypoint_takes_the_bases_command_away_and_leaves_its_own() {
        let mut config = Config::scratch("linux/amd64");
        config.set_command(&shell("a"));
        config.begin();
        config.set_entrypoint(&shell("b"));
        assert!(config.setting("Cmd").is_null());
        config.set_command(&shell("c"));
        config.set_entrypoint(&shell("d"));
        assert_eq!(config.list("Cmd"), ["/bin/sh", "-c", "c"]);
    }

    #[test]
    fn what_a_base_says_beside_passes_through() {
        let bytes = br#"{"os":"linux","architecture":"arm","variant":"v7","moby.x":1,
            "config":{"Future":[1],"OnBuild":["RUN x"]},"rootfs":{"diff_ids":["sha256:a"]},"history":[{"created":"x"}]}"#;
        let mut config = Config::parse(bytes).unwrap();
        assert_eq!(config.begin(), ["RUN x"]);
        config.record("LABEL a=1", None);
        let out: Value = serde_json::from_slice(&config.to_bytes("1980-01-02T00:00:00Z")).unwrap();
        assert_eq!(config.platform(), "linux/arm/v7");
        assert_eq!((&out["moby.x"], &out["config"]["Future"]), (&json!(1), &json!([1])));
        assert_eq!(out["history"][0]["created"], "x");
        assert_eq!(out["history"][1]["created"], "1980-01-02T00:00:00Z");
        assert!(out["config"].get("OnBuild").is_none());
    }

    #[test]
    fn ports_are_numbers_ranges_and_protocols() {
        let mut config = Config::scratch("linux/amd64");
        for port in ["80", "53/UDP", "8000-8001", "127.0.0.1:90:91"] {
            config.expose(port).unwrap();
        }
        let ports: Vec<&String> = config.setting("ExposedPorts").as_object().unwrap().keys().collect();
        assert_eq!(ports, ["80/tcp", "53/udp", "8000/tcp", "8001/tcp", "91/tcp"]);
        for wrong in ["x", "80/icmp", "9-8", "70000", ""] {
            assert!(config.expose(wrong).is_err(), "{wrong}");
        }
    }
}
