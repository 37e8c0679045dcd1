//! Connections: each is served on its own, and none is waited for longer than the settings say.

use crate::config::Http;
use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use tokio::task::JoinSet;

/// Answers requests until `end`, and then those that are under way, as long as the settings allow.
pub(super) async fn serve(
    mut listener: impl Listener,
    router: Router,
    http: &Http,
    end: impl Future<Output = ()>,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(http.body_wait);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut end = pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            (stream, _) = listener.accept() => {
                let service = TowerToHyperService::new(router.clone());
                let served = server.serve_connection(TokioIo::new(stream), service);
                let served = graceful.watch(served);
                connections.spawn(async move {
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "a connection was broken off");
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    if tokio::time::timeout(http.drain_wait, graceful.shutdown()).await.is_err() {
        while connections.try_join_next().is_some() {}
        let open = connections.len();
        tracing::warn!(open, "ending though requests are not done: see `http.drain_wait`");
        connections.shutdown().await;
    }
}
