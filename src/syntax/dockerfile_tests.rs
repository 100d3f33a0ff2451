//! Dockerfiles in, instructions or mistakes out.

use super::*;

/// A short form of what was read: one line for each instruction, words with their texts.
fn summary(text: &str) -> String {
    let file = match parse(text) {
        Ok(file) => file,
        Err(errors) => return shown(text, &errors),
    };
    let mut lines: Vec<String> = file.globals.iter().map(body).collect();
    for stage in &file.stages {
        let mut line = format!("FROM {}", stage.base.text);
        line.extend(stage.platform.iter().map(|platform| format!(" platform={}", platform.text)));
        line.extend(stage.name.iter().map(|name| format!(" as {}", name.text)));
        lines.push(line);
        lines.extend(stage.instructions.iter().map(body));
    }
    lines.join("\n")
}

fn shown(text: &str, errors: &[SyntaxError]) -> String {
    let line = |error: &SyntaxError| {
        let (line, column) = error.span.line_and_column(text);
        let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!("{line}:{column} {}{hint}", error.message)
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn texts(words: &[Word]) -> String {
    words.iter().map(|word| format!("[{}]", word.text)).collect()
}

fn command(command: &Command) -> String {
    format!("{}{:?}", if command.exec { "exec" } else { "shell" }, command.args)
}

fn heredocs(all: &[Heredoc]) -> String {
    let one = |heredoc: &Heredoc| {
        let marks = [(heredoc.chomp, "-"), (!heredoc.expand, "'")];
        let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
        format!(" <<{marks}{}{:?}", heredoc.name, heredoc.content)
    };
    all.iter().map(one).collect()
}

fn body(instruction: &Instruction) -> String {
    match &instruction.body {
        Body::Arg(all) => {
            let all = all.iter().map(|arg| match &arg.value {
                Some(value) => format!("[{}={value}]", arg.name),
                None => format!("[{}]", arg.name),
            });
            format!("ARG {}", all.collect::<String>())
        }
        Body::Env(all) => format!("ENV {}", pairs(all)),
        Body::Label(all) => format!("LABEL {}", pairs(all)),
        Body::Run(run) => {
            let mut line = format!("RUN {}", command(&run.command));
            for mount in &run.mounts {
                let fields = mount.fields.iter().map(|field| match &field.value {
                    Some(value) => format!(" {}={value}", field.key),
                    None => format!(" {}", field.key),
                });
                let from = mount.from.as_ref().map_or(String::new(), |from| format!(" from={}", from.text));
                line.push_str(&format!(" mount({})", format!("{}{from}", fields.collect::<String>()).trim()));
            }
            line.extend(run.network.iter().map(|network| format!(" network={network}")));
            line.extend(run.security.iter().map(|security| format!(" security={security}")));
            line + &heredocs(&run.heredocs)
        }
        Body::Copy(copy) => format!("COPY {}", transfer(copy)),
        Body::Add(add) => format!("ADD {}", transfer(add)),
        Body::Cmd(cmd) => format!("CMD {}", command(cmd)),
        Body::Entrypoint(cmd) => format!("ENTRYPOINT {}", command(cmd)),
        Body::Expose(words) => format!("EXPOSE {}", texts(words)),
        Body::Volume(words) => format!("VOLUME {}", texts(words)),
        Body::Workdir(word) => format!("WORKDIR [{}]", word.text),
        Body::User(word) => format!("USER [{}]", word.text),
        Body::StopSignal(word) => format!("STOPSIGNAL [{}]", word.text),
        Body::Maintainer(name) => format!("MAINTAINER [{name}]"),
        Body::Onbuild(trigger) => format!("ONBUILD {trigger:?}"),
        Body::Shell(args) => format!("SHELL {args:?}"),
        Body::Healthcheck(Healthcheck::None) => "HEALTHCHECK NONE".into(),
        Body::Healthcheck(Healthcheck::Command { command: cmd, options }) => {
            format!("HEALTHCHECK {options:?} {}", command(cmd))
        }
    }
}

fn pairs(all: &[Pair]) -> String {
    all.iter().map(|pair| format!("[{}={}]", pair.key, pair.value)).collect()
}

fn transfer(transfer: &Transfer) -> String {
    let mut line = String::new();
    for (name, value) in [
        ("from", transfer.from.as_ref().map(|from| &from.text)),
        ("chown", transfer.chown.as_ref()),
        ("chmod", transfer.chmod.as_ref()),
        ("checksum", transfer.checksum.as_ref()),
    ] {
        line.extend(value.map(|value| format!("{name}={value} ")));
    }
    for (name, set) in [
        ("link", transfer.link.then_some(true)),
        ("parents", transfer.parents.then_some(true)),
        ("keep-git-dir", transfer.keep_git_dir),
        ("unpack", transfer.unpack),
    ] {
        line.extend(set.map(|set| format!("{name}={set} ")));
    }
    line.extend(transfer.exclude.iter().map(|exclude| format!("exclude={exclude} ")));
    format!("{line}{}{} -> {}", texts(&transfer.sources), heredocs(&transfer.contents), transfer.destination)
}

fn check(text: &str, wanted: &str) {
    assert_eq!(summary(text), wanted, "\n--- {text}");
}

/// The same behind a `FROM`.
fn line(text: &str, wanted: &str) {
    check(&format!("FROM a\n{text}"), &format!("FROM a\n{wanted}"));
}

/// A mistake in the second line.
fn mistake(text: &str, wanted: &str) {
    check(&format!("FROM a\n{text}"), wanted);
}

#[test]
fn stages() {
    check("FROM alpine", "FROM alpine");
    check("from alpine:3 as Build", "FROM alpine:3 as build");
    check("FROM --platform=$BUILDPLATFORM a AS b-1._", "FROM a platform=$BUILDPLATFORM as b-1._");
    check("ARG V=1\nFROM a:$V\nRUN x\nFROM b", "ARG [V=1]\nFROM a:$V\nRUN shell[\"x\"]\nFROM b");
    check("FROM \"a\"", "FROM \"a\"");
    check("FROM a\n\n\n# nothing", "FROM a");
    check("  FROM   a  ", "FROM a");
    check("\u{feff}FROM a", "FROM a");
    check("#!/usr/bin/env docker\nFROM a", "FROM a");
    check("FROM a\r\nRUN b\r\n", "FROM a\nRUN shell[\"b\"]");
    check("FROM --platform=linux/arm64 a", "FROM a platform=linux/arm64");
    check("FROM --platform= a", "FROM a");
}

#[test]
fn joins_comments_and_blanks() {
    line("RUN a \\\n  b", "RUN shell[\"a   b\"]");
    line("RUN a\\\nb", "RUN shell[\"ab\"]");
    line("RUN a \\  \t\nb", "RUN shell[\"a b\"]");
    line("RUN a \\\n# note\nb", "RUN shell[\"a b\"]");
    line("RUN a \\\n   # note \\\nb", "RUN shell[\"a b\"]");
    line("RUN a \\\n\n\nb", "RUN shell[\"a b\"]");
    line("RUN a \\\n", "RUN shell[\"a\"]");
    line("RUN a \\\n# only\n# notes", "RUN shell[\"a\"]");
    line("RUN a \\\r\nb", "RUN shell[\"a b\"]");
    line("RUN a\\\\\nRUN b", "RUN shell[\"a\\\\\\\\\"]\nRUN shell[\"b\"]");
    line("RUN a # no note", "RUN shell[\"a # no note\"]");
    line("   # note\n\t RUN a", "RUN shell[\"a\"]");
    line("\\\nRUN a", "RUN shell[\"a\"]");
    line("RU\\\nN a", "RUN shell[\"a\"]");
    check(
        "# escape=`\nFROM a\nRUN a `\n  b\nRUN c\\\nRUN d",
        "FROM a\nRUN shell[\"a   b\"]\nRUN shell[\"c\\\\\"]\nRUN shell[\"d\"]",
    );
}

#[test]
fn directives() {
    for (text, syntax, check, escape) in [
        ("FROM a", None, None, '\\'),
        ("# syntax=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1"), None, '\\'),
        ("#syntax = docker/dockerfile:1 \nFROM a", Some("docker/dockerfile:1"), None, '\\'),
        ("# SYNTAX=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1"), None, '\\'),
        ("# escape=`\n# syntax=docker/dockerfile\nFROM a", Some("docker/dockerfile"), None, '`'),
        ("# check=skip=all;error=true\nFROM a", None, Some("skip=all;error=true"), '\\'),
        ("\u{feff}# syntax=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1"), None, '\\'),
        ("#!/bin/x\n# syntax=docker/dockerfile:1\nFROM a", Some("docker/dockerfile:1"), None, '\\'),
        ("#!/bin/x\n# escape=`\nFROM a", None, None, '\\'),
        ("# syntax=docker/dockerfile:1 x\nFROM a", Some("docker/dockerfile:1"), None, '\\'),
        ("# a note\n# syntax=docker/dockerfile:1\nFROM a", None, None, '\\'),
        ("\n# escape=`\nFROM a", None, None, '\\'),
        ("# unknown=1\n# escape=`\nFROM a", None, None, '\\'),
        ("FROM a\n# escape=`", None, None, '\\'),
        ("# escape =\nFROM a", None, None, '\\'),
        ("# syntax=docker/dockerfile:1\r\n# escape=`\r\nFROM a\r\n", Some("docker/dockerfile:1"), None, '`'),
    ] {
        let file = parse(text).unwrap_or_else(|errors| panic!("{text}: {}", shown(text, &errors)));
        let word = |word: &Option<Word>| word.as_ref().map(|word| word.text.clone());
        assert_eq!(word(&file.syntax).as_deref(), syntax, "{text}");
        assert_eq!(word(&file.check).as_deref(), check, "{text}");
        assert_eq!(file.escape, escape, "{text}");
        for found in file.syntax.iter().chain(&file.check) {
            assert_eq!(&text[found.span.start..found.span.end], found.text, "{text}");
        }
    }
    check("# escape=x\nFROM a", "1:10 the escape character cannot be `x` (it is a backslash or a backtick)");
    check("# escape=`\n# escape=`\nFROM a", "2:10 there can be only one `escape` directive");
}

