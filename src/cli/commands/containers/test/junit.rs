//! A report in the form that JUnit began and CI systems read: a suite an image, a case a test.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::containers::suite::perform::Verdict;
use crate::containers::suite::queue::Job;

/// A build as a case.
pub struct Build {
    /// The image.
    pub image: String,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// It was not tried.
    pub is_skipped: bool,
}

/// The report of tests alone.
pub fn text(verdicts: &[(Job, Verdict)]) -> String {
    whole(&[], verdicts)
}

/// The report of builds, in a suite of their own, and tests.
pub fn whole(builds: &[Build], verdicts: &[(Job, Verdict)]) -> String {
    let mut suites: BTreeMap<&str, Vec<(&str, &Verdict)>> = BTreeMap::new();
    for (job, verdict) in verdicts {
        suites.entry(&job.image).or_default().push((&job.test, verdict));
    }
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    text += &suite_of_builds(builds);
    for (image, cases) in suites {
        let count =
            |wanted: fn(&Verdict) -> bool| cases.iter().filter(|(_, verdict)| wanted(verdict)).count();
        let failures = count(|verdict| matches!(verdict, Verdict::Failed { .. }));
        let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
        let name = escaped(image);
        text += &format!(
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">\n",
            cases.len()
        );
        for (test, verdict) in cases {
            text += &case(&name, test, verdict);
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn suite_of_builds(builds: &[Build]) -> String {
    if builds.is_empty() {
        return String::new();
    }
    let failures = builds.iter().filter(|build| build.failure.is_some()).count();
    let skipped = builds.iter().filter(|build| build.is_skipped).count();
    let mut text = format!(
        "  <testsuite name=\"imk build\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">\n",
        builds.len()
    );
    for Build { image, took, failure, is_skipped } in builds {
        let inside = match failure {
            Some(why) => format!("<failure message=\"{}\"/>", escaped(why)),
            None if *is_skipped => "<skipped/>".to_owned(),
            None => String::new(),
        };
        text += &format!(
            "    <testcase classname=\"imk build\" name=\"{}\" time=\"{:.3}\">{inside}</testcase>\n",
            escaped(image),
            took.as_secs_f64()
        );
    }
    text + "  </testsuite>\n"
}

fn case(image: &str, test: &str, verdict: &Verdict) -> String {
    let (seconds, inside) = match verdict {
        Verdict::Passed { took, .. } => (took.as_secs_f64(), String::new()),
        Verdict::Receipt(receipt) => {
            (0.0, format!("<system-out>passed before, receipt {}</system-out>", receipt.key.short(8)))
        }
        Verdict::Failed { lines, took } => {
            let message = escaped(lines.first().map_or("", String::as_str));
            (
                took.as_secs_f64(),
                format!("<failure message=\"{message}\">{}</failure>", escaped(&lines.join("\n"))),
            )
        }
        Verdict::Skipped(base) => (0.0, format!("<skipped message=\"tests of {} failed\"/>", escaped(base))),
    };
    format!(
        "    <testcase classname=\"{image}\" name=\"{}\" time=\"{seconds:.3}\">{inside}</testcase>\n",
        escaped(test)
    )
}

/// Text that XML takes as text. Characters that it knows no way to write become a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_have_a_suite_of_their_own() {
        let build = |image: &str, failure: Option<&str>, is_skipped| Build {
            image: image.into(),
            took: Duration::from_millis(250),
            failure: failure.map(str::to_owned),
            is_skipped,
        };
        let builds = [build("a", None, false), build("b", Some("no <x>"), false), build("c", None, true)];
        insta::assert_snapshot!(whole(&builds, &[]), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="imk build" tests="3" failures="1" errors="0" skipped="1">
            <testcase classname="imk build" name="a" time="0.250"></testcase>
            <testcase classname="imk build" name="b" time="0.250"><failure message="no &lt;x&gt;"/></testcase>
            <testcase classname="imk build" name="c" time="0.250"><skipped/></testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn a_report_is_xml_whatever_a_test_printed() {
        let job = |test: &str| Job { image: "a".into(), test: test.into() };
        let failed = Verdict::Failed {
            lines: vec!["<x> & \"y\"\u{1b}[1m".into(), "z".into()],
            took: Duration::from_millis(1500),
        };
        let verdicts = [(job("one"), failed), (job("two"), Verdict::Skipped("base".into()))];
        insta::assert_snapshot!(text(&verdicts), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="a" tests="2" failures="1" errors="0" skipped="1">
            <testcase classname="a" name="one" time="1.500"><failure message="&lt;x&gt; &amp; &quot;y&quot;?[1m">&lt;x&gt; &amp; &quot;y&quot;?[1m&#10;z</failure></testcase>
            <testcase classname="a" name="two" time="0.000"><skipped message="tests of base failed"/></testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
