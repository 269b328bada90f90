//! Accepts sockets and serves each of them until it is a WebSocket, or over.
//!
//! The deadline covers the whole of a connection that is no WebSocket: reading, the answer, writing, and the close. A page is
//! one request on one connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::admission::{Admission, Place, Placed};
use crate::signal::client::Stream;
use crate::signal::subscriber::Subscriber;

/// Pause after an accept error, such as running out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request that are kept until it is whole: the first message, and what proxies add.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;

/// Where sockets come from, and what they are served.
pub(super) struct Server {
    pub(super) listener: TcpListener,
    /// Connections of this process.
    pub(super) own: mpsc::Receiver<tokio::io::DuplexStream>,
    pub(super) admission: Arc<Admission>,
    pub(super) router: Router,
    /// What a connection has until it is a WebSocket.
    pub(super) deadline: Duration,
}

impl Server {
    /// Accepts until it is told to stop; what is accepted then is served to its end.
    pub(super) async fn run(mut self, stopped: watch::Receiver<bool>) {
        let mut stop = stopped.clone();
        loop {
            let accepted = tokio::select! {
                // An error means that the handle is gone, which stops it as well.
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = self.listener.accept() => accepted,
                Some(stream) = self.own.recv() => {
                    self.serve(Stream::Own(stream), Subscriber::Own, &stopped);
                    continue;
                }
            };
            match accepted {
                Ok((stream, address)) => {
                    // Signaling is small messages that somebody waits for; without it they merely are slower.
                    let _ = stream.set_nodelay(true);
                    let from = Subscriber::Address(address.ip());
                    self.serve(Stream::Tcp(stream), from, &stopped);
                }
                Err(error) => {
                    tracing::warn!(target: "rejoin::host", %error, "cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, stream: Stream, from: Subscriber, stopped: &watch::Receiver<bool>) {
        let Some(place) = self.admission.admit(from, Instant::now()) else {
            // A reset: nothing of it stays with the system either.
            if let Stream::Tcp(stream) = &stream {
                let _ = stream.set_zero_linger();
            }
            return;
        };
        let attending = attend(stream, Arc::new(place), self.router.clone(), stopped.clone());
        let deadline = self.deadline;
        tokio::spawn(async move {
            // Dropped at the deadline, whatever it is doing.
            let _ = timeout(deadline, attending).await;
        });
    }
}

/// One connection, until it is a WebSocket or over.
async fn attend(
    stream: Stream,
    place: Arc<Place>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let pages = TowerToHyperService::new(router);
    let from = Arc::clone(&place);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&from));
        let answer = pages.call(request);
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let serving = http1::Builder::new()
        .max_buf_size(REQUEST_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Placed::new(stream, Arc::clone(&place))), service)
        .with_upgrades();
    tokio::pin!(serving);
    tokio::select! {
        // What went wrong with a stranger's request is nobody's business.
        _ = serving.as_mut() => return,
        () = place.wanted() => return,
        // An error means that the handle is gone.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = serving.await;
}
