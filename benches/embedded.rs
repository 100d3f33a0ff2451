//! imk's own builder beside BuildKit (`docker build`) and buildah: assembling, an edit, a command, an export, memory.
//!
//! ```text
//! ci/engine run cargo bench --bench embedded              # 100 images of 1,000 files; all that is installed
//! ci/engine run cargo bench --bench embedded -- IMAGES    # so many images
//! ```
//!
//! Every builder starts from nothing, with its own store in a temporary folder, and gets the same contexts. An edit
//! writes one file of one image. A command is `RUN true` over a base of 200 MB that is unpacked already, against the
//! same image with a label in its place, so that what is left is the command; beside it stands fork and exec of `true`.
//! Goals: 0.2 of BuildKit's time and 0.1 of buildah's, 150 ms for an edit, 50 ms for a command, 80 % of what two
//! processors can compress, and as much memory for a layer of 1 GB as for one of 64 MB.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::round::{is_installed, peak_memory, run};
use fs_err as fs;

const IMK: &str = env!("CARGO_BIN_EXE_imk");

fn main() {
    let images = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(100);
    assemble(images);
    command();
    large();
}

/// Seconds of something.
fn seconds(what: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    what();
    begin.elapsed().as_secs_f64()
}

fn imk(root: &Path) -> Command {
    let mut command = Command::new(IMK);
    command.current_dir(root).env("IMK_ENGINE", "embedded").env("IMK_STORE", root.join("store"));
    command
}

fn assemble(images: usize) {
    let root = tempfile::tempdir().expect("there is a place for temporary files");
    let contexts: Vec<_> =
        (0..images).map(|image| root.path().join("work").join(format!("i{image}"))).collect();
    for (image, context) in contexts.iter().enumerate() {
        for file in 0..1000 {
            let folder = context.join(format!("d{}", file / 50));
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(format!("f{file}")), format!("{image} {file}\n").repeat(20))
                .expect("a file");
        }
        fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY . /\nENV A=1\n").expect("a Dockerfile");
    }
    let work = root.path().join("work");
    let ours = seconds(|| run(&mut imk(&work)));
    println!("\nassembling {images} images of 1,000 files");
    println!("  {:<28} {:>9.2} s", "imk", ours);
    let told = |name: &str, theirs: f64| {
        println!("  {name:<28} {theirs:>9.2} s   imk takes {:.3} of it", ours / theirs);
    };
    // The first client may know no BuildKit without a plugin; Debian's does.
    let docker = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
    if is_installed(docker) {
        let tag = |image: usize| format!("imk-bench-embedded:i{image}");
        let theirs = seconds(|| {
            for (image, context) in contexts.iter().enumerate() {
                let mut build = Command::new(docker);
                run(build.env("DOCKER_BUILDKIT", "1").args(["build", "-q", "-t", &tag(image)]).arg(context));
            }
        });
        told("docker build (BuildKit)", theirs);
        let _ = Command::new(docker).args(["rmi", "-f"]).args((0..images).map(tag)).output();
    }
    if is_installed("buildah") {
        let store = root.path().join("buildah");
        let theirs = seconds(|| {
            for context in &contexts {
                let mut build = Command::new("buildah");
                build.arg("--root").arg(store.join("root")).arg("--runroot").arg(store.join("run"));
                run(build.args(["bud", "-q", "--isolation", "chroot"]).arg(context));
            }
        });
        told("buildah bud", theirs);
        let _ = Command::new("umount").arg("-R").arg(store.join("root/overlay")).output();
    }
    let mut edits: Vec<f64> = (0..7)
        .map(|round| {
            fs::write(contexts[0].join("d1/f50"), format!("edit {round}\n")).expect("a file");
            seconds(|| run(&mut imk(&work)))
        })
        .collect();
    edits.sort_by(f64::total_cmp);
    let nothing = seconds(|| run(&mut imk(&work)));
    println!(
        "  {:<28} {:>9.1} ms, nothing to do {:.1} ms",
        "imk, one file edited",
        edits[3] * 1e3,
        nothing * 1e3
    );
}

fn command() {
    let root = tempfile::tempdir().expect("there is a place for temporary files");
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
    let Some(busybox) = busybox else { return println!("\nno busybox: no command was timed") };
    fs::create_dir(root.path().join("base")).expect("a folder");
    fs::copy(busybox, root.path().join("base/true")).expect("a program");
    for file in 0..200 {
        fs::write(root.path().join(format!("base/f{file}")), noise(file, 1 << 20)).expect("a file");
    }
    let text = "FROM scratch\nCOPY . /bin/\n";
    let build = |last: &str| {
        fs::write(root.path().join("base/Dockerfile"), format!("{text}{last}\n")).expect("a Dockerfile");
        fs::write(root.path().join("base/.dockerignore"), "Dockerfile\n").expect("a file");
        seconds(|| run(&mut imk(root.path())))
    };
    build("RUN [\"/bin/true\"]");
    let (mut more, mut bare) = (Vec::new(), Vec::new());
    for round in 0..15 {
        let label = build(&format!("LABEL round={round}"));
        more.push(build(&format!("ENV ROUND={round}\nRUN [\"/bin/true\"]")) - label);
        bare.push(seconds(|| run(Command::new(busybox).arg("true"))));
    }
    for times in [&mut more, &mut bare] {
        times.sort_by(f64::total_cmp);
    }
    println!("\nRUN true over an unpacked base of 200 MB (medians of 15)");
    println!("  {:<28} {:>9.1} ms", "the command takes", more[7] * 1e3);
    println!("  {:<28} {:>9.1} ms", "fork and exec", bare[7] * 1e3);
}

/// Bytes that compress about as well as programs do.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        bytes.extend_from_slice(b"        ");
    }
    bytes.truncate(length);
    bytes
}

fn large() {
    let mut peaks = Vec::new();
    for megabytes in [64, 1000] {
        let root = tempfile::tempdir().expect("there is a place for temporary files");
        fs::create_dir(root.path().join("large")).expect("a folder");
        let mut file = fs::File::create(root.path().join("large/file")).expect("a file");
        for part in 0..megabytes {
            file.write_all(&noise(part, 1_000_000)).expect("the disk has room");
        }
        fs::write(root.path().join("large/Dockerfile"), "FROM scratch\nCOPY file /\n").expect("a Dockerfile");
        let mut build = imk(root.path());
        build.args(["-C"]).arg(root.path());
        peaks.push(peak_memory(&build));
        if megabytes == 1000 {
            let export = seconds(|| run(imk(root.path()).args(["-o", "type=oci,dest=out.tar"])));
            let alone = two_processors(&root.path().join("large/file"));
            println!("\nexport of 1 GB");
            println!("  {:<28} {:>9.2} s", "imk -o type=oci", export);
            println!(
                "  {:<28} {:>9.2} s, {:.0} % of it",
                "two threads of gzip",
                alone,
                alone / export * 100.0
            );
        }
    }
    if let [Some(small), Some(large)] = peaks.as_slice() {
        println!("\npeak memory: {small:.0} MB with a layer of 64 MB, {large:.0} MB with one of 1 GB");
    }
}

/// Seconds of compressing a file by halves at once, and throwing it away.
fn two_processors(file: &Path) -> f64 {
    let bytes = fs::read(file).expect("the file is there");
    let compress = |part: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(std::io::sink(), flate2::Compression::default());
        encoder.write_all(part).expect("a sink takes all");
    };
    let (one, other) = bytes.split_at(bytes.len() / 2);
    seconds(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| compress(one));
            compress(other);
        });
    })
}
