//! `imk ci`: check, build, test and publish as rules allow, and the examples for forges, by running their commands.

use std::collections::BTreeMap;
use std::process::Command;

use fs_err as fs;
use granit_parser::{Event, Parser};

use crate::history::History;
use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

const FILES: &str = r#"
    //- Imagefile.ron
    (
        defaults: (publish: [When(branch: "main"), When(git_tag: "v*")]),
        images: {
            "base": (tests: {"content": (steps: [File(path: "/base", content: "^good")])}),
            "web": (tags: ["latest", "{git.branch}"], tests: {"content": (steps: [File(path: "/web", content: "^good")])}),
        },
    )
    //- base/Dockerfile
    FROM scratch
    COPY file /base
    //- base/file
    good
    //- web/Dockerfile
    FROM base
    COPY file /web
    //- web/file
    good
    //- .gitignore
    .imk/
    imk-*
    test-results/
    "#;

struct Parts {
    registry: RegistryServer,
    history: History,
}

fn parts(test: &str) -> Option<Parts> {
    engine_or_skip(test)?;
    let registry = RegistryServer::open(test)?;
    let sandbox = Sandbox::with(FILES).prefixed(&registry.name("team/"));
    sandbox.edit("base/file", &format!("good {test} {}\n", registry.host()));
    Some(Parts { registry, history: History::of(sandbox) })
}

impl Parts {
    fn tags(&self, image: &str) -> Vec<String> {
        use imk::registry::Registry;
        let tags = self.registry.client().tags(&self.registry.at(&format!("team/{image}"))).unwrap();
        tags.into_iter().filter(|tag| !tag.starts_with("imk-") && !tag.starts_with("sha256-")).collect()
    }

