//! Arguments before the first `FROM`, and those that are always there.
//!
//! Follows `defaultArgs` and `buildMetaArgs`.

use std::collections::{BTreeMap, BTreeSet};

use super::platform::{self, Platform};
use super::{Request, Target};
use crate::syntax::dockerfile::{Body, Dockerfile};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::expand::Lexer;
use crate::syntax::text::quoted;

/// The arguments before the first `FROM`, which `FROM` can use and an `ARG` without a value takes over.
pub struct Globals {
    pub values: BTreeMap<String, String>,
    /// Arguments that the file declares before the first `FROM`, with the place.
    pub declared: BTreeMap<String, Span>,
    pub platform: Platform,
    pub lexer: Lexer,
}

/// Arguments that carry a proxy never count and need no declaration (`proxyEnvFromBuildArgs`).
pub fn is_proxy(name: &str) -> bool {
    let known = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];
    known.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

/// Arguments that steer BuildKit itself: they count when given, and need no declaration.
pub fn steers_the_engine(name: &str) -> bool {
    name == "SOURCE_DATE_EPOCH" || name.starts_with("BUILDKIT_")
}

const AUTOMATIC: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// Is this one of the arguments that are always there?
pub fn is_automatic(name: &str) -> bool {
    AUTOMATIC.contains(&name)
}

impl Globals {
    pub fn of(
        file: &Dockerfile,
        request: &Request,
        target: &Target,
        errors: &mut Vec<SyntaxError>,
    ) -> Option<Self> {
        let read = |text: &str, what: &str, errors: &mut Vec<SyntaxError>| {
            let found = platform::parse(text);
            if found.is_none() {
                let message = format!("the {what} {} is none that Docker knows", quoted(text));
                errors.push(SyntaxError::new(Span::default(), message).hint("as in `linux/arm64`"));
            }
            found
        };
        let build = read(&request.build_platform, "build platform", errors)?;
        let platform = read(&request.platform, "platform", errors)?;
        let stage = match (&request.target, &target.name) {
            (Some(asked), _) => asked.clone(),
            (None, Some(name)) => name.clone(),
            (None, None) => "default".to_owned(),
        };
        let automatic = [
            build.to_string(),
            build.os,
            build.os_version,
            build.architecture,
            build.variant,
            platform.to_string(),
            platform.os.clone(),
            platform.os_version.clone(),
            platform.architecture.clone(),
            platform.variant.clone(),
            stage,
        ];
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in AUTOMATIC.into_iter().zip(automatic) {
            values.insert(name.to_owned(), request.args.get(name).cloned().unwrap_or(value));
        }
        let mut globals =
            Self { values, declared: BTreeMap::new(), platform, lexer: Lexer::new(file.escape) };
        for instruction in &file.globals {
            let Body::Arg(arguments) = &instruction.body else { continue };
            for argument in arguments {
                globals.declared.insert(argument.name.clone(), argument.span);
                let value = match (request.args.get(&argument.name), &argument.value) {
                    (Some(given), _) => given.clone(),
                    (None, None) => continue,
                    (None, Some(default)) => match globals.lexer.expand(default, &globals.values) {
                        Ok(expanded) => expanded.text,
                        Err(error) => {
                            errors.push(cannot_expand(argument.span, &argument.name, &error));
                            continue;
                        }
                    },
                };
                globals.values.insert(argument.name.clone(), value);
            }
        }
        Some(globals)
    }
}

/// A word whose variables cannot be replaced.
pub fn cannot_expand(span: Span, word: &str, error: &str) -> SyntaxError {
    SyntaxError::new(span, format!("cannot expand {}: {error}", quoted(word)))
}

/// Given arguments that nothing in the file declares.
pub fn undeclared(file: &Dockerfile, request: &Request, more: &BTreeSet<String>) -> Vec<String> {
    let mut declared: BTreeSet<&str> = more.iter().map(String::as_str).collect();
    for instruction in file.globals.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions)) {
        if let Body::Arg(arguments) = &instruction.body {
            declared.extend(arguments.iter().map(|argument| argument.name.as_str()));
        }
    }
    let known = |name: &str| {
        declared.contains(name) || is_proxy(name) || is_automatic(name) || steers_the_engine(name)
    };
    request.args.keys().filter(|name| !known(name)).cloned().collect()
}
