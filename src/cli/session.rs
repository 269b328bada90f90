//! The seam to the session layer: what `run` drives. Replaced by `rejoin::session` when that is there.

use rejoin::error::{Error, ErrorKind};
use rejoin::event::Summary;
use rejoin::options::{HostOptions, ReceiveOptions, SendOptions};
use rejoin::ui::Ui;
use tokio::sync::oneshot;

pub(crate) fn send(
    options: SendOptions,
    ui: Ui,
) -> impl Future<Output = Result<Summary, Error>> + Send {
    absent(format!("{options:?}"), ui)
}

pub(crate) fn receive(
    options: ReceiveOptions,
    ui: Ui,
) -> impl Future<Output = Result<Summary, Error>> + Send {
    absent(format!("{options:?}"), ui)
}

pub(crate) async fn host(
    options: HostOptions,
    ready: oneshot::Sender<String>,
    ui: Ui,
) -> Result<(), Error> {
    drop(ready);
    absent(format!("{options:?}"), ui).await.map(drop)
}

async fn absent(options: String, ui: Ui) -> Result<Summary, Error> {
    tracing::debug!(target: "rejoin::session", options, "asked for");
    ui.emit(rejoin::event::Event::Warning {
        code: "absent".to_owned(),
        message: "the session layer is not wired yet".to_owned(),
    })
    .await;
    Err(Error::new(
        ErrorKind::Failure,
        "there is no session layer yet",
    ))
}
