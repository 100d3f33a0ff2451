//! `on_publish`: commands and notices around a publication, when the user allows them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

/// A server that writes down what it hears, and answers with a status.
struct Listener {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let (mut message, mut piece) = (Vec::new(), [0; 4096]);
                loop {
                    let text = String::from_utf8_lossy(&message).into_owned();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let length = head.to_lowercase();
                        let length = length.split("content-length: ").nth(1).unwrap_or("0");
                        let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
                        if body.len() >= length {
                            break;
                        }
                    }
                    match client.read(&mut piece) {
                        Ok(count) if count > 0 => message.extend(&piece[..count]),
                        _ => break,
                    }
                }
                told.lock().unwrap().push(String::from_utf8_lossy(&message).into_owned());
                let _ = write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn parts(test: &str, on_publish: &str) -> Option<(RegistryServer, Sandbox)> {
    engine_or_skip(test)?;
    let registry = RegistryServer::open(test)?;
    let sandbox = Sandbox::with("//- web/Dockerfile\nFROM scratch\nCOPY file /web\n//- web/file\ngood\n")
        .prefixed(&registry.name("team/"));
    sandbox.edit("Imagefile.ron", &format!("(on_publish: ({on_publish}), images: {{\"web\": ()}})\n"));
    sandbox.edit("web/file", &format!("{test} {}\n", registry.host()));
    Some((registry, sandbox))
}

fn is_published(registry: &RegistryServer) -> bool {
    use imk::registry::Registry;
    registry.client().tags(&registry.at("team/web")).unwrap().iter().any(|tag| tag == "latest")
}

fn with<'a>(sandbox: &'a Sandbox, words: &str, variables: &[(&str, &str)]) -> Run<'a> {
    sandbox.run(sandbox.command("", words).envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn commands_of_a_checkout_run_when_the_user_allows_them_and_get_the_facts() {
    let lines = r#"
        before: ["echo before $IMK_RESULT $IMK_TAGS >>seen; test -e good"],
        after: ["echo after $IMK_RESULT $IMK_KIND $IMK_IMAGES >>seen; echo deployed"],
    "#;
    let Some((registry, sandbox)) = parts("occasion-commands", lines) else { return };
    let seen = || fs_err::read_to_string(sandbox.path("seen")).unwrap_or_default();
    let refused = sandbox.imk("publish").code(2);
    assert!(
        refused.err().contains(
            "the Imagefile has 2 commands and 0 notices for a publication, and nobody has allowed them"
        ),
        "{}",
        refused.err()
    );
    // Asking runs nothing, whatever is allowed.
    for words in ["publish -n --hooks", "publish --history", "plan", "check"] {
        let _ = with(&sandbox, words, &[("IMK_HOOKS", "1")]);
    }
    assert_eq!(seen(), "");
    assert!(!is_published(&registry));

    let failed = with(&sandbox, "publish", &[("IMK_HOOKS", "1")]).code(2);
    assert!(failed.err().contains("nothing was published: the command `echo before"), "{}", failed.err());
    assert!(!is_published(&registry));
    let tag = registry.name("team/web:latest");
    assert_eq!(seen(), format!("before publishing {tag}\n"));

    sandbox.edit("good", "");
    let published = sandbox.imk("publish --hooks").code(0);
    assert!(published.err().contains("  | deployed\n"), "{}", published.err());
    assert!(seen().ends_with("after published publish web\n"), "{}", seen());
    // Nothing moved, so nothing is done.
    let before = seen();
    sandbox.imk("publish --hooks").code(0);
    assert_eq!(seen(), before);

    sandbox.edit("web/file", &format!("other {}", registry.host()));
    sandbox.imk("publish --no-hooks").code(0);
    assert_eq!(seen(), before);
    sandbox.imk("rollback --hooks").code(0);
    assert!(seen().ends_with("after published rollback web\n"), "{}", seen());

    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &text.replace("echo deployed", "echo no way; exit 7"));
    sandbox.edit("web/file", &format!("third {}", registry.host()));
    let after = sandbox.imk("publish --hooks").code(2);
    for words in ["is published, and a command after it failed", "ended with status 7", "no way"] {
        assert!(after.err().contains(words), "{words}: {}", after.err());
    }
    let document = sandbox.imk("publish --history --json").code(0).out();
    assert_eq!(document.matches("\"id\"").count(), 4, "{document}");
}

