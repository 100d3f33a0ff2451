//! Dockerfile and request in, recipe out.

use super::*;
use crate::syntax::dockerfile::parse;

/// A request in one line: `@target`, `^platform`, `A=1` for an argument,
/// `base!RUN x` for a trigger, `base?A=1` for its environment, `%name` for a context of files, `%name=image` for one of an image; `_` is a blank.
fn request(text: &str) -> Request {
    let mut request = Request::default();
    for word in text.split_whitespace() {
        let word = word.replace('_', " ");
        if let Some(target) = word.strip_prefix('@') {
            request.target = Some(target.to_owned());
        } else if let Some(platform) = word.strip_prefix('^') {
            request.platform = platform.to_owned();
        } else if let Some(context) = word.strip_prefix('%') {
            let (name, stands_for) = match context.split_once('=') {
                Some((name, image)) => (name, NamedContext::Image(image.to_owned())),
                None => (context, NamedContext::Files),
            };
            request.contexts.insert(name.to_owned(), stands_for);
        } else if let Some((base, trigger)) = word.split_once('!') {
            request.triggers.entry(base.to_owned()).or_default().push(trigger.to_owned());
        } else if let Some((base, pair)) = word.split_once('?') {
            let variables = request.environments.entry(base.to_owned()).or_default();
            variables.extend(pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        } else if let Some((name, value)) = word.split_once('=') {
            request.args.insert(name.replace(' ', "_"), value.to_owned());
        }
    }
    request
}

fn recipe(text: &str, asked: &str) -> Recipe {
    let file = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    resolve(&file, &request(asked)).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn canonical(text: &str, asked: &str) -> String {
    recipe(text, asked).canonical().replacen("escape \\\n", "", 1)
}

/// The canonical form of one stage `FROM a` and what follows.
fn body(text: &str, asked: &str, wanted: &str) {
    let found = canonical(&format!("FROM a\n{text}"), asked);
    let found = found.split_once('\n').map_or("", |(_, body)| body);
    assert_eq!(found, wanted, "\n--- {text}");
}

/// The same where nothing can come from the base.
fn plain(text: &str, wanted: &str) {
    let found = canonical(&format!("FROM scratch\n{text}"), "");
    let found = found.split_once('\n').map_or("", |(_, body)| body);
    assert_eq!(found, wanted, "\n--- {text}");
}

fn mistakes(text: &str, asked: &str, wanted: &str) {
    let file = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let errors = resolve(&file, &request(asked)).expect_err(text);
    let all: Vec<_> = errors
        .iter()
        .map(|error| {
            let (line, column) = error.span.line_and_column(text);
            let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
            format!("{line}:{column} {}{hint}", error.message)
        })
        .collect();
    assert_eq!(all.join("\n"), wanted, "\n--- {text}");
}

#[test]
fn stages_and_what_they_build_on() {
    for (text, asked, wanted) in [
        ("FROM a", "", "stage 0 FROM base 0 linux/amd64"),
        ("FROM scratch", "", "stage 0 FROM scratch linux/amd64"),
        ("FROM a AS x\nFROM x", "", "stage 0 FROM base 0 linux/amd64\nstage 1 FROM stage 0 linux/amd64"),
        ("FROM a AS x\nFROM b", "", "stage 0 FROM base 0 linux/amd64"),
        ("FROM a AS x\nFROM b", "@x", "stage 0 FROM base 0 linux/amd64"),
        ("FROM a AS x\nFROM b", "@X", "stage 0 FROM base 0 linux/amd64"),
        ("FROM x AS x", "", "stage 0 FROM base 0 linux/amd64"),
        // Two stages of one name: the later one is meant by a target and by every word below it.
        ("FROM a AS x\nFROM scratch AS x\nFROM c", "@x", "stage 0 FROM scratch linux/amd64"),
        (
            "FROM a AS x\nFROM x AS x\nFROM x",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM stage 0 linux/amd64\nstage 2 FROM stage 1 linux/amd64",
        ),
        // A stage that nobody needs may copy from a later one.
        ("FROM a AS dead\nCOPY --from=x b c\nFROM d AS x", "", "stage 0 FROM base 0 linux/amd64"),
        ("FROM a\nRUN --mount=from=x,target=/y b\nFROM d AS x", "", "stage 0 FROM base 0 linux/amd64"),
        (
            "FROM x AS y\nFROM y AS x\nFROM x",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM stage 0 linux/amd64\nstage 2 FROM stage 1 linux/amd64",
        ),
        ("FROM a\nFROM 0", "", "stage 0 FROM base 0 linux/amd64"),
        (
            "ARG S=x\nFROM a AS x\nFROM $S",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM stage 0 linux/amd64",
        ),
        (
            "ARG S=x\nFROM a AS x\nFROM b AS y-x\nFROM ${S}",
            "S=y-x",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM stage 0 linux/amd64",
        ),
        (
            "FROM a AS x\nFROM b\nCOPY --from=x c d",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM base 1 linux/amd64\nCOPY --from=stage:0 [\"c\",\"d\"]",
        ),
        (
            "FROM a\nFROM u\nFROM b\nCOPY --from=0 c d",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM base 1 linux/amd64\nCOPY --from=stage:0 [\"c\",\"d\"]",
        ),
        (
            "FROM a AS X\nFROM b\nCOPY --from=X c d",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM base 1 linux/amd64\nCOPY --from=stage:0 [\"c\",\"d\"]",
        ),
        (
            "FROM a AS x\nFROM b\nRUN --mount=from=x,target=/x y",
            "",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM base 1 linux/amd64\nRUN shell --mount=[\"readonly=true\",\"source=\",\"target=/x\",\"type=bind\",\"from=stage:0\"] [\"y\"]",
        ),
        (
            "FROM b\nCOPY --from=scratch c d",
            "",
            "stage 0 FROM base 0 linux/amd64\nCOPY --from=scratch [\"c\",\"d\"]",
        ),
        (
            "FROM b\nCOPY --from=c:1 c d",
            "",
            "stage 0 FROM base 0 linux/amd64\nCOPY --from=base:1 [\"c\",\"d\"]",
        ),
        (
            "FROM --platform=$BUILDPLATFORM a AS x\nFROM b\nCOPY --from=x c d",
            "^linux/arm64",
            "stage 0 FROM base 0 linux/amd64\nstage 1 FROM base 1 linux/arm64\nCOPY --from=stage:0 [\"c\",\"d\"]",
        ),
        (
            "FROM --platform=linux/arm64 a AS x\nFROM --platform=linux/s390x x",
            "",
            "stage 0 FROM base 0 linux/arm64\nstage 1 FROM stage 0 linux/arm64",
        ),
        ("# escape=`\nFROM a", "", "escape `\nstage 0 FROM base 0 linux/amd64"),
        (
            "# syntax=docker/dockerfile:1\nFROM a",
            "",
            "syntax docker/dockerfile:1\nstage 0 FROM base 0 linux/amd64",
        ),
    ] {
        assert_eq!(canonical(text, asked), wanted, "\n--- {text}");
    }
}

/// `how reference platform stage` of every base.
fn bases(text: &str, asked: &str, wanted: &str) {
    let recipe = recipe(text, asked);
    let all: Vec<_> = recipe
        .bases
        .iter()
        .map(|base| {
            let spans: Vec<_> = base.spans.iter().map(|span| &text[span.start..span.end]).collect();
            let context = if base.context { " context" } else { "" };
            format!(
                "{:?} {} {} {} {}{context}",
                base.how,
                base.reference,
                base.platform,
                base.stage,
                spans.join("|")
            )
        })
        .collect();
    assert_eq!(all.join("\n"), wanted, "\n--- {text}");
}

#[test]
fn bases_are_found_with_their_places() {
    bases("FROM a:1", "", "From a:1 linux/amd64 0 a:1");
    bases("ARG V=1\nFROM a:$V", "V=2", "From a:2 linux/amd64 0 a:$V");
    bases("FROM scratch", "", "");
    bases("FROM a AS x\nFROM x\nFROM b", "", "From b linux/amd64 2 b");
    bases("FROM a\nCOPY --from=b:2 c d", "", "From a linux/amd64 0 a\nCopy b:2 linux/amd64 0 b:2");
    bases("FROM a\nRUN --mount=target=/x,from=b c", "", "From a linux/amd64 0 a\nMount b linux/amd64 0 b");
    bases("FROM a\nRUN --mount=target=/x,from=0 c", "", "From a linux/amd64 0 a\nMount 0 linux/amd64 0 0");
    bases(
        "FROM --platform=$BUILDPLATFORM a\nCOPY --from=b c d",
        "^linux/arm64",
        "From a linux/amd64 0 a\nCopy b linux/arm64 0 b",
    );
    bases("FROM a", "a!COPY_--from=b_c_d", "From a linux/amd64 0 a\nCopy b linux/amd64 0 ");
    bases(
        "FROM a AS x\nFROM b\nCOPY --from=x c d",
        "%x",
        "From b linux/amd64 1 b\nCopy x linux/amd64 1 x context",
    );
    bases("FROM base", "%base", "From base linux/amd64 0 base context");
}

#[test]
fn comments_joins_case_and_names_do_not_count() {
    let plain = "FROM a AS b\nRUN x\nFROM c\nCOPY --from=b d e\nENV k=v";
    for other in [
        "# note\nFROM a AS b\n\n# note\nRUN x\n\n\nFROM c\nCOPY --from=b d e\n  # note\nENV k=v\n",
        "from a as B\nrun x\nFrom c\ncopy --from=B d e\nenv k=v",
        "FROM a AS other\nRUN x\nFROM c\nCOPY --from=0 d e\nENV k=v",
        "FROM \\\n a AS b\nRUN \\\n# note\n x\nFROM c\nCOPY --from=b \\\n d \\\n e\nENV \\\n k=v",
        "FROM a AS b\nRUN x\nFROM unused\nRUN y\nFROM c\nCOPY --from=b [ \"d\" , \"e\" ]\nENV k v",
        "FROM a AS b\r\nRUN x\r\nFROM c\r\nCOPY --from=b d e\r\nENV k=\"v\"\r\n",
        "ARG unused=1\nFROM a AS b\nRUN x\nFROM c\nCOPY --from=b d e\nENV k=v",
        "# check=skip=all\nFROM a AS b\nRUN x\nFROM c\nCOPY   --from=b   d   e\nENV k='v'",
        "ARG A=d\nFROM a AS b\nRUN   x  \nFROM c\nCOPY --from=b \"d\" e\nENV k=v",
    ] {
        assert_eq!(canonical(plain, ""), canonical(other, ""), "\n--- {other}");
    }
}

#[test]
fn everything_else_counts() {
    let texts = [
        "FROM a\nRUN x",
        "FROM a\nRUN  x y",
        "FROM a\nRUN x  y",
        "FROM a\nRUN [\"x\"]",
        "FROM a\nCMD x",
        "FROM a\nRUN x\nRUN x",
        "FROM a\nRUN <<E\nx\ny\nE",
        "FROM a\nRUN <<E\nx\nE",
        "FROM a\nRUN <<-E\n\tx\n\ty\n\tz\nE",
        "FROM a\nRUN cat <<E\nx\nE",
        "FROM a\nRUN cat <<F\nx\nF",
        "FROM a\nRUN cat <<'E'\nx\nE",
        "FROM a\nCOPY <<E /x\nx\nE",
        "FROM a\nCOPY <<F /x\nx\nF",
        "FROM a\nCOPY <<E /x\ny\nE",
        "FROM a\nCOPY x /x",
        "FROM a\nADD x /x",
        "FROM a\nCOPY x /x/",
        "FROM a\nCOPY --link x /x",
        "FROM a\nCOPY --chown=1 x /x",
        "FROM a\nCOPY --chmod=1 x /x",
        "FROM a\nCOPY --parents x /x",
        "FROM a\nCOPY --exclude=y x /x",
        "FROM a\nCOPY --from=b x /x",
        "FROM a\nADD --unpack=false x /x",
        "FROM a\nADD --unpack x /x",
        "FROM scratch\nRUN x",
        "FROM a\nRUN --network=none x",
        "FROM a\nRUN --mount=type=cache,target=/c x",
        "FROM a\nRUN --mount=type=cache,target=/c,id=1 x",
        "FROM a\nRUN --mount=type=cache,target=/c,sharing=locked x",
        "FROM a\nRUN --mount=target=/c x",
        "FROM a\nRUN --mount=target=/c,source=s x",
        "FROM a\nRUN --mount=target=/c,rw x",
        "FROM a\nRUN --mount=type=secret,id=1 x",
        "FROM a\nRUN --mount=type=ssh x",
        "FROM a\nARG A\nRUN x",
        "FROM a\nARG A=1\nRUN x",
        "FROM a\nARG A=2\nRUN x",
        "FROM a\nENV A=1\nRUN x",
        "FROM a\nENV A=$A",
        "FROM a\nENV A=\\$A",
        "FROM a\nENV A=$$A",
        "FROM a\nENV A=${A:-1}",
        "FROM a\nENV A=${A-1}",
        "FROM a\nENV A=",
        "FROM a\nLABEL A=1",
        "FROM a\nLABEL A=1 B=2",
        "FROM a\nLABEL B=2 A=1",
        "FROM a\nUSER x",
        "FROM a\nWORKDIR x",
        "FROM a\nSTOPSIGNAL x",
        "FROM a\nVOLUME x",
        "FROM a\nEXPOSE 1",
        "FROM a\nMAINTAINER x",
        "FROM a\nONBUILD RUN x",
        "FROM a\nONBUILD RUN y",
        "FROM a\nSHELL [\"x\"]",
        "FROM a\nSHELL [\"x\", \"y\"]",
        "FROM a\nENTRYPOINT x",
        "FROM a\nHEALTHCHECK NONE",
        "FROM a\nHEALTHCHECK CMD x",
        "FROM a\nHEALTHCHECK --retries=2 CMD x",
        "# escape=`\nFROM a\nRUN x",
        "# syntax=docker/dockerfile:1\nFROM a\nRUN x",
        "# syntax=docker/dockerfile:2\nFROM a\nRUN x",
        "FROM --platform=linux/arm64 a\nRUN x",
    ];
    let mut seen = BTreeMap::new();
    for text in texts {
        if let Some(before) = seen.insert(canonical(text, ""), text) {
            panic!("these count as one:\n--- {before}\n--- {text}");
        }
    }
}

#[test]
fn run_is_what_the_shell_is_given() {
    // As in BuildKit, a lone heredoc is the same as its text, and its name matters only for a script.
    assert_eq!(canonical("FROM a\nRUN <<E\nx\nE", ""), canonical("FROM a\nRUN <<'F'\nx\nF", ""));
    assert_ne!(canonical("FROM a\nRUN <<E\n#!x\nE", ""), canonical("FROM a\nRUN <<F\n#!x\nF", ""));
    body("RUN <<E\nx\nE", "", "RUN shell [\"x\\n\"]");
    body("RUN <<-E\n\tx\n\tE", "", "RUN shell [\"x\\n\"]");
    body("RUN <<E bash\nx\nE", "", "RUN shell [\"<<E bash\\nx\\nE\"]");
    body("RUN echo $HOME \\$X", "", "RUN shell [\"echo $HOME \\\\$X\"]");
}

#[test]
fn variables_of_a_stage() {
    plain("ENV a=1\nENV b=$a c=${a}2", "ENV [\"a=1\"]\nENV [\"b=1\",\"c=12\"]");
    plain("ENV a=1\nENV a=2 b=$a", "ENV [\"a=1\"]\nENV [\"a=2\",\"b=1\"]");
    plain("ARG a=1 b=$a\nENV c=$b", "ARG [\"a=1\",\"b=1\"]\nENV [\"c=1\"]");
    plain("ENV p=$PATH", "ENV [\"p=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]");
    plain("ENV a=$b", "ENV [\"a=\"]");
    plain("ENV a='$b' c=\\$d", "ENV [\"a=$$b\",\"c=$$d\"]");
    plain("ENV a=1\nARG a=2\nENV b=$a", "ENV [\"a=1\"]\nARG [\"a=2\"]\nENV [\"b=2\"]");
    plain(
        "ENV a=x\nWORKDIR /$a\nUSER $a\nVOLUME $a\nSTOPSIGNAL $a\nLABEL $a=$a\nCOPY $a /$a",
        "ENV [\"a=x\"]\nWORKDIR [\"/x\"]\nUSER [\"x\"]\nVOLUME [\"x\"]\nSTOPSIGNAL [\"x\"]\nLABEL [\"x=x\"]\nCOPY [\"x\",\"/x\"]",
    );
    plain("ENV a=\"1 2\"\nEXPOSE 9 $a 3", "ENV [\"a=1 2\"]\nEXPOSE [\"1\",\"2\",\"3\",\"9\"]");
    plain(
        "ENV a=x\nRUN $a\nCMD $a\nENTRYPOINT [\"$a\"]\nMAINTAINER $a",
        "ENV [\"a=x\"]\nRUN shell [\"$a\"]\nCMD shell [\"$a\"]\nENTRYPOINT exec [\"$a\"]\nMAINTAINER [\"$a\"]",
    );
    plain(
        "ENV a=x\nRUN --mount=type=cache,target=/$a,id=$a y",
        "ENV [\"a=x\"]\nRUN shell --mount=[\"id=x\",\"readonly=false\",\"source=\",\"target=/x\",\"type=cache\"] [\"y\"]",
    );
    plain(
        "ENV a=1\nCOPY --chown=$a --chmod=0$a x /y",
        "ENV [\"a=1\"]\nCOPY --chown=[\"1\"] --chmod=[\"01\"] [\"x\",\"/y\"]",
    );
    plain("ENV a=1\nCOPY --exclude=$a x /y", "ENV [\"a=1\"]\nCOPY --exclude=[\"$a\"] [\"x\",\"/y\"]");
    plain(
        "ENV a=1\nCOPY <<E <<'F' /y/\n\"$a\" \\$a\nE\n$a\nF",
        "ENV [\"a=1\"]\nCOPY [\"<<E\",\"\\\"1\\\" $$a\\n\",\"<<F\",\"$$a\\n\",\"/y/\"]",
    );
    body("ENV a=$PATH:/x", "", "ENV [\"a=${PATH}:/x\"]");
    body("ENV a=$PATH:/x", "a?PATH=/p", "ENV [\"a=/p:/x\"]");
    body("ENV b=$X", "a?A=1", "ENV [\"b=\"]");
    body("ENV b=$A", "docker.io/library/a:latest?A=1", "ENV [\"b=1\"]");
}

#[test]
fn arguments() {
    body("ARG A", "", "ARG [\"A\"]");
    body("ARG A", "A=1", "ARG [\"A=1\"]");
    body("ARG A=0", "A=1", "ARG [\"A=1\"]");
    body("ARG A=0", "A=", "ARG [\"A=\"]");
    body("ARG A=${B:-2}\nARG B", "B=3 a?x=y", "ARG [\"A=2\"]\nARG [\"B=3\"]");
    body("ARG TARGETARCH", "^linux/arm64", "ARG [\"TARGETARCH=arm64\"]");
    body(
        "ARG TARGETPLATFORM TARGETOS TARGETVARIANT",
        "^linux/arm/v6",
        "ARG [\"TARGETPLATFORM=linux/arm/v6\",\"TARGETOS=linux\",\"TARGETVARIANT=v6\"]",
    );
    body(
        "ARG BUILDPLATFORM BUILDARCH",
        "^linux/arm64",
        "ARG [\"BUILDPLATFORM=linux/amd64\",\"BUILDARCH=amd64\"]",
    );
    body("ARG TARGETARCH=x", "", "ARG [\"TARGETARCH=x\"]");
    body("ARG TARGETSTAGE", "", "ARG [\"TARGETSTAGE=default\"]");
    body("ARG HTTP_PROXY\nARG no_proxy=x", "HTTP_PROXY=secret", "ARG [\"HTTP_PROXY\"]\nARG [\"no_proxy=x\"]");
    body("RUN x", "UNUSED=1 HTTP_PROXY=2", "RUN shell [\"x\"]");
    let global = "ARG V=1\nARG W=$V-w\nFROM a\nARG V\nARG W=own\nARG U";
    assert_eq!(
        canonical(global, ""),
        "stage 0 FROM base 0 linux/amd64\nARG [\"V=1\"]\nARG [\"W=own\"]\nARG [\"U\"]"
    );
    assert_eq!(
        canonical(global, "V=2"),
        "stage 0 FROM base 0 linux/amd64\nARG [\"V=2\"]\nARG [\"W=own\"]\nARG [\"U\"]"
    );
    // A global argument is not seen in a stage that does not declare it.
    assert_eq!(
        canonical("ARG V=1\nFROM scratch\nENV a=$V", ""),
        "stage 0 FROM scratch linux/amd64\nENV [\"a=\"]"
    );
    let found = recipe(
        "ARG V=1\nARG N=2\nFROM a:$V AS x\nARG A=3\nFROM b\nARG B=4\nFROM x\nARG C",
        "HTTP_PROXY=p SOURCE_DATE_EPOCH=9 Z=1",
    );
    let args: Vec<_> = found
        .args
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(args, ["A=3", "C=-", "SOURCE_DATE_EPOCH=9", "V=1"]);
    assert_eq!(found.undeclared, ["Z"]);
}

#[test]
fn a_stage_takes_over_from_the_one_below() {
    let text = "FROM scratch AS x\nENV e=1\nARG a=2\nFROM x\nENV f=$e-$a";
    assert!(canonical(text, "").ends_with("ENV [\"f=1-2\"]"));
    // The image's value comes back in the child where an argument had hidden it.
    let text = "FROM scratch AS x\nENV e=1\nARG e=2\nENV g=$e\nFROM x\nENV f=$e";
    assert!(canonical(text, "").contains("ENV [\"g=2\"]"));
    assert!(canonical(text, "").ends_with("ENV [\"f=1\"]"));
    let text = "FROM scratch AS x\nENV e=1\nFROM x AS y\nENV e=2\nFROM x\nCOPY --from=y a b\nENV f=$e";
    assert!(canonical(text, "").ends_with("ENV [\"f=1\"]"));
}

#[test]
fn triggers() {
    body("RUN y", "a!RUN_x", "RUN shell [\"x\"]\nRUN shell [\"y\"]");
    body("RUN y", "docker.io/library/a:latest!RUN_x", "RUN shell [\"x\"]\nRUN shell [\"y\"]");
    body("RUN y", "a!ARG_V a!ENV_W=$V V=1", "ARG [\"V=1\"]\nENV [\"W=1\"]\nRUN shell [\"y\"]");
    body("ARG V", "a!RUN_x b!RUN_z", "RUN shell [\"x\"]\nARG [\"V\"]");
    let text = "FROM scratch AS x\nONBUILD RUN a\nONBUILD COPY b /c\nRUN d\nFROM x\nRUN e";
    assert_eq!(
        canonical(text, ""),
        "stage 0 FROM scratch linux/amd64\nONBUILD [\"RUN a\"]\nONBUILD [\"COPY b /c\"]\nRUN shell [\"d\"]\nstage 1 FROM stage 0 linux/amd64\nRUN shell [\"a\"]\nCOPY [\"b\",\"/c\"]\nRUN shell [\"e\"]"
    );
    assert_eq!(recipe(text, "@x").triggers, ["RUN a", "COPY b /c"]);
    // Used up by the stage that builds on it.
    assert!(recipe(text, "").triggers.is_empty());
    let text = "FROM b AS s\nFROM a";
    assert_eq!(recipe(text, "a!COPY_--from=s_c_d").stages.len(), 2);
    mistakes(
        "FROM a",
        "a!NOPE",
        "1:6 the ONBUILD trigger `NOPE` of the base is not sound: unknown instruction `NOPE`",
    );
    mistakes("FROM a", "a!COPY_--from=7_c_d", "1:6 there is no stage number 7 (there are 1, counted from 0)");
}

/// Sources: `?` for one that need not exist, `*` for wildcards, `<` for parents, then the excluded.
fn reads(text: &str, asked: &str, wanted: &str) {
    let recipe = recipe(text, asked);
    assert_eq!(shown(&recipe.reads), wanted, "\n--- {text}");
}

fn shown(reads: &Reads) -> String {
    let one = |source: &crate::syntax::reads::ReadSource| {
        let marks = [(source.wildcard, "*"), (source.include.is_some(), "<"), (!source.required, "?")];
        let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
        let exclude: String = source.exclude.iter().map(|exclude| format!(" -{exclude}")).collect();
        let shown = if source.include.is_some() { source.shown() } else { source.pattern.clone() };
        format!("{marks}[{shown}]{exclude}")
    };
    reads.sources.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_read_of_the_context() {
    reads("FROM a\nCOPY x y /z/", "", "[x] [y]");
    reads("FROM a\nCOPY . /z", "", "?[]");
    reads("FROM a\nCOPY / /z", "", "?[]");
    reads("FROM a\nCOPY ./x/../y/ ../../z /w/", "", "[y] [z]");
    reads("FROM a\nCOPY x*.c [y] /w/", "", "*?[x*.c] *?[[y]]");
    reads("FROM a\nCOPY --exclude=*.o --exclude=y x /w/", "", "[x] -*.o -y");
    reads("FROM a\nCOPY --parents x/./y/*.c z /w/", "", "<?[x/./y/*.c] <[z]");
    reads("FROM a\nCOPY --from=b x /z", "", "");
    reads("FROM b AS c\nCOPY n /z\nFROM a\nCOPY --from=c x /z", "", "[n]");
    reads("FROM b AS c\nCOPY n /z\nFROM a\nCOPY x /z", "", "[x]");
    reads("FROM a\nADD http://h/x.tar git@h:r.git https://h/r.git#m y.tar /z/", "", "[y.tar]");
    reads("FROM a\nCOPY <<E x /z/\nq\nE", "", "[x]");
    reads("FROM a\nRUN --mount=target=/x y", "", "?[]");
    reads("FROM a\nRUN --mount=type=bind,source=./s,target=/x y", "", "[s]");
    reads("FROM a\nRUN --mount=type=bind,source=s*,target=/x y", "", "[s*]");
    reads("FROM a\nRUN --mount=from=b,source=s,target=/x y", "", "");
    reads(
        "FROM a\nRUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y --mount=type=secret,id=i --mount=type=ssh y",
        "",
        "",
    );
    reads("FROM scratch\nARG T=cache\nRUN --mount=type=$T,target=/x y", "", "");
    reads("FROM scratch\nARG T=cache\nRUN --mount=type=$T,target=/x y", "T=bind", "?[]");
    reads("FROM scratch\nARG D=d\nCOPY $D/x /z", "", "[d/x]");
    reads("FROM scratch\nARG D=d\nCOPY $D/x /z", "D=e", "[e/x]");
    // As in BuildKit, an unset variable is an empty word, and that is the whole context.
    reads("FROM scratch\nCOPY $UNSET x /d/", "", "?[] [x]");
    reads("FROM a\nCOPY $UNSET x /d/", "", "?[] [x]");
    reads("FROM a\nCOPY $UNSET/y x /d/", "", "?[] [x]");
    reads("FROM a\nCOPY $UNSET/y x /d/", "a?UNSET=u", "[u/y] [x]");
    reads("FROM a", "a!COPY_._/app", "?[]");
    reads("FROM a\nCOPY [\"a b\", \"c\"]\nADD [\"d\", \"e\"]", "", "[a b] [d]");
}

#[test]
fn places_of_what_is_read() {
    let text = "FROM a\nCOPY x \\\n  yy /z/\nRUN --mount=source=src,target=/x y";
    let found: Vec<_> =
        recipe(text, "").reads.sources.iter().map(|s| &text[s.span.start..s.span.end]).collect();
    assert_eq!(found, ["x", "yy", "src"]);
    let text = "FROM a\nRUN b";
    let found: Vec<_> =
        recipe(text, "a!COPY_x_y").reads.sources.iter().map(|s| &text[s.span.start..s.span.end]).collect();
    assert_eq!(found, ["a"]);
}

#[test]
fn what_is_read_of_other_contexts() {
    let found = recipe(
        "FROM a AS s\nFROM b\nCOPY --from=other x /y\nCOPY --from=s p /q\nRUN --mount=from=other,source=m,target=/n r",
        "%other %s",
    );
    let all: Vec<_> =
        found.context_reads.iter().map(|(name, reads)| format!("{name} {}", shown(reads))).collect();
    assert_eq!(all, ["other [x] [m]", "s [p]"]);
    assert_eq!(found.stages.len(), 1);
}

#[test]
fn remote_sources() {
    let text = "FROM scratch\nARG V=1\nADD --checksum=sha256:c http://h/x-$V.tar /x\nADD --keep-git-dir git@h:r.git#v /y\nADD https://h/r.git?commit=abc#main /z";
    let all: Vec<_> = recipe(text, "V=2")
        .remotes
        .iter()
        .map(|remote| {
            let span = &text[remote.span.start..remote.span.end];
            format!("{} {} {:?} {:?} {span}", remote.url, remote.git, remote.checksum, remote.keep_git_dir)
        })
        .collect();
    assert_eq!(
        all,
        [
            "http://h/x-2.tar false Some(\"sha256:c\") None http://h/x-$V.tar",
            "git@h:r.git#v true None Some(true) git@h:r.git#v",
            "https://h/r.git?commit=abc#main true Some(\"abc\") None https://h/r.git?commit=abc#main",
        ]
    );
}

#[test]
fn mistakes_of_meaning() {
    let hint = "give ARG B a default, `args` in the Imagefile or --build-arg B=…";
    mistakes("ARG B\nFROM $B", "", &format!("2:6 `$B` is empty, and FROM needs an image ({hint})"));
    mistakes(
        "ARG B\nFROM a:$B",
        "",
        &format!("2:6 `a:$B` becomes `a:`, and this is not the name of an image ({hint})"),
    );
    mistakes(
        "ARG B=\nFROM a:${B}",
        "",
        &format!("2:6 `a:${{B}}` becomes `a:`, and this is not the name of an image ({hint})"),
    );
    mistakes("ARG B\nFROM ${B:?x}", "", &format!("2:6 cannot expand `${{B:?x}}`: B: x ({hint})"));
}

#[test]
fn mistakes_of_names() {
    mistakes(
        "FROM $NOPE",
        "",
        "1:6 `$NOPE` is empty, and FROM needs an image (write `ARG NOPE=…` above the first FROM)",
    );
    mistakes(
        "ARG BASE=a\nFROM $BASS",
        "",
        "2:6 `$BASS` is empty, and FROM needs an image (`BASS` is not declared; did you mean `BASE`?)",
    );
    mistakes(
        "FROM a\nARG V=1\nFROM b:$V",
        "",
        "3:6 `b:$V` becomes `b:`, and this is not the name of an image (FROM sees only what is declared above the first FROM: put `ARG V` there)",
    );
    mistakes(
        "FROM a AS build\nFROM Build",
        "",
        "2:6 cannot build on `Build`: the name of an image must be in small letters (write the stage in small letters: `build`)",
    );
    mistakes("FROM A", "", "1:6 cannot build on `A`: the name of an image must be in small letters");
    mistakes(
        "FROM --platform=$NOPE a",
        "",
        "1:17 the platform `$NOPE` is empty (as in `--platform=$BUILDPLATFORM` or `--platform=linux/arm64`)",
    );
    mistakes(
        "FROM --platform=$BUILDPLATFROM a",
        "",
        "1:17 the platform `$BUILDPLATFROM` is empty (did you mean `BUILDPLATFORM`?)",
    );
    mistakes(
        "FROM --platform=nope a",
        "",
        "1:17 `nope` is not a platform (as in `--platform=$BUILDPLATFORM` or `--platform=linux/arm64`)",
    );
    mistakes("FROM a", "^nope", "1:1 the platform `nope` is none that Docker knows (as in `linux/arm64`)");
    mistakes(
        "FROM a AS build\nFROM b AS test",
        "@tset",
        "1:1 there is no stage `tset` (did you mean `test`? the stages are `build`, `test`)",
    );
    mistakes("FROM a", "@7", "1:1 there is no stage `7` (no stage has a name)");
    mistakes(
        "FROM a\nCOPY --from=$X b c",
        "",
        "2:13 COPY --from does not read variables (name a stage there: `FROM $IMAGE AS name` above, then `--from=name`)",
    );
    mistakes(
        "FROM a\nCOPY --from=1 b c",
        "",
        "2:13 there is no stage number 1 (there are 1, counted from 0)",
    );
    mistakes(
        "FROM a\nCOPY --from=0 b c",
        "",
        "2:13 a stage cannot copy from itself (`0`) (only stages further up can be used)",
    );
    mistakes(
        "FROM a AS x\nCOPY --from=x b c",
        "",
        "2:13 a stage cannot copy from itself (`x`) (only stages further up can be used)",
    );
    mistakes(
        "FROM a AS y\nCOPY --from=x b c\nFROM d AS x\nFROM e\nCOPY --from=y c /",
        "",
        "2:13 the stage `x` comes later (only stages further up can be used)",
    );
    mistakes(
        "FROM a AS y\nRUN --mount=from=x,target=/y b\nFROM d AS x\nFROM y",
        "",
        "2:18 the stage `x` comes later (only stages further up can be used)",
    );
    mistakes(
        "FROM a AS y\nCOPY --from=x b c\nFROM d AS x\nCOPY --from=y b c\nFROM e",
        "",
        "2:13 copying from `x` ends where it begins (stages cannot copy from each other)",
    );
    mistakes(
        "FROM a AS x\nFROM b",
        "@0",
        "1:1 there is no stage `0` (a target is named, and that stage is `x`)",
    );
    mistakes(
        "FROM a AS build\nFROM b\nCOPY --from=Buidl c d",
        "",
        "3:13 cannot copy from `Buidl`: the name of an image must be in small letters (did you mean `build`?)",
    );
    mistakes(
        "FROM a\nCOPY http://x/y /z",
        "",
        "2:6 COPY cannot fetch `http://x/y` (use ADD for a URL or a git repository)",
    );
    mistakes(
        "FROM a\nADD --checksum=sha256:1 x /z",
        "",
        "2:25 ADD --checksum is for a URL or a git repository (leave the flag out for files of the context)",
    );
    mistakes(
        "FROM a\nCOPY x[ /z",
        "",
        "2:6 `x[` is not a pattern (a `[` that stands for itself is written `[[]`)",
    );
    mistakes("FROM a\nENV x=${y", "", "2:5 cannot expand `${y`: `}` is missing");
    mistakes(
        "FROM a\nRUN --mount=type=binde,target=/x y",
        "",
        "2:18 cannot mount the type `binde` (did you mean `bind`?)",
    );
    mistakes("FROM scratch\nARG X\nWORKDIR ${X:?set it}", "", "3:9 cannot expand `${X:?set it}`: X: set it");
    mistakes("ARG X=${Y:?}\nFROM a", "", "1:5 cannot expand `X`: Y: is not allowed to be unset");
    mistakes(
        "FROM $A\nFROM $B",
        "",
        "1:6 `$A` is empty, and FROM needs an image (write `ARG A=…` above the first FROM)\n2:6 `$B` is empty, and FROM needs an image (write `ARG B=…` above the first FROM)",
    );
}

#[test]
fn an_unknown_frontend_may_read_everything() {
    let text = "# syntax=me/mine\nwhatever";
    let found = recipe(text, "A=1");
    assert_eq!(found.frontend, Frontend::Unknown("me/mine".into()));
    assert_eq!(found.reads, Reads::whole());
    assert!(found.canonical().contains("whatever"));
    let found = recipe("FROM a\nCOPY x y", "BUILDKIT_SYNTAX=me/mine");
    assert_eq!((found.frontend, found.reads), (Frontend::Unknown("me/mine".into()), Reads::whole()));
    let found = recipe("# syntax=docker/dockerfile:1.4\nFROM a\nCOPY x y", "");
    assert_eq!(found.frontend, Frontend::Builtin);
}

fn pinned(text: &str, exact: &[(&str, &str)], wanted: &str) {
    let map: BTreeMap<String, String> =
        exact.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let found = recipe(text, "").pinned(text, |base| map.get(&base.reference).cloned());
    assert_eq!(found, wanted, "\n--- {text}");
    assert_eq!(found.lines().count(), text.lines().count());
    assert!(parse(&found).is_ok());
}

#[test]
fn bases_are_pinned_line_for_line() {
    pinned("FROM a\nRUN x", &[("a", "a@s")], "FROM a@s\nRUN x");
    pinned("FROM a AS b\nFROM b", &[("a", "a@s"), ("b", "b@s")], "FROM a@s AS b\nFROM b");
    pinned("FROM a", &[], "FROM a");
    pinned("ARG V=1\nFROM a:$V", &[("a:1", "a@s")], "ARG V=1\nFROM a@s");
    pinned("FROM a\nCOPY --from=\"b\" x y", &[("b", "b@s")], "FROM a\nCOPY --from=\"b@s\" x y");
    pinned(
        "FROM a\nRUN --mount=from=b,target=/x \\\n  # b\n  y b",
        &[("b", "b@s")],
        "FROM a\nRUN --mount=from=b@s,target=/x \\\n  # b\n  y b",
    );
    pinned("FROM al\\\n# note\npine AS x\nRUN y", &[("alpine", "a@s")], "FROM \\\n\\\na@s AS x\nRUN y");
    pinned("# escape=`\nFROM al`\npine", &[("alpine", "a@s")], "# escape=`\nFROM `\na@s");
    pinned("FROM é:1\nRUN x".replace('é', "e").as_str(), &[("e:1", "e@s")], "FROM e@s\nRUN x");
    pinned("FROM unused\nFROM a", &[("unused", "u@s"), ("a", "a@s")], "FROM unused\nFROM a@s");
    let text = "FROM --platform=linux/arm64 a AS x\nFROM a\nCOPY --from=x b c";
    let found = recipe(text, "").pinned(text, |base| Some(format!("a@{}", base.platform.replace('/', "-"))));
    assert_eq!(
        found,
        "FROM --platform=linux/arm64 a@linux-arm64 AS x\nFROM a@linux-amd64\nCOPY --from=x b c"
    );
}

#[test]
fn a_recipe_survives_being_stored() {
    let found = recipe("ARG V=1\nFROM a:$V\nCOPY --parents x y\nADD http://h/x /\nONBUILD RUN z", "");
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), found);
}

#[test]
fn hostile_files_are_resolved_in_time() {
    let in_time = |text: &str| {
        let (file, start) = (parse(text).unwrap(), std::time::Instant::now());
        let result = resolve(&file, &Request::default());
        assert!(start.elapsed().as_secs() < 30, "{:?} for {}", start.elapsed(), &text[..40]);
        result
    };
    let chain: String =
        (1..100_000).map(|n| format!("FROM s{} AS s{n}\nENV e{n}=$e{}\n", n - 1, n - 1)).collect();
    assert_eq!(in_time(&format!("FROM scratch AS s0\n{chain}")).unwrap().stages.len(), 100_000);
    let fan: String = (0..5_000).map(|n| format!("FROM s0 AS f{n}\nENV e{n}=1\n")).collect();
    let copies: String = (0..5_000).map(|n| format!("COPY --from=f{n} a b\n")).collect();
    let many: String = (0..5_000).map(|n| format!("ENV x{n}=1\n")).collect();
    assert!(in_time(&format!("FROM scratch AS s0\n{many}{fan}FROM scratch\n{copies}")).is_ok());
    let bomb: String = (0..60).map(|n| format!("ENV a{}=$a{n}$a{n}\n", n + 1)).collect();
    assert!(in_time(&format!("FROM scratch\nENV a0=xx\n{bomb}")).is_err());
    let triggers = "ONBUILD RUN x\n".repeat(30_000);
    let children: String = (0..5_000).map(|n| format!("FROM s0 AS f{n}\n")).collect();
    assert!(in_time(&format!("FROM scratch AS s0\n{triggers}{children}FROM scratch\n{copies}")).is_err());
    assert!(in_time(&"FROM $X\nCOPY --from=Nope a b\n".repeat(20_000)).is_err());
    let wide = "FROM a\nCOPY --from=Nope a b\n".repeat(20_000);
    assert!(in_time(&wide).is_err());
}

/// Words of which a random file is made.
const LINES: [&str; 16] = [
    "RUN make  all",
    "COPY a b/ c/",
    "ENV k=\"v w\" l=$k",
    "ARG x=1",
    "WORKDIR /$x",
    "LABEL a=b",
    "USER u",
    "CMD [\"a\", \"b\"]",
    "RUN <<E\nx $y\n# z\nE",
    "COPY <<E /f\n$k\nE",
    "EXPOSE 80 $x",
    "ADD http://h/f /",
    "RUN --mount=type=cache,target=/c x",
    "HEALTHCHECK --retries=2 CMD y",
    "VOLUME /v",
    "ONBUILD COPY . /o",
];

proptest::proptest! {
    #[test]
    fn the_canonical_form_does_not_see_spelling(
        picks in proptest::collection::vec((0..LINES.len(), 0..5usize, proptest::prelude::any::<proptest::sample::Index>()), 0..8),
    ) {
        let (mut plain, mut other) = (String::from("FROM a\n"), String::from("# note\nfrom \\\n a\n"));
        for (pick, how, at) in picks {
            let line = LINES[pick];
            plain.push_str(line);
            plain.push('\n');
            let (head, rest) = line.split_once('\n').map_or((line, String::new()), |(head, rest)| (head, format!("\n{rest}")));
            let (keyword, args) = head.split_once(' ').unwrap();
            let cut = at.index(args.len());
            other.push_str(&match how {
                0 => format!("# a note\n\n{line}"),
                1 => format!("{} {args}{rest}", keyword.to_lowercase()),
                2 => format!("  {keyword} \\\n # a note \\\n\n{args}{rest}"),
                3 => format!("{keyword} {}\\\n{}{rest}", &args[..cut], &args[cut..]),
                // BuildKit stores a trigger with the blanks at its end.
                _ if keyword == "ONBUILD" => format!("{keyword}   {args}{rest}"),
                _ => format!("{keyword}   {args}  {rest}"),
            });
            other.push('\n');
        }
        let form = |text: &str| canonical(text, "");
        proptest::prop_assert_eq!(form(&plain), form(&other), "{}\n---\n{}", plain, other);
    }

    #[test]
    fn nothing_panics(text in "(FROM a|FROM \\$x|\nCOPY --from=|\nRUN --mount=type=|\nARG x|\nENV |\nONBUILD COPY |as b|[a-c=,$ {}:0\n]){0,30}") {
        let Ok(file) = parse(&text) else { return Ok(()) };
        let Ok(found) = resolve(&file, &Request::default()) else { return Ok(()) };
        for span in found.bases.iter().flat_map(|base| &base.spans) {
            proptest::prop_assert!(text.get(span.start..span.end).is_some());
        }
        let _ = found.pinned(&text, |_| Some("x@y".into()));
    }
}

#[test]
fn a_label_of_a_stage_that_is_only_copied_from_builds_nothing_anew() {
    let text = "FROM scratch AS a\nLABEL x=1\nCMD a\nEXPOSE 1\nENV e=1\nVOLUME /v\nCOPY f /\nFROM scratch AS b\nCMD b\n\
                FROM b\nLABEL y=1\nCOPY --from=a / /\n";
    let recipe = resolve(&parse(text).unwrap(), &Request::default()).unwrap();
    assert_eq!(
        recipe.canonical(),
        "escape \\\nstage 0 FROM scratch linux/amd64\nENV [\"e=1\"]\nVOLUME [\"/v\"]\nCOPY [\"f\",\"/\"]\n\
         stage 1 FROM scratch linux/amd64\nCMD shell [\"b\"]\n\
         stage 2 FROM stage 1 linux/amd64\nLABEL [\"y=1\"]\nCOPY --from=stage:0 [\"/\",\"/\"]"
    );
}
