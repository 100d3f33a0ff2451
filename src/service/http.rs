//! The service over HTTP: one router, and what holds for every request.
//!
//! A body has a limit before anybody looks at it, an answer has a time, and a request that calls the service by a name that
//! is not its own is refused. Each subject has its routes in a file of its own.

mod accept;
mod acting;
mod actions;
mod answer;
mod asker;
mod follow;
mod gather;
mod guard;
pub mod hooks;
pub mod limits;
pub mod listen;
mod metrics;
mod pages;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;

use super::shared::Shared;
use limits::BODY;

/// An answer begins within this time, a body that comes slowly included.
const ANSWER: Duration = Duration::from_secs(30);

/// An answer about the health comes within this time.
const HEALTH: Duration = Duration::from_secs(5);

/// All routes.
pub fn router(shared: Arc<Shared>) -> Router {
    let guard = Arc::new(guard::Guard::new(&shared.settings, ANSWER));
    Router::new()
        .route("/healthz", get(health))
        .merge(hooks::routes())
        .merge(pages::routes())
        .merge(status::routes())
        .merge(metrics::routes())
        .merge(actions::routes())
        .fallback(hooks::nothing)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(answer::harden))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(shared)
}

/// The health of the service: it can take work while its queue answers, until it drains. Hooks are taken to the last: whoever sends
/// one has nowhere else to go.
async fn health(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    let unwell = |why: &dyn std::fmt::Display| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    if shared.is_draining() {
        return unwell(&"draining");
    }
    let asked = shared.blocking(|shared| shared.queue.counts());
    match tokio::time::timeout(HEALTH, asked).await {
        Ok(Ok(Ok(_))) => (StatusCode::OK, "ok\n".into()),
        Ok(Ok(Err(error))) => unwell(&error),
        Ok(Err(error)) => unwell(&error),
        Err(_) => unwell(&format_args!("the queue has not answered for {} s", HEALTH.as_secs())),
    }
}

#[cfg(test)]
#[path = "http/page_tests.rs"]
mod page_tests;
#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
