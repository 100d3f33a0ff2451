//! Layers that are larger than the memory that may be used, and a store on a disk that is too small.

use std::path::Path;
use std::process::Command;

use tar::{Builder, Header};

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, busybox};

/// Bytes of data that imk and all it calls may hold, each: threads have stacks and pieces of their own.
fn most() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    100_000_000 + 8_000_000 * cores.min(64)
}

/// Runs imk with no more memory than that.
fn within(sandbox: &Sandbox, words: &str) -> i32 {
    let limit = format!("ulimit -d {} && exec \"$@\"", most() / 1024);
    let output = sandbox.under("sh", &["-c", &limit, "sh"], words).output().unwrap();
    let run = sandbox.run(output);
    println!("{words}: {}{}", run.out(), run.err());
    run.status
}

/// A file of nothing, which takes no room.
fn sparse(path: &Path, bytes: u64) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::File::create(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_layer_larger_than_the_memory_goes_every_way() {
    let bytes = 2 * most();
    let sandbox = Sandbox::with("").embedded().without_engine();
    sparse(&sandbox.path("copy/large"), bytes);
    sandbox.edit("copy/Dockerfile", "FROM scratch\nCOPY large /\n");
    sandbox.edit("over/Dockerfile", "FROM copy\nCOPY --from=copy /large /again/\nWORKDIR /large-too\n");
    sandbox.edit("add/Dockerfile", "FROM scratch\nADD large.tar /\n");
    let mut archive = Builder::new(fs_err::File::create(sandbox.path("add/large.tar")).unwrap());
    let mut header = Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    let nothing = std::io::Read::take(std::io::repeat(0), bytes);
    archive.append_data(&mut header, "large", nothing).unwrap();
    archive.into_inner().unwrap();
    assert_eq!(within(&sandbox, ""), 0);
    for (form, least) in [
        ("type=tar,dest=out/files.tar", bytes),
        ("type=docker,dest=out/docker.tar", bytes),
        ("type=oci,compression=zstd,dest=out/oci.tar", 1),
        ("type=local,dest=out/files", 1),
    ] {
        assert_eq!(within(&sandbox, &format!("build copy -o {form}")), 0, "{form}");
        let place = sandbox.path(form.rsplit('=').next().unwrap());
        assert!(fs_err::metadata(place).unwrap().len() >= least, "{form}");
    }
    assert_eq!(fs_err::metadata(sandbox.path("out/files/large")).unwrap().len(), bytes);
}

#[test]
fn a_command_that_writes_more_than_the_memory_is_kept() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let sandbox = Sandbox::with("").embedded().without_engine();
    let blocks = 2 * most() / 1_000_000;
    sandbox.edit(
        "web/Dockerfile",
        &format!(
            "FROM scratch\nCOPY busybox /bin/busybox\n\
             RUN [\"/bin/busybox\", \"dd\", \"if=/dev/zero\", \"of=/large\", \"bs=1000000\", \"count={blocks}\"]\n\
             RUN [\"/bin/busybox\", \"cp\", \"/bin/busybox\", \"/bin/sh\"]\n"
        ),
    );
    fs_err::copy(busybox(), sandbox.path("web/busybox")).unwrap();
    assert_eq!(within(&sandbox, ""), 0);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
}

#[test]
fn a_layer_larger_than_the_memory_is_pushed_and_fetched() {
    let Some(server) = RegistryServer::open("embedded large") else { return };
    let sandbox = Sandbox::with("").embedded().without_engine().prefixed(&format!("{}/team/", server.host()));
    sparse(&sandbox.path("os/large"), 2 * most());
    sandbox.edit("os/Dockerfile", "FROM scratch\nCOPY large /\n");
    assert_eq!(within(&sandbox, "push"), 0);
    let other = Sandbox::with("").embedded().without_engine();
    other.edit(
        "web/Dockerfile",
        &format!("FROM {}/team/os\nCOPY --from={0}/team/os /large /again\n", server.host()),
    );
    assert_eq!(within(&other, ""), 0);
}

#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_written() {
    let sandbox = Sandbox::with("").embedded().without_engine();
    let store = sandbox.store();
    fs_err::create_dir_all(&store).unwrap();
    let small = format!("mount -t tmpfs -o size=8m none '{}'", store.display());
    let tried = Command::new("unshare").args(["-m", "sh", "-c", &small]).status();
    if !tried.is_ok_and(|status| status.success()) {
        return;
    }
    sparse(&sandbox.path("web/large"), 20_000_000);
    sandbox.edit("web/Dockerfile", "FROM scratch\nCOPY large /\n");
    let script = format!(
        "{small} && {{ \"$@\"; status=$?; find '{0}/drafts' '{0}/blobs' -type f | sed s/^/left:/ >&2; exit $status; }}",
        store.display()
    );
    let output = sandbox.under("unshare", &["-m", "sh", "-c", &script, "sh"], "").output().unwrap();
    let run = sandbox.run(output).code(2);
    let told = run.err();
    assert!(told.contains("it takes 20 MB") && told.contains("MB left; `imk gc` lets go"), "{told}");
    assert!(!told.contains("left:"), "{told}");
}