#[test]
fn other_frontends_may_read_anything() {
    for text in [
        "# syntax=me/mine\nthis is no Dockerfile",
        "// syntax=me/mine\nmodule x",
        "{\"syntax\": \"me/mine\"}",
    ] {
        let file = parse(text).unwrap();
        assert_eq!(file.foreign.as_deref(), Some(text));
        assert_eq!(file.syntax.map(|word| word.text).as_deref(), Some("me/mine"));
    }
    for (syntax, known) in [
        ("docker/dockerfile", true),
        ("docker/dockerfile:1.7-labs", true),
        ("docker.io/docker/dockerfile:1", true),
        ("docker/dockerfile-upstream:master", true),
        ("docker/dockerfile-other", false),
        ("ghcr.io/docker/dockerfile:1", false),
        ("!", false),
    ] {
        assert_eq!(Frontend::of(syntax) == Frontend::Builtin, known, "{syntax}");
    }
}

#[test]
fn commands() {
    line("RUN a b", "RUN shell[\"a b\"]");
    line("run   a  b  ", "RUN shell[\"a  b\"]");
    line("RUN [\"a\", \"b c\"]", "RUN exec[\"a\", \"b c\"]");
    line("RUN [ \"a\" , \"\\u0062\\n\" ]", "RUN exec[\"a\", \"b\\n\"]");
    line("RUN ['a']", "RUN shell[\"['a']\"]");
    line("RUN [ -f x ] && y", "RUN shell[\"[ -f x ] && y\"]");
    line("RUN [\"a\"] x", "RUN shell[\"[\\\"a\\\"] x\"]");
    line("CMD []", "CMD exec[]");
    line("CMD", "CMD shell[]");
    line("ENTRYPOINT a", "ENTRYPOINT shell[\"a\"]");
    line("SHELL [\"bash\", \"-c\"]", "SHELL [\"bash\", \"-c\"]");
    line("HEALTHCHECK NONE", "HEALTHCHECK NONE");
    line("HEALTHCHECK none", "HEALTHCHECK NONE");
    line("HEALTHCHECK CMD a b", "HEALTHCHECK {} shell[\"a b\"]");
    line("HEALTHCHECK CMD [\"a\"]", "HEALTHCHECK {} exec[\"a\"]");
    line(
        "HEALTHCHECK --interval=1m30s --retries=3 --timeout=0.5s CMD a",
        "HEALTHCHECK {\"interval\": 90000000000, \"retries\": 3, \"timeout\": 500000000} shell[\"a\"]",
    );
    line("HEALTHCHECK --interval=0 --retries=0 CMD a", "HEALTHCHECK {} shell[\"a\"]");
    line("WORKDIR a b", "WORKDIR [a b]");
    line("USER a:b", "USER [a:b]");
    line("STOPSIGNAL SIGKILL", "STOPSIGNAL [SIGKILL]");
    line("MAINTAINER a <b@c>", "MAINTAINER [a <b@c>]");
    line("EXPOSE 80 443/tcp", "EXPOSE [80][443/tcp]");
    line("VOLUME /a /b", "VOLUME [/a][/b]");
    line("VOLUME [\"/a b\", \"/c\"]", "VOLUME [/a b][/c]");
    line("RUN --network=none a", "RUN shell[\"a\"] network=none");
    line("RUN --network=default a", "RUN shell[\"a\"]");
    line("RUN --security=insecure a", "RUN shell[\"a\"] security=insecure");
    line("RUN -- a", "RUN shell[\"a\"]");
    line("RUN -a --b", "RUN shell[\"-a --b\"]");
}

