//! `tests`: what is expected of an image, read into `syntax/container/suite`.
//!
//! Variables are filled in, patterns and periods are tried. Whether images and files are there is for the floors above.

use std::collections::BTreeMap;

use ron2::ast::{Expr, StructBody};

use super::decode::{Reader, span_of};
use super::raw::{Pairs, RawCheck, RawService, RawTest};
use super::scope::Scope;
use super::{SERVICE_KEYS, STEPS, TEST_KEYS, Word};
use crate::syntax::container::suite::{Command, File, Image, Service, Step, Test, pattern};
use crate::syntax::container::{limits, words};
use crate::syntax::error::SyntaxError;
use crate::syntax::suggest::did_you_mean;

impl Reader {
    pub(super) fn test(&mut self, value: &Expr<'_>) -> RawTest {
        let mut test = RawTest { span: span_of(value), ..RawTest::default() };
        self.fields(value, "a test", TEST_KEYS, |reader, key, value| match key {
            "steps" => test.steps = reader.steps(value),
            "env" => test.env = reader.map(value, "variable", Self::text),
            "volumes" => test.volumes = reader.map(value, "volume", Self::text),
            "ports" => test.ports = reader.ports(value),
            "services" => test.services = reader.map(value, "service", |r, v| Some(r.service(v))),
            "files" => test.files = reader.one_or_more(value),
            "timeout" => test.timeout = reader.text(value),
            "tries" => test.tries = reader.count(value, "tries"),
            "max_age" => test.max_age = reader.text(value),
            _ => test.probe = reader.text(value),
        });
        test
    }

    fn service(&mut self, value: &Expr<'_>) -> RawService {
        let mut service = RawService { span: span_of(value), ..RawService::default() };
        self.fields(value, "a service", SERVICE_KEYS, |reader, key, value| match key {
            "image" => service.image = reader.text(value),
            "env" => service.env = reader.map(value, "variable", Self::text),
            "command" => service.command = Some(reader.list(value)),
            _ => service.ready = reader.ports(value).first().copied(),
        });
        service
    }

    /// One port, or a list of them.
    fn ports(&mut self, value: &Expr<'_>) -> Vec<u16> {
        if let Expr::Seq(list) = value {
            return list.items.iter().flat_map(|item| self.ports(&item.expr)).collect();
        }
        match value {
            Expr::Number(number) => match number.raw.parse().ok().filter(|port: &u16| *port > 0) {
                Some(port) => return vec![port],
                None => self.wrong(span_of(value), format!("`{}` is not a port", number.raw)),
            },
            other => self.expected("a port, such as 8080", other),
        }
        Vec::new()
    }

    fn steps(&mut self, value: &Expr<'_>) -> Vec<RawCheck> {
        let Expr::Seq(list) = value else {
            self.expected("a list of steps: [Run(command: [\"…\"]), …]", value);
            return Vec::new();
        };
        list.items.iter().filter_map(|item| self.step(&item.expr)).collect()
    }

    fn step(&mut self, value: &Expr<'_>) -> Option<RawCheck> {
        let Expr::Struct(named) = value else {
            self.expected("a step, such as Run(command: [\"…\"])", value);
            return None;
        };
        let name = named.name.name.as_ref();
        let Some((kind, keys)) = STEPS.iter().find(|(kind, _)| *kind == name) else {
            let error = SyntaxError::new(span_of(value), format!("there is no step `{name}`"));
            let all = || STEPS.iter().map(|(kind, _)| *kind);
            let hint = did_you_mean(name, all())
                .unwrap_or_else(|| format!("there are {}", all().collect::<Vec<_>>().join(", ")));
            self.errors.push(error.hint(hint));
            return None;
        };
        let mut check = RawCheck { kind, span: span_of(value), ..RawCheck::default() };
        if matches!(named.body, Some(StructBody::Fields(_))) {
            self.fields(value, kind, keys, |reader, key, value| reader.key(&mut check, key, value));
        }
        Some(check)
    }

