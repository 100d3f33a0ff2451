//! Bytes and times as people read them.
//!
//! Two forms of bytes: short ones stand in tables and sums, longer ones in sentences about a single number.

use std::time::Duration;

/// `12 B`, `3.4 kB`, `120 MB`: in thousands, as the engine's own client counts.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = usize::from(value < 9.95 && unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// `12s ago`, `3h ago`, `5d ago`.
pub fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3_600 => (seconds / 60, "m"),
        3_600..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{number}{unit} ago")
}

/// `12.3 MB`, in powers of ten.
pub fn bytes(count: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match (unit, count) {
        (0, 1) => "1 byte".into(),
        (0, _) => format!("{count} bytes"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// `3.1s`, `2m05s`.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    let whole = took.as_secs();
    format!("{}m{:02}s", whole / 60, whole % 60)
}

/// As [`duration`], and below a second in milliseconds: a no-op is told so, since that is its point.
pub fn duration_from_ms(took: Duration) -> String {
    if took.as_millis() < 1000 { format!("{}ms", took.as_millis()) } else { duration(took) }
}

/// A time that is only estimated, rounded up: `40s`, `4m`, `2h`.
pub fn roughly(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5_999 => format!("{}m", seconds.div_ceil(60)),
        _ => format!("{}h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let told: Vec<String> = [0, 999, 1_000, 12_345, 999_500, 3_400_000_000].map(size).into();
        assert_eq!(told, ["0 B", "999 B", "1.0 kB", "12 kB", "1.0 MB", "3.4 GB"]);
        let told: Vec<String> = [5, 61, 7_200, 172_800].map(Duration::from_secs).map(ago).into();
        assert_eq!(told, ["5s ago", "1m ago", "2h ago", "2d ago"]);
    }

    #[test]
    fn bytes_are_short() {
        assert_eq!(
            [0, 1, 999, 1000, 12_345_678].map(bytes),
            ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "12.3 MB"]
        );
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(Duration::from_millis(3140)), "3.1s");
        assert_eq!(duration(Duration::from_secs(125)), "2m05s");
    }
}
