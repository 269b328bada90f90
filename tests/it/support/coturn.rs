//! A real TURN server of this machine: coturn, on loopback, with its shared-secret credentials, for one test.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        self.process = Some(command.spawn().unwrap());
        self.wait_until_it_answers();
    }

    /// Asks for our own address (STUN), again and again, since its log says what it does long after it did.
    fn wait_until_it_answers(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        socket.connect(("127.0.0.1", self.port)).unwrap();
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        request.extend([7; 12]);
        let begun = Instant::now();
        while begun.elapsed() < START {
            // Refused until it listens.
            if socket.send(&request).is_ok() && socket.recv(&mut [0; 512]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("coturn does not listen");
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
