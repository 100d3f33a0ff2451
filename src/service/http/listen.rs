//! Connections: accepted up to a limit, with a time for their first line, over TLS where a certificate is given.
//!
//! Knows no route. Ends by letting every request that has begun come to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// As many connections are open at once.
const MOST: usize = 1024;
/// A request's head has so long to come, and so has TLS's greeting.
const HEAD: Duration = Duration::from_secs(10);
/// Requests that have begun have so long to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `ended` says so.
///
/// # Errors
/// When the listener is of no use any more.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut ended: watch::Receiver<bool>,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // No file left for another connection: some will end.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = over(&mut ended) => break,
        };
        let _ = stream.set_nodelay(true);
        let (router, tls, ended) = (router.clone(), tls.clone(), ended.clone());
        tokio::spawn(async move {
            match tls {
                None => connection(stream, router, ended).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, tls.accept(stream)).await {
                        connection(stream, router, ended).await;
                    }
                }
            }
            drop(permit);
        });
    }
    drop(listener);
    // All permits are back when all connections have ended.
    let all = room.acquire_many(u32::try_from(MOST).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(DRAIN, all).await;
    Ok(())
}

/// Returns when it is to end, also when nobody is left to say so.
async fn over(ended: &mut watch::Receiver<bool>) {
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn connection<S>(stream: S, router: Router, mut ended: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // A client that leaves in the middle of something is its own affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = over(&mut ended) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
