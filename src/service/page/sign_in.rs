//! Pages about oneself: showing the token, what came of an action, what is not there.

use maud::{Markup, html};

use super::shown::apart;

/// The form for the token; `was_wrong` after one that is not it.
pub fn sign_in(was_wrong: bool) -> Markup {
    html! {
        h1 { "Sign in" }
        p { "Reading needs no token. Whoever wants to build now, try a job again or make a new webhook secret shows it, on the server itself too." }
        @if was_wrong { p.told.is-bad role="alert" { "That is not the token." } }
        form method="post" action="/-/sign-in" {
            p {
                label for="token" { "Token" }
                input type="password" id="token" name="token" autocomplete="current-password" required
                    aria-describedby="where";
            }
            p.quiet.small id="where" { "The command " code { "imk serve token" } " on the server prints it." }
            button type="submit" { "Sign in" }
        }
    }
}

/// A page that says one thing, with a way on.
pub fn told(title: &str, words: &str, is_bad: bool) -> Markup {
    html! {
        h1 { (title) }
        p.told.is-bad[is_bad].is-good[!is_bad] role=[is_bad.then_some("alert")] { (apart(words)) }
        p { a href="/" { "To the repositories" } }
    }
}

/// A secret, once, for whoever asked for a new one.
pub fn secret(repository: &str, secret: &str) -> Markup {
    html! {
        h1 { "A new webhook secret of " (apart(repository)) }
        p { "Give it to the forge. The old one counts for another day, so that nothing is lost meanwhile. It is not shown again here; "
            code { "imk serve secret " (apart(repository)) } " prints it on the server." }
        pre.log { (secret) }
        p { a href=(super::parts::repository_path(repository)) { "To the repository" } }
    }
}