    fn on(&self, words: &str, variables: &[(&str, &str)]) -> Run<'_> {
        let sandbox = &self.history.sandbox;
        let mut command = sandbox.command("", words);
        sandbox.run(command.envs(variables.iter().copied()).output().unwrap())
    }

    fn report(&self) -> serde_json::Value {
        let text = fs::read_to_string(self.history.sandbox.path("imk-report.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn head(&self) -> String {
        self.history.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }
}

const REPORT: &str = "ci --report imk-report.json --junit imk-junit.xml";

#[test]
fn a_pipeline_publishes_on_main_and_never_for_a_pull_request() {
    let Some(parts) = parts("pipeline") else { return };
    // A fork's branch may be called as it likes, and be checked out under that name.
    for variables in [
        [("GITHUB_EVENT_NAME", "pull_request_target"), ("GITHUB_HEAD_REF", "main")],
        [("CI_MERGE_REQUEST_IID", "7"), ("CI_COMMIT_BRANCH", "main")],
        [("CIRCLE_PR_NUMBER", "7"), ("CIRCLE_BRANCH", "main")],
        [("CHANGE_ID", "7"), ("BRANCH_NAME", "main")],
        [("IMK_PULL_REQUEST", "yes"), ("BRANCH_NAME", "main")],
    ] {
        let run = parts.on(REPORT, &variables).code(0);
        assert!(run.err().contains("nothing is published: this is a pull request's build"), "{}", run.err());
        let report = parts.report();
        assert_eq!((&report["result"], &report["pull_request"]), (&"passed".into(), &true.into()));
        assert_eq!(parts.tags("web"), Vec::<String>::new());
    }
    parts.history.git(&["checkout", "-q", "-b", "dev"]);
    let dev = parts.on(REPORT, &[]).code(0);
    assert!(
        dev.err().contains("web: not published from here: only branch main or git tag v*"),
        "{}",
        dev.err()
    );
    assert_eq!(parts.tags("web"), Vec::<String>::new());

    parts.history.git(&["checkout", "-q", "main"]);
    assert!(parts.on("ci --no-publish", &[]).code(0).err().contains("nothing is published: --no-publish"));
    assert_eq!(parts.tags("web"), Vec::<String>::new());
    let main = parts.on(REPORT, &[]).code(0);
    assert!(
        main.out().contains("\npassed: 0 built, 2 of 2 tests passed, 3 tags moved by release "),
        "{}",
        main.out()
    );
    assert_eq!(parts.tags("web"), ["latest", "main"]);
    let report = parts.report();
    assert_eq!(report["commit"], parts.head());
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    assert_eq!(report["tests"][0]["verdict"], "receipt");
    assert_eq!(report["publish"]["tags"].as_array().unwrap().len(), 3);
    assert!(report["publish"]["release"].is_string() && report["publish"]["why_not"].is_null());
    let again = parts.on("ci", &[]).code(0);
    assert!(again.out().contains("every tag stood right"), "{}", again.out());
}

#[test]
fn a_failed_test_and_a_failed_build_are_in_every_report_and_publish_nothing() {
    let Some(parts) = parts("pipeline-fails") else { return };
    parts.history.sandbox.edit("web/file", "bad\n").edit("summary.md", "");
    parts.history.commit("bad");
    let summary = parts.history.sandbox.path("summary.md");
    let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    let failed = parts.on(REPORT, &github).code(2);
    let err = failed.err();
    for line in [
        "::group::check\n",
        "::group::test\n",
        "::error::test content of image web failed: step 1, File `/web`:",
    ] {
        assert!(err.contains(line), "{line}: {err}");
    }
    assert_eq!(err.matches("::group::").count(), err.matches("::endgroup::").count(), "{err}");
    let report = parts.report();
    assert_eq!((&report["result"], &report["ci"]), (&"failed".into(), &"github".into()));
    assert_eq!(report["tests"][1]["verdict"], "failed");
    assert!(report["errors"][0].as_str().unwrap().contains("`web` content did not pass"));
    let junit = fs::read_to_string(parts.history.sandbox.path("imk-junit.xml")).unwrap();
    assert!(junit.contains("<testsuite name=\"web\" tests=\"1\" failures=\"1\""), "{junit}");
    assert!(junit.contains("<testsuite name=\"imk build\" tests=\"2\" failures=\"0\""), "{junit}");
    let page = fs::read_to_string(&summary).unwrap();
    assert!(page.contains("| web | content | **failed** |"), "{page}");
    assert_eq!(parts.tags("web"), Vec::<String>::new());

    parts.history.sandbox.edit("web/Dockerfile", "FROM base\nCOPY nothing /\n");
    let broken = parts.on(REPORT, &[]).code(2);
    assert!(broken.out().contains("\nfailed: ") || broken.out().starts_with("failed: "), "{}", broken.out());
    assert_eq!(parts.report()["result"], "failed");
    assert_eq!(parts.tags("base"), Vec::<String>::new());
}

#[test]
fn gitlab_gets_sections() {
    let Some(parts) = parts("pipeline-gitlab") else { return };
    let err = parts.on("ci --no-publish", &[("GITLAB_CI", "true")]).code(0).err();
    for name in ["imk_check", "imk_test"] {
        assert!(err.contains(&format!(":{name}\r")), "{err:?}");
    }
    assert_eq!(err.matches("section_start:").count(), err.matches("section_end:").count());
}

#[test]
fn an_image_that_declares_nothing_is_not_published_by_a_pipeline() {
    let Some(parts) = parts("pipeline-undeclared") else { return };
    parts
        .history
        .sandbox
        .edit("Imagefile.ron", "(images: {\"base\": (), \"web\": (publish: [When(branch: \"main\")])})\n");
    parts.history.commit("declared");
    parts.on("ci", &[]).code(0);
    assert_eq!((parts.tags("base"), parts.tags("web")), (vec![], vec!["latest".to_owned()]));
    // What would be published must be as the commit has it.
    parts.history.sandbox.edit("web/file", "dirty\n");
    let dirty = parts.on("ci", &[]).code(2);
    assert!(dirty.err().contains("`web` is not as the commit has it"), "{}", dirty.err());
}

/// A system's variables for a build of `main`, and where its example leaves the JUnit report.
type System = (Vec<(&'static str, &'static str)>, &'static str);

/// The commands of an example: the texts of all `run` and `script` keys, in their order.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let (mut key, mut script) = (String::new(), 0);
    for event in Parser::new_from_str(text) {
        match event.unwrap().0 {
            Event::Scalar(value, ..) if script > 0 => commands.push(value.into_owned()),
            Event::Scalar(value, ..) if key == "run" => {
                commands.push(value.into_owned());
                key.clear();
            }
            Event::Scalar(value, ..) => key = value.into_owned(),
            Event::SequenceStart(..) if key == "script" => script = 1,
            Event::SequenceEnd => (script, key) = (0, String::new()),
            _ => {}
        }
    }
    commands
}

#[test]
fn the_examples_for_forges_do_what_they_say() {
    let folder = format!("{}/docs/ci", env!("CARGO_MANIFEST_DIR"));
    let Some(parts) = parts("pipeline-examples") else { return };
    let sandbox = &parts.history.sandbox;
    let head = parts.head();
    let imk = std::path::Path::new(env!("CARGO_BIN_EXE_imk")).parent().unwrap();
    let path = format!("{}:{}", imk.display(), std::env::var("PATH").unwrap());
    let sha = ["GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1"].map(|name| (name, head.as_str()));
    let systems: BTreeMap<&str, System> = BTreeMap::from([
        (
            "github.yml",
            (
                vec![("GITHUB_ACTIONS", "true"), ("GITHUB_REF_TYPE", "branch"), ("GITHUB_REF_NAME", "main")],
                "imk-junit.xml",
            ),
        ),
        (
            "gitlab.yml",
            (
                vec![("GITLAB_CI", "true"), ("CI_COMMIT_BRANCH", "main"), ("CI_PIPELINE_SOURCE", "push")],
                "imk-junit.xml",
            ),
        ),
        ("circleci.yml", (vec![("CIRCLECI", "true"), ("CIRCLE_BRANCH", "main")], "test-results/imk.xml")),
    ]);
    // As forges check out: a commit, and no branch.
    parts.history.git(&["checkout", "-q", "--detach"]);
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap();
        let name = file.file_name().into_string().unwrap();
        let (variables, junit) = &systems[name.as_str()];
        let commands = commands(&fs::read_to_string(file.path()).unwrap());
        assert_eq!(commands.len(), 1, "{name} has one line of real work: {commands:?}");
        let mut command = Command::new("bash");
        let ready = sandbox.command("", "");
        let prepared = ready.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.args(["-e", "-o", "pipefail", "-c", &commands.join("\n")]).current_dir(sandbox.root());
        command.envs(prepared).envs(sha).envs(variables.iter().copied()).env("PATH", &path);
        let run = sandbox.run(command.output().unwrap());
        assert_eq!(run.status, 0, "{name}: {}{}", run.stdout, run.stderr);
        assert_eq!(parts.tags("web"), ["latest", "main"], "{name}: {}", run.stderr);
        assert!(sandbox.path(junit).exists() && parts.report()["result"] == "passed", "{name}");
        seen += 1;
    }
    assert_eq!(seen, systems.len());
}
