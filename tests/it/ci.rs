//! imk on GitHub and GitLab: folds, annotations, the job's summary.

use fs_err as fs;

use crate::sandbox::{Run, Sandbox, fixture_or_skip};

fn on<'a>(sandbox: &'a Sandbox, words: &str, variables: &[(&str, &str)]) -> Run<'a> {
    sandbox.run(sandbox.command("", words).envs(variables.iter().copied()).output().unwrap())
}

/// Lines of the build without the engine's own chores, which differ between engines.
fn shown(run: &Run<'_>) -> String {
    let chore = |line: &&str| line.contains("exporting") || line.contains("writing image");
    run.err().lines().filter(|line| !chore(line)).map(|line| format!("{line}\n")).collect()
}

const GITHUB: (&str, &str) = ("GITHUB_ACTIONS", "true");

fn small(test: &str) -> Option<Sandbox> {
    let sandbox = fixture_or_skip(test, "diamond")?;
    // An engine that has the step already shows no output of it.
    sandbox.append("left/words.txt", sandbox.prefix());
    sandbox
        .edit("left/Dockerfile", "FROM base\nCOPY words.txt /\nRUN echo '::error::x' && echo '##[group]y'\n");
    Some(sandbox)
}

#[test]
fn github_folds_the_log_of_each_image_and_gets_a_summary() {
    let Some(sandbox) = small("github") else { return };
    sandbox.edit("summary.md", "before\n");
    let summary = sandbox.path("summary.md");
    let variables = [GITHUB, ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    sandbox.imk("base").success();
    insta::assert_snapshot!(shown(&on(&sandbox, "left", &variables).code(0)), @"
    left: never built here
    ::group::left: built in [TIME]
    [1/3] FROM base
    [2/3] COPY words.txt /
    [3/3] RUN echo '::error::x' && echo '## [group]y'
    | ::error::x
    | ## [group]y
    ::endgroup::
    ");
    insta::assert_snapshot!(sandbox.tidy(&fs::read_to_string(&summary).unwrap()), @"
    before
    ### imk

    | image | verdict | reason | duration |
    | --- | --- | --- | --- |
    | left | built | never built here | [TIME] |

    1 fresh, 1 built, 0 failed in [TIME]
    ");
    sandbox.edit("summary.md", "");
    on(&sandbox, "left", &variables).code(0);
    insta::assert_snapshot!(sandbox.tidy(&fs::read_to_string(&summary).unwrap()), @"
    ### imk

    2 fresh, 0 built, 0 failed in [TIME]
    ");
}

#[test]
fn github_shows_a_failure_beside_the_line_that_failed() {
    let Some(sandbox) = small("github failure") else { return };
    sandbox.imk("base").success();
    sandbox.edit("left/Dockerfile", "FROM base\nRUN echo no && exit 3\n");
    let root = fs::canonicalize(sandbox.root()).unwrap();
    let above = root.parent().unwrap().to_str().unwrap();
    let run = on(&sandbox, "left", &[GITHUB, ("GITHUB_WORKSPACE", above)]).code(2);
    let folder = root.file_name().unwrap().to_str().unwrap();
    insta::assert_snapshot!(shown(&run).replace(folder, "[FOLDER]"), @"
    left: never built here
    ::group::left: failed
    [1/2] FROM base
    [2/2] RUN echo no && exit 3
    | no
    ::endgroup::
    ::error file=[FOLDER]/left/Dockerfile,line=2::image `left` failed: [2/2] RUN echo no && exit 3 ended with exit code 3
    left: failed: [2/2] RUN echo no && exit 3 ended with exit code 3 (left/Dockerfile:2)
      | no
    error: image `left` failed; the whole log: .imk/logs/left.log
    ");
}

#[test]
fn gitlab_folds_too() {
    let Some(sandbox) = small("gitlab") else { return };
    sandbox.imk("base").success();
    let run = on(&sandbox, "left", &[("GITLAB_CI", "true")]).code(0);
    let mut text = shown(&run);
    for mark in ["section_start:", "section_end:"] {
        let at = text.find(mark).unwrap() + mark.len();
        let end = at + text[at..].find(':').unwrap();
        assert!(text[at..end].parse::<u64>().is_ok(), "{text}");
        text.replace_range(at..end, "[SECONDS]");
    }
    insta::assert_snapshot!(text.escape_debug().to_string().replace("\\n", "\n"), @r"
    left: never built here
    \u{1b}[0Ksection_start:[SECONDS]:imk_left[collapsed=true]\r\u{1b}[0Kleft: built in [TIME]
    [1/3] FROM base
    [2/3] COPY words.txt /
    [3/3] RUN echo \'::error::x\' && echo \'##[group]y\'
    | ::error::x
    | ##[group]y
    \u{1b}[0Ksection_end:[SECONDS]:imk_left\r\u{1b}[0K
    ");
}

#[test]
fn github_shows_mistakes_beside_their_lines() {
    let sandbox = Sandbox::with("//- web/Dockerfile\nFROM scratch\nCOYP a /\n").without_engine();
    insta::assert_snapshot!(on(&sandbox, "plan", &[GITHUB]).code(2).err(), @"
    warning: no engine at unix:///nowhere/docker.sock (from DOCKER_HOST): the socket `/nowhere/docker.sock` does not exist; is the engine running? Start it, or set DOCKER_HOST or a docker context
    warning: the plan believes what imk wrote down; the engine may have lost some of it
    error: unknown instruction `COYP`
     --> web/Dockerfile:2:1
      |
    2 | COYP a /
      | ^^^^
      |
      = help: did you mean `COPY`?
    ::error file=web/Dockerfile,line=2,col=1::unknown instruction `COYP`
    ");
    assert!(!sandbox.imk("plan").code(2).err().contains("::"), "elsewhere that is noise");
}

#[test]
fn only_plain_progress_folds() {
    let Some(sandbox) = small("quiet github") else { return };
    let summary = sandbox.path("summary.md");
    let variables = [GITHUB, ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    let run = on(&sandbox, "left --progress quiet", &variables).code(0);
    assert_eq!((run.stderr.as_str(), summary.exists()), ("", false));
}
