//! Platforms: `linux/arm64/v8` and its shorter and older spellings.
//!
//! Follows `containerd/platforms` (`Parse`, `normalizeArch`, `Format`), for a
//! machine that runs Linux. Does not know what an engine can build.

use std::fmt;

use crate::syntax::suggest::did_you_mean;

/// A platform in BuildKit's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `10.0.17763` in `windows(10.0.17763)/amd64`.
    pub os_version: String,
    /// `amd64`
    pub architecture: String,
    /// `v7`, or empty.
    pub variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(f, "({})", self.os_version)?;
        }
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// Reads a platform; nothing if it is none.
pub fn parse(text: &str) -> Option<Platform> {
    let parts: Vec<&str> = text.split('/').collect();
    let (os, os_version) = match parts[0].split_once('(') {
        Some((os, version)) => (os, version.strip_suffix(')')?),
        None => (parts[0], ""),
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let sound = |part: &str| !part.is_empty() && part.chars().all(word);
    if !sound(os) || !parts[1..].iter().all(|part| sound(part)) || !os_version.chars().all(word) {
        return None;
    }
    let os = match os.to_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        os => os.to_owned(),
    };
    let platform = |os: String, (architecture, variant): (String, String)| {
        Some(Platform { os, os_version: os_version.to_owned(), architecture, variant })
    };
    let short = |(architecture, variant): (String, String)| match (architecture.as_str(), variant.as_str()) {
        ("arm", "v7") => (architecture, String::new()),
        _ => (architecture, variant),
    };
    match parts.as_slice() {
        [_] if SYSTEMS.contains(&os.as_str()) => platform(os, ("amd64".into(), String::new())),
        [only] => {
            let found = short(normalize(only, ""));
            if ARCHITECTURES.contains(&found.0.as_str()) { platform("linux".into(), found) } else { None }
        }
        [_, architecture] => platform(os, short(normalize(architecture, ""))),
        [_, architecture, variant] => {
            let mut found = normalize(architecture, variant);
            if found.0 == "arm64" && found.1.is_empty() {
                found.1 = "v8".into();
            }
            platform(os, found)
        }
        _ => None,
    }
}

/// Whether a machine of one platform runs the other by itself. Of the 64-bit architectures every variant
/// is taken to run on every machine, as engines do; an `arm` of one version is another machine.
pub fn same(one: &str, other: &str) -> bool {
    match (parse(one), parse(other)) {
        (Some(one), Some(other)) => {
            let variants = one.architecture != "arm" || one.variant == other.variant;
            one.os == other.os && one.architecture == other.architecture && variants
        }
        _ => one == other,
    }
}