    /// A key means the same in every step that has it.
    fn key(&mut self, check: &mut RawCheck, key: &str, value: &Expr<'_>) {
        match key {
            "command" | "cmd" => check.command = Some(self.list(value)),
            "entrypoint" => check.entrypoint = Some(self.list(value)),
            "args" => check.args = self.one_or_more(value),
            "env" => check.env = self.map(value, "variable", Self::text),
            "labels" => check.labels = self.map(value, "label", Self::text),
            "user" | "owner" => check.user = self.text(value),
            "workdir" => check.workdir = self.text(value),
            "status" => check.status = self.status(value),
            "stdout" | "body" | "content" => check.out = self.one_or_more(value),
            "stderr" => check.err = self.one_or_more(value),
            "never" => check.never = self.one_or_more(value),
            "port" | "ready" | "ports" => check.ports = self.ports(value),
            "closed_ports" => check.closed_ports = self.ports(value),
            "path" | "file" => check.path = self.text(value),
            "open" | "exists" => check.yes = self.flag(value),
            "mode" => check.mode = self.text(value),
            "volumes" => check.volumes = self.one_or_more(value),
            "size_below" => check.size_below = self.text(value),
            "no_shell" => check.no_shell = self.flag(value).unwrap_or_default(),
            _ => check.inside = self.text(value),
        }
    }

    fn status(&mut self, value: &Expr<'_>) -> Option<i64> {
        match value {
            Expr::Number(number) => match number.raw.parse().ok() {
                Some(status) => return Some(status),
                None => self.wrong(span_of(value), format!("`{}` is not a status", number.raw)),
            },
            other => self.expected("a number", other),
        }
        None
    }
}

