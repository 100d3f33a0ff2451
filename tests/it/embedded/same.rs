//! The same Dockerfile by a real engine and by imk's own builder: the same files and the same settings.
//!
//! A fixed set first, of what users of other builders without a daemon complain about, then random ones.
//! Each is compared file by file: path, kind, mode, owner, rights, content, link target, hard links.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::image::{of_archive, of_store};
use crate::differential::random::Random;
use crate::sandbox::{Sandbox, busybox, engine_or_skip};

const BASE: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";

/// What an engine of 20.10 mounts on and leaves behind.
const STUBS: [&str; 5] = ["etc", "mnt", "mnt/b", "tmpx", "cc"];

/// Dockerfiles for one context, behind a base with a shell.
const CASES: &[(&str, &str)] = &[
    ("copy a file", "COPY a /x\nCOPY a /y/\nCOPY a b/c /z/"),
    ("copy a folder", "COPY b /new\nCOPY b/ /new2/\nCOPY . /all/"),
    (
        "copy onto a link to a folder",
        "RUN mkdir -p /real && ln -s real /link\nCOPY a /link/\nCOPY b /link\nCOPY a /link/a2",
    ),
    ("copy onto an absolute link", "RUN mkdir -p /r/s && ln -s /r /abs\nCOPY a /abs/s/deep/er/"),
    (
        "copy over a file and a link",
        "RUN echo 1 >/f && ln -s f /g && ln -s nowhere /h\nCOPY a /f\nCOPY a /g\nCOPY a /h",
    ),
    ("links of the context", "COPY link /l1\nCOPY to-b /l2\nCOPY b /b"),
    ("modes", "COPY script /s\nCOPY --chown=1:2 script /t\nCOPY --chown=7 b /u"),
    (
        "folders keep what they have",
        "RUN mkdir -p /d && chmod 1777 /d && chown 3:4 /d\nCOPY b/ /d/\nCOPY a /d/",
    ),
    ("nested folders take the mode that is copied", "RUN mkdir -p /d/e && chmod 700 /d/e\nCOPY b/ /d/"),
    ("wildcards", "COPY b/*.txt /w/\nCOPY ?/e /v/\nCOPY [ab]* /u/"),
    (
        "names of users",
        "RUN mkdir -p /etc && echo 'app:x:1000:1001::/h:/bin/sh' >/etc/passwd && echo 'web:x:33:' >/etc/group\nCOPY --chown=app a /a1\nCOPY --chown=app:web a /deep/er/a2\nCOPY --chown=9:web b /b2",
    ),
    ("workdir", "WORKDIR /w/x\nCOPY a .\nWORKDIR y\nCOPY a ./\nCOPY a z\nRUN pwd >out"),
    ("workdir of a user", "USER 5:6\nWORKDIR /home/five\nRUN id -u >who; id -g >>who; id -G >>who"),
    (
        "environment",
        "ENV A=1 B=\"x y\"\nARG C=3\nENV D=$A$C\nRUN echo \"$A $B $C $D $PATH\" >/env\nCOPY a /$D/",
    ),
    (
        "settings",
        "LABEL a=1 b=\"2 3\"\nEXPOSE 80 53/udp 8000-8002\nVOLUME /v [\"/u\"]\nSTOPSIGNAL SIGUSR1\nUSER 1:2\nCMD [\"a\", \"b\"]\nENTRYPOINT [\"c\"]\nSHELL [\"/bin/ash\", \"-c\"]\nHEALTHCHECK --interval=5s --retries=2 CMD x y\nONBUILD RUN x",
    ),
    ("a command of a shell", "CMD echo hi\nHEALTHCHECK NONE"),
    ("an entrypoint takes the command away", "CMD [\"a\"]\nFROM base\nCMD [\"b\"]\nENTRYPOINT x"),
    (
        "a file is replaced by a folder and back",
        "RUN echo 1 >/p && mkdir /q && echo 1 >/q/r\nRUN rm /p && mkdir /p && echo 2 >/p/s && rm -r /q && echo 2 >/q",
    ),
    (
        "a folder is made again",
        "RUN mkdir -p /o/old && echo 1 >/o/f\nRUN rm -r /o && mkdir /o && echo 2 >/o/g",
    ),
    (
        "removed things",
        "RUN mkdir -p /r/s && echo 1 >/r/s/t && echo 1 >/r/u && ln -s u /r/v\nRUN rm -r /r/s /r/v",
    ),
    (
        "a file is replaced by a link and back",
        "RUN echo 1 >/p && ln -s p /q && mkdir /r && ln -s r /s\nRUN rm /p && ln -s /r /p && rm /q && echo 2 >/q && rm -r /r && ln -s q /r && rm /s && mkdir /s && echo 3 >/s/t\nCOPY a /s/t\nCOPY b/ /s/",
    ),
    (
        "hard links across layers",
        "RUN mkdir /hl && echo 1 >/hl/a && ln /hl/a /hl/b\nRUN ln /hl/a /hl/c\nRUN echo 2 >>/hl/b\nFROM base\nCOPY --from=1 /hl /copied",
    ),
    (
        "rights of a program",
        "ADD caps.tar /caps\nRUN cp -a /caps/ping /ping && chmod u+s /ping\nFROM base\nCOPY --from=1 /caps /copied\nCOPY --from=1 --chown=7 /caps/ping /owned",
    ),
    ("hard links in one layer", "RUN mkdir /hl && echo 1 >/hl/a && ln /hl/a /hl/b && ln /hl/a /hl/0"),
    (
        "same size in the same second, time set back",
        "RUN echo 1 >/same && touch -d 2001-01-01 /same\nRUN echo 2 >/same && touch -d 2001-01-01 /same",
    ),
    (
        "rights",
        "RUN mkdir /rt && echo 1 >/rt/suid && chmod 6755 /rt/suid && mkfifo /rt/pipe && chown 70000:80000 /rt/suid",
    ),
    ("only a mode", "RUN echo 1 >/m1 && mkdir /m2\nRUN chmod 600 /m1 && chmod 711 /m2"),
    (
        "long and odd names",
        "RUN mkdir /ln && n=$(head -c 120 /dev/zero | tr '\\0' n) && echo 1 >/ln/$n && mkdir -p /ln/$n.d/$n && echo 2 >/ln/$n.d/$n/$n && printf x >\"$(printf '/ln/\\377\\376')\" && ln -s $n /ln/l",
    ),
    ("a sparse file", "RUN dd if=/dev/zero of=/sp bs=1 count=1 seek=5000000"),
    ("large owners", "RUN echo 1 >/big && chown 3000000:3000001 /big"),
    (
        "copy from a stage",
        "RUN mkdir /s && echo 1 >/s/a && ln /s/a /s/b && chown 5:6 /s/a && ln -s a /s/l && chmod 750 /s\nFROM base\nCOPY --from=0 /bin/busybox /busy\nCOPY --from=1 /s /copied\nCOPY --from=1 /s/l /l\nCOPY --from=1 --chown=8 /s/a /s2/",
    ),
    (
        "copy over a stage's folders",
        "RUN mkdir -p /s/d && echo 1 >/s/d/f\nFROM base\nRUN mkdir -p /s/d && chmod 700 /s/d\nCOPY --from=1 /s /s",
    ),
    ("add an archive", "ADD tree.tar /ar/\nADD tree.tar.gz /gz\nADD a /plain\nADD --chown=4:4 a /plain2"),
    (
        "add an archive over what is there",
        "RUN mkdir -p /ar/t && echo old >/ar/t/f && ln -s t /ar/u\nADD tree.tar /ar/",
    ),
    (
        "an owner is not for what is unpacked",
        "ADD --chown=4:5 tree.tar /made/by/add/\nADD --chown=6 tree.tar.gz /gz/",
    ),
    (
        "a folder that went is made again for a command",
        "USER 5:6\nWORKDIR /gone/deep\nUSER 0:0\nRUN rm -r /gone\nUSER 7:8\nRUN pwd",
    ),
    ("sh -c with quotes and heredocs off", "RUN echo \"a  b\" 'c' > /q1; false || echo done >>/q1"),
    (
        "nothing is left of what a command is given",
        "RUN cat /etc/hosts /etc/resolv.conf >/dev/null; ls /dev/null /proc/self /sys >/dev/null; echo hi >/dev/shm/x",
    ),
    (
        "a bind mount leaves nothing",
        "RUN --mount=type=bind,source=b,target=/mnt/b cp /mnt/b/c /from-mount\nRUN --mount=type=tmpfs,target=/tmpx echo 1 >/tmpx/y",
    ),
    (
        "a cache leaves nothing",
        "RUN --mount=type=cache,target=/cc,id=imk-test-same echo 1 >/cc/y && cp /cc/y /y",
    ),
];

