//! The tests of a file of container-structure-test, done with the means of the steps.
//!
//! All of them are done, and those that fail are told together. What a command's setup leaves is an image of its own
//! for the next command, as that tool has it; these go with the stage.

use std::collections::BTreeMap;

use super::captured::{captured, captured_at_terminal};
use super::checks;
use super::host::Host;
use super::probe::refused;
use super::stage::{MOST, Stage};
use crate::containers::api::{ContainerSpec, FileFacts, ImageFacts, Output};
use crate::engine::EngineError;
use crate::syntax::container::structure::{
    Check, CommandTest, Existence, Metadata, RunOptions, Structure, expand, read,
};
use crate::syntax::container::suite::Image;
use crate::syntax::container::words::env_file;

/// Does all tests of a file; with what is other than expected, if anything is.
pub(super) fn perform(
    stage: &mut Stage<'_>,
    host: &dyn Host,
    file: &str,
) -> Result<Option<String>, EngineError> {
    let bytes = host.read(file).map_err(|why| refused(&format!("reading `{file}`"), &why))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let structure = match read(&text) {
        Ok(structure) => structure,
        Err(errors) => {
            let told = errors.iter().map(|error| {
                let (line, column) = error.span.line_and_column(&text);
                format!("{file}:{line}:{column}: {}\n", error.message)
            });
            return Ok(Some(told.collect()));
        }
    };
    let image = stage.containers.image(&stage.subject.id)?.unwrap_or_default();
    let mut known = image.variables();
    let given = given(stage, host, &structure.options)?;
    let global = filled(&structure.env, &known);
    known.extend(global.iter().map(|(name, value)| (name.clone(), value.clone())));
    let around = Around { image, known, given: global.into_iter().chain(given).collect() };
    let mut wrong = Vec::new();
    for test in &structure.tests {
        let found = match one(stage, &structure, &around, &test.check) {
            Err(EngineError::Interrupted) => return Err(EngineError::Interrupted),
            Err(error) => Some(error.to_string()),
            Ok(found) => found,
        };
        if let Some(found) = found {
            // A pattern is shown without what makes it Go's.
            let found = found.trim_end().replace("`(?-m)", "`");
            wrong.push(format!("{} ({file}:{}): {found}", test.name, test.line));
        }
        if stage.limit.is_over() {
            wrong.push("it took longer than the test may".to_owned());
            break;
        }
    }
    if wrong.is_empty() {
        return Ok(None);
    }
    let head = format!("{} of its {} tests failed", wrong.len(), structure.tests.len());
    Ok(Some([head, wrong.join("\n")].join("\n")))
}

/// The image, its variables with those of all tests, and the variables that every container is given.
struct Around {
    image: ImageFacts,
    known: BTreeMap<String, String>,
    given: BTreeMap<String, String>,
}

