//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and a backslash.
//!
//! BuildKit turns them into regular expressions (`convertShellPatternToRegex`);
//! here they run as rows of steps, so that no value can make them slow. As there,
//! neither `*` nor `?` takes a line break. Knows no variables.

/// No result may grow beyond this: `ENV A=$B$B` twenty times over is a bomb, not a value.
pub const MAX_LENGTH: usize = 1 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Star,
    Any,
    Char(char),
}

/// Removes the shortest (or longest) beginning that the pattern matches.
pub fn trim_prefix(pattern: &str, value: &str, longest: bool) -> Result<String, String> {
    let (steps, value) = (read(pattern)?, value.chars().collect::<Vec<_>>());
    affordable(&steps, &value)?;
    let ends = ends(&steps, &value, 0);
    let end = if longest { ends.last() } else { ends.first() };
    Ok(value[end.copied().unwrap_or(0)..].iter().collect())
}

/// The same at the end, by turning both around.
pub fn trim_suffix(pattern: &str, value: &str, longest: bool) -> Result<String, String> {
    let (mut steps, mut value) = (read(pattern)?, value.chars().collect::<Vec<_>>());
    affordable(&steps, &value)?;
    steps.reverse();
    value.reverse();
    let ends = ends(&steps, &value, 0);
    let end = if longest { ends.last() } else { ends.first() };
    let mut rest = value.split_off(end.copied().unwrap_or(0));
    rest.reverse();
    Ok(rest.into_iter().collect())
}

/// Replaces the first match or every match; a match is as long as it can be.
pub fn replace(pattern: &str, value: &str, replacement: &str, all: bool) -> Result<String, String> {
    let (steps, value) = (read(pattern)?, value.chars().collect::<Vec<_>>());
    affordable(&steps, &value)?;
    let starts = starts(&steps, &value);
    let (mut result, mut at, mut last_end) = (String::new(), 0, None);
    while at <= value.len() {
        let end = if starts[at] { ends(&steps, &value, at).last().copied() } else { None };
        match end {
            // Go passes over an empty match that touches the one before.
            Some(end) if !(all && end == at && last_end == Some(at)) => {
                let matched = &value[at..end];
                if all {
                    template(replacement, matched, &mut result);
                } else {
                    result.push_str(replacement);
                }
                if !all {
                    result.extend(&value[end..]);
                    return Ok(result);
                }
                last_end = Some(end);
                if end > at {
                    at = end;
                    continue;
                }
            }
            _ => {}
        }
        result.extend(value.get(at));
        at += 1;
        if result.len() > MAX_LENGTH {
            return Err("the value grows too long".into());
        }
    }
    Ok(result)
}

/// Go's `ReplaceAllString` reads `$0` and `$name` in the replacement. Only the
/// whole match is a group here; every other name is empty.
fn template(replacement: &str, matched: &[char], result: &mut String) {
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let (name, behind) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, behind)) if !name.is_empty() && name.chars().all(word) => (name, behind),
            _ => after.split_at(after.find(|c| !word(c)).unwrap_or(after.len())),
        };
        match name {
            "" => result.push('$'),
            "0" => result.extend(matched),
            _ => {}
        }
        rest = behind;
    }
    result.push_str(rest);
}

fn read(pattern: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut chars) = (Vec::new(), pattern.chars().peekable());
    while let Some(c) = chars.next() {
        steps.push(match c {
            '*' if steps.last() == Some(&Step::Star) => continue,
            '*' => Step::Star,
            '?' => Step::Any,
            // `}` and `/` are escaped for the sake of `${…}`, not for the pattern.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\')) => Step::Char(c),
                Some(c) => return Err(format!("invalid escape `\\{c}` in the pattern `{pattern}`")),
                None => return Err(format!("the pattern `{pattern}` ends with a backslash")),
            },
            c => Step::Char(c),
        });
    }
    Ok(steps)
}

fn affordable(steps: &[Step], value: &[char]) -> Result<(), String> {
    match steps.len().saturating_mul(value.len()) {
        0..20_000_000 => Ok(()),
        _ => Err("the pattern is too long for a value of this length".into()),
    }
}

/// Where a match that begins at `start` can end, in rising order.
fn ends(steps: &[Step], value: &[char], start: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut active = vec![false; steps.len() + 1];
    active[0] = true;
    for at in start..=value.len() {
        for (index, step) in steps.iter().enumerate() {
            if active[index] && *step == Step::Star {
                active[index + 1] = true;
            }
        }
        if active[steps.len()] {
            ends.push(at);
        }
        let Some(&c) = value.get(at) else { break };
        let mut next = vec![false; steps.len() + 1];
        for (index, step) in steps.iter().enumerate().filter(|(index, _)| active[*index]) {
            match step {
                Step::Star => next[index] |= c != '\n',
                Step::Any => next[index + 1] |= c != '\n',
                Step::Char(wanted) => next[index + 1] |= c == *wanted,
            }
        }
        active = next;
        if !active.contains(&true) {
            break;
        }
    }
    ends
}

/// At which places a match can begin: the same, from the end of the value backwards.
fn starts(steps: &[Step], value: &[char]) -> Vec<bool> {
    let mut starts = vec![false; value.len() + 1];
    // `possible[i]`: the steps from `i` on can match from here. The last always can.
    let mut possible = vec![false; steps.len() + 1];
    for at in (0..=value.len()).rev() {
        let mut here = vec![false; steps.len() + 1];
        here[steps.len()] = true;
        let c = value.get(at).copied();
        for (index, step) in steps.iter().enumerate().rev() {
            here[index] = match step {
                Step::Star => here[index + 1] || c.is_some_and(|c| c != '\n') && possible[index],
                Step::Any => c.is_some_and(|c| c != '\n') && possible[index + 1],
                Step::Char(wanted) => c == Some(*wanted) && possible[index + 1],
            };
        }
        starts[at] = here[0];
        possible = here;
    }
    starts
}
