//! A stand-in for GitHub's cache service which really stores: the first version of its API, as BuildKit speaks it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Something that was left.
#[derive(Default)]
struct Entry {
    key: String,
    bytes: Vec<u8>,
    whole: bool,
}

#[derive(Default)]
struct Kept {
    entries: Vec<Entry>,
    strangers: usize,
    loads: usize,
}

#[derive(Clone)]
struct Service {
    kept: Arc<Mutex<Kept>>,
    token: String,
    port: u16,
}

/// The service, and the token of a job.
pub struct Actions {
    service: Service,
}

/// A token as a job has it: who may do what, and until when. Nobody looks at its signature.
fn token() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let rights = json!([{"Scope": "refs/heads/main", "Permission": 3}]).to_string();
    let head = part(json!({"alg": "HS256", "typ": "JWT"}));
    let claims = part(json!({"ac": rights, "nbf": 1_000_000_000, "exp": 4_000_000_000_u64}));
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode("a-signature-that-nobody-may-see"))
}

impl Actions {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = Service { kept: Arc::default(), token: token(), port };
        let routes = Router::new()
            .route("/_apis/artifactcache/cache", get(find))
            .route("/_apis/artifactcache/caches", post(reserve))
            .route("/_apis/artifactcache/caches/{id}", post(commit).patch(upload))
            .route("/blob/{id}", get(blob))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(service.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        Self { service }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.service.port)
    }

    pub fn token(&self) -> &str {
        &self.service.token
    }

    /// How many blobs it has, how many were asked for, and how many asked with another token.
    pub fn counts(&self) -> (usize, usize, usize) {
        let kept = self.service.kept.lock().unwrap();
        (kept.entries.iter().filter(|entry| entry.whole).count(), kept.loads, kept.strangers)
    }
}

fn is_known(service: &Service, headers: &HeaderMap) -> bool {
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let known = said == Some(&format!("Bearer {}", service.token));
    service.kept.lock().unwrap().strangers += usize::from(!known);
    known
}

async fn find(
    State(service): State<Service>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if !is_known(&service, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let kept = service.kept.lock().unwrap();
    let keys = query.get("keys").cloned().unwrap_or_default();
    // The newest that begins with the first key that has one.
    let found = keys.split(',').find_map(|key| {
        kept.entries.iter().enumerate().rev().find(|(_, entry)| entry.whole && entry.key.starts_with(key))
    });
    match found {
        None => StatusCode::NO_CONTENT.into_response(),
        Some((id, entry)) => Json(json!({
            "cacheKey": entry.key,
            "scope": "refs/heads/main",
            "archiveLocation": format!("http://127.0.0.1:{}/blob/{id}", service.port),
        }))
        .into_response(),
    }
}

async fn reserve(State(service): State<Service>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    if !is_known(&service, &headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let key = asked["key"].as_str().unwrap_or_default().to_owned();
    let mut kept = service.kept.lock().unwrap();
    if kept.entries.iter().any(|entry| entry.key == key) {
        let refusal =
            json!({"message": "Cache already exists.", "typeKey": "ArtifactCacheItemAlreadyExistsException"});
        return (StatusCode::CONFLICT, Json(refusal)).into_response();
    }
    kept.entries.push(Entry { key, ..Entry::default() });
    Json(json!({"cacheId": kept.entries.len()})).into_response()
}

async fn upload(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(id): Path<usize>,
    body: Bytes,
) -> StatusCode {
    if !is_known(&service, &headers) {
        return StatusCode::UNAUTHORIZED;
    }
    let range = headers[header::CONTENT_RANGE].to_str().unwrap();
    let start: usize = range.trim_start_matches("bytes ").split('-').next().unwrap().parse().unwrap();
    let mut kept = service.kept.lock().unwrap();
    let bytes = &mut kept.entries[id - 1].bytes;
    bytes.resize(bytes.len().max(start + body.len()), 0);
    bytes[start..start + body.len()].copy_from_slice(&body);
    StatusCode::NO_CONTENT
}

async fn commit(
    State(service): State<Service>,
    headers: HeaderMap,
    Path(id): Path<usize>,
    Json(asked): Json<Value>,
) -> StatusCode {
    if !is_known(&service, &headers) {
        return StatusCode::UNAUTHORIZED;
    }
    let mut kept = service.kept.lock().unwrap();
    let entry = &mut kept.entries[id - 1];
    if asked["size"].as_u64() != Some(entry.bytes.len() as u64) {
        return StatusCode::BAD_REQUEST;
    }
    entry.whole = true;
    StatusCode::NO_CONTENT
}

async fn blob(State(service): State<Service>, headers: HeaderMap, Path(id): Path<usize>) -> Response {
    let mut kept = service.kept.lock().unwrap();
    kept.loads += 1;
    let bytes = &kept.entries[id].bytes;
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(start) = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok())
    else {
        return bytes.clone().into_response();
    };
    let start: usize = start;
    let head = [(header::CONTENT_RANGE, format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))];
    (StatusCode::PARTIAL_CONTENT, head, bytes[start..].to_vec()).into_response()
}
