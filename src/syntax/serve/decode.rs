//! From RON's syntax tree to settings, all mistakes at once.
//!
//! Knows the shape of the keys, and what one says of another: that a login which is named is there, and no name twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use ron2::ast::{Expr, StructBody};

use super::keys::{CREDENTIAL_KEYS, JENKINS_KEYS, LOG_KEYS, REPOSITORY_KEYS, SERVE_KEYS, TLS_KEYS};
use super::names::{BranchFilter, Label, RepositoryName};
use super::settings::{
    Authors, Credentials, Does, Forge, Forks, JenkinsLogin, LogLimits, Notifier, NotifierKind, Repository,
    Running, Schedule, SecretOrText, Settings, Statuses, Tls,
};
use crate::syntax::container::limits;
use crate::syntax::container::words::period;
use crate::syntax::error::SyntaxError;
use crate::syntax::git_source;
use crate::syntax::imagefile::Word;
use crate::syntax::imagefile::decode::{Reader, read_value, span_of};
use crate::syntax::suggest::did_you_mean;

/// A process does at most so many jobs at once.
const MOST_WORKERS: usize = 256;

/// Reads the file.
///
/// # Errors
/// Every mistake in the text, in the order of their places.
pub fn read(text: &str) -> Result<Settings, Vec<SyntaxError>> {
    let (mut settings, mut used) = (Settings::default(), Used::default());
    let mut errors = read_value(text, None, |reader, value| {
        reader.fields(value, "serve.ron", SERVE_KEYS, |reader, key, value| {
            top(reader, key, value, &mut settings, &mut used);
        });
        // A name whose own entry is wrong is not reported as missing on top of it.
        if reader.errors.is_empty() {
            missing(reader, &used.logins, "login", "credentials", &settings.credentials);
            missing(reader, &used.notifiers, "notifier", "notify", &settings.notify);
        }
    });
    if errors.is_empty() {
        return Ok(settings);
    }
    errors.sort_by_key(|error| error.span);
    Err(errors)
}

/// Names that repositories use of other parts of the file.
#[derive(Default)]
struct Used {
    logins: Vec<Word>,
    notifiers: Vec<Word>,
}

fn missing<V>(reader: &mut Reader, used: &[Word], noun: &str, key: &str, known: &BTreeMap<String, V>) {
    for word in used.iter().filter(|word| !known.contains_key(&word.text)) {
        let hint = did_you_mean(&word.text, known.keys().map(String::as_str))
            .unwrap_or_else(|| format!("declare it in the file's `{key}`"));
        let message = format!("there is no {noun} `{}`", word.text);
        reader.errors.push(SyntaxError::new(word.span, message).hint(hint));
    }
}

fn top(reader: &mut Reader, key: &str, value: &Expr<'_>, settings: &mut Settings, used: &mut Used) {
    match key {
        "listen" => checked(reader, value, listen).into_iter().for_each(|it| settings.listen = it),
        "public_url" => settings.public_url = checked(reader, value, web_address),
        "hosts" => settings.hosts = each(reader, value, |text| Ok(text.to_ascii_lowercase())),
        "state" => settings.state = reader.text(value).map(|word| PathBuf::from(word.text)),
        "queue" => settings.queue = queue(reader, value),
        "workers" => number(reader, value, 0, MOST_WORKERS).into_iter().for_each(|it| settings.workers = it),
        "labels" => settings.labels = each(reader, value, Label::new).into_iter().collect(),
        "lease" => checked(reader, value, lease).into_iter().for_each(|it| settings.lease = it),
        "tries" => number(reader, value, 1, 100).into_iter().for_each(|it| settings.tries = it),
        "logs" => settings.logs = logs(reader, value),
        "tls" => settings.tls = tls(reader, value),
        "readable" => settings.readable = each(reader, value, |text| Ok(PathBuf::from(text))),
        "credentials" => {
            let pairs = reader.map(value, "login", |reader, value| Some(credentials(reader, value)));
            settings.credentials = named(pairs);
        }
        "notify" => settings.notify = named(reader.map(value, "notifier", notifier)),
        _ => repositories(reader, value, settings, used),
    }
}

fn named<V>(pairs: Vec<(Word, V)>) -> BTreeMap<String, V> {
    pairs.into_iter().map(|(name, value)| (name.text, value)).collect()
}

