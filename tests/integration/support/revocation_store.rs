//! A scripted server that speaks enough of Redis' protocol for the lists in it: sets, each with a revision and no log. It
//! announces nothing.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[derive(Default)]
struct State {
    /// By the name of its key.
    sets: HashMap<String, Set>,
    refuses_changes: bool,
    /// Whether connections are closed.
    is_away: bool,
}

#[derive(Default)]
struct Set {
    revision: u64,
    members: Vec<(String, String)>,
}

pub struct RevocationStore {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl RevocationStore {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// The texts of all members of the set of revocations.
    pub fn members(&self) -> Vec<String> {
        self.members_of("revocations")
    }

    /// The texts of all members of a set.
    pub fn members_of(&self, set: &str) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let set = state.sets.get(&format!("{{metagate:default}}:{set}"));
        set.into_iter().flat_map(|set| &set.members).map(|(text, _)| text.clone()).collect()
    }

    /// Closes connections with the next command on them, and new ones too.
    pub fn go_away(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_away = true;
    }

    /// Answers again.
    pub fn come_back(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_away = false;
    }

    /// Makes changes fail, as on a read-only replica, or succeed again.
    pub fn refuse_changes(&self, refuses: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refuses_changes = refuses;
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let words = command(&mut reader)?;
        if state.lock().unwrap_or_else(PoisonError::into_inner).is_away {
            return None;
        }
        let answer = match words.first()?.to_ascii_uppercase().as_str() {
            "HELLO" => "%1\r\n+proto\r\n:3\r\n".to_owned(),
            "GET" => "_\r\n".to_owned(),
            "EVAL" => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                eval(words.get(2)?, words.get(3..)?, &mut state)
            }
            _ => "+OK\r\n".to_owned(),
        };
        reader.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}

fn command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let count: usize = line(reader)?.strip_prefix('*')?.parse().ok()?;
    let word = |_| {
        let length: usize = line(reader)?.strip_prefix('$')?.parse().ok()?;
        let mut bytes = vec![0; length + 2];
        reader.read_exact(&mut bytes).ok()?;
        bytes.truncate(length);
        String::from_utf8(bytes).ok()
    };
    (0..count).map(word).collect()
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}

/// The scripts differ in how many keys and arguments they have: reading changes has two keys, reading everything has three and
/// two arguments, and a change has three and at least seven; one that expects a revision has one more at the end.
fn eval(keys: &str, words: &[String], state: &mut State) -> String {
    let Some(name) = words.first().map(|key| key.trim_end_matches(":revision").to_owned()) else {
        return "-ERR no key\r\n".to_owned();
    };
    let State { sets, refuses_changes, .. } = state;
    let set = sets.entry(name).or_default();
    let revision = bulk(&set.revision.to_string());
    match (keys, words) {
        ("2", [_, _, known, _]) if *known == set.revision.to_string() => array(&[revision]),
        ("2", _) => array(&[revision, array(&[])]),
        (_, [_, _, _, _, _]) => {
            let flat = set.members.iter().flat_map(|(text, score)| [bulk(text), bulk(score)]);
            let flat = array(&flat.collect::<Vec<_>>());
            array(&[revision, bulk(""), format!(":{}\r\n", set.members.len()), ":1\r\n".to_owned(), flat])
        }
        _ if *refuses_changes => "-READONLY You can't write against a read only replica.\r\n".to_owned(),
        (_, words) => change(words.get(7..).unwrap_or_default(), set),
    }
}

fn change(changes: &[String], set: &mut Set) -> String {
    let changes = changes.chunks_exact(3);
    if let [expected] = changes.remainder()
        && *expected != set.revision.to_string()
    {
        return array(&[":-1\r\n", ":-1\r\n", ":-1\r\n"].map(str::to_owned));
    }
    let mut count = 0;
    for change in changes {
        let [kind, score, text] = change else { continue };
        let known = set.members.iter().position(|(member, _)| member == text);
        match (&**kind, known) {
            ("-", Some(at)) => drop(set.members.remove(at)),
            ("+", None) => set.members.push((text.clone(), score.clone())),
            _ => continue,
        }
        (set.revision, count) = (set.revision + 1, count + 1);
    }
    array(&[format!(":{}\r\n", set.revision), format!(":{count}\r\n")])
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn array(items: &[String]) -> String {
    format!("*{}\r\n{}", items.len(), items.concat())
}