fn context(root: &Path) {
    let write = |path: &str, text: &str, mode: u32| {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    fs_err::copy(busybox(), root.join("busybox")).unwrap();
    fs_err::set_permissions(root.join("busybox"), PermissionsExt::from_mode(0o755)).unwrap();
    write("a", "a\n", 0o644);
    write("b/c", "c\n", 0o600);
    write("b/x.txt", "x\n", 0o644);
    write("b/e/f", "f\n", 0o640);
    write("script", "#!/bin/sh\n", 0o4755);
    fs_err::set_permissions(root.join("b/e"), PermissionsExt::from_mode(0o750)).unwrap();
    symlink("a", root.join("link")).unwrap();
    symlink("b/e", root.join("to-b")).unwrap();
    fs_err::create_dir_all(root.join("empty")).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, text: &str, mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(11);
        header.set_gid(12);
        header.set_size(if kind == tar::EntryType::Regular { text.len() as u64 } else { 0 });
        match kind {
            tar::EntryType::Regular => archive.append_data(&mut header, path, text.as_bytes()).unwrap(),
            tar::EntryType::Directory => archive.append_data(&mut header, path, std::io::empty()).unwrap(),
            _ => archive.append_link(&mut header, path, text).unwrap(),
        }
    };
    add("t/", tar::EntryType::Directory, "", 0o711);
    add("t/f", tar::EntryType::Regular, "file", 0o4755);
    add("t/l", tar::EntryType::Symlink, "f", 0o777);
    add("t/h", tar::EntryType::Link, "t/f", 0o644);
    add("u", tar::EntryType::Regular, "u", 0o600);
    let bytes = archive.into_inner().unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, &bytes).unwrap();
    fs_err::write(root.join("tree.tar.gz"), gz.finish().unwrap()).unwrap();
    fs_err::write(root.join("tree.tar"), bytes).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    // cap_net_raw=ep, as the kernel keeps it (`vfs_cap_data`, revision 2).
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    archive.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(4);
    archive.append_data(&mut header, "ping", &b"ping"[..]).unwrap();
    fs_err::write(root.join("caps.tar"), archive.into_inner().unwrap()).unwrap();
}

