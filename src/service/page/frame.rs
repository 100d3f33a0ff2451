//! The document around every page: its head, the way around, the foot.

use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::parts::action;

/// Where in the service a page is; the menu shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The repositories and what goes on.
    Overview,
    /// All jobs.
    Jobs,
    /// Jobs whose tries are used up.
    Dead,
    /// Somewhere below.
    Elsewhere,
}

/// How a page is kept true while it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It is of the past.
    Never,
    /// Looked at again after so many seconds, with JavaScript or without.
    Every(u32),
    /// Reloaded after so many seconds where there is no JavaScript; with it a log is followed.
    Followed(u32),
}

/// The surroundings of a page.
pub struct Frame<'a> {
    /// The page's name.
    pub title: &'a str,
    /// Its place in the menu.
    pub place: Place,
    /// Its changes while it is looked at.
    pub renewal: Renewal,
    /// Jobs in the dead-letter list.
    pub dead: usize,
    /// The key of forms, for a reader who showed the token: actions are offered only then.
    pub key: Option<&'a str>,
}

/// The whole document.
pub fn document(frame: &Frame<'_>, main: &Markup) -> Markup {
    let renewed = match frame.renewal {
        Renewal::Every(seconds) => Some(seconds),
        Renewal::Never | Renewal::Followed(_) => None,
    };
    let reloaded = match frame.renewal {
        Renewal::Never => None,
        Renewal::Every(seconds) | Renewal::Followed(seconds) => Some(seconds),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (frame.title) " · imk" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href=(STYLE.path);
                link rel="icon" href=(ICON.path) type="image/svg+xml";
                @if let Some(seconds) = reloaded {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
                script src=(SCRIPT.path) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.home href="/" { "imk" }
                    (menu(frame))
                }
                main id="main" tabindex="-1" data-renew=[renewed] { (main) }
                footer { (foot(frame)) }
            }
        }
    }
}

fn menu(frame: &Frame<'_>) -> Markup {
    let dead = format!("Dead letters ({})", frame.dead);
    let entries = [
        (Place::Overview, "/", "Repositories"),
        (Place::Jobs, "/jobs", "Jobs"),
        (Place::Dead, "/jobs?state=dead", dead.as_str()),
    ];
    html! {
        nav aria-label="Pages" {
            ul {
                @for (place, path, words) in entries {
                    li { a href=(path) aria-current=[(place == frame.place).then_some("page")] { (words) } }
                }
            }
        }
        div.aside {
            @if let Some(key) = frame.key { (action("/-/sign-out", ("from", "menu"), "Sign out", key)) } @else {
                a href="/-/sign-in" { "Sign in to act" }
            }
        }
    }
}

fn foot(frame: &Frame<'_>) -> Markup {
    let again = match frame.renewal {
        Renewal::Every(seconds) => format!(" This page looks again every {seconds} seconds."),
        Renewal::Never | Renewal::Followed(_) => String::new(),
    };
    html! { p { "imk " (env!("CARGO_PKG_VERSION")) ", make for container images." (again) " Times are UTC." } }
}