/// A text that `check` makes a value of, or says what is wrong with.
fn checked<V>(
    reader: &mut Reader,
    value: &Expr<'_>,
    check: impl FnOnce(&str) -> Result<V, String>,
) -> Option<V> {
    let word = reader.text(value)?;
    accepted(reader, &word, check(&word.text))
}

fn accepted<V>(reader: &mut Reader, word: &Word, result: Result<V, String>) -> Option<V> {
    result.map_err(|why| reader.wrong(word.span, why)).ok()
}

/// One text or a list of them.
fn each<V>(reader: &mut Reader, value: &Expr<'_>, check: impl Fn(&str) -> Result<V, String>) -> Vec<V> {
    let words = reader.one_or_more(value);
    words.iter().filter_map(|word| accepted(reader, word, check(&word.text))).collect()
}

/// A whole number between two others.
fn number<N: TryFrom<u64> + Copy>(
    reader: &mut Reader,
    value: &Expr<'_>,
    least: usize,
    most: usize,
) -> Option<N> {
    let Expr::Number(number) = value else {
        reader.expected("a number", value);
        return None;
    };
    let read = number.raw.replace('_', "").parse::<usize>().ok().filter(|it| (least..=most).contains(it));
    let read = read.and_then(|it| N::try_from(it as u64).ok());
    if read.is_none() {
        reader.wrong(span_of(value), format!("expected a whole number from {least} to {most}"));
    }
    read
}

/// One of some words.
fn one_of<V: Copy>(reader: &mut Reader, value: &Expr<'_>, known: &[(&str, V)]) -> Option<V> {
    let word = reader.text(value)?;
    let found = known.iter().find(|(name, _)| *name == word.text).map(|(_, value)| *value);
    if found.is_none() {
        let names = || known.iter().map(|(name, _)| *name);
        let hint = did_you_mean(&word.text, names())
            .unwrap_or_else(|| format!("it is one of {}", names().collect::<Vec<_>>().join(", ")));
        reader
            .errors
            .push(SyntaxError::new(word.span, format!("`{}` is not known here", word.text)).hint(hint));
    }
    found
}

fn listen(text: &str) -> Result<String, String> {
    if text == "systemd" || text.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    match text.rsplit_once(':') {
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => Ok(format!("127.0.0.1:{port}")),
        _ => Err(format!(
            "`{text}` is no address to listen at: write \"127.0.0.1:8737\", \"[::]:8737\" or \"systemd\""
        )),
    }
}

fn web_address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_good = !host.is_empty()
        && !host.contains('@')
        && !text.contains(|c: char| c.is_control() || " \"<>?#".contains(c));
    match is_good {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("that is no address of a web server: https://HOST".into()),
    }
}

fn millis(text: &str) -> Result<Duration, String> {
    period(text).map(Duration::from_millis)
}

fn lease(text: &str) -> Result<Duration, String> {
    match millis(text)? {
        lease if lease < Duration::from_secs(1) => {
            Err("a lease of less than a second loses jobs of workers that are well".into())
        }
        lease => Ok(lease),
    }
}

fn size(text: &str) -> Result<u64, String> {
    limits::bytes(text)
        .and_then(|bytes| u64::try_from(bytes).map_err(|_| format!("`{text}` is no size: write \"1GiB\"")))
}

fn queue(reader: &mut Reader, value: &Expr<'_>) -> Option<SecretOrText> {
    let found = secret_or_text(reader, value)?;
    if let SecretOrText::Text(text) = &found
        && !["redis://", "rediss://", "unix://", "redis+unix://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
    {
        reader.wrong(
            span_of(value),
            "the queue is a Redis: redis://HOST:PORT; leave it out for a file on this machine",
        );
    }
    Some(found)
}

fn secret_or_text(reader: &mut Reader, value: &Expr<'_>) -> Option<SecretOrText> {
    match value {
        Expr::String(text) => Some(SecretOrText::Text(text.value.clone())),
        Expr::Struct(_) => reader.secret(value).map(SecretOrText::Secret),
        other => {
            reader.expected("a text, Env(\"VARIABLE\") or File(\"path\")", other);
            None
        }
    }
}

fn logs(reader: &mut Reader, value: &Expr<'_>) -> LogLimits {
    let mut limits = LogLimits::default();
    reader.fields(value, "logs", LOG_KEYS, |reader, key, value| match key {
        "age" => checked(reader, value, millis).into_iter().for_each(|it| limits.age = it),
        "size" => checked(reader, value, size).into_iter().for_each(|it| limits.size = it),
        _ => checked(reader, value, size).into_iter().for_each(|it| limits.one = it),
    });
    limits
}

fn tls(reader: &mut Reader, value: &Expr<'_>) -> Option<Tls> {
    let (mut certificate, mut key, told) = (None, None, reader.errors.len());
    reader.fields(value, "tls", TLS_KEYS, |reader, name, value| match name {
        "certificate" => certificate = reader.text(value),
        _ => key = reader.text(value),
    });
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(Tls { certificate: certificate.text.into(), key: key.text.into() })
        }
        _ => {
            if reader.errors.len() == told {
                reader.wrong(span_of(value), "TLS needs both `certificate` and `key`");
            }
            None
        }
    }
}

