//! The built executable, run as a user runs it: arguments, environment, a config file, signals.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::token::{Token, bearer};
use super::wire::{self, Client, Response};
use super::{DEADLINE, eventually, metrics};

/// How to start the gateway. The environment holds only what is set here.
#[derive(Default)]
pub struct Setup {
    pub environment: BTreeMap<String, String>,
    arguments: Vec<String>,
    config: Option<String>,
    /// A socket to pass on, and its name.
    socket: Option<(OwnedFd, Option<String>)>,
    descriptors: Option<u32>,
}

/// A program that has exited.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Setup {
    /// `metagate run` on free loopback ports with one worker, without `limits.failures`: all clients have one address.
    pub fn run() -> Self {
        Self::command(&["run"])
            .env("METAGATE_LISTEN", "127.0.0.1:0")
            .env("METAGATE_HEALTH__LISTEN", "127.0.0.1:0")
            .env("METAGATE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("METAGATE_WORKERS", "1")
            .env("METAGATE_LIMITS__FAILURES__RATE", "off")
    }

    pub fn command(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { arguments, ..Self::default() }
    }

    pub fn arguments(mut self, more: &[&str]) -> Self {
        self.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Writes this text to a file and passes it with `--config`.
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// Passes this socket as file descriptor 3, as described in sd_listen_fds(3).
    pub fn activated(mut self, socket: OwnedFd, name: Option<&str>) -> Self {
        self.socket = Some((socket, name.map(str::to_owned)));
        self
    }

    /// Limits the number of file descriptors.
    pub fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    fn spawn(&self) -> (Child, Option<TempDir>) {
        const EXECUTABLE: &str = env!("CARGO_BIN_EXE_metagate");
        let (mut command, stdin) = match &self.socket {
            None if self.descriptors.is_some() => {
                let most = self.descriptors.unwrap_or_default();
                let mut command = Command::new("/bin/sh");
                command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\""), EXECUTABLE]);
                (command, Stdio::null())
            }
            None => (Command::new(EXECUTABLE), Stdio::null()),
            Some((socket, _)) => {
                // A shell puts it at 3 and names its own PID, which exec hands to the gateway.
                let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec \"$0\" \"$@\"";
                let mut command = Command::new("/bin/sh");
                command.args(["-c", script, EXECUTABLE]);
                (command, Stdio::from(socket.try_clone().expect("a second handle")))
            }
        };
        command.args(&self.arguments).env_clear().envs(&self.environment);
        if let Some((_, Some(name))) = &self.socket {
            command.env("LISTEN_FDNAMES", name);
        }
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let directory = self.config.as_ref().map(|text| {
            let directory = TempDir::new().expect("a directory for the config");
            let file = directory.path().join("metagate.yaml");
            std::fs::write(&file, text).expect("a config file");
            command.arg("--config").arg(file);
            directory
        });
        (command.spawn().expect("the executable starts"), directory)
    }

    /// Starts the proxy and waits until it logs its listeners.
    #[track_caller]
    pub fn start(self) -> Gateway {
        let (mut child, directory) = self.spawn();
        let output = Output::of(&mut child);
        let (proxy, health) = (output.listener("proxy"), output.listener("health"));
        Gateway { child, output, proxy, health, _directory: directory }
    }

    /// Runs a command that exits by itself.
    #[track_caller]
    pub fn finish(self) -> Finished {
        let (mut child, _directory) = self.spawn();
        let output = Output::of(&mut child);
        output.wait_end();
        let code = child.wait().expect("an exit status").code();
        let lines = output.lines.0.lock().expect("no poisoned lock");
        Finished { code, stdout: lines.stdout.join("\n"), stderr: lines.stderr.join("\n") }
    }
}

/// What the admin listener requires of a script before it changes state or shows names.
pub const DELIBERATE: (&str, &str) = ("X-Metagate", "1");

/// A text member of a log line or audit record, at the top or among the `fields`.
pub fn text<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    record.get(name).or_else(|| record.get("fields")?.get(name))?.as_str()
}

/// What the program has printed so far.
#[derive(Default)]
struct Lines {
    stdout: Vec<String>,
    stderr: Vec<String>,
    ended: usize,
}

impl Lines {
    fn logs(&self) -> impl Iterator<Item = Value> {
        self.stderr.iter().filter_map(|line| serde_json::from_str(line).ok())
    }

    fn audit(&self) -> impl Iterator<Item = Value> {
        self.stdout.iter().map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("not a JSON audit record ({error}): {line}"))
        })
    }
}

struct Output {
    lines: Arc<(Mutex<Lines>, Condvar)>,
    readers: Vec<JoinHandle<()>>,
}

impl Output {
    fn of(child: &mut Child) -> Self {
        let lines: Arc<(Mutex<Lines>, Condvar)> = Arc::default();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let readers = vec![
            collect(stdout, Arc::clone(&lines), |lines| &mut lines.stdout),
            collect(stderr, Arc::clone(&lines), |lines| &mut lines.stderr),
        ];
        Self { lines, readers }
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut poll: impl FnMut(&Lines) -> Option<T>) -> T {
        let started = Instant::now();
        let mut lines = self.lines.0.lock().expect("no poisoned lock");
        loop {
            if let Some(found) = poll(&lines) {
                return found;
            }
            let left = DEADLINE.saturating_sub(started.elapsed());
            let printed = || format!("{}\n{}", lines.stderr.join("\n"), lines.stdout.join("\n"));
            assert!(lines.ended < 2, "the program exited without {what}; it printed:\n{}", printed());
            assert!(!left.is_zero(), "timed out waiting for {what}; it printed:\n{}", printed());
            lines = self.lines.1.wait_timeout(lines, left).expect("no poisoned lock").0;
        }
    }