#[test]
fn a_notice_that_fails_is_told_without_its_secret_and_undoes_nothing() {
    let (good, bad) = (Listener::start("200 OK"), Listener::start("500 Oh no"));
    let notify = r#"notify: {
        "team": (url: "$HOOK_URL", secrets: ["HOOK_URL"], slack: true, on: "always"),
        "deploy": (url: "$DEPLOY_URL", secrets: ["DEPLOY_URL", "DEPLOY_TOKEN"],
            headers: {"Authorization": "Bearer $DEPLOY_TOKEN"}, body: "{\"release\": \"$IMK_RELEASE\"}"),
    }"#;
    let Some((registry, sandbox)) = parts("occasion-notices", notify) else { return };
    let hook = format!("http://{}/services/s3cr3t-path", good.address);
    let deploy = format!("http://{}/other-s3cr3t", bad.address);
    let variables = [
        ("IMK_HOOKS", "1"),
        ("HOOK_URL", hook.as_str()),
        ("DEPLOY_URL", &deploy),
        ("DEPLOY_TOKEN", "t0psecret"),
    ];
    let run = with(&sandbox, "publish", &variables).code(0);
    assert!(is_published(&registry));
    assert!(run.err().contains("told `team`"), "{}", run.err());
    assert!(run.err().contains("`deploy` was not told: the server says 500"), "{}", run.err());
    let team = good.heard();
    assert!(team[0].starts_with("POST /services/s3cr3t-path "), "{team:?}");
    assert!(team[0].contains("{\"text\":\"published web with 1 tag as release "), "{team:?}");
    let deployed = bad.heard();
    assert!(deployed[0].contains("authorization: Bearer t0psecret\r\n"), "{deployed:?}");
    assert!(deployed[0].contains("{\"release\": \"20"), "{deployed:?}");

    // A server that is away, a variable that is not set, and a publication that fails.
    sandbox.edit("web/file", &format!("other {}", registry.host()));
    let away = "http://127.0.0.1:1/s3cr3t-path";
    let run = with(&sandbox, "publish", &[("IMK_HOOKS", "1"), ("HOOK_URL", away)]).code(0);
    for shown in [run.out(), run.err()] {
        assert!(!shown.contains("s3cr3t") && !shown.contains("t0psecret"), "{shown}");
    }
    assert!(run.err().contains("`deploy` was not told: the variable DEPLOY_URL is not set"), "{}", run.err());
    assert!(run.err().contains("`team` was not told: "), "{}", run.err());

    sandbox.edit("web/Dockerfile", "FROM scratch\nCOPY nothing /\n");
    with(&sandbox, "publish", &variables).code(2);
    assert_eq!((good.heard().len(), bad.heard().len()), (2, 1));
    assert!(good.heard()[1].contains("{\"text\":\"imk: "), "{:?}", good.heard());
}

#[test]
fn a_text_that_names_nothing_is_a_mistake_with_its_place() {
    let sandbox = Sandbox::with("//- web/Dockerfile\nFROM scratch\n").without_engine();
    let text = "(on_publish: (notify: {\"a\": (url: \"https://x.example/$TOKEN\", on: \"now\")}), images: {\"web\": ()})\n";
    sandbox.edit("Imagefile.ron", text);
    let run = sandbox.imk("list").code(2);
    for words in ["there is no fact `$TOKEN`", "list it in `secrets`", "`now` is no occasion"] {
        assert!(run.err().contains(words), "{words}: {}", run.err());
    }
}