/// Variables of the caller and of a file, as the file's options want them.
fn given(
    stage: &Stage<'_>,
    host: &dyn Host,
    options: &RunOptions,
) -> Result<BTreeMap<String, String>, EngineError> {
    let mut given = BTreeMap::new();
    if let Some(path) = &options.env_file {
        let what = format!("reading `{path}` of `envFile`");
        if !stage.test.files.contains(path) {
            let why = format!(
                "a change of it would go unnoticed; the test's `files: [\"{path}\"]` makes it count, from the Imagefile's folder"
            );
            return Err(refused(&what, &why));
        }
        let bytes = host.read(path).map_err(|why| refused(&what, &why))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines =
            env_file(&text).map_err(|line| refused(&what, &format!("line {line} sets no variable")))?;
        given.extend(lines.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    if !options.env.is_empty() && stage.test.max_age.is_none() {
        let why =
            "no receipt can stand for the caller's variables: give the test a `max_age`, or its own `env`";
        return Err(refused("taking the variables of `envVars`", why));
    }
    given.extend(options.env.iter().filter_map(|name| Some((name.clone(), host.variable(name)?))));
    Ok(given)
}

fn filled(pairs: &[(String, String)], known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |name: &str| known.get(name).cloned();
    pairs.iter().map(|(name, text)| (name.clone(), expand(text, &value))).collect()
}

fn one(
    stage: &mut Stage<'_>,
    structure: &Structure,
    around: &Around,
    check: &Check,
) -> Result<Option<String>, EngineError> {
    match check {
        Check::Command(test) => command(stage, &structure.options, around, test),
        Check::Existence(wanted) => {
            let path = expand(&wanted.path, &|name| around.known.get(name).cloned());
            let container = stage.still()?;
            Ok(existence(wanted, &path, stage.containers.file_facts(&container, &path)?.as_ref()))
        }
        Check::Content { path, has, lacks } => {
            let container = stage.still()?;
            let Some(content) = stage.containers.file(&container, path, MOST)? else {
                return Ok(Some(format!("`{path}` is not there, or is no file")));
            };
            Ok(checks::content_of(path, &content, has, lacks))
        }
        Check::Metadata(wanted) => Ok(metadata(wanted, &around.image)),
    }
}

fn command(
    stage: &mut Stage<'_>,
    options: &RunOptions,
    around: &Around,
    test: &CommandTest,
) -> Result<Option<String>, EngineError> {
    let mut known = around.known.clone();
    let own = filled(&test.env, &known);
    known.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    let env: BTreeMap<String, String> = around.given.clone().into_iter().chain(own).collect();
    let mut image = stage.subject.id.clone();
    let mut before = String::new();
    for words in &test.setup {
        let container = stage.make(&spec(stage, options, &env, &image, words))?;
        let output = captured(stage.containers, &container, None, &stage.limit)?;
        if output.status != 0 {
            before += &format!("its setup `{}` ended with status {}\n", words.join(" "), output.status);
        }
        image = stage.commit(&container)?;
    }
    let words: Vec<String> =
        test.command.iter().map(|word| expand(word, &|name| known.get(name).cloned())).collect();
    let spec = ContainerSpec { tty: options.tty, ..spec(stage, options, &env, &image, &words) };
    let container = stage.make(&spec)?;
    let output = match options.tty {
        true => captured_at_terminal(stage.containers, &container, &stage.limit)?,
        false => captured(stage.containers, &container, None, &stage.limit)?,
    };
    Ok(came_out(test, &output).map(|wrong| before + &wrong))
}

fn spec(
    stage: &Stage<'_>,
    options: &RunOptions,
    env: &BTreeMap<String, String>,
    image: &str,
    words: &[String],
) -> ContainerSpec {
    let mut spec = ContainerSpec {
        image: image.to_owned(),
        entrypoint: Some(Vec::new()),
        command: Some(words.to_vec()),
        user: options.user.clone(),
        keeps_no_log: true,
        ..stage.own_spec(env)
    };
    spec.limits.capabilities.clone_from(&options.capabilities);
    spec
}

/// How a command came out other than it must.
fn came_out(test: &CommandTest, output: &Output) -> Option<String> {
    let wanted = crate::syntax::container::suite::Command {
        status: test.status,
        out: test.out.clone(),
        err: test.err.clone(),
        ..Default::default()
    };
    checks::command(&wanted, output)
        .or_else(|| checks::bears("its output", &output.out, &test.never_out))
        .or_else(|| checks::bears("its standard error", &output.err, &test.never_err))
        .or_else(|| checks::unsure(output, &test.never_out))
        .or_else(|| checks::unsure(output, &test.never_err))
}

fn existence(wanted: &Existence, path: &str, facts: Option<&FileFacts>) -> Option<String> {
    let Some(facts) = facts else {
        return wanted.exists.then(|| format!("`{path}` is not there"));
    };
    if !wanted.exists {
        return Some(format!("`{path}` is there, as a {}", facts.kind));
    }
    let found = permissions(facts);
    if let Some(wanted) = wanted.permissions.as_ref().filter(|wanted| **wanted != found) {
        return Some(format!("`{path}` has the permissions `{found}`, and `{wanted}` is expected"));
    }
    if let Some((bits, who)) = &wanted.executable_by
        && facts.mode & bits == 0
    {
        return Some(format!("`{path}` with the permissions `{found}` is not executable by {who}"));
    }
    let differs = |wanted: Option<u64>, found: u64| wanted.is_some_and(|wanted| wanted != found);
    if differs(wanted.uid, facts.uid) || differs(wanted.gid, facts.gid) {
        let number =
            |number: Option<u64>| number.map_or_else(|| "any".to_owned(), |number| number.to_string());
        return Some(format!(
            "`{path}` belongs to {}:{}, and {}:{} is expected",
            facts.uid,
            facts.gid,
            number(wanted.uid),
            number(wanted.gid)
        ));
    }
    None
}

/// Kind and permissions as Go writes them: `-rw-r--r--`, `dtrwxrwxrwx`, `urwxr-xr-x`, `Lrwxrwxrwx`.
fn permissions(facts: &FileFacts) -> String {
    let mut text = String::new();
    match facts.kind {
        "folder" => text.push('d'),
        "link" => text.push('L'),
        "file" => {}
        _ => text.push('?'),
    }
    // In the order in which Go has them.
    for (bit, letter) in [(0o4000, 'u'), (0o2000, 'g'), (0o1000, 't')] {
        if facts.mode & bit != 0 {
            text.push(letter);
        }
    }
    if text.is_empty() {
        text.push('-');
    }
    for (at, letter) in "rwxrwxrwx".chars().enumerate() {
        text.push(if facts.mode & (0o400 >> at) != 0 { letter } else { '-' });
    }
    text
}

fn metadata(wanted: &Metadata, facts: &ImageFacts) -> Option<String> {
    let pairs = |pairs: &[(String, String)]| pairs.iter().cloned().collect();
    let image = Image {
        env: pairs(&wanted.env),
        labels: pairs(&wanted.labels),
        user: wanted.user.clone().filter(|text| !text.is_empty()),
        workdir: wanted.workdir.clone().filter(|text| !text.is_empty()),
        entrypoint: wanted.entrypoint.clone(),
        cmd: wanted.cmd.clone(),
        ports: wanted.ports.clone(),
        closed_ports: wanted.closed_ports.clone(),
        volumes: wanted.volumes.clone(),
        ..Image::default()
    };
    let known = facts.variables();
    let volumes = facts.keys("Volumes");
    let bound = wanted.unbound.iter().find(|name| known.contains_key(*name));
    let declared = wanted.no_volumes.iter().find(|path| volumes.contains(path));
    checks::image(&image, facts)
        .or_else(|| bound.map(|name| format!("it has the variable `{name}`")))
        .or_else(|| declared.map(|path| format!("it declares the volume `{path}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_as_go_writes_them() {
        let facts = |kind, mode| FileFacts { kind, mode, uid: 0, gid: 0, target: None };
        let check = |kind, mode, wanted: &str| assert_eq!(permissions(&facts(kind, mode)), wanted);
        check("file", 0o644, "-rw-r--r--");
        check("folder", 0o1777, "dtrwxrwxrwx");
        check("folder", 0o755, "drwxr-xr-x");
        check("file", 0o4755, "urwxr-xr-x");
        check("file", 0o6711, "ugrwx--x--x");
        check("link", 0o777, "Lrwxrwxrwx");
    }

    #[test]
    fn a_path_is_as_expected_or_the_difference_is_named() {
        let facts = FileFacts { kind: "file", mode: 0o750, uid: 1, gid: 2, target: None };
        let there = Existence { path: "/a".into(), exists: true, ..Existence::default() };
        let check = |wanted: &Existence| existence(wanted, "/a", Some(&facts));
        assert_eq!(check(&there), None);
        let right = Existence {
            permissions: Some("-rwxr-x---".into()),
            uid: Some(1),
            gid: Some(2),
            executable_by: Some((0o010, "group".into())),
            ..there.clone()
        };
        assert_eq!(check(&right), None);
        let wrong = [
            Existence { exists: false, ..there.clone() },
            Existence { permissions: Some("-rwxr-x--x".into()), ..there.clone() },
            Existence { uid: Some(2), ..there.clone() },
            Existence { gid: Some(1), ..there.clone() },
            Existence { executable_by: Some((0o001, "other".into())), ..there.clone() },
        ];
        for wanted in &wrong {
            assert!(check(wanted).is_some(), "{wanted:?}");
        }
        assert!(existence(&there, "/a", None).is_some());
        assert_eq!(existence(&wrong[0], "/a", None), None);
    }
}