/// Where the two differ, as lines.
fn differences(sandbox: &Sandbox, name: &str, text: &str) -> Vec<String> {
    let folder = format!("i{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    fs_err::create_dir_all(sandbox.path(&folder)).unwrap();
    context(&sandbox.path(&folder));
    let dockerfile = format!("{BASE}FROM base\n{text}\n");
    sandbox.edit(&format!("{folder}/Dockerfile"), &dockerfile);
    let context = sandbox.path(&folder);
    let file = context.join("Dockerfile");
    let tag = format!("imk-test-same:{}", folder.to_lowercase());
    let [context, file] = [&context, &file].map(|path| path.to_str().unwrap());
    let docker = std::process::Command::new("/usr/bin/docker")
        .args(["build", "-q", "-t", &tag, "-f", file, context])
        .env("DOCKER_BUILDKIT", "1")
        .output()
        .unwrap();
    let ours = sandbox.imk(&format!("{folder} --progress plain"));
    let said = String::from_utf8_lossy(&docker.stderr);
    match (docker.status.success(), ours.status) {
        (true, 0) => {}
        (false, 2) => return Vec::new(),
        (theirs, ours_status) => {
            return vec![format!("docker: {theirs}, imk: {ours_status}\n{said}\n{}", ours.stderr)];
        }
    }
    let saved = sandbox.path(&format!("{folder}.saved"));
    sandbox.docker(&["save", "-o", saved.to_str().unwrap(), &tag]);
    sandbox.docker(&["rmi", "-f", &tag]);
    let (theirs, their_settings) = of_archive(&saved);
    fs_err::remove_file(saved).unwrap();
    let list: serde_json::Value =
        serde_json::from_str(&sandbox.imk(&format!("list --json {folder}")).code(0).stdout).unwrap();
    let id = find_id(&list).expect("list tells ids");
    let (ours, our_settings) = of_store(&sandbox.store(), &id);
    let mut told: Vec<String> = Vec::new();
    // An engine of 20.10 leaves the empty folders that it mounted on; today's leave none.
    let stub =
        |line: &&String| STUBS.iter().any(|stub| line.trim_end() == format!("{stub} Directory 755 0:0"));
    told.extend(
        theirs
            .iter()
            .filter(|line| !ours.contains(line) && !stub(line))
            .map(|line| format!("docker: {line}")),
    );
    told.extend(ours.iter().filter(|line| !theirs.contains(line)).map(|line| format!("imk:    {line}")));
    if their_settings != our_settings {
        told.push(format!("docker: {}", serde_json::to_string(&their_settings).unwrap()));
        told.push(format!("imk:    {}", serde_json::to_string(&our_settings).unwrap()));
    }
    told
}

fn find_id(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Object(map) => map
            .get("id")
            .and_then(|id| id.as_str())
            .map(str::to_owned)
            .or_else(|| map.values().find_map(find_id)),
        serde_json::Value::Array(list) => list.iter().find_map(find_id),
        _ => None,
    }
}

