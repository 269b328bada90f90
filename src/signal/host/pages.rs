//! What the host answers besides `/ws`. Nothing here names a room, a member or an address (H-15).

use std::fmt::Write as _;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::admission::Place;
use super::{Shared, snapshot};
use crate::signal::room::{Counters, Gauges};

const INDEX: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>rejoin host</title>\
<p>This is a rejoin signaling host. To receive, run <code>rejoin receive CODE</code>.</p></html>\n";

pub(super) async fn index() -> Html<&'static str> {
    Html(INDEX)
}

pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Ready while the rooms answer.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    match snapshot(&shared.inputs).await {
        Some(_) => "ready\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}

/// What a proxy adds to a request of somebody else.
const FORWARDED: [HeaderName; 3] =
    [header::FORWARDED, HeaderName::from_static("x-forwarded-for"), header::VIA];

/// For this machine only: how busy a host is helps whoever attacks it. What a proxy on this machine passes on is not from
/// here.
pub(super) async fn metrics(
    State(shared): State<Shared>,
    Extension(place): Extension<Arc<Place>>,
    headers: HeaderMap,
) -> Response {
    let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(name));
    if is_forwarded || !place.subscriber().is_local() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match snapshot(&shared.inputs).await {
        Some((counters, gauges)) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition(&counters, &gauges))
                .into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// A page is one request on one connection: nothing is answered that was not asked for alone.
pub(super) async fn once(mut answer: Response) -> Response {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The Prometheus text format.
fn exposition(counters: &Counters, gauges: &Gauges) -> String {
    let totals = [
        ("connections", counters.connections),
        ("connections_closed", counters.connections_closed),
        ("messages", counters.messages),
        ("refusals", counters.refusals),
        ("rooms_opened", counters.rooms_opened),
        ("codes_used", counters.codes_used),
        ("codes_burnt", counters.codes_burnt),
        ("relayed", counters.relayed),
        ("relayed_bytes", counters.relayed_bytes),
        ("dropped", counters.dropped),
        ("tries", counters.tries),
        ("work_asked", counters.work_asked),
    ];
    let present = [
        ("open_connections", gauges.connections),
        ("rooms", gauges.rooms),
        ("waiters", gauges.waiters),
        ("queued_bytes", gauges.queued_bytes),
        ("tombstones", gauges.tombstones),
        ("addresses", gauges.addresses),
    ];
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (name, value) in totals {
        let _ = writeln!(
            text,
            "# TYPE rejoin_host_{name}_total counter\nrejoin_host_{name}_total {value}"
        );
    }
    for (name, value) in present {
        let _ = writeln!(text, "# TYPE rejoin_host_{name} gauge\nrejoin_host_{name} {value}");
    }
    text
}