fn credentials(reader: &mut Reader, value: &Expr<'_>) -> Credentials {
    let mut login = Credentials::default();
    reader.fields(value, "a login", CREDENTIAL_KEYS, |reader, key, value| match key {
        "git_token" => login.git_token = reader.secret(value),
        "ssh_key" => login.ssh_key = reader.text(value).map(|word| word.text.into()),
        "forge_token" => login.forge_token = reader.secret(value),
        "docker_config" => login.docker_config = reader.text(value).map(|word| word.text.into()),
        "jenkins" => login.jenkins = jenkins(reader, value),
        _ => login.env = variables(reader, value, Reader::secret),
    });
    login
}

fn jenkins(reader: &mut Reader, value: &Expr<'_>) -> Option<JenkinsLogin> {
    let (mut url, mut user, mut token, told) = (None, None, None, reader.errors.len());
    reader.fields(value, "jenkins", JENKINS_KEYS, |reader, key, value| match key {
        "url" => url = checked(reader, value, web_address),
        "user" => user = reader.text(value).map(|word| word.text),
        _ => token = reader.secret(value),
    });
    match (url, user, token) {
        (Some(url), Some(user), Some(token)) => Some(JenkinsLogin { url, user, token }),
        _ => {
            if reader.errors.len() == told {
                reader.wrong(span_of(value), "Jenkins needs `url`, `user` and `token`");
            }
            None
        }
    }
}