    /// Waits until the program logs the address of that listener.
    #[track_caller]
    fn listener(&self, name: &str) -> SocketAddr {
        self.wait(&format!("the {name} listener"), |lines| {
            let line = lines.logs().find(|log| {
                text(log, "message") == Some("listening") && text(log, "listener") == Some(name)
            })?;
            // A Unix socket has no such address.
            Some(text(&line, "address")?.parse().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into()))
        })
    }

    /// Waits until both streams are closed, which happens when the program exits.
    #[track_caller]
    fn wait_end(&self) {
        let lines = self.lines.0.lock().expect("no poisoned lock");
        let (_lines, result) = self
            .lines
            .1
            .wait_timeout_while(lines, DEADLINE, |lines| lines.ended < 2)
            .expect("no poisoned lock");
        assert!(!result.timed_out(), "the program does not exit");
    }
}

fn collect<R: Read + Send + 'static>(
    stream: R,
    lines: Arc<(Mutex<Lines>, Condvar)>,
    pick: fn(&mut Lines) -> &mut Vec<String>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            pick(&mut lines.0.lock().expect("no poisoned lock")).push(text);
            lines.1.notify_all();
        }
        lines.0.lock().expect("no poisoned lock").ended += 1;
        lines.1.notify_all();
    })
}

/// A running proxy. When dropped, it is killed, and everything that it printed is searched for tokens.
pub struct Gateway {
    child: Child,
    output: Output,
    pub proxy: SocketAddr,
    pub health: SocketAddr,
    _directory: Option<TempDir>,
}

impl Gateway {
    #[track_caller]
    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response {
        wire::get(self.proxy, target, headers)
    }

    /// GET with this bearer token.
    #[track_caller]
    pub fn get_as(&self, token: &Token, target: &str) -> Response {
        self.get(target, &[("Authorization", &bearer(token))])
    }

    /// GET with `Bearer` followed by this text.
    #[track_caller]
    pub fn get_with(&self, token: &str, target: &str) -> Response {
        self.get(target, &[("Authorization", &format!("Bearer {token}"))])
    }

    /// The same; `None` if the response is cut off, as one is that is in progress when its token is revoked.
    pub fn try_get_with(&self, token: &str, target: &str) -> Option<Response> {
        let fields = [("Authorization", &*format!("Bearer {token}"))];
        Client::connect(self.proxy).send(wire::request_bytes("GET", target, &fields, b"")).response().ok()
    }

    /// The address of that listener, from the log.
    #[track_caller]
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.output.listener(name)
    }

    #[track_caller]
    pub fn probe(&self, target: &str) -> Response {
        wire::get(self.health, target, &[])
    }

    /// The address of the admin listener.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        self.output.listener("admin")
    }

    /// Sends a request to the admin listener with its own address as `Host`, as curl does.
    #[track_caller]
    pub fn ask_admin(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        let (address, bytes) = (self.admin(), wire::request_bytes(method, target, headers, b""));
        let bytes = wire::replace(&bytes, b"Host: gateway.test", format!("Host: {address}").as_bytes());
        let response = Client::connect(address).send(bytes).response_to(method);
        response.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// How many file descriptors the process has open.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn open_descriptors(&self) -> u64 {
        let directory = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(directory).expect("its descriptors").count() as u64
    }

    /// Sets the limit on file descriptors, as `prlimit` does, and returns the previous limit.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn limit_descriptors(&self, most: u64) -> u64 {
        use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(most), maximum };
        let before = prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit);
        before.expect("our own child").current.expect("a number")
    }

    #[track_caller]
    pub fn wait_ready(&self) {
        eventually("/readyz to answer 200", || (self.probe("/readyz").status == 200).then_some(()));
    }

    /// Every audit record so far.
    pub fn audit(&self) -> Vec<Value> {
        self.output.lines.0.lock().expect("no poisoned lock").audit().collect()
    }

    /// Waits for the first audit record about that path.
    #[track_caller]
    pub fn audit_of(&self, path: &str) -> Value {
        self.output.wait(&format!("an audit record of {path}"), |lines| {
            lines.audit().find(|record| text(record, "path") == Some(path))
        })
    }

    /// Every log line so far that is a JSON object.
    pub fn logs(&self) -> Vec<Value> {
        self.output.lines.0.lock().expect("no poisoned lock").logs().collect()
    }

    pub fn stderr(&self) -> Vec<String> {
        self.output.lines.0.lock().expect("no poisoned lock").stderr.clone()
    }

    /// The sum of a metric's samples that carry all these labels.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metrics::parse(&self.probe("/metrics").text())
            .iter()
            .filter(|sample| sample.matches(name, labels))
            .map(|sample| sample.value)
            .sum()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success(), "no process to signal");
    }

    /// Waits for the process to exit. `None` if a signal ended it.
    #[track_caller]
    pub fn wait_exit(&mut self) -> Option<i32> {
        self.output.wait_end();
        self.child.wait().expect("an exit status").code()
    }

    /// Fails if anything printed contains the beginning of a token.
    #[track_caller]
    pub fn assert_no_token_in_output(&self) {
        let lines = self.output.lines.0.lock().unwrap_or_else(|broken| broken.into_inner());
        let leak = lines.stdout.iter().chain(&lines.stderr).find(|line| line.contains("eyJ"));
        assert!(leak.is_none(), "a token was printed: {leak:?}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.output.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            let lines = self.output.lines.0.lock().unwrap_or_else(|broken| broken.into_inner());
            eprintln!("the gateway printed:\n{}\n{}", lines.stderr.join("\n"), lines.stdout.join("\n"));
        } else {
            self.assert_no_token_in_output();
        }
    }
}
