//! The machine and the engine, as far as a figure depends on them.

use std::process::Command;

/// Processors, memory, kernel and system in one line.
pub fn line() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let model = after("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned());
    let memory = after("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .map_or_else(String::new, |kilobytes| format!(", {:.0} GiB", kilobytes / 1024.0 / 1024.0));
    let release = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = release.split(['.', '-']).take(2).collect();
    let system = after("/etc/os-release", "PRETTY_NAME").unwrap_or_default();
    format!(
        "{processors} processors ({model}){memory}, Linux {}, {}",
        kernel.join("."),
        system.trim_matches('"')
    )
}

/// The engine with its version and store, or nothing where none answers.
pub fn engine() -> Option<String> {
    let ask = |words: &[&str]| {
        let output = Command::new("docker").args(words).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !said.is_empty()).then_some(said)
    };
    let version = ask(&["version", "--format", "{{.Server.Version}}"])?;
    let store = ask(&["info", "--format", "{{.Driver}}"])?;
    Some(format!("Docker Engine {} ({store})", version.split('+').next().unwrap_or(&version)))
}

/// The value behind a word in a file of `word : value` or `word=value` lines.
fn after(path: &str, word: &str) -> Option<String> {
    let text = fs_err::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(word))?;
    Some(line.split_once([':', '='])?.1.trim().to_owned())
}