#[test]
fn pairs_and_arguments() {
    line("ENV a=b c=d", "ENV [a=b][c=d]");
    line("ENV a b  c", "ENV [a=b  c]");
    line("ENV a   b", "ENV [a=b]");
    line("ENV a=\"b c\" d='e f'", "ENV [a=\"b c\"][d='e f']");
    line("ENV a=b\\ c", "ENV [a=b\\ c]");
    line("ENV a=b=c", "ENV [a=b=c]");
    line("ENV a=", "ENV [a=]");
    line("ENV a b=c", "ENV [a=b=c]");
    line("ENV a=\"b", "ENV [a=\"b]");
    line("ENV a=b\\", "ENV [a=b]");
    line("ENV \"a b\"=c", "ENV [\"a b\"=c]");
    line("LABEL a=b \"c\"=d", "LABEL [a=b][\"c\"=d]");
    line("ENV a=1 \\\n    b=2 \\\n    # note\n    c=3", "ENV [a=1][b=2][c=3]");
    line("ARG a", "ARG [a]");
    line("ARG a b=1 c=\"x y\"", "ARG [a][b=1][c=\"x y\"]");
    line("ARG a=", "ARG [a=]");
}

#[test]
fn copies() {
    line("COPY a b", "COPY [a] -> b");
    line("COPY a b c/", "COPY [a][b] -> c/");
    line("COPY [\"a b\", \"c\"]", "COPY [a b] -> c");
    line("ADD [\"a\",\"b\"]", "ADD [a] -> b");
    line(
        "COPY --from=x --chown=1:2 --chmod=755 --link a b",
        "COPY from=x chown=1:2 chmod=755 link=true [a] -> b",
    );
    line("COPY --link=false a b", "COPY [a] -> b");
    line("COPY --link=TRUE a b", "COPY link=true [a] -> b");
    line("COPY --parents --exclude=*.o --exclude=x a b", "COPY parents=true exclude=*.o exclude=x [a] -> b");
    line("COPY --from=\"x\" a b", "COPY from=x [a] -> b");
    line("COPY \"--from=x\" a b", "COPY [\"--from=x\"][a] -> b");
    line("COPY --from= a b", "COPY [a] -> b");
    line("COPY -- --a b", "COPY [--a] -> b");
    line("COPY --exclude=a\\ b c d", "COPY exclude=a b [c] -> d");
    line(
        "ADD --checksum=sha256:1 --keep-git-dir --unpack=false u d",
        "ADD checksum=sha256:1 keep-git-dir=true unpack=false [u] -> d",
    );
    line("COPY a \\\n # note\n b \\\n c/", "COPY [a][b] -> c/");
    line("COPY a\u{a0}b c", "COPY [a\u{a0}b] -> c");
}

