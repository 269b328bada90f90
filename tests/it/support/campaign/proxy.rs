//! The way from a process to its host, which can be cut.

use std::net::TcpListener;
use std::sync::LazyLock;

use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
});

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Those that are there end, and new ones too, at once.
    Refuse,
    /// Nothing comes through, and nobody is told.
    Swallow,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// To `port` of this machine.
    pub(crate) fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let (mode, watched) = watch::channel(Mode::Pass);
        RUNTIME.spawn(serve(listener, port, watched));
        Self { url, mode }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn serve(listener: TcpListener, port: u16, mut mode: watch::Receiver<Mode>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Only when the proxy is gone.
            _ = mode.wait_for(|_| false) => return,
        };
        let Ok((near, _)) = accepted else { continue };
        let mut mode = mode.clone();
        tokio::spawn(async move {
            // What was sent while it swallows arrives afterwards, as TCP does.
            let passes = mode.wait_for(|mode| *mode != Mode::Swallow).await;
            if passes.map_or(true, |mode| *mode == Mode::Refuse) {
                return;
            }
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = near.set_nodelay(true);
            let _ = far.set_nodelay(true);
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            let mut refused = mode.clone();
            tokio::select! {
                () = copy(near_read, far_write, mode.clone()) => {}
                () = copy(far_read, near_write, mode) => {}
                _ = refused.wait_for(|mode| *mode == Mode::Refuse) => {}
            }
        });
    }
}

/// Until either end closes.
async fn copy(
    from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) {
    let mut buffer = [0; 16 << 10];
    loop {
        if mode.wait_for(|mode| *mode == Mode::Pass).await.is_err() {
            return;
        }
        if from.readable().await.is_err() {
            return;
        }
        if *mode.borrow() != Mode::Pass {
            continue;
        }
        let count = match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}
