//! Layer caches of all kinds: folders, GitHub's service, and those that only a BuildKit of its own has.

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;
use fs_err as fs;
use serde_json::Value;

use crate::control::{of_api_1_53, two_stages};
use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

mod actions;
mod shim;

use actions::Actions;

/// Whether an engine said that it leaves no such caches, and which would.
fn is_refused(run: &Run<'_>) -> bool {
    let refused = run.status != 0 && run.stderr.contains("containerd image store");
    if refused {
        assert!(run.built().iter().all(|name| name == "base"), "{}", run.stderr);
    }
    refused
}

#[test]
fn steps_come_out_of_a_folder_when_the_builder_has_forgotten_them() {
    let keys = r#"cache_to: "type=local,dest=layers,mode=max", cache_from: "type=local,src=layers""#;
    let Some(sandbox) = two_stages("folder", keys) else { return };
    let run = sandbox.imk("");
    if is_refused(&run) {
        assert!(!sandbox.path("layers").exists(), "{}", run.stderr);
        return;
    }
    run.says("0 fresh, 2 built, 0 failed");
    let index: Value = serde_json::from_slice(&fs::read(sandbox.path("layers/index.json")).unwrap()).unwrap();
    let names = index["manifests"].as_array().unwrap().iter().map(|manifest| {
        manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["web", "latest"]);
    let two = sandbox.file_in("web", "/two");
    sandbox.docker(&["builder", "prune", "-af"]);
    sandbox.append("web/words.txt", "more\n");
    sandbox.imk("").says("1 fresh, 1 built, 0 failed");
    assert_eq!(sandbox.file_in("web", "/two"), two, "its layer came out of the folder");
    assert!(sandbox.file_in("web", "/words.txt").contains("more"));
    // A folder never counts, whether it is there or not; and nothing half-made stays in it.
    let entries = fs::read_dir(sandbox.path("layers")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<std::collections::BTreeSet<_>>().len(), 3);
    fs::remove_dir_all(sandbox.path("layers")).unwrap();
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    // One that is typed may be anywhere.
    let folder = sandbox.path("elsewhere").display().to_string();
    sandbox.imk(&format!("build -B web --cache-to type=local,dest={folder}")).success();
    assert!(sandbox.path("elsewhere/index.json").exists());
}

/// An image of one stage whose step writes a number nobody can guess.
fn one_stage(sandbox: &Sandbox) {
    sandbox.write_all(
        "
    //- web/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN [\"/bin/busybox\", \"cp\", \"/proc/sys/kernel/random/uuid\", \"/one\"]
    COPY words.txt /words.txt
    //- web/words.txt
    words
    ",
    );
    // No step is another test's.
    let text = fs::read_to_string(sandbox.path("web/Dockerfile")).unwrap();
    sandbox.edit("web/Dockerfile", &text.replacen('\n', &format!("\nENV OF={}\n", sandbox.prefix()), 1));
    fs::copy(crate::sandbox::busybox(), sandbox.path("web/busybox")).unwrap();
}

#[test]
fn a_layout_of_an_image_that_carries_its_cache_serves_every_engine() {
    let Some(sandbox) = engine_or_skip("layout_cache") else { return };
    one_stage(&sandbox);
    sandbox.edit(
        "Imagefile.ron",
        "(images: {\"web\": (cache_to: \"type=inline\", output: \"type=oci,tar=false,dest=layers\", \
         cache_from: \"type=local,src=layers\", tags: [\"latest\"])})\n",
    );
    sandbox.imk("").says("0 fresh, 1 built, 1 output written, 0 failed");
    let one = sandbox.file_in("web", "/one");
    sandbox.docker(&["builder", "prune", "-af"]);
    sandbox.append("web/words.txt", "more\n");
    sandbox.imk("").says("0 fresh, 1 built, 1 output written, 0 failed");
    assert_eq!(sandbox.file_in("web", "/one"), one, "its layer came out of the layout");
}

#[test]
fn a_folder_that_cannot_take_layers_is_told_before_anything_is_built() {
    let keys = r#"cache_to: "type=local,dest=base""#;
    let Some(sandbox) = two_stages("taken", keys) else { return };
    let told = |wanted: &str| {
        let run = sandbox.imk("").code(2);
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
        assert!(run.built().is_empty(), "{}", run.stderr);
    };
    told("`base` of `web` cannot be written");
    for (dest, wanted) in [
        ("/tmp/imk-somewhere", "leads out of the Imagefile's folder"),
        ("../out", "leads out of the Imagefile's folder"),
        (".git/cache", "is inside `.git`"),
        ("web/words.txt", "is no folder"),
    ] {
        sandbox.edit(
            "Imagefile.ron",
            &format!("(images: {{\"base\": (), \"web\": (cache_to: \"type=local,dest={dest}\")}})\n"),
        );
        told(wanted);
    }
    let run = sandbox.imk("build --cache-to type=local,dest=web").code(2);
    assert!(run.stderr.contains("`words.txt`") || run.stderr.contains("`Dockerfile`"), "{}", run.stderr);
}

#[test]
fn an_engine_that_lets_nobody_speak_with_its_buildkit_says_what_would() {
    let keys = r#"cache_from: "type=local,src=layers""#;
    let Some(sandbox) = two_stages("lone_cache", keys) else { return };
    let folder = tempfile::Builder::new().prefix("imk-lone-").tempdir_in("/tmp").unwrap();
    let Some((host, _)) = of_api_1_53(folder.path(), true) else { return };
    let imk = || {
        let output = sandbox.command("", "").env("DOCKER_HOST", &host).output().unwrap();
        sandbox.run(output)
    };
    // There is nothing yet: nothing has to be spoken of.
    imk().says("0 fresh, 2 built, 0 failed");
    let layers = sandbox.path("layers/blobs/sha256");
    fs::create_dir_all(&layers).unwrap();
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    fs::write(layers.join(digest), "hello").unwrap();
    sandbox.edit(
        "layers/index.json",
        &format!("{{\"manifests\": [{{\"digest\": \"sha256:{digest}\", \"annotations\": {{\"org.opencontainers.image.ref.name\": \"latest\"}}}}]}}"),
    );
    sandbox.append("web/words.txt", "more\n");
    let run = imk().code(2);
    assert!(run.stderr.contains("`cache_from` is for BuildKit itself"), "{}", run.stderr);
    assert!(run.stderr.contains("buildkit+tcp"), "{}", run.stderr);
}

#[test]
fn a_job_of_github_leaves_its_layers_and_finds_them_and_nobody_sees_its_token() {
    let service = Actions::start();
    let keys = r#"cache_to: "type=gha,scope=main,mode=max", cache_from: "type=gha,scope=main""#;
    let Some(sandbox) = two_stages("actions", keys) else { return };
    let in_job = |words: &str| {
        let mut command = sandbox.command("", words);
        command.env("ACTIONS_RUNTIME_TOKEN", service.token()).env("ACTIONS_CACHE_URL", service.url());
        sandbox.run(command.output().unwrap())
    };
    // Outside of a job there is no such cache, and nothing to be said of it.
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    assert_eq!(service.counts(), (0, 0, 0));
    let run = in_job("build -B web");
    if is_refused(&run) {
        return;
    }
    run.success();
    let (kept, _, strangers) = service.counts();
    assert!(kept > 1 && strangers == 0, "{kept} {strangers}");
    let two = sandbox.file_in("web", "/two");
    sandbox.docker(&["builder", "prune", "-af"]);
    sandbox.append("web/words.txt", "more\n");
    let run = in_job("--verbose");
    let said = format!("{}{}", run.stdout, run.stderr);
    run.says("1 fresh, 1 built, 0 failed");
    assert_eq!(sandbox.file_in("web", "/two"), two, "its layer came from the service");
    assert!(service.counts().1 > 0);
    let secret = service.token().rsplit('.').next().unwrap();
    assert!(!said.contains(secret), "{said}");
    holds_nowhere(&sandbox, secret);
}

/// No file of imk's state holds a text.
fn holds_nowhere(sandbox: &Sandbox, text: &str) {
    let mut folders = vec![sandbox.path(".imk")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!found, "{} holds it", path.display());
            }
        }
    }
}

