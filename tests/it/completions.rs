//! Completion as a shell has it: the printed script, in a real shell, asked as Tab asks.

use std::path::Path;
use std::process::Command;

use crate::sandbox::Sandbox;

const REPO: &str = r#"
    //- Imagefile.ron
    (
        images: {"api": (), "api-dev": (context: "api"), "web": ()},
        groups: {"all": ["*"]},
    )
    //- sub/deep/note
    x
    //- other/base/Dockerfile
    FROM scratch
"#;

/// What bash offers for a line with the cursor at its end, in a folder of the repository.
fn bash(sandbox: &Sandbox, folder: &str, line: &[&str]) -> String {
    let words: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        r#"
eval "$(imk completions bash)"
function=$(complete -p imk | sed 's/.*-F \([^ ]*\) .*/\1/')
COMP_WORDS=({words}) COMP_CWORD={last} COMP_TYPE=9
COMP_LINE="${{COMP_WORDS[*]}}" COMP_POINT=${{#COMP_LINE}}
"$function" imk "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}" || echo failed
printf '%s\n' "${{COMPREPLY[@]}}"
"#,
        words = words.join(" "),
        last = line.len() - 1,
    );
    shell(sandbox, folder, "bash", &["--norc", "--noprofile", "-c", &script])
}

fn shell(sandbox: &Sandbox, folder: &str, shell: &str, args: &[&str]) -> String {
    let imk = Path::new(env!("CARGO_BIN_EXE_imk")).parent().unwrap();
    let path = format!("{}:{}", imk.display(), std::env::var("PATH").unwrap());
    let output = Command::new(shell)
        .args(args)
        .current_dir(sandbox.path(folder))
        .env("PATH", path)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "completing is quiet");
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has(shell: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {shell}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("SKIPPED {shell}: it is not installed");
    }
    found.status.success()
}

#[test]
fn bash_completes_images_groups_and_pluses() {
    let sandbox = Sandbox::with(REPO).without_engine();
    assert_eq!(bash(&sandbox, "", &["imk", "build", "a"]), "all api api-dev");
    assert_eq!(bash(&sandbox, "", &["imk", "w"]), "watch why why-not what-if who-uses worker web");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "api", "+w"]), "+web");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "web"]), "web web+");
    assert_eq!(bash(&sandbox, "", &["imk", "inputs", "api-"]), "api-dev");
}

#[test]
fn bash_completes_verbs_flags_and_values() {
    let sandbox = Sandbox::with(REPO).without_engine();
    assert_eq!(bash(&sandbox, "", &["imk", "comp"]), "completions");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "--tr"]), "--trace");
    assert_eq!(bash(&sandbox, "", &["imk", "--progress", "qu"]), "quiet");
    assert_eq!(bash(&sandbox, "", &["imk", "completions", ""]), "bash zsh fish");
    let all = bash(&sandbox, "", &["imk", ""]);
    assert!(all.contains("build") && all.contains("web") && !all.contains("--"), "{all}");
}

#[test]
fn bash_completes_in_the_repository_that_is_meant() {
    let sandbox = Sandbox::with(REPO).without_engine();
    assert_eq!(bash(&sandbox, "sub/deep", &["imk", "plan", "w"]), "web");
    assert_eq!(bash(&sandbox, "", &["imk", "-f", "other", "plan", ""]), "base");
    assert_eq!(bash(&sandbox, "sub", &["imk", "plan", "-C", "..", "w"]), "web");
    assert_eq!(bash(&sandbox, "sub", &["imk", "--file=../other", "b"]), "build base");
}

#[test]
fn a_broken_imagefile_completes_what_can_be_read_and_says_nothing() {
    let sandbox = Sandbox::with(REPO).without_engine();
    sandbox.edit("Imagefile.ron", "(images: {\"web\": (contxt: 1), \"api\": (");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "w"]), "web");
    sandbox.edit("Imagefile.ron", "?");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "w"]), "");
    assert_eq!(bash(&sandbox, "", &["imk", "-C", "nowhere", "plan", "w"]), "");
}

#[test]
fn every_script_is_one_of_its_shell() {
    let sandbox = Sandbox::with(REPO).without_engine();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.imk(&format!("completions {shell}")).code(0).stdout;
        assert!(script.contains("IMK_COMPLETE"), "{script}");
        sandbox.edit("script", &script);
        if has(shell) {
            let check = Command::new(shell).arg("-n").arg(sandbox.path("script")).status().unwrap();
            assert!(check.success(), "{shell}:\n{script}");
        }
    }
}

#[test]
fn zsh_and_fish_are_told_the_same_images() {
    // Their scripts hand the words over and show what comes back; this is what comes back.
    let sandbox = Sandbox::with(REPO).without_engine();
    for shell in ["zsh", "fish"] {
        let mut command = sandbox.command("", "-- imk plan ap");
        command.env("IMK_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "api\napi-dev", "{shell}");
        assert!(output.status.success() && output.stderr.is_empty());
    }
}

#[test]
fn fish_completes_images() {
    if !has("fish") {
        return;
    }
    let sandbox = Sandbox::with(REPO).without_engine();
    let script = "imk completions fish | source; complete -C 'imk plan ap'";
    assert_eq!(shell(&sandbox, "", "fish", &["--no-config", "-c", script]), "api api-dev");
}

#[test]
fn zsh_completes_images() {
    if !has("zsh") {
        return;
    }
    let sandbox = Sandbox::with(REPO).without_engine();
    // zsh completes only what is typed: its own pseudo-terminal types.
    let script = r#"
zmodload zsh/zpty
zpty inner zsh -f -i
zpty -w inner 'autoload -Uz compinit && compinit -u -D; eval "$(imk completions zsh)"; echo REA""DY'
zpty -m -r inner out '*READY*'
zpty -w -n inner $'imk plan we\t'
zpty -m -r inner out '*web*' && echo completed
zpty -d inner
"#;
    assert_eq!(shell(&sandbox, "", "timeout", &["60", "zsh", "-f", "-c", script]), "completed");
}

#[test]
fn a_name_with_a_tag_is_completed_though_bash_parts_words_at_colons() {
    if !has("bash") {
        return;
    }
    let files = r#"
    //- Imagefile.ron
    (images: {"os:alp": (context: "."), "os:deb": (context: "."), "web": (context: ".")})
    //- Dockerfile
    FROM scratch
    "#;
    let sandbox = Sandbox::with(files);
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "os"]), "os:alp os:deb");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "os", ":"]), "alp deb");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "os", ":", "a"]), "alp");
    assert_eq!(bash(&sandbox, "", &["imk", "plan", "os", ":", "alp", "w"]), "web");
}
