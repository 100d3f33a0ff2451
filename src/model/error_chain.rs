//! An error with its causes in one line.
//!
//! Libraries keep the interesting part in the last cause. Knows no error by name.

use std::error::Error;

/// An error and what caused it, each said once: `what failed: why: why that`.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    std::iter::once(error.to_string()).chain(causes(error)).collect::<Vec<_>>().join(": ")
}

/// The causes of an error, but for those that what comes before them says already.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let (mut said, mut causes) = (error.to_string(), Vec::new());
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
            causes.push(more);
        }
        cause = error.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Failed(&'static str, Option<Box<Self>>);

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_follow_in_order_and_none_is_said_twice() {
        let chain = |texts: &[&'static str]| {
            let inner = texts.iter().rev().fold(None, |cause, text| Some(Box::new(Failed(text, cause))));
            error_chain(&*inner.unwrap())
        };
        assert_eq!(chain(&["no answer"]), "no answer");
        assert_eq!(chain(&["no answer", "reset", "by peer"]), "no answer: reset: by peer");
        assert_eq!(chain(&["no answer: reset", "reset", "by peer"]), "no answer: reset: by peer");
    }
}