#[test]
fn heredocs_of_run() {
    line("RUN <<EOF\na\n  b\nEOF\nRUN c", "RUN shell[\"<<EOF\"] <<EOF\"a\\n  b\\n\"\nRUN shell[\"c\"]");
    line("RUN <<-EOF\n\ta\n\tEOF", "RUN shell[\"<<-EOF\"] <<-EOF\"\\ta\\n\"");
    line("RUN <<'EOF'\n$a\nEOF", "RUN shell[\"<<'EOF'\"] <<'EOF\"$a\\n\"");
    line("RUN <<\"EOF\" cat\na\nEOF", "RUN shell[\"<<\\\"EOF\\\" cat\"] <<'EOF\"a\\n\"");
    line("RUN <<E\"O\"F\na\nEOF", "RUN shell[\"<<E\\\"O\\\"F\"] <<'EOF\"a\\n\"");
    line("RUN 3<<EOF cat\na\nEOF", "RUN shell[\"3<<EOF cat\"] <<EOF\"a\\n\"");
    line("RUN cat <<A <<B\n1\nA\n2\nB", "RUN shell[\"cat <<A <<B\"] <<A\"1\\n\" <<B\"2\\n\"");
    line("RUN cat << EOF\na\nEOF", "RUN shell[\"cat << EOF\"] <<EOF\"a\\n\"");
    line("RUN cat <<EOF > /x\nEOF", "RUN shell[\"cat <<EOF > /x\"] <<EOF\"\"");
    line("RUN cat <<<word", "RUN shell[\"cat <<<word\"]");
    line("RUN echo \"<<EOF\"", "RUN shell[\"echo \\\"<<EOF\\\"\"]");
    line("RUN echo '<<EOF'", "RUN shell[\"echo '<<EOF'\"]");
    line("RUN echo it's <<EOF", "RUN shell[\"echo it's <<EOF\"]");
    line("RUN echo $((1<<2))", "RUN shell[\"echo $((1<<2))\"]");
    line("RUN [\"a\", \"<<EOF\"]", "RUN exec[\"a\", \"<<EOF\"]");
    line(
        "RUN <<EOF\n# no note\n\nFROM x\\\nEOF",
        "RUN shell[\"<<EOF\"] <<EOF\"# no note\\n\\nFROM x\\\\\\n\"",
    );
    line("RUN <<EOF\r\na\r\nEOF\r\n", "RUN shell[\"<<EOF\"] <<EOF\"a\\r\\n\"");
    line("RUN cat \\\n <<EOF\na\nEOF", "RUN shell[\"cat  <<EOF\"] <<EOF\"a\\n\"");
    line("CMD <<EOF", "CMD shell[\"<<EOF\"]");
    line("RUN <<$X\na\n$X", "RUN shell[\"<<$X\"] <<$X\"a\\n\"");
}

