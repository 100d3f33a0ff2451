//! Habits of make's and docker's users: what they type works, or the message says imk's way.

use crate::sandbox::Sandbox;

fn repository() -> Sandbox {
    Sandbox::with(
        r#"
    //- Imagefile.ron
    (vars: {"VERSION": "1"}, images: {
        "api": (context: "api", args: {"V": "{VERSION}"}),
        "web": (context: "web"),
        "odd": (context: "api", dockerfile: "api/Dockerfile.odd"),
    })
    //- api/Dockerfile
    FROM scratch
    ARG V
    COPY Dockerfile /
    //- api/Dockerfile.odd
    FROM scratch
    //- web/Dockerfile
    FROM api
"#,
    )
    .without_engine()
}

/// The images of a plan that these words make.
#[track_caller]
fn planned(sandbox: &Sandbox, words: &str) -> String {
    let run = sandbox.imk(words);
    assert_eq!(run.status, 0, "imk {words}: {}", run.stderr);
    let lines = run.stdout.lines().filter_map(|line| Some(line.split_once(": ")?.0));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn words_of_make_and_docker_plan_what_they_mean_there() {
    let sandbox = repository();
    for (words, images) in [
        ("-n", "api odd web"),
        ("-n -j", "api odd web"),
        ("-nk -j 4", "api odd web"),
        ("build -n .", "api odd web"),
        ("-n ./api", "api odd"),
        ("-n ./web", "api web"),
        ("-n api/", "api odd"),
        ("-n -f api/Dockerfile", "api"),
        ("build -n -f api/Dockerfile.odd", "odd"),
        ("-n web VERSION=2", "api web"),
        ("build -n --pull=false --no-cache=false api", "api"),
        ("status api", "api"),
        ("-C api -n .", "api odd"),
    ] {
        assert_eq!(planned(&sandbox, words), images, "imk {words}");
    }
    // A variable that is typed counts, and one that nobody declares is a mistake.
    let inputs = sandbox.imk("inputs api VERSION=2").code(0).stdout;
    assert!(inputs.contains("2"), "{inputs}");
    for words in ["-n VERSION=2", "plan --var VERSION=2"] {
        let without = Sandbox::with("//- Dockerfile\nFROM scratch\n").without_engine();
        let run = without.imk(words).code(2);
        assert!(run.stderr.contains("there is no Imagefile to declare one"), "{}", run.stderr);
    }
    let run = sandbox.imk("-n VERSOIN=2").code(2);
    assert!(run.stderr.contains("VERSOIN") && run.stderr.contains("did you mean"), "{}", run.stderr);
}

#[test]
fn what_imk_does_otherwise_is_told_with_its_way() {
    let sandbox = repository();
    for (words, way) in [
        ("build -t me/api:1 .", "`tags: [\"1.2\"]` of an image there; `imk push -t` gives one for once"),
        ("build --tag=api .", "`imk push -t` gives one for once"),
        ("build --label a=b .", "`labels: {\"NAME\": \"VALUE\"}` of an image"),
        ("build --secret id=t,env=T .", "`secrets: {\"ID\": Env(\"VARIABLE\")}`"),
        ("-W api/Dockerfile -n", "`imk what-if FILE`"),
        ("all", "`imk` alone builds everything"),
        ("ps", "`imk list` images"),
        ("login", "`docker login` keeps the login that imk uses too"),
        ("ap", "did you mean `api`?"),
        ("./nothing", "`imk list` shows all of them"),
    ] {
        let run = sandbox.imk(words).code(2);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(way), "imk {words}: {}", run.stderr);
        assert_eq!(run.stdout, "", "imk {words}");
    }
}

#[test]
fn a_path_for_an_engine_is_its_socket() {
    let sandbox =
        Sandbox::with("//- a/Dockerfile\nFROM scratch\nCOPY Dockerfile /\n").on("/nowhere/docker.sock");
    let run = sandbox.imk("plan").code(0);
    assert!(run.stderr.contains("no engine at unix:///nowhere/docker.sock"), "{}", run.stderr);
}
