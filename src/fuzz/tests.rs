//! Every target over its corpus, and over what mutations make of it.
//!
//! A second for all by default; `IMK_FUZZ_SECONDS` says how many each target gets, and `IMK_FUZZ_SEED` where
//! chance begins. What a target fails on is written to a file of which the failure tells the name; put
//! into the corpus it is tried first by everybody from then on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mutatis::{Candidates, Mutate, Session, mutators};

use super::{TARGETS, Target};

/// Longer inputs are for `tests/it/hostile.rs`, where size is the matter.
const LONGEST: usize = 8 * 1024;

/// Words of all the languages and formats: what single bytes would never find together.
const WORDS: &[&[u8]] = &[
    b"FROM scratch\n",
    b"FROM a AS b\n",
    b"COPY --from=",
    b"ARG A=",
    b"${A:-",
    b"}",
    b"RUN --mount=type=bind,",
    b"<<EOF\n",
    b"EOF\n",
    b"ONBUILD ",
    b"# syntax=",
    b"# escape=`\n",
    b"\\\n",
    b"\r\n",
    b"**/",
    b"!",
    b"..",
    b"/../",
    b"(",
    b")",
    b"images: {\"a\": (",
    b"like: \"a\"",
    b"matrix: {",
    b"\"",
    b"'",
    b",",
    b":",
    b"[",
    b"]",
    b"{",
    b"null",
    b"true",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"&a ",
    b"*a",
    b"<<: ",
    b"---\n",
    b"target \"t\" {\n",
    b"for a in b : ",
    b"\"${a}\"",
    b"=",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "é".as_bytes(),
    b"sha256:",
    b"sha256=",
    b"refs/heads/",
    b"no-skip ",
    b"\n\n{",
    b"X-Event-Key: pr:opened\n",
    b"Bearer realm=\"",
    b"; rel=\"next\"",
    b"//h/",
    b"https://u:p@h/r.git#",
    b"ext::sh -c x",
    b"--upload-pack=x",
    b"40000 ..\0",
    b"120000 a\0",
    b"160000 m\0",
    b"\n",
    b"f 0 .wh.",
    b"/.wh..wh..opq",
    b"l 777 a>../../",
    b"h 644 b>a",
    b"~",
];

/// Bytes under [`mutatis`]' own mutations, with words, repeats, cuts and pieces of other seeds besides.
struct Bytes<'a> {
    seeds: &'a [Vec<u8>],
}

impl Mutate<Vec<u8>> for Bytes<'_> {
    fn mutate(&mut self, c: &mut Candidates<'_>, value: &mut Vec<u8>) -> mutatis::Result<()> {
        let at =
            |ctx: &mut mutatis::Context, value: &Vec<u8>| ctx.rng().gen_index(value.len() + 1).unwrap_or(0);
        // Each stands several times, since single bytes have a candidate each.
        for _ in 0..value.len() / 8 + 4 {
            c.mutation(|ctx| {
                let from = at(ctx, value);
                let word = *ctx.rng().choose(WORDS).unwrap_or(&WORDS[0]);
                value.splice(from..from, word.iter().copied());
                Ok(())
            })?;
            c.mutation(|ctx| {
                let (from, end) = (at(ctx, value), at(ctx, value));
                value.drain(from.min(end)..from.max(end));
                Ok(())
            })?;
            c.mutation(|ctx| {
                let (from, end, times) =
                    (at(ctx, value), at(ctx, value), ctx.rng().gen_index(5).unwrap_or(0));
                let piece = value[from.min(end)..from.max(end)].repeat(times + 1);
                value.splice(from..from, piece);
                Ok(())
            })?;
            c.mutation(|ctx| {
                let Some(other) = ctx.rng().choose(self.seeds) else { return Ok(()) };
                let (from, end, into) = (at(ctx, other), at(ctx, other), at(ctx, value));
                value.splice(into..into, other[from.min(end)..from.max(end)].iter().copied());
                Ok(())
            })?;
        }
        mutators::vec(mutators::u8()).mutate(c, value)
    }
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
    let mut paths: Vec<PathBuf> =
        fs_err::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs_err::read(path).unwrap()).collect();
    seeds.extend((target.seeds)());
    seeds
}

/// Runs a target; what it fails on is kept.
fn run(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let name = blake3::hash(input).to_hex().to_string();
        let file = std::env::temp_dir().join(format!("imk-fuzz-{}-{}", target.name, &name[..12]));
        fs_err::write(&file, input).unwrap();
        eprintln!("`{}` failed on {}: {:?}", target.name, file.display(), String::from_utf8_lossy(input));
        std::panic::resume_unwind(panic);
    }
}

fn number(variable: &str) -> Option<f64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = corpus(target);
    assert!(!seeds.is_empty(), "`{name}` has no corpus");
    seeds.iter().for_each(|seed| run(target, seed));
    let seconds = number("IMK_FUZZ_SECONDS").unwrap_or(0.05);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut session = Session::new().seed(number("IMK_FUZZ_SEED").map_or(1, |seed| seed as u64));
    let mut mutator = Bytes { seeds: &seeds };
    let mut rounds = 0;
    // A loaded machine tries fewer inputs, and fails no sooner.
    'time: loop {
        for seed in &seeds {
            let mut input = seed.clone();
            for _ in 0..8 {
                if Instant::now() >= end {
                    break 'time;
                }
                session.mutate_with(&mut mutator, &mut input).unwrap();
                input.truncate(LONGEST);
                run(target, &input);
                rounds += 1;
            }
        }
    }
    eprintln!("{name}: {} seeds, {rounds} mutations", seeds.len());
}

macro_rules! targets {
    ($($test:ident = $name:literal,)*) => {
        $(#[test] fn $test() { fuzz($name); })*
        const TESTED: &[&str] = &[$($name),*];
    };
}

targets! {
    dockerfile = "dockerfile",
    dockerignore = "dockerignore",
    imagefile = "imagefile",
    lockfile = "lockfile",
    names = "names",
    integration_yml = "integration-yml",
    import_hcl = "import-hcl",
    import_yaml = "import-yaml",
    import_dotenv = "import-dotenv",
    git_tree = "git-tree",
    git_pushed = "git-pushed",
    serve_ron = "serve-ron",
    hook_payload = "hook-payload",
    hook_signature = "hook-signature",
    registry_document = "registry-document",
    registry_header = "registry-header",
    registry_words = "registry-words",
    layer = "layer",
    whiteouts = "whiteouts",
    archive = "archive",
    engine_progress = "engine-progress",
    engine_trace = "engine-trace",
    engine_address = "engine-address",
    docker_config = "docker-config",
    ledger = "ledger",
    evidence = "evidence",
    snapshot = "snapshot",
    stat_cache = "stat-cache",
    git_memory = "git-memory",
    sealed = "sealed",
    inputs_document = "inputs-document",
}

#[test]
fn every_target_is_run() {
    assert_eq!(TESTED, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}
