//! Text of others on the screen: whatever it is, a line stays a line and a cursor where it was.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::sandbox::{Run, Sandbox, engine_or_skip};

const COPY_ALL: &str = "
    //- Imagefile.ron
    (images: {\"web\": (context: \".\")})
    //- Dockerfile
    FROM scratch
    COPY . /
";

/// A name for a person, and what an attacker writes.
const TRICKS: [(&str, &str); 9] = [
    ("the clipboard", "x\u{1b}]52;c;aGk=\u{7}y"),
    ("a window's title", "x\u{1b}]0;owned\u{1b}\\y"),
    ("a link", "x\u{1b}]8;;http://h.invalid\u{1b}\\y"),
    ("an erased screen", "x\u{1b}[2J\u{1b}[Hy"),
    ("hidden text", "x\u{1b}[8my"),
    ("a line", "x\nforged: fresh\ry"),
    ("a C1 control", "x\u{9b}2Jy\u{85}forged"),
    ("turned text", "x\u{202e}y\u{2066}"),
    ("what is not seen", "x\u{200b}y\u{feff}\u{e0041}\u{2028}"),
];

/// All of them at once, and a line end, which not everything can hold.
fn tricks() -> [(&'static str, String); 2] {
    let all = TRICKS.iter().filter(|(_, text)| !text.contains('\n')).map(|(_, text)| *text);
    [("everything", all.collect()), ("a line", "x\nforged: fresh\ry".to_owned())]
}

/// Verbs that need no engine, as they are typed.
const VERBS: [&str; 12] = [
    "plan",
    "plan --trace",
    "plan --json",
    "check",
    "list",
    "list --json",
    "why web",
    "inputs web",
    "inputs web --json",
    "graph",
    "graph --json",
    "log",
];

#[track_caller]
fn clean(run: &Run<'_>, about: &str) {
    for (stream, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        let bad = text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
        });
        assert_eq!(bad, None, "{about}, {stream}: {text:?}");
        let forged = text.lines().find(|line| line.trim_start().starts_with("forged"));
        assert_eq!(forged, None, "{about}, {stream}: {text}");
    }
}

/// The same with colours: those are ours alone.
#[track_caller]
fn clean_in_colour(sandbox: &Sandbox, words: &str, about: &str) {
    let mut command = sandbox.command("", words);
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    let run = sandbox.run(command.output().unwrap());
    for text in [&run.stdout, &run.stderr] {
        for part in text.split('\u{1b}').skip(1) {
            let sgr = part.strip_prefix('[').and_then(|rest| rest.split_once('m'));
            let is_ours = sgr.is_some_and(|(codes, _)| {
                codes.chars().all(|c| c.is_ascii_digit() || c == ';') && codes != "8"
            });
            assert!(is_ours, "{about}: {text:?}");
        }
        assert!(!text.lines().any(|line| line.trim_start().starts_with("forged")), "{about}: {text}");
    }
}

#[test]
fn a_file_name_is_a_name_in_every_verb() {
    for (trick, text) in tricks() {
        let sandbox = Sandbox::with(COPY_ALL).without_engine();
        sandbox.edit(&text, "1");
        let inputs = sandbox.imk("inputs web").code(0).out();
        assert!(inputs.contains("file    ") && inputs.contains("\\u{1b}") != text.contains('\n'), "{inputs}");
        for verb in VERBS {
            clean(&sandbox.imk(verb), &format!("{trick} in {verb}"));
        }
        for verb in ["why-not web", "who-uses"] {
            let mut command = sandbox.command("", verb);
            clean(&sandbox.run(command.arg(&text).output().unwrap()), &format!("{trick} in {verb}"));
        }
        clean_in_colour(&sandbox, "inputs web", trick);
    }
    // One that is no text at all.
    let sandbox = Sandbox::with(COPY_ALL).without_engine();
    fs_err::write(sandbox.root().join(std::ffi::OsStr::from_bytes(b"a\x9b2J\xff")), "1").unwrap();
    clean(&sandbox.imk("inputs web"), "no UTF-8");
}

#[test]
fn a_dockerfile_is_quoted_where_it_is_right_and_where_it_is_wrong() {
    for (trick, text) in tricks().into_iter().take(1) {
        for body in [
            format!("FROM scratch\nLABEL a=\"{text}\"\n"),
            format!("FROM scratch\nARG A={text}\nENV B=$A\n"),
            format!("FROM scratch\nCOPY {text} /\n"),
            format!("FROM scratch\nRUN <<EOF\nforged\n{text}\nEOF\n"),
            format!("FROM scratch\nFORM {text}\n"),
            format!("FROM {text}\n"),
            format!("FROM scratch\nCOPY --from={text} a /\n"),
            format!("FROM scratch\nADD https://u:{text}@127.0.0.1:1/a /\n"),
        ] {
            let sandbox = Sandbox::with("").without_engine();
            sandbox.edit("Imagefile.ron", "(images: {\"web\": (context: \".\")})").edit("Dockerfile", &body);
            for verb in [
                "plan --trace",
                "plan --json",
                "check",
                "why web",
                "inputs web",
                "inputs web --json",
                "graph",
            ] {
                clean(&sandbox.imk(verb), &format!("{trick} in {verb} of {body:?}"));
            }
            clean_in_colour(&sandbox, "plan", &format!("{trick} in {body:?}"));
        }
    }
}

#[test]
fn an_imagefile_is_quoted_wherever_a_text_can_stand() {
    for (trick, text) in tricks() {
        let written = format!("{text:?}");
        for body in [
            format!("(images: {{{written}: ()}})"),
            format!("(images: {{\"web\": (context: {written})}})"),
            format!("(images: {{\"web\": (context: \".\", dockerfile: {written})}})"),
            format!("(images: {{\"web\": (context: \".\", description: {written})}})"),
            format!("(images: {{\"web\": (context: \".\", target: {written})}})"),
            format!("(images: {{\"web\": (context: \".\", args: {{\"A\": {written}}})}})"),
            format!("(images: {{\"web\": (context: \".\", labels: {{\"A\": {written}}})}})"),
            format!("(images: {{\"web\": (context: \".\", tags: [{written}])}})"),
            format!("(prefix: {written}, images: {{\"web\": (context: \".\")}})"),
            format!("(groups: {{{written}: [\"web\"]}}, images: {{\"web\": (context: \".\")}})"),
            format!(
                "(vars: {{\"A\": {written}}}, images: {{\"web\": (context: \".\", args: {{\"A\": \"{{A}}\"}})}})"
            ),
            format!("(images: {{\"web\": (context: \".\", overlays: {{\"a\": {written}}})}})"),
            format!("(images: {{\"web\": (context: \".\")}}) {text}"),
        ] {
            let sandbox = Sandbox::with("").without_engine();
            sandbox.edit("Imagefile.ron", &body).edit("Dockerfile", "FROM scratch\nARG A\nLABEL b=$A\n");
            let mut plain = |verb: &str| {
                let mut command = sandbox.command("", verb);
                // The prefix of the tests would hide the Imagefile's.
                command.env_remove("IMK_PREFIX");
                clean(&sandbox.run(command.output().unwrap()), &format!("{trick} in {verb} of {body}"));
            };
            ["plan", "list", "list --json", "inputs web", "graph", "tags", "check"]
                .into_iter()
                .for_each(&mut plain);
            clean_in_colour(&sandbox, "list", &format!("{trick} in {body}"));
        }
    }
}

#[test]
fn what_is_typed_and_what_is_set_is_quoted_too() {
    let sandbox = Sandbox::with(COPY_ALL).without_engine();
    sandbox.edit("Dockerfile", "FROM scratch\nARG A\nLABEL b=$A\n");
    for (trick, text) in tricks() {
        let typed = [
            vec![text.to_owned()],
            vec!["plan".into(), text.to_owned()],
            vec!["plan".into(), format!("--{text}")],
            vec!["plan".into(), "-j".into(), text.to_owned()],
            vec!["plan".into(), format!("--progress={text}")],
            vec!["plan".into(), "-f".into(), text.to_owned()],
            vec!["plan".into(), "-C".into(), text.to_owned()],
            vec!["plan".into(), "--since".into(), text.to_owned()],
            vec!["inputs".into(), "web".into(), "--build-arg".into(), format!("A={text}")],
            vec!["plan".into(), "--engine".into(), text.replace([' ', '\n', '\r', '\u{85}'], "-")],
            vec!["why-not".into(), "web".into(), text.to_owned()],
        ];
        for words in typed {
            let output = sandbox.command("", "").args(&words).output().unwrap();
            clean(&sandbox.run(output), &format!("{trick} in {words:?}"));
        }
        for (name, value) in [("DOCKER_HOST", format!("unix:///{text}")), ("IMK_PROGRESS", text.to_owned())] {
            let output = sandbox.command("", "build").env(name, value).output().unwrap();
            clean(&sandbox.run(output), &format!("{trick} in {name}"));
        }
    }
}

fn git(root: &Path, words: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "commit.gpgsign=false"])
        .args(words)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_commit_cannot_speak_in_replay_diff_or_why() {
    for (trick, text) in tricks() {
        let sandbox = Sandbox::with(
            "//- Imagefile.ron\n(images: {\"web\": (context: \".\")})\n//- Dockerfile\nFROM scratch\nCOPY a /\n//- a\n1\n",
        )
        .without_engine();
        let root = sandbox.root();
        git(root, &["init", "-q"]);
        git(root, &["add", "."]);
        git(root, &["commit", "-qm", &text]);
        sandbox.edit("a", "2");
        git(root, &["commit", "-qam", &text]);
        for verb in [
            "replay --trace",
            "replay --json",
            "diff HEAD~1 HEAD",
            "diff HEAD~1 HEAD --json",
            "why web",
            "affected --since HEAD~1",
        ] {
            clean(&sandbox.imk(verb), &format!("{trick} in {verb}"));
        }
    }
}

