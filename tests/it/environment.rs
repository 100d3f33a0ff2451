//! Outward effects of the environment: what docker's own client would hand to a build, imk hands to it too.

use fs_err as fs;

use crate::sandbox::{Run, Sandbox, engine_or_skip};

/// A base with a shell, and `app` with this Dockerfile on it.
fn with_app(test: &str, dockerfile: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        r#"
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
"#,
    );
    sandbox.edit("app/Dockerfile", dockerfile);
    sandbox.place_busybox();
    Some(sandbox)
}

fn with<'a>(sandbox: &'a Sandbox, words: &str, variables: &[(&str, &str)]) -> Run<'a> {
    let mut command = sandbox.command("", words);
    command.env_remove("SOURCE_DATE_EPOCH").envs(variables.iter().copied());
    sandbox.run(command.output().unwrap()).code(0)
}

#[test]
fn source_date_epoch_reaches_a_step_that_declares_it_and_counts_there_alone() {
    let dockerfile = "FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo \"epoch $SOURCE_DATE_EPOCH\" > /epoch\n";
    let Some(sandbox) = with_app("epoch", dockerfile) else { return };
    let at = |seconds| [("SOURCE_DATE_EPOCH", seconds)];
    with(&sandbox, "", &at("1234567890")).says("0 fresh, 2 built, 0 failed");
    assert_eq!(sandbox.file_in("app", "/epoch").trim(), "epoch 1234567890");
    with(&sandbox, "", &at("1234567890")).says("2 fresh, 0 built, 0 failed");
    let plan = with(&sandbox, "plan", &at("5")).out();
    assert!(plan.contains("app: stale, argument `SOURCE_DATE_EPOCH` changed"), "{plan}");
    with(&sandbox, "", &at("5")).says("1 fresh, 1 built, 0 failed");
    assert_eq!(sandbox.file_in("app", "/epoch").trim(), "epoch 5");
    // One that is given for the build wins, as with docker, and steers the builder of all images.
    with(&sandbox, "--build-arg SOURCE_DATE_EPOCH=7", &at("5")).says("0 fresh, 2 built, 0 failed");
    assert_eq!(sandbox.file_in("app", "/epoch").trim(), "epoch 7");
    // To a Dockerfile that does not name it, it is nothing.
    sandbox.edit("app/Dockerfile", "FROM base\nRUN echo none > /epoch\n");
    with(&sandbox, "", &at("5")).says("0 fresh, 1 built, 1 retagged, 0 failed");
    with(&sandbox, "", &at("6")).says("2 fresh, 0 built, 0 failed");
}

#[test]
fn proxies_of_dockers_configuration_reach_every_step_and_never_count() {
    let dockerfile = "FROM base\nRUN echo \"$HTTP_PROXY $http_proxy $no_proxy\" > /proxies\n";
    let Some(sandbox) = with_app("proxies", dockerfile) else { return };
    let folder = tempfile::tempdir().unwrap();
    let configured = |proxy: &str| {
        let config = format!(r#"{{"proxies": {{"default": {{"httpProxy": "{proxy}", "noProxy": "a,b"}}}}}}"#);
        fs::write(folder.path().join("config.json"), config).unwrap();
    };
    let docker = [("DOCKER_CONFIG", folder.path().to_str().unwrap())];
    configured("http://user:hush@proxy.invalid:3128");
    let run = with(&sandbox, "--progress plain", &docker);
    assert!(!run.stderr.contains("hush"), "{}", run.stderr);
    run.says("0 fresh, 2 built, 0 failed");
    let proxy = "http://user:hush@proxy.invalid:3128";
    assert_eq!(sandbox.file_in("app", "/proxies").trim(), format!("{proxy} {proxy} a,b"));
    configured("http://other.invalid:1");
    with(&sandbox, "", &docker).says("2 fresh, 0 built, 0 failed");
    // One that is given for the build wins.
    with(&sandbox, "-B app --no-cache --build-arg HTTP_PROXY=http://typed.invalid", &docker).code(0);
    assert!(sandbox.file_in("app", "/proxies").starts_with("http://typed.invalid http://typed.invalid "));
}
