//! A real TURN server of this machine: coturn, on loopback, with its shared-secret credentials, for one test.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// What `--static-auth-secret` and `REJOIN_TURN_SECRET` are.
pub(crate) const SECRET: &str = "hush-this-is-the-turn-secret";

/// How long it may take to listen.
const START: Duration = Duration::from_secs(20);

pub(crate) struct Coturn {
    directory: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Coturn {
    /// A server that listens.
    pub(crate) fn start() -> Self {
        // Free a moment ago; nothing else of these tests asks for a certain port.
        let port =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
        let mut server = Self { directory: tempfile::tempdir().unwrap(), port, process: None };
        server.restart();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("turn:127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it (again), on the same port; what it knew is gone.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let (program, libraries) = find();
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        let mut command = Command::new(program);
        command
            .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--allow-loopback-peers"])
            .args(["-L", "127.0.0.1", "-E", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["--use-auth-secret", "--realm=rejoin", "-m", "1"])
            .arg(format!("--static-auth-secret={SECRET}"))
            .args(["--log-file", "stdout", "--simple-log"])
            .args(["--pidfile", &at("pid"), "--db", &at("db")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        self.process = Some(process);
        let (listens, is_listening) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end: a full pipe would stop it.
            for line in output.lines().map_while(Result::ok) {
                if line.contains("UDP listener opened on") {
                    let _ = listens.send(());
                }
            }
        });
        is_listening.recv_timeout(START).expect("coturn does not listen");
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, and where its libraries are: as `tests/run` unpacked it, or as the system has it.
fn find() -> (PathBuf, Option<PathBuf>) {
    let unpacked = crate::root().join("target/coturn/usr");
    if unpacked.join("bin/turnserver").exists() {
        let libraries = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
        return (unpacked.join("bin/turnserver"), Some(unpacked.join(libraries)));
    }
    let installed = ["/usr/bin/turnserver", "/usr/local/bin/turnserver"];
    match installed.into_iter().find(|path| Path::new(path).exists()) {
        Some(path) => (path.into(), None),
        None => panic!("no coturn on this machine: `tests/run` unpacks it below target/coturn"),
    }
}
