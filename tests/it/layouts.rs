//! Images built on images of OCI layouts, by engines.

use std::path::Path;

use crate::sandbox::{Sandbox, engine_or_skip};

/// An image that is written as a layout, and images built on that.
fn repository(test: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        "
    //- os/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    COPY file /srv/file
    ENV FROM_OS=yes
    //- os/file
    1
    //- app/Dockerfile
    FROM acme/os AS own
    COPY more /more
    RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox echo $FROM_OS > /said\"]
    //- app/more
    m
    //- web/Dockerfile
    FROM scratch
    COPY --from=acme/os /srv/file /copied
        ",
    );
    let layout = r#"contexts: {"acme/os": "oci-layout://vendor/os:latest"}"#;
    // No other test has the same image.
    sandbox.append("os/Dockerfile", &format!("ENV OF={}\n", sandbox.prefix()));
    sandbox.edit(
        "Imagefile.ron",
        &format!("(images: {{\"os\": (), \"app\": ({layout}), \"web\": ({layout})}}, default: [\"app\", \"web\"])\n"),
    );
    fs_err::copy(crate::sandbox::busybox(), sandbox.path("os/busybox")).unwrap();
    write_layout(&sandbox, "os", "");
    Some(sandbox)
}

/// Writes an image as a layout into `vendor/os`, which is made anew.
fn write_layout(sandbox: &Sandbox, image: &str, packing: &str) {
    let into = sandbox.path("vendor/os");
    let _ = fs_err::remove_dir_all(&into);
    fs_err::create_dir_all(into.parent().unwrap()).unwrap();
    sandbox.imk(&format!("{image} -o type=oci,tar=false,dest={}{packing}", into.display())).success();
}

/// What an engine has under names that are imk's own for a moment.
fn own_names(sandbox: &Sandbox) -> String {
    sandbox.docker(&["images", "-q", "--filter", "reference=imk.invalid/layout"])
}

#[test]
fn an_image_is_built_on_a_layout_and_again_when_that_holds_another() {
    let Some(sandbox) = repository("layouts") else { return };
    let run = sandbox.imk("--verbose");
    // A step says the name that the Dockerfile has.
    assert!(!run.stderr.contains("imk.invalid"), "{}", run.stderr);
    run.says("0 fresh, 2 built, 0 failed");
    assert_eq!(sandbox.file_in("app", "/said"), "yes\n");
    assert_eq!(sandbox.file_in("app", "/srv/file"), "1\n");
    assert_eq!(sandbox.file_in("web", "/copied"), "1\n");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    assert_eq!(own_names(&sandbox), "");
    // Another image lies there, packed in another way.
    sandbox.edit("os/file", "2\n");
    write_layout(&sandbox, "os", ",compression=zstd");
    let why = sandbox.imk("why web").code(0).out();
    assert!(why.contains("another image now"), "{why}");
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    assert_eq!(sandbox.file_in("app", "/srv/file"), "2\n");
    assert_eq!(sandbox.file_in("web", "/copied"), "2\n");
    assert_eq!(own_names(&sandbox), "");
    // A step that fails on it is told as any other, and leaves nothing behind.
    sandbox.append("app/Dockerfile", "RUN [\"/bin/busybox\", \"false\"]\n");
    let run = sandbox.imk("app").code(2);
    assert!(run.stderr.contains("app/Dockerfile:4") && !run.stderr.contains("imk.invalid"), "{}", run.stderr);
    assert_eq!(own_names(&sandbox), "");
}

#[test]
fn a_layout_that_lies_is_refused_and_nothing_is_built_on_it() {
    let Some(sandbox) = repository("lying_layout") else { return };
    // What the engine has by its digest it does not read again.
    sandbox.docker(&["image", "rm", &format!("{}os", sandbox.prefix())]);
    sandbox.docker(&["builder", "prune", "-af"]);
    let largest = largest(&sandbox.path("vendor/os/blobs/sha256"));
    let mut bytes = fs_err::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&largest, bytes).unwrap();
    let run = sandbox.imk("");
    if run.status == 0 {
        // The containerd store still has the layer by its digest, and takes nothing of the folder.
        assert_eq!(sandbox.file_in("web", "/copied"), "1\n");
        return;
    }
    assert!(run.stderr.contains("sha256"), "{}", run.stderr);
    assert_eq!(own_names(&sandbox), "");
    fs_err::remove_file(&largest).unwrap();
    sandbox.imk("").code(2);
}

/// The largest file of a folder.
fn largest(folder: &Path) -> std::path::PathBuf {
    let files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.max_by_key(|path| fs_err::metadata(path).unwrap().len()).unwrap()
}
