//! Names for several platforms, with a real engine and a real registry.

use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};

const FILES: &str = "
    //- Imagefile.ron
    (defaults: (platforms: [\"linux/amd64\", \"linux/arm64\"]), images: {\"base\": (), \"web\": (tags: [\"1\", \"latest\"])})
    //- base/Dockerfile
    FROM scratch
    ARG TARGETARCH
    COPY $TARGETARCH /arch
    COPY mark /mark
    //- base/mark
    mark
    //- base/amd64
    amd64
    //- base/arm64
    arm64
    //- web/Dockerfile
    FROM base
    COPY file /web
    //- web/file
    web
    ";

fn parts(test: &str) -> Option<(RegistryServer, Sandbox)> {
    engine_or_skip(test)?;
    let registry = RegistryServer::open(test)?;
    let sandbox = repository(&registry, test);
    Some((registry, sandbox))
}

/// A repository whose images are unlike any other test's: what one test removes, another must not have.
fn repository(registry: &RegistryServer, test: &str) -> Sandbox {
    let sandbox = Sandbox::with(FILES).prefixed(&registry.name("team/"));
    for file in ["base/mark", "web/file"] {
        sandbox.edit(file, &format!("{test} {}\n", registry.host()));
    }
    sandbox
}

/// The manifest of a name as another program reads it.
fn raw(registry: &RegistryServer, name: &str) -> Value {
    let from = format!("docker://{}", registry.name(name));
    serde_json::from_str(&registry.skopeo(&["inspect", "--raw", "--tls-verify=false", &from])).unwrap()
}

#[test]
fn an_index_is_published_that_other_programs_can_use() {
    let Some((registry, sandbox)) = parts("platforms-index") else { return };
    sandbox.imk("push web").says("0 fresh, 4 built, 4 published (2 tags moved), 0 failed");
    let index = raw(&registry, "team/web:1");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json", "{index}");
    let platforms: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|it| &it["platform"]).collect();
    assert_eq!(platforms.len(), 2);
    for (platform, architecture) in platforms.iter().zip(["amd64", "arm64"]) {
        assert_eq!((&platform["os"], &platform["architecture"]), (&"linux".into(), &architecture.into()));
        // A machine of that platform gets its own image, with its own files.
        let folder = tempfile::tempdir().unwrap();
        let to = format!("dir:{}", folder.path().display());
        let from = format!("docker://{}", registry.name("team/web:latest"));
        registry.skopeo(&[
            "--override-arch",
            architecture,
            "copy",
            "-q",
            "--src-tls-verify=false",
            &from,
            &to,
        ]);
        let manifest: Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join("manifest.json")).unwrap()).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let config: Value =
            serde_json::from_str(&fs::read_to_string(folder.path().join(config)).unwrap()).unwrap();
        assert_eq!(config["architecture"], architecture);
        let layer =
            manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let arch =
            Command::new("tar").arg("-xzOf").arg(folder.path().join(layer)).arg("arch").output().unwrap();
        assert_eq!(String::from_utf8(arch.stdout).unwrap().trim(), architecture);
    }
    sandbox.imk("push web").says("4 fresh, 0 built, 4 published (0 tags moved), 0 failed");
    // One platform alone, and then another state of both.
    sandbox.append("web/file", "more\n");
    let before = raw(&registry, "team/web:1");
    let run = sandbox.imk("push web@arm64");
    let err = run.err();
    run.success();
    assert!(err.contains("the index of `web` waits for `web@linux/amd64`"), "{err}");
    assert_eq!(raw(&registry, "team/web:1"), before);
    sandbox.imk("push web").success();
    assert_ne!(raw(&registry, "team/web:1"), before);
}

#[test]
fn each_platform_has_a_name_on_the_engine_and_the_engines_own_is_fetched() {
    let Some((registry, sandbox)) = parts("platforms-engine") else { return };
    sandbox.imk("push").success();
    let architecture = |tag: &str| {
        let name = format!("{}web:{tag}", sandbox.prefix());
        sandbox.docker(&["image", "inspect", "--format", "{{.Architecture}}", &name])
    };
    let own = sandbox.docker(&["version", "--format", "{{.Server.Arch}}"]);
    let other = if own == "amd64" { "arm64" } else { "amd64" };
    assert_eq!(architecture("1"), own);
    assert_eq!(architecture(&format!("1-linux-{other}")), other);
    sandbox.imk("check").success();
    let listed = sandbox.imk("list --json").out();
    assert!(listed.contains("\"platform\": \"linux/arm64\""), "{listed}");
    // A machine that has nothing fetches its own platform and no other.
    let second = repository(&registry, "platforms-engine");
    let tags = |name: &str| sandbox.docker(&["image", "ls", "-q", &format!("{}{name}", sandbox.prefix())]);
    for name in ["web:1", "web:latest"] {
        sandbox.docker(&["rmi", &format!("{}{name}", sandbox.prefix())]);
    }
    assert_eq!(tags("web:1"), "");
    second.imk("pull web").success();
    assert_ne!(tags("web:1"), "");
    assert_eq!(architecture("1"), own);
}

#[test]
fn a_command_that_the_machine_cannot_run_is_told_with_its_remedy() {
    let Some(sandbox) = engine_or_skip("platforms-foreign") else { return };
    // No program of this machine: a header of one for a processor that nobody has.
    let mut program = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xf3, 0xfe];
    program.resize(64, 0);
    sandbox.write_all(
        "
        //- Imagefile.ron
        (images: {\"app\": (platforms: [\"linux/riscv64\", \"linux/s390x\"])})
        //- app/Dockerfile
        FROM scratch
        COPY --chmod=755 sh /bin/sh
        RUN hello
        ",
    );
    fs::write(sandbox.path("app/sh"), program).unwrap();
    let err = sandbox.imk("build app@riscv64").code(2).err();
    assert!(err.contains("commands for linux/riscv64 are emulated on linux/"), "{err}");
    assert!(err.contains("runs no linux/riscv64 program"), "{err}");
}
