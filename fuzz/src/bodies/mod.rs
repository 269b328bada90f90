//! One body for each target: it takes bytes, and panics where rejoin breaks a promise.
//!
//! A body decides nothing at random and keeps nothing between two inputs, so that an input that was found is found again.

mod admission;
mod carrier;
mod decoders;
mod host_http;
mod join;
mod journal;
mod receiver;
mod rooms;
mod sender;

/// A body.
pub(crate) type Body = fn(&[u8]);

/// Every target with its body, by the name of its corpus.
pub(crate) const TARGETS: &[(&str, Body)] = &[
    ("admission", admission::run),
    ("carrier", carrier::run),
    ("code", decoders::code),
    ("credentials", decoders::credentials),
    ("frames", decoders::frames),
    ("host_http", host_http::run),
    ("host_message", decoders::host_message),
    ("join", join::run),
    ("journal", journal::run),
    ("manifest_page", decoders::manifest_page),
    ("receiver", receiver::run),
    ("rooms", rooms::run),
    ("sealed_payload", decoders::sealed_payload),
    ("sender", sender::run),
    ("session_record", decoders::session_record),
    ("transfer_message", decoders::transfer_message),
];