/// A platform as a person asks for it, in containerd's spelling. An architecture may stand with its variant
/// and without a system, which is Linux then.
///
/// # Errors
/// Why it is none, as the end of a sentence, and what may be meant.
///
/// # Examples
///
/// ```
/// use imk::syntax::resolve::platform::asked;
///
/// assert_eq!(asked("amd64").as_deref(), Ok("linux/amd64"));
/// assert_eq!(asked("linux/x86_64").as_deref(), Ok("linux/amd64"));
/// assert!(asked("linux/amd46").is_err());
/// ```
pub fn asked(text: &str) -> Result<String, (String, String)> {
    let is_architecture = |word: &str| ARCHITECTURES.contains(&normalize(word, "").0.as_str());
    let whole = match text.split_once('/') {
        Some((first, _)) if is_architecture(first) => format!("linux/{text}"),
        _ => text.to_owned(),
    };
    let plain = || "it is written as \"linux/arm64\"".to_owned();
    if text.contains(',') {
        let list = text.split(',').map(|one| format!("\"{}\"", one.trim())).collect::<Vec<_>>().join(", ");
        let why = "these are several, and `platform` is one".to_owned();
        return Err((why, format!("write `platforms: [{list}]`")));
    }
    let Some(found) = parse(&whole) else {
        let architectures = ARCHITECTURES.iter().copied();
        let near = did_you_mean(text, architectures.chain(SYSTEMS));
        return Err(("it is not a platform".to_owned(), near.unwrap_or_else(plain)));
    };
    for (word, all, what) in
        [(&found.os, &SYSTEMS[..], "system"), (&found.architecture, &ARCHITECTURES[..], "architecture")]
    {
        if !all.contains(&word.as_str()) {
            let hint = did_you_mean(word, all.iter().copied()).unwrap_or_else(plain);
            return Err((format!("there is no {what} `{word}`"), hint));
        }
    }
    Ok(found.to_string())
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9"),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        both => both,
    };
    (architecture.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_runs_its_own_architecture_and_no_other() {
        for (one, other) in
            [("linux/arm64", "linux/arm64/v8"), ("linux/amd64", "linux/amd64/v3"), ("amd64", "linux/x86_64")]
        {
            assert!(super::same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("linux/arm64", "linux/amd64"),
            ("linux/arm/v6", "linux/arm/v7"),
            ("windows/amd64", "linux/amd64"),
        ] {
            assert!(!super::same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_person_may_spell_a_platform_in_many_ways() {
        for (given, wanted) in [
            ("linux/amd64", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("AMD64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("x86-64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/x86-64", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("amd64/v3", "linux/amd64/v3"),
            ("x86_64/v2", "linux/amd64/v2"),
            ("linux", "linux/amd64"),
            ("i386", "linux/386"),
            ("386", "linux/386"),
            ("linux/i386", "linux/386"),
            ("aarch64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("arm64/v8", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/arm64/8", "linux/arm64/v8"),
            ("aarch64/v8", "linux/arm64/v8"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("arm", "linux/arm"),
            ("linux/arm", "linux/arm"),
            ("armhf", "linux/arm"),
            ("armel", "linux/arm/v6"),
            ("arm/v7", "linux/arm/v7"),
            ("arm/7", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/arm/5", "linux/arm/v5"),
            ("riscv64", "linux/riscv64"),
            ("linux/ppc64le", "linux/ppc64le"),
            ("s390x", "linux/s390x"),
            ("linux/loong64", "linux/loong64"),
            ("windows/amd64", "windows/amd64"),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(super::asked(given).as_deref(), Ok(wanted), "{given}");
            assert_eq!(super::asked(wanted).as_deref(), Ok(wanted), "{wanted}");
        }
        for (given, why, hint) in [
            ("linus/amd64", "there is no system `linus`", "did you mean `linux`?"),
            ("linux/amd6", "there is no architecture `amd6`", "did you mean `amd64`?"),
            ("linux/ppc64l/x", "there is no architecture `ppc64l`", "did you mean `ppc64`?"),
            ("amd6", "it is not a platform", "did you mean `amd64`?"),
            ("", "it is not a platform", "it is written as \"linux/arm64\""),
            (
                "linux/amd64,linux/arm64",
                "these are several, and `platform` is one",
                "write `platforms: [\"linux/amd64\", \"linux/arm64\"]`",
            ),
            ("linux/", "it is not a platform", "did you mean `linux`?"),
            ("a/b/c/d", "it is not a platform", "it is written as \"linux/arm64\""),
        ] {
            assert_eq!(super::asked(given), Err((why.to_owned(), hint.to_owned())), "{given}");
        }
    }

    #[test]
    fn platforms_are_spelt_as_containerd_spells_them() {
        for (given, wanted) in [
            ("linux/amd64", "linux/amd64"),
            ("LINUX/AMD64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/arm64/8", "linux/arm64/v8"),
            ("linux/arm", "linux/arm"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armhf", "linux/arm"),
            ("linux/i386", "linux/386"),
            ("amd64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux", "linux/amd64"),
            ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(
                super::parse(given).map(|found| found.to_string()).as_deref(),
                Some(wanted),
                "{given}"
            );
        }
        for given in [
            "",
            "/",
            "linux/",
            "*",
            "linux/*",
            "a/b/c/d",
            "nonsense",
            "linux//v7",
            "linux/a b",
            "$X",
            "a(b/c",
        ] {
            assert_eq!(super::parse(given), None, "{given}");
        }
    }
}