#[test]
fn output_of_a_build_cannot_move_the_cursor_or_speak_to_a_ci() {
    let Some(sandbox) = engine_or_skip("output_of_a_build_cannot_move_the_cursor_or_speak_to_a_ci") else {
        return;
    };
    sandbox.edit(
        "web/Dockerfile",
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY say /say\nRUN [\"/bin/busybox\", \"cat\", \"/say\"]\nRUN [\"/bin/busybox\", \"false\"]\n",
    );
    let mut said: String = TRICKS.iter().map(|(_, text)| format!("{text}\n")).collect();
    said += "::set-output name=a::b\n##[error]forged by a step\n";
    sandbox.edit("web/say", &said);
    sandbox.place_busybox();
    for progress in ["plain", "json", "tty", "quiet"] {
        let output =
            sandbox.command("", &format!("build --no-cache --progress {progress}")).output().unwrap();
        let run = sandbox.run(output);
        if progress == "tty" {
            assert!(!run.stderr.contains("]52;") && !run.stderr.contains("[8m"), "{:?}", run.stderr);
            continue;
        }
        clean(&run, progress);
    }
    let mut command = sandbox.command("", "build --no-cache --progress plain");
    let run = sandbox.run(command.env("GITHUB_ACTIONS", "true").output().unwrap());
    assert!(run.stderr.contains("forged by a step"), "{}", run.stderr);
    assert!(!run.stderr.contains("##["), "{}", run.stderr);
    let own = ["::group::", "::endgroup::", "::error "];
    let foreign = run
        .stderr
        .lines()
        .find(|line| line.trim_start().starts_with("::") && !own.iter().any(|word| line.starts_with(word)));
    assert_eq!(foreign, None, "{}", run.stderr);
}

/// A server of the tests that says this to everybody, with that status: a registry or an engine, whoever asks.
fn says(status: &'static str, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 16 << 10]);
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    address
}

#[test]
fn what_a_registry_and_an_engine_say_of_an_error_is_quoted() {
    for (trick, text) in tricks() {
        for status in ["400 Bad Request", "403 Forbidden", "404 Not Found"] {
            let error = serde_json::json!({"errors": [{"code": text, "message": text, "detail": text}]});
            for body in [error.to_string(), text.clone(), format!("<html>{text}</html>")] {
                let registry = says(status, body);
                let sandbox = Sandbox::with("").without_engine();
                sandbox.edit("Dockerfile", &format!("FROM {registry}/app:1\nCOPY Dockerfile /\n"));
                for verb in ["plan", "outdated", "update"] {
                    clean(&sandbox.imk(verb), &format!("{trick} of a registry in {verb}, {status}"));
                }
            }
        }
    }
    for (trick, text) in tricks() {
        for status in ["400 Bad Request", "500 Internal Server Error"] {
            let message = serde_json::json!({ "message": text }).to_string();
            for body in [message, text.clone()] {
                let sandbox = Sandbox::with(COPY_ALL).on(&format!("tcp://{}", says(status, body)));
                for verb in ["plan", "build", "doctor --offline", "gc"] {
                    clean(&sandbox.imk(verb), &format!("{trick} of an engine in {verb}, {status}"));
                }
            }
        }
    }
}

#[test]
fn a_full_or_closed_screen_is_no_panic() {
    let sandbox = Sandbox::with(COPY_ALL).without_engine();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = sandbox.run(sandbox.command("", "inputs web").stdout(full()).output().unwrap());
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("could not be written to standard output"), "{}", run.stderr);
    let run = sandbox.run(sandbox.command("", "plan").stderr(full()).output().unwrap());
    assert_eq!((run.status, run.stdout.contains("1 to build")), (0, true), "{}", run.stdout);
    let run = sandbox.run(sandbox.command("", "build --progress json").stderr(full()).output().unwrap());
    assert_eq!(run.status, 2);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = sandbox.run(sandbox.command("", "inputs web").stdout(writer).output().unwrap());
    assert_eq!((run.status, run.stderr.contains("panic")), (0, false), "{}", run.stderr);
}