/// A map of variables.
fn variables<V>(
    reader: &mut Reader,
    value: &Expr<'_>,
    read: impl Fn(&mut Reader, &Expr<'_>) -> Option<V>,
) -> BTreeMap<String, V> {
    let pairs = reader.map(value, "variable", read);
    for (name, _) in &pairs {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.text.is_empty()
            || !name.text.chars().all(good)
            || name.text.starts_with(|c: char| c.is_ascii_digit())
        {
            reader.wrong(name.span, format!("`{}` cannot name a variable", name.text));
        }
    }
    named(pairs)
}

fn notifier(reader: &mut Reader, value: &Expr<'_>) -> Option<Notifier> {
    if let Expr::Struct(named) = value
        && let Some(StructBody::Tuple(body)) = &named.body
        && let [element] = body.elements.as_slice()
        && let name @ ("Slack" | "Webhook") = named.name.name.as_ref()
    {
        let kind = if name == "Slack" { NotifierKind::Slack } else { NotifierKind::Webhook };
        return secret_or_text(reader, &element.expr).map(|url| Notifier { kind, url });
    }
    reader.expected("Slack(Env(\"VARIABLE\")) or Webhook(\"https://…\")", value);
    None
}

fn repositories(reader: &mut Reader, value: &Expr<'_>, settings: &mut Settings, used: &mut Used) {
    let used = std::cell::RefCell::new(used);
    let pairs =
        reader.map(value, "repository", |reader, value| repository(reader, value, &mut used.borrow_mut()));
    let mut files: BTreeSet<String> = BTreeSet::new();
    for (name, repository) in pairs {
        let Some(checked) = accepted(reader, &name, RepositoryName::new(&name.text)) else { continue };
        if !files.insert(checked.as_str().to_ascii_lowercase()) {
            reader.wrong(name.span, format!("`{checked}` differs from another name by its case alone"));
        }
        settings.repositories.insert(checked, repository);
    }
}

fn repository(reader: &mut Reader, value: &Expr<'_>, used: &mut Used) -> Option<Repository> {
    let mut it = Repository::at("");
    let (mut url, told) = (None, reader.errors.len());
    reader.fields(value, "a repository", REPOSITORY_KEYS, |reader, key, value| match key {
        "url" => url = checked(reader, value, |text| git_source::url(text).map(|_| text.to_owned())),
        "forge" => it.forge = one_of(reader, value, FORGES),
        "forge_api" => it.forge_api = checked(reader, value, web_address),
        "branches" => it.branches = each(reader, value, BranchFilter::new),
        "imagefile" => it.imagefile = checked(reader, value, inside),
        "credentials" => {
            let word = reader.text(value);
            used.logins.extend(word.clone());
            it.credentials = word.map(|word| word.text);
        }
        "poll" => {
            let read = |text: &str| if text == "never" { Ok(None) } else { millis(text).map(Some) };
            checked(reader, value, read).into_iter().for_each(|poll| it.poll = poll);
        }
        "schedule" => it.schedule = each(reader, value, schedule),
        "labels" => it.labels = each(reader, value, Label::new).into_iter().collect(),
        "do" => one_of(reader, value, DOES).into_iter().for_each(|does| it.does = does),
        "env" => it.env = variables(reader, value, |reader, value| reader.text(value).map(|word| word.text)),
        "running" => one_of(reader, value, RUNNING).into_iter().for_each(|found| it.running = found),
        "forks" => one_of(reader, value, FORKS).into_iter().for_each(|found| it.forks = found),
        "authors" => one_of(reader, value, AUTHORS).into_iter().for_each(|found| it.authors = found),
        "time_limit" => checked(reader, value, millis).into_iter().for_each(|found| it.time_limit = found),
        "notify" => {
            let words = reader.one_or_more(value);
            it.notify = words.iter().map(|word| word.text.clone()).collect();
            used.notifiers.extend(words);
        }
        "statuses" => one_of(reader, value, STATUSES).into_iter().for_each(|found| it.statuses = found),
        _ => reader.flag(value).into_iter().for_each(|found| it.sha1 = found),
    });
    match url {
        Some(url) => Some(Repository { url, ..it }),
        None => {
            if reader.errors.len() == told {
                reader.wrong(span_of(value), "a repository needs `url`, the address that git fetches from");
            }
            None
        }
    }
}

const FORGES: &[(&str, Forge)] = &[
    ("github", Forge::GitHub),
    ("gitlab", Forge::GitLab),
    ("gitea", Forge::Gitea),
    ("forgejo", Forge::Gitea),
    ("bitbucket", Forge::Bitbucket),
];
const DOES: &[(&str, Does)] =
    &[("check", Does::Check), ("build", Does::Build), ("test", Does::Test), ("publish", Does::Publish)];
const RUNNING: &[(&str, Running)] = &[("finish", Running::Finish), ("cancel", Running::Cancel)];
const FORKS: &[(&str, Forks)] = &[("never", Forks::Never), ("check", Forks::Check)];
const AUTHORS: &[(&str, Authors)] = &[("strangers", Authors::Strangers), ("trusted", Authors::Trusted)];
const STATUSES: &[(&str, Statuses)] =
    &[("never", Statuses::Never), ("one", Statuses::One), ("images", Statuses::Images)];

/// A path that stays below the repository's root.
fn inside(text: &str) -> Result<String, String> {
    let path = std::path::Path::new(text);
    let is_plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    match !text.is_empty() && !text.starts_with('-') && path.components().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no path below the repository's root")),
    }
}

/// `CRON [ZONE]`: the last word is a zone when it is none of a cron expression.
fn schedule(text: &str) -> Result<Schedule, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_zone = |word: &str| {
        word.contains('/')
            && !word.contains(['*', ','])
            && word.starts_with(|c: char| c.is_ascii_alphabetic())
            || word == "UTC"
    };
    let (cron, zone) = match words.split_last() {
        Some((last, rest)) if is_zone(last) => (rest.join(" "), *last),
        _ => (words.join(" "), "UTC"),
    };
    let parsed: Result<croner::Cron, _> = cron.parse();
    parsed
        .map_err(|why| format!("`{cron}` is no cron expression: {why}; write \"0 3 * * * Europe/Berlin\""))?;
    jiff::tz::TimeZone::get(zone)
        .map_err(|_| format!("there is no time zone `{zone}`; write \"Europe/Berlin\" or \"UTC\""))?;
    Ok(Schedule { cron, zone: zone.to_owned() })
}