impl Scope<'_> {
    pub(super) fn test(&mut self, raw: &RawTest) -> Test {
        let services = raw.services.iter().filter_map(|(name, service)| {
            if name.text == "image" {
                let error = SyntaxError::new(name.span, "a service cannot be called `image`");
                self.errors
                    .push(error.hint("that is the name of the image under test on the test's network"));
            }
            let Some(image) = &service.image else {
                let error =
                    SyntaxError::new(service.span, format!("which image is the service `{}`?", name.text));
                self.errors.push(error.hint("give it `image`"));
                return None;
            };
            let service = Service {
                image: self.fill(image).text,
                env: self.pairs(&service.env),
                command: self.list(&service.command),
                ready: service.ready,
            };
            Some((name.text.clone(), service))
        });
        let services = services.collect();
        if raw.steps.is_empty() {
            self.errors.push(SyntaxError::new(raw.span, "a test without steps").hint("give it `steps: […]`"));
        }
        let steps = raw.steps.iter().filter_map(|check| self.step(check)).collect();
        Test {
            env: self.pairs(&raw.env),
            volumes: self.pairs(&raw.volumes),
            ports: raw.ports.clone(),
            services,
            steps,
            files: raw.files.iter().filter_map(|word| self.file(word)).collect(),
            timeout: self.one(&raw.timeout, words::period),
            tries: raw.tries.and_then(|tries| u32::try_from(tries).ok()),
            max_age: self.one(&raw.max_age, words::period).map(|millis| millis / 1000),
            probe: raw.probe.as_ref().map(|word| self.fill(word).text),
        }
    }

    fn file(&mut self, word: &Word) -> Option<String> {
        let word = self.fill(word);
        self.path(word).map(|word| word.text)
    }

    fn list(&mut self, list: &Option<Vec<Word>>) -> Option<Vec<String>> {
        list.as_ref().map(|list| list.iter().map(|word| self.fill(word).text).collect())
    }

    fn patterns(&mut self, list: &[Word]) -> Vec<String> {
        // A pattern is full of braces, and has no variables.
        for word in list {
            if let Err(why) = pattern(&word.text) {
                self.errors.push(SyntaxError::new(word.span, format!("`{}` is {why}", word.text)));
            }
        }
        list.iter().map(|word| word.text.clone()).collect()
    }

    fn values(&mut self, pairs: &Pairs<Word>) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| (name.text.clone(), self.patterns(std::slice::from_ref(value)).remove(0)))
            .collect()
    }

    fn step(&mut self, raw: &RawCheck) -> Option<Step> {
        let lacks = |scope: &mut Self, key: &str| {
            scope.errors.push(SyntaxError::new(raw.span, format!("{} needs `{key}`", raw.kind)));
        };
        let port = raw.ports.first().copied();
        let step = match raw.kind {
            "Start" => {
                Step::Start { env: self.pairs(&raw.env), command: self.list(&raw.command), ready: port }
            }
            "Stop" => Step::Stop,
            "Run" | "Exec" => {
                let command = self.command(raw);
                if raw.kind == "Exec" && command.command.is_empty() {
                    lacks(self, "command");
                }
                if raw.kind == "Run" { Step::Run(command) } else { Step::Exec(command) }
            }
            "Port" | "Http" => {
                let Some(port) = port else {
                    lacks(self, "port");
                    return None;
                };
                let path = raw.path.as_ref().map_or_else(|| "/".to_owned(), |path| self.fill(path).text);
                let status = raw.status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
                match raw.kind {
                    "Port" => Step::Port { port, open: raw.yes.unwrap_or(true) },
                    _ => Step::Http { port, path, status, body: self.patterns(&raw.out) },
                }
            }
            "File" => {
                let Some(path) = &raw.path else {
                    lacks(self, "path");
                    return None;
                };
                Step::File(File {
                    path: self.fill(path).text,
                    exists: raw.yes.unwrap_or(true),
                    owner: raw.user.as_ref().map(|word| self.fill(word).text),
                    mode: self.one(&raw.mode, mode),
                    content: self.patterns(&raw.out),
                    never: self.patterns(&raw.never),
                })
            }
            "Structure" => match raw.path.as_ref().and_then(|word| self.file(word)) {
                Some(file) => Step::Structure { file },
                None => {
                    lacks(self, "file");
                    return None;
                }
            },
            "Script" => {
                let Some(file) = raw.path.as_ref().and_then(|word| self.file(word)) else {
                    lacks(self, "file");
                    return None;
                };
                Step::Script {
                    file,
                    args: raw.args.iter().map(|word| self.fill(word).text).collect(),
                    inside: raw.inside.as_ref().map(|word| self.fill(word).text),
                    status: raw.status.unwrap_or_default(),
                    out: self.patterns(&raw.out),
                }
            }
            _ => Step::Image(self.image_check(raw)),
        };
        Some(step)
    }

    fn command(&mut self, raw: &RawCheck) -> Command {
        Command {
            command: self.list(&raw.command).unwrap_or_default(),
            entrypoint: self.list(&raw.entrypoint),
            env: self.pairs(&raw.env),
            user: raw.user.as_ref().map(|word| self.fill(word).text),
            status: raw.status.unwrap_or_default(),
            out: self.patterns(&raw.out),
            err: self.patterns(&raw.err),
            never: self.patterns(&raw.never),
        }
    }

    fn image_check(&mut self, raw: &RawCheck) -> Image {
        Image {
            env: self.values(&raw.env),
            user: raw.user.as_ref().map(|word| self.fill(word).text),
            workdir: raw.workdir.as_ref().map(|word| self.fill(word).text),
            entrypoint: self.list(&raw.entrypoint),
            cmd: self.list(&raw.command),
            labels: self.values(&raw.labels),
            ports: raw.ports.clone(),
            closed_ports: raw.closed_ports.clone(),
            volumes: raw.volumes.iter().map(|word| self.fill(word).text).collect(),
            size_below: self.one(&raw.size_below, limits::bytes).and_then(|size| u64::try_from(size).ok()),
            no_shell: raw.no_shell,
        }
    }
}

/// `0644`, as chmod reads it.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777 && !text.is_empty());
    mode.ok_or_else(|| format!("`{text}` is no mode: write it as \"0644\""))
}