#[test]
fn heredocs_of_copy() {
    line("COPY <<a.txt /x/\nhello\na.txt", "COPY  <<a.txt\"hello\\n\" -> /x/");
    line("COPY <<-\"A\" b <<C /x/\n\t1\n\tA\n2\nC", "COPY [b] <<-'A\"\\t1\\n\" <<C\"2\\n\" -> /x/");
    line("ADD <<EOF /x\n$v\nEOF", "ADD  <<EOF\"$v\\n\" -> /x");
    line("COPY --chmod=755 <<EOF /x\nEOF", "COPY chmod=755  <<EOF\"\" -> /x");
    let heredoc =
        Heredoc { name: "E".into(), chomp: true, expand: true, content: "\t\ta\n\tb\tc\n\t\n".into() };
    assert_eq!(heredoc.chomped(), "a\nb\tc\n\n");
}

#[test]
fn triggers() {
    line("ONBUILD COPY . /app", "ONBUILD \"COPY . /app\"");
    line("onbuild   run x", "ONBUILD \"run x\"");
    line("ONBUILD RUN a \\\n  b", "ONBUILD \"RUN a   b\"");
    line("ONBUILD RUN <<EOF\na\nEOF", "ONBUILD \"RUN <<EOF\\na\\nEOF\"");
    line("ONBUILD COPY <<A <<B /x/\n1\nA\n2\nB", "ONBUILD \"COPY <<A <<B /x/\\n1\\nA\\n2\\nB\"");
    mistake("ONBUILD", "2:1 ONBUILD needs an instruction, as in `ONBUILD COPY . /app`");
    mistake("ONBUILD ONBUILD RUN x", "2:9 ONBUILD is not allowed behind ONBUILD");
    mistake("ONBUILD FROM x", "2:9 FROM is not allowed behind ONBUILD");
    mistake("ONBUILD MAINTAINER x", "2:9 MAINTAINER is not allowed behind ONBUILD");
    mistake("ONBUILD RUNN x", "2:9 unknown instruction `RUNN` (did you mean `RUN`?)");
    assert!(
        matches!(parse_trigger("RUN <<EOF\na\nEOF").unwrap().body, Body::Run(run) if run.heredocs[0].content == "a\n")
    );
    for trigger in ["", "RUN a\nRUN b", "FROM x", "NOPE", "RUN <<EOF\na"] {
        assert!(parse_trigger(trigger).is_err(), "{trigger}");
    }
}

