//! A log that cannot be written.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{DEADLINE, eventually};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every write to `/dev/full` fails, as on a full disk.
#[test]
fn a_log_that_cannot_be_written_does_not_end_the_process() {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("metagate.sock");
    for format in ["json", "text"] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let child = Command::new(env!("CARGO_BIN_EXE_metagate"))
            .arg("run")
            .env_clear()
            .env("METAGATE_LISTEN", format!("unix:{}", socket.display()))
            .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
            .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9")
            .env("METAGATE_LOG__FORMAT", format)
            // Logged as a failure again and again.
            .env("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:9/jwks")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(full)
            .spawn()
            .expect("the executable starts");
        let mut running = Running(child);
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
