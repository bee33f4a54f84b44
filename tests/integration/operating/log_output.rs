//! A log or an audit trail that cannot be written, or is not read.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{DEADLINE, eventually};

/// Is ended when it is dropped.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process on a socket file, with one more variable. It cannot fetch its keys, which it logs again and again.
fn start(socket: &Path, (name, value): (&str, &str), stdout: Stdio, stderr: Stdio) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_metagate"))
        .arg("run")
        .env_clear()
        .env("METAGATE_LISTEN", format!("unix:{}", socket.display()))
        .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
        .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9")
        .env("METAGATE_WORKERS", "1")
        .env("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:9/jwks")
        .env(name, value)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .expect("the executable starts");
    Running(child)
}

/// Every write to `/dev/full` fails, as on a full disk.
#[test]
fn a_log_that_cannot_be_written_does_not_end_the_process() {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("metagate.sock");
    for format in ["json", "text"] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let mut running = start(&socket, ("METAGATE_LOG__FORMAT", format), Stdio::null(), full.into());
        let mut stream = eventually("a listener", || {
            let exit = running.0.try_wait().expect("a status");
            assert!(exit.is_none(), "{format}: {exit:?}");
            UnixStream::connect(&socket).ok()
        });
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        assert!(response.starts_with("HTTP/1.1 401 "), "{format}: {response}");
        assert!(running.0.try_wait().expect("a status").is_none(), "{format}: the process has ended");
    }
}

/// A pipe that is full. Its reading end is open, but not read.
fn full_pipe() -> (io::PipeReader, OwnedFd) {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let (reader, mut writer) = io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("its flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("a pipe that does not block");
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).expect("a pipe that blocks");
    (reader, writer.into())
}

/// Serves requests, and ends after SIGTERM, whatever becomes of its output.
fn serves_and_ends(what: &str, stdout: Stdio, stderr: Stdio) {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("metagate.sock");
    let mut running = start(&socket, ("METAGATE_LOG__LEVEL", "debug"), stdout, stderr);
    let connect = || {
        let stream = UnixStream::connect(&socket).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        Some(stream)
    };
    eventually("a listener", connect);
    // More records than the audit trail buffers, and some lines in the log: the client goes away within a head.
    let path = "x".repeat(2_000);
    let requests = format!("GET /{path} HTTP/1.1\r\nHost: a.test\r\n\r\n").repeat(10);
    for _ in 0..400 {
        let mut stream = connect().expect("a connection");
        stream.write_all(requests.as_bytes()).expect("requests");
        stream.write_all(b"GET /left HTTP/1.1\r\nHost:").expect("a part of a head");
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while received.windows(12).filter(|bytes| bytes == b"HTTP/1.1 401").count() < 10 {
            let read = stream.read(&mut buffer).expect("responses");
            assert!(read > 0, "{what}: {}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&buffer[..read]);
        }
    }
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    let status = eventually("the end", || running.0.try_wait().expect("a status"));
    assert_eq!(status.code(), Some(0), "{what}");
}

#[test]
fn output_that_nobody_takes_neither_delays_requests_nor_the_end() {
    let full_disk = || OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let closed = || OwnedFd::from(io::pipe().expect("a pipe").1);
    let (_reader, pipe) = full_pipe();
    serves_and_ends("standard output: a full pipe", pipe.into(), Stdio::null());
    serves_and_ends("standard output: a closed pipe", closed().into(), Stdio::null());
    serves_and_ends("standard output: a full disk", full_disk().into(), Stdio::null());
    let (_reader, pipe) = full_pipe();
    serves_and_ends("standard error: a full pipe", Stdio::null(), pipe.into());
    serves_and_ends("standard error: a closed pipe", Stdio::null(), closed().into());
}