#[test]
fn mounts() {
    line(
        "RUN --mount=type=bind,source=a,target=/b x",
        "RUN shell[\"x\"] mount(type=bind source=a target=/b)",
    );
    line("RUN --mount=src=a,dst=/b,ro x", "RUN shell[\"x\"] mount(source=a target=/b readonly)");
    line(
        "RUN --mount=TYPE=cache,Target=/b,rw=false x",
        "RUN shell[\"x\"] mount(type=cache target=/b readwrite=false)",
    );
    line("RUN --mount=from=x,target=/b x", "RUN shell[\"x\"] mount(target=/b from=x)");
    line("RUN --mount=type=secret,id=a,required x", "RUN shell[\"x\"] mount(type=secret id=a required)");
    line("RUN --mount=type=$T,target=${D} x", "RUN shell[\"x\"] mount(type=$T target=${D})");
    line(
        "RUN --mount=type=ssh --mount=type=tmpfs,target=/t x",
        "RUN shell[\"x\"] mount(type=ssh) mount(type=tmpfs target=/t)",
    );
    line("RUN --mount=\\\"target=/a,b\\\",type=bind x", "RUN shell[\"x\"] mount(target=/a,b type=bind)");
    line("RUN --mount=\"type=bind,target=/a b\" x", "RUN shell[\"x\"] mount(type=bind target=/a b)");
    mistake("RUN --mount=typ=bind x", "2:13 a mount has no field `typ` (did you mean `type`?)");
    mistake("RUN --mount=target x", "2:13 the field `target` of a mount needs a value");
    mistake(
        "RUN --mount=type=bind,from=$X x",
        "2:28 the `from` of a mount does not read variables (name a stage there: `FROM $IMAGE AS name` above, then `from=name`)",
    );
    mistake(
        "RUN --mount=a\\\"b x",
        "2:13 the mount is not a list of fields between commas (as in `--mount=type=bind,source=src,target=/src`)",
    );
}

#[test]
fn a_text_without_from_that_begins_with_a_wide_character_is_refused_at_its_place() {
    for text in ["\u{ad}\u{b2} scratch\nCOPY busybox /bin/", "\u{feff}", "ü"] {
        for error in parse(text).unwrap_err() {
            assert!(text.get(error.span.start..error.span.end).is_some(), "{text:?} {error:?}");
        }
    }
}