#[test]
fn caches_that_no_docker_engine_has_reach_a_buildkit_as_docker_sends_them() {
    let Some(registry) = RegistryServer::open("shim") else { return };
    let Some(sandbox) = engine_or_skip("shim") else { return };
    one_stage(&sandbox);
    sandbox.edit(
        "Imagefile.ron",
        r#"(images: {"web": (
            cache_to: [
                "type=s3,region=here,bucket=layers,name=web;latest,use_path_style=true,mode=max",
                "type=azblob,account_url=https://team.blob.core.windows.net,container=layers,account_name=team",
                "type=gha,scope=main",
            ],
            cache_from: [
                "registry.example/web:layers",
                "type=s3,region=here,bucket=layers,name=latest",
                "type=s3,region=here,bucket=layers,endpoint_url=http://127.0.0.1:9/",
                "type=gha,scope=main,version=1",
            ],
        )})"#,
    );
    let folder = tempfile::Builder::new().prefix("imk-shim-").tempdir_in("/tmp").unwrap();
    let (socket, asked) = shim::start(folder.path(), "no, said with key-that-nobody-may-see");
    let mut command = sandbox.command("", &format!("--prefix {}/", registry.name("shim")));
    command.env("IMK_ENGINE", format!("buildkit+unix://{}", socket.display()));
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "id-of-a-key"),
        ("AWS_SECRET_ACCESS_KEY", "key-that-nobody-may-see"),
        ("AWS_SESSION_TOKEN", "token-of-a-session"),
        ("ACTIONS_RUNTIME_TOKEN", "token-of-a-job"),
        ("ACTIONS_CACHE_SERVICE_V2", "True"),
        ("ACTIONS_RESULTS_URL", "https://results.example/"),
        ("ACTIONS_CACHE_URL", "https://cache.example/"),
    ] {
        command.env(name, value);
    }
    let run = sandbox.run(command.output().unwrap()).code(2);
    assert!(run.stderr.contains("no, said with ***"), "{}", run.stderr);
    holds_nowhere(&sandbox, "key-that-nobody-may-see");
    let asked = asked.lock().unwrap();
    let cache = asked[0].cache.as_ref().unwrap();
    let shown = |entry: &CacheOptionsEntry| {
        let mut attributes: Vec<_> =
            entry.attrs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        attributes.sort();
        format!("{} {}", entry.r#type, attributes.join(" "))
    };
    let keys = "access_key_id=id-of-a-key";
    let more = "secret_access_key=key-that-nobody-may-see session_token=token-of-a-session";
    let exports: Vec<String> = cache.exports.iter().map(shown).collect();
    assert_eq!(
        exports,
        [
            format!(
                "s3 {keys} bucket=layers mode=max name=web;latest region=here {more} use_path_style=true"
            ),
            "azblob account_name=team account_url=https://team.blob.core.windows.net container=layers".into(),
            "gha scope=main token=token-of-a-job url=https://cache.example/ url_v2=https://results.example/"
                .into(),
        ]
    );
    let imports: Vec<String> = cache.imports.iter().map(shown).collect();
    assert_eq!(
        imports,
        [
            "registry ref=registry.example/web:layers".to_owned(),
            format!("s3 {keys} bucket=layers name=latest region=here {more}"),
            // The host that an Imagefile names gets no logins.
            "s3 bucket=layers endpoint_url=http://127.0.0.1:9/ region=here".into(),
            "gha scope=main token=token-of-a-job url=https://cache.example/ version=1".into(),
        ]
    );
    // The frontend goes by its own list.
    let told: Vec<Value> = serde_json::from_str(&asked[0].frontend_attrs["cache-imports"]).unwrap();
    assert_eq!(told.len(), 4);
    for (told, entry) in told.iter().zip(&cache.imports) {
        assert_eq!(told["Type"], entry.r#type.as_str());
        assert_eq!(told["Attrs"], serde_json::to_value(&entry.attrs).unwrap());
    }
}
