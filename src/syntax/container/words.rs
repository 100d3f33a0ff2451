//! Small texts of a container's options: environment files, names of hosts, time zones, periods.

/// The lines of an `--env-file`, as docker reads them: `NAME=VALUE` to the end of the line, `NAME` alone
/// for the caller's own value, `#` begins a comment line.
///
/// # Errors
/// The number of a line that names no variable, the first being 1.
pub fn env_file(text: &str) -> Result<Vec<(String, Option<String>)>, usize> {
    let mut pairs = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(number + 1);
        }
        pairs.push((name.to_owned(), value.map(str::to_owned)));
    }
    Ok(pairs)
}

/// `NAME:ADDRESS`, or with a `=` between. `host-gateway` stands for the engine's machine.
///
/// # Errors
/// What is wrong with it.
pub fn host(text: &str) -> Result<String, String> {
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':')).unwrap_or((text, ""));
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || (bare != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err()) {
        return Err(format!("`{text}` adds no host: write it as NAME:ADDRESS"));
    }
    Ok(format!("{name}:{bare}"))
}

/// A period such as `90s`, `5m` or `1h 30m`, in milliseconds. A day has 24 hours.
///
/// # Errors
/// What is wrong with it.
pub fn period(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a period of time: write it as 30s, 5m or 1h");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    u64::try_from(duration.as_millis()).ok().filter(|millis| *millis > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_read_as_docker_reads_it() {
        let some = |text: &str| Some(text.to_owned());
        let pairs = env_file("# c\nA=1 # no comment\n\n  B\nC=\n").unwrap();
        let expected =
            [("A".to_owned(), some("1 # no comment")), ("B".to_owned(), None), ("C".to_owned(), some(""))];
        assert_eq!(pairs, expected);
        assert_eq!(env_file("A=1\n=2\n"), Err(2));
    }

    #[test]
    fn hosts_and_periods_are_read() {
        assert_eq!(host("db:10.0.0.1").unwrap(), "db:10.0.0.1");
        assert_eq!(host("db=::1").unwrap(), "db:::1");
        assert_eq!(host("gw:host-gateway").unwrap(), "gw:host-gateway");
        assert!(host("db").is_err() && host(":1.2.3.4").is_err() && host("db:nowhere").is_err());
        assert_eq!((period("90s"), period("1h 30m"), period("500ms")), (Ok(90_000), Ok(5_400_000), Ok(500)));
        assert!(period("0s").is_err() && period("soon").is_err() && period("-5s").is_err());
    }
}