#[test]
fn mistakes() {
    check("", "1:1 the Dockerfile is empty (start with `FROM scratch`, or with the image to build on)");
    check(
        "# only a note\n",
        "1:1 the Dockerfile is empty (start with `FROM scratch`, or with the image to build on)",
    );
    check(
        "RUN x",
        "1:1 a Dockerfile needs a FROM; imk does not send one without to the engine (start with `FROM scratch`, or with the image to build on)",
    );
    check(
        "ARG a",
        "1:1 a Dockerfile needs a FROM; imk does not send one without to the engine (start with `FROM scratch`, or with the image to build on)",
    );
    check("RUN x\nFROM a", "1:1 RUN stands before the first FROM (only ARG may come before it)");
    check("FORM a\n", "1:1 unknown instruction `FORM` (did you mean `FROM`?)");
    check("FROM", "1:1 FROM needs an image, as in `FROM alpine:3.20`");
    check(
        "FROM a b",
        "1:8 FROM takes an image, or an image, AS and a name (as in `FROM golang:1.24 AS build`)",
    );
    check(
        "FROM a AS",
        "1:8 FROM takes an image, or an image, AS and a name (as in `FROM golang:1.24 AS build`)",
    );
    check(
        "FROM a AS 1b",
        "1:11 `1b` cannot be the name of a stage (a name begins with a letter and goes on with letters, digits, `-`, `_` and `.`)",
    );
    check("FROM --platfrom=x a", "1:6 FROM has no flag `--platfrom` (did you mean `--platform`?)");
    mistake("RUNN x", "2:1 unknown instruction `RUNN` (did you mean `RUN`?)");
    mistake(
        "&& x",
        "2:1 unknown instruction `&&` (a line that continues the one above needs a `\\` at the end of that one)",
    );
    mistake("RUN", "2:1 RUN needs a command");
    mistake("COPY a", "2:1 COPY needs at least two arguments: what to copy, and where to");
    mistake("ADD", "2:1 ADD needs at least two arguments: what to copy, and where to");
    mistake("COPY --form=x a b", "2:6 COPY has no flag `--form` (did you mean `--from`?)");
    mistake("COPY --chown a b", "2:6 the flag `--chown` needs a value");
    mistake("COPY --link=maybe a b", "2:6 the flag `--link` is true or false, not `maybe`");
    mistake("COPY --link= a b", "2:6 the flag `--link` needs a value");
    mistake("COPY --from=a --from=b c d", "2:15 the flag `--from` is given twice");
    mistake(
        "COPY --keep-git-dir a b",
        "2:6 COPY has no flag `--keep-git-dir` (it has --from, --chown, --chmod, --link, --parents, --exclude)",
    );
    mistake(
        "COPY [\"a\", 1, \"b\"]",
        "2:6 the list of COPY may hold texts only (put every entry in double quotes)",
    );
    mistake(
        "COPY a <<EOF",
        "2:1 the heredoc `EOF` is not ended (write `EOF` on a line of its own behind it)\n2:8 COPY cannot copy into a heredoc (the destination comes last)",
    );
    mistake(
        "RUN <<EOF\nx",
        "2:1 the heredoc `EOF` is not ended (write `EOF` on a line of its own behind it)",
    );
    mistake("ENV", "2:1 ENV needs a pair, as in `ENV key=value`");
    mistake("ENV a", "2:1 ENV needs a value: `ENV a=…`");
    mistake("ENV a=b c", "2:9 there is no `=` in `c` (put quotes around a value with blanks in it)");
    mistake("ENV =b", "2:5 the name of an ENV is empty");
    mistake("ARG", "2:1 ARG needs a name, as in `ARG VERSION=1.0`");
    mistake(
        "ARG =x",
        "2:5 the name of an ARG is empty\n2:1 ARG needs a name, as in `ARG VERSION=1.0`"
            .split('\n')
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
            .as_str(),
    );
    mistake("WORKDIR", "2:1 WORKDIR needs a path");
    mistake("EXPOSE", "2:1 EXPOSE needs a port, as in `EXPOSE 8080`");
    mistake("SHELL bash", "2:1 SHELL needs a list, as in `SHELL [\"/bin/bash\", \"-c\"]`");
    mistake("HEALTHCHECK", "2:1 HEALTHCHECK needs CMD and a command, or NONE");
    mistake("HEALTHCHECK CMD", "2:1 HEALTHCHECK needs a command behind CMD");
    mistake(
        "HEALTHCHECK EXEC x",
        "2:13 HEALTHCHECK does not know `EXEC` (write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`)",
    );
    mistake("HEALTHCHECK NONE x", "2:13 HEALTHCHECK NONE takes nothing else");
    mistake(
        "HEALTHCHECK --interval=5 CMD x",
        "2:24 `--interval` cannot be `5` (it is a time, as in 30s or 1m30s)",
    );
    mistake("HEALTHCHECK --retries=-1 CMD x", "2:23 `--retries` cannot be `-1` (it is a number, as in 3)");
    mistake("RUN --network=lan x", "2:15 the flag `--network` is default or none or host, not `lan`");
    mistake("WORKDIR --x /a", "2:9 WORKDIR has no flag `--x` (WORKDIR has no flags)");
    // All of them at once, in their order.
    mistake(
        "RUNN x\nCOPY a\nENV b",
        "2:1 unknown instruction `RUNN` (did you mean `RUN`?)\n3:1 COPY needs at least two arguments: what to copy, and where to\n4:1 ENV needs a value: `ENV b=…`",
    );
}

