//! Images built on images of OCI layouts, in the repository and outside, without a daemon.

use std::path::Path;

use crate::sandbox::{Sandbox, busybox};

/// An image that is written as a layout, and images built on that.
const FILES: &str = r#"
    //- Imagefile.ron
    (
        images: {
            "os": (),
            "app": (contexts: {"acme/os": "oci-layout://vendor/os:latest"}),
        },
        default: ["app"],
    )
    //- os/Dockerfile
    FROM scratch
    COPY file /srv/file
    ENV FROM_OS=yes
    ONBUILD COPY brought /brought
    //- os/file
    1
    //- app/Dockerfile
    FROM acme/os AS own
    COPY --from=acme/os /srv/file /copied
    COPY <<EOF /env
    $FROM_OS
    EOF
    //- app/brought
    b
"#;

/// Writes the image `os` as a layout into a folder, which is made anew.
fn write_layout(sandbox: &Sandbox, into: &Path) {
    let _ = fs_err::remove_dir_all(into);
    fs_err::create_dir_all(into.parent().unwrap()).unwrap();
    sandbox.imk(&format!("os -o type=oci,tar=false,dest={}", into.display())).success();
}

fn file(sandbox: &Sandbox, image: &str, path: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    sandbox.imk(&format!("{image} -o type=local,dest={}", folder.path().display())).success();
    fs_err::read_to_string(folder.path().join(path)).unwrap()
}

#[test]
fn an_image_is_built_on_a_layout_and_again_when_that_holds_another() {
    let sandbox = Sandbox::with(FILES).embedded();
    let layout = sandbox.path("vendor/os");
    let err = sandbox.imk("plan").code(2).err();
    assert!(
        err.contains("there is no OCI layout in `vendor/os`") && err.contains("app/Dockerfile:1"),
        "{err}"
    );
    write_layout(&sandbox, &layout);
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["app"]);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    for (path, text) in [("srv/file", "1\n"), ("copied", "1\n"), ("env", "yes\n"), ("brought", "b\n")] {
        assert_eq!(file(&sandbox, "app", path), text, "{path}");
    }
    // Another image lies there.
    sandbox.edit("os/file", "2\n");
    write_layout(&sandbox, &layout);
    let why = sandbox.imk("why app").code(0).out();
    assert!(why.contains("`OCI layout` is another image now"), "{why}");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["app"]);
    assert_eq!(file(&sandbox, "app", "copied"), "2\n");
    // Where it lies does not count, and the same image is the same base, whoever wrote it.
    fs_err::rename(&layout, sandbox.path("elsewhere")).unwrap();
    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &text.replace("vendor/os:latest", "elsewhere"));
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    // What was built stands in the store, without the layout; a new build needs it no more than that.
    sandbox.edit("app/brought", "c\n");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["app"]);
}

#[test]
fn a_command_runs_on_a_layout_and_mounts_one() {
    let sandbox = Sandbox::with(
        r#"
        //- Imagefile.ron
        (images: {"os": (), "app": (contexts: {"acme/os": "oci-layout://vendor/os"})}, default: ["app"])
        //- os/Dockerfile
        FROM scratch
        COPY busybox /bin/busybox
        //- app/Dockerfile
        FROM acme/os
        RUN --mount=from=acme/os,source=/bin,target=/m ["/bin/busybox", "sh", "-c", "/bin/busybox ls /m >/listed"]
        "#,
    )
    .embedded();
    fs_err::copy(busybox(), sandbox.path("os/busybox")).unwrap();
    write_layout(&sandbox, &sandbox.path("vendor/os"));
    sandbox.imk("").success();
    assert_eq!(file(&sandbox, "app", "listed"), "busybox\n");
}

#[test]
fn a_layout_outside_is_named_by_whoever_builds_and_never_by_the_repository() {
    let sandbox = Sandbox::with(FILES).embedded();
    let outside = tempfile::tempdir().unwrap();
    let layout = outside.path().join("os");
    write_layout(&sandbox, &layout);
    let word = format!("--build-context acme/os=oci-layout://{}", layout.display());
    sandbox.imk(&format!("app {word} --progress plain")).success();
    // No path of the machine is in what is kept of the key.
    let inputs = sandbox.imk(&format!("inputs app {word}")).code(0).out();
    assert!(!inputs.contains(outside.path().to_str().unwrap()), "{inputs}");
    for path in [layout.display().to_string(), format!("../{}", outside.path().display())] {
        let text = format!(
            "(images: {{\"os\": (), \"app\": (contexts: {{\"acme/os\": \"oci-layout://{path}\"}})}})\n"
        );
        let err = sandbox.edit("Imagefile.ron", &text).imk("plan app").code(2).err();
        assert!(err.contains("leads out of the Imagefile's folder"), "{err}");
    }
    // Nor by a link that it brings.
    std::os::unix::fs::symlink(&layout, sandbox.path("linked")).unwrap();
    let text = "(images: {\"os\": (), \"app\": (contexts: {\"acme/os\": \"oci-layout://linked\"})})\n";
    let err = sandbox.edit("Imagefile.ron", text).imk("plan app").code(2).err();
    assert!(err.contains("leads out of the repository"), "{err}");
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_not_built_on() {
    let sandbox = Sandbox::with(FILES).embedded();
    let layout = sandbox.path("vendor/os");
    write_layout(&sandbox, &layout);
    fs_err::remove_dir_all(sandbox.store()).unwrap();
    let read =
        |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap() };
    let blob =
        |digest: &serde_json::Value| layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let index = read(&layout.join("index.json"));
    let manifest = read(&blob(&index["manifests"][0]["digest"]));
    let layer = blob(&manifest["layers"][0]["digest"]);
    let whole = fs_err::read(&layer).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    let longer = [whole.as_slice(), b"more"].concat();
    for (bytes, told) in [
        (other.as_slice(), "is not what its digest says"),
        (longer.as_slice(), "more bytes came than were announced"),
        (&whole[..10], "is shorter than its manifest says"),
    ] {
        fs_err::write(&layer, bytes).unwrap();
        let err = sandbox.imk("").code(2).err();
        assert!(err.contains(told), "{err}");
    }
    fs_err::remove_file(&layer).unwrap();
    // A pipe is waited for by nobody.
    std::process::Command::new("mkfifo").arg(&layer).status().unwrap();
    let err = sandbox.imk("").code(2).err();
    assert!(err.contains("imk reads files only"), "{err}");
    fs_err::remove_file(&layer).unwrap();
    fs_err::write(&layer, &whole).unwrap();
    sandbox.imk("").success();
}