pub(super) fn compare(sandbox: &Sandbox, cases: &[(String, String)]) {
    let mut told = Vec::new();
    for (name, text) in cases {
        let differences = differences(sandbox, name, text);
        if !differences.is_empty() {
            told.push(format!("== {name}\n{text}\n{}", differences.join("\n")));
        }
    }
    assert!(told.is_empty(), "{} of {} differ\n{}", told.len(), cases.len(), told.join("\n"));
}

#[test]
fn what_others_users_complain_of_is_as_an_engine_does_it() {
    if engine_or_skip("embedded same").is_none() {
        return;
    }
    let sandbox = Sandbox::empty().embedded();
    let only = std::env::var("IMK_TEST_ONLY").unwrap_or_default();
    let cases = CASES.iter().filter(|(name, _)| name.contains(&only));
    let cases: Vec<_> = cases.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    compare(&sandbox, &cases);
}

/// A random instruction.
fn instruction(random: &mut Random) -> String {
    let sources = ["a", "b", "b/e", "b/*", ".", "link", "to-b", "script", "empty", "b/x.txt a", "tree.tar"];
    let targets = ["/t1", "/t1/", "/t2/deep/", "/t2", "/ln/", "/ln", "./", "r/", "/t1/f"];
    let flags = ["", "", " --chown=5:6", " --chown=7", " --chown=0"];
    let of = |random: &mut Random, all: &[&str]| all[random.below(all.len())].to_owned();
    match random.below(8) {
        0 => format!("WORKDIR {}", of(random, &["/t1", "/t2/x", "r", "/ln/w"])),
        1 => format!(
            "RUN mkdir -p {0} && echo {1} >{0}/f && chmod {2} {0}",
            of(random, &["/t1", "/t2", "/r"]),
            random.below(3),
            of(random, &["755", "700", "1777"])
        ),
        2 => format!("RUN rm -rf {}", of(random, &["/t1", "/t2/deep", "/t1/f", "/ln"])),
        3 => "RUN mkdir -p /real; ln -sfn real /ln || true".to_owned(),
        4 => format!("ADD{} {} {}", of(random, &flags), of(random, &sources), of(random, &targets)),
        _ => format!("COPY{} {} {}", of(random, &flags), of(random, &sources), of(random, &targets)),
    }
}

#[test]
fn random_dockerfiles_come_to_the_same_image_by_both_builders() {
    if engine_or_skip("embedded random").is_none() {
        return;
    }
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    };
    let (seed, count) = (number("IMK_TEST_SEED", 14), number("IMK_TEST_CASES", 24).min(2000));
    eprintln!("embedded: IMK_TEST_SEED={seed} IMK_TEST_CASES={count}");
    let mut random = Random::new(seed);
    let cases: Vec<_> = (0..count)
        .map(|case| {
            let lines: Vec<String> = (0..2 + random.below(5)).map(|_| instruction(&mut random)).collect();
            (format!("r{seed}x{case}"), lines.join("\n"))
        })
        .collect();
    compare(&Sandbox::empty().embedded(), &cases);
}

#[test]
fn a_file_of_an_image_by_digest_is_the_same_by_both_builders() {
    if engine_or_skip("embedded by digest").is_none() {
        return;
    }
    let Some(server) = crate::registry_server::RegistryServer::open("embedded by digest") else { return };
    let (tag, digest) = (server.name("os:1"), server.put_image("os:1", "by digest"));
    let from = format!("{}@{digest}", tag.trim_end_matches(":1"));
    let text = format!(
        "COPY --from={from} /content /c\nCOPY --from={tag} --chown=4:5 / /all/\nFROM {from}\nCOPY a /"
    );
    compare(&Sandbox::empty().embedded(), &[("by digest".to_owned(), text)]);
}