#[test]
fn an_empty_line_inside_an_instruction_gets_a_word() {
    let file = parse("FROM a\nRUN b \\\n\n c").unwrap();
    assert_eq!(file.warnings.len(), 1);
}

#[test]
fn words_know_their_places() {
    for (text, words) in [
        ("FROM alpine:3 AS b", vec!["alpine:3", "b"]),
        ("FROM --platform=linux/arm64 alpine", vec!["linux/arm64", "alpine"]),
        ("FROM a\nCOPY --from=golang:1 x y", vec!["a", "golang:1", "x"]),
        ("FROM a\nCOPY --from=\"golang:1\" x y", vec!["a", "golang:1", "x"]),
        ("FROM a\nCOPY [\"x y\", \"z\"]", vec!["a", "x y"]),
        ("FROM a\nRUN --mount=type=bind,from=golang:1,target=/x y", vec!["a", "golang:1"]),
        ("FROM a\nRUN --mount=type=bind \\\n # note\n --mount=target=/x,from=b:2 y", vec!["a", "b:2"]),
        ("FROM \\\n # note\n a", vec!["a"]),
    ] {
        let file = parse(text).unwrap();
        let mut found = Vec::new();
        for stage in &file.stages {
            found.extend(stage.platform.iter().chain([&stage.base]).chain(&stage.name));
            for instruction in &stage.instructions {
                match &instruction.body {
                    Body::Copy(copy) => found.extend(copy.from.iter().chain(&copy.sources)),
                    Body::Run(run) => found.extend(run.mounts.iter().filter_map(|mount| mount.from.as_ref())),
                    _ => {}
                }
            }
        }
        let at: Vec<&str> = found.iter().map(|word| &text[word.span.start..word.span.end]).collect();
        assert_eq!(at, words, "{text}");
        assert_eq!(found.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), words, "{text}");
    }
    let text = "FROM al\\\npine\nRUN <<E\nx\nE\nRUN y";
    let file = parse(text).unwrap();
    let base = file.stages[0].base.span;
    assert_eq!(&text[base.start..base.end], "al\\\npine");
    let run = file.stages[0].instructions[0].span;
    assert_eq!(&text[run.start..run.end], "RUN <<E\nx\nE");
}

#[test]
fn hostile_files_are_read_in_time() {
    let many = "FROM a\nCOPY --from=0 b c\n".repeat(100_000);
    assert_eq!(parse(&many).unwrap().stages.len(), 100_000);
    let joined = format!("FROM a\nRUN {}", "x \\\n".repeat(50_000));
    assert_eq!(parse(&joined).unwrap().stages[0].instructions.len(), 1);
    let words = format!("FROM a\nCOPY {} /x", "a \\\n".repeat(100_000));
    assert!(parse(&words).is_ok());
    let wrong = "x\n".repeat(20_000);
    assert!(parse(&wrong).is_err());
    let long = format!("FROM a\nRUN {}", "x".repeat(70_000));
    assert!(shown(&long, &parse(&long).unwrap_err()).contains("the line has 70004 bytes"));
    let deep = format!("FROM a\nRUN {}", "[".repeat(60_000));
    assert!(parse(&deep).is_ok());
    let quotes = format!("FROM a\nRUN {}", "<<a".repeat(20_000));
    let _ = parse(&quotes);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "(FROM|RUN|COPY|ADD|ENV|ARG|ONBUILD|HEALTHCHECK|# escape=|<<|-|[a\\[\\]\"'`$ {}=\\\\é,.:\\r\\n]){0,40}") {
        let _ = parse(&text);
        let _ = parse_trigger(&text);
    }

    #[test]
    fn any_bytes_are_read(text in "\\PC{0,60}") {
        if let Err(errors) = parse(&format!("FROM a\n{text}")) {
            for error in errors {
                proptest::prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len() + 7);
            }
        }
    }
}
