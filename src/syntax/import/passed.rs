//! Settings that are handed on to the builder: outputs, ssh, annotations, hosts and limits of a source.
//!
//! Takes texts as docker's flags have them; how a format holds them is for its own file.

use super::draft::{Draft, Drafts, literal};
use super::place;
use crate::model::output::Output;
use crate::syntax::container::{limits, words};
use crate::syntax::error::Span;
use crate::syntax::imagefile::{Asked, output, ssh};

/// Takes over outputs, written texts whose paths are relative to `folder`; what every build does anyway is left out.
pub(super) fn outputs(draft: &mut Draft, texts: &[String], folder: &str, span: Span, drafts: &mut Drafts) {
    for text in texts.iter().filter(|text| !text.is_empty()) {
        match output(&drafts.plain(text)) {
            Ok(Asked::Image) => {}
            Ok(Asked::Nothing) => draft.passed.output.push("type=cacheonly".to_owned()),
            Ok(Asked::File(Output { dest, .. })) => match place::path(folder, &dest) {
                Ok(path) if path == dest => draft.passed.output.push(text.clone()),
                Ok(path) => {
                    let text = drafts.plain(text).replace(&format!("dest={dest}"), &format!("dest={path}"));
                    draft.passed.output.push(literal(&text));
                }
                Err(_) => {
                    drafts.lost(
                        span,
                        format!(
                            "output: `{dest}` is not below the Imagefile's folder; --output writes there"
                        ),
                    );
                }
            },
            Err((message, hint)) => drafts.lost(span, format!("output: {message}: {hint}")),
        }
    }
}

/// Takes over `default`, or `ID=PATH`.
pub(super) fn agent(draft: &mut Draft, text: &str, span: Span, drafts: &mut Drafts) {
    // The socket of the caller's own agent is what `default` means without one.
    let text =
        text.strip_suffix("=$SSH_AUTH_SOCK").or(text.strip_suffix("=${SSH_AUTH_SOCK}")).unwrap_or(text);
    match ssh(&drafts.plain(text)) {
        Ok(_) => draft.passed.ssh.push(text.to_owned()),
        Err((message, _)) => drafts.lost(span, format!("ssh: {message}")),
    }
}

/// Takes over `KEY=VALUE`, with or without docker's `manifest:` and `index:`.
pub(super) fn annotation(draft: &mut Draft, text: &str, span: Span, drafts: &mut Drafts) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let (scopes, key) = match key.split_once(':') {
        Some((scopes, key)) if !scopes.contains(['.', '/']) => (scopes, key),
        _ => ("manifest", key),
    };
    // Several may be named, with a comma between.
    for scope in scopes.split(',') {
        let key = match scope {
            "manifest" => drafts.plain(key),
            "index" => format!("index:{}", drafts.plain(key)),
            _ => {
                drafts
                    .lost(span, format!("annotations: `{text}` is of neither a manifest nor an index alone"));
                continue;
            }
        };
        draft.passed.annotations.insert(key, value.to_owned());
    }
}

/// Takes over a host and its address.
pub(super) fn host(draft: &mut Draft, (name, address): (&str, &str), span: Span, drafts: &mut Drafts) {
    match words::host(&format!("{}={}", drafts.plain(name), drafts.plain(address))) {
        Ok(_) => drop(draft.passed.extra_hosts.insert(drafts.plain(name), address.to_owned())),
        Err(why) => drafts.lost(span, format!("extra_hosts: {why}")),
    }
}

/// Takes over the size of `/dev/shm`.
pub(super) fn shm_size(draft: &mut Draft, text: &str, span: Span, drafts: &mut Drafts) {
    match limits::bytes(&drafts.plain(text)) {
        Ok(_) => draft.passed.shm_size = Some(text.to_owned()),
        Err(why) => drafts.lost(span, format!("shm_size: {why}")),
    }
}

/// Takes over `NAME=SOFT:HARD`.
pub(super) fn ulimit(draft: &mut Draft, text: &str, span: Span, drafts: &mut Drafts) {
    match limits::ulimit(&drafts.plain(text)) {
        Ok(_) => draft.passed.ulimits.push(text.to_owned()),
        Err(why) => drafts.lost(span, format!("ulimits: {why}")),
    }
}
