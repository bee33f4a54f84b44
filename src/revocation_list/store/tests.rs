//! The list of a store that a script plays.

use std::collections::VecDeque;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::*;
use crate::shared_set::{Link, SetReader, step};
use crate::test_support::verified;

/// What the server answers to the next `EVAL`s. After the last one it closes the connection.
type Script = Arc<Mutex<VecDeque<String>>>;

async fn serve(stream: TcpStream, script: Script) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let count: usize = line.trim().strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut length = String::new();
            stream.read_line(&mut length).await.ok()?;
            let mut word = vec![0; length.trim().strip_prefix('$')?.parse::<usize>().ok()? + 2];
            stream.read_exact(&mut word).await.ok()?;
            words.push(String::from_utf8(word).ok()?.trim_end().to_owned());
        }
        let answer = match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
            Some("HELLO") => "%1\r\n+proto\r\n:3\r\n".to_owned(),
            Some("GET") => "_\r\n".to_owned(),
            Some("EVAL") => script.lock().unwrap().pop_front()?,
            _ => "+OK\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn store(script: &Script) -> StoreList {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("redis://{}/0", listener.local_addr().unwrap())).unwrap();
    let script = script.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, script.clone()));
        }
    });
    let access = StoreAccess::of_url(url);
    let state = SourceState::new("key", "store".to_owned(), "the store".to_owned(), ListFormat::default());
    StoreList::new(state, &Arc::new(access))
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn array(items: &[String]) -> String {
    format!("*{}\r\n{}", items.len(), items.concat())
}

/// The answer of the script that reads everything.
fn all(revision: u64, record: &str, members: &[(&str, &str)]) -> String {
    let flat: Vec<_> = members.iter().flat_map(|(member, score)| [bulk(member), bulk(score)]).collect();
    let (count, bytes) = (format!(":{}\r\n", members.len()), ":1\r\n".to_owned());
    array(&[bulk(&revision.to_string()), bulk(record), count, bytes, array(&flat)])
}

fn changes(revision: u64, records: &[&str]) -> String {
    let records: Vec<_> = records.iter().map(|record| bulk(record)).collect();
    array(&[bulk(&revision.to_string()), array(&records)])
}

struct Following {
    list: StoreList,
    link: Link,
    reader: SetReader,
    last: LastWhole,
    script: Script,
}

impl Following {
    async fn start() -> Self {
        let script = Script::default();
        let list = store(&script).await;
        let link = list.follower.connect().await.unwrap();
        let reader = list.follower.reader();
        let last = LastWhole::new();
        Self { list, link, reader, last, script }
    }

    async fn step(&mut self, answers: impl IntoIterator<Item = String>) -> Result<(), String> {
        self.script.lock().unwrap().extend(answers);
        let stepped = step(&self.list, &mut self.reader, &mut self.link, &mut self.last).await;
        stepped.map_err(|fault| fault.to_string())
    }

    async fn reconnect(&mut self) {
        self.link = self.list.follower.connect().await.unwrap();
        self.reader = self.list.follower.reader();
    }

    fn revokes(&self, ids: &[&str]) -> Vec<bool> {
        let list = self.list.state.list().unwrap_or_default();
        ids.iter().map(|id| list.find(&verified(json!({"jti": id})), "").is_some()).collect()
    }
}

const A: &str = r#"{"jti":"a"}"#;
const B: &str = r#"{"jti":"b"}"#;

#[tokio::test]
async fn additions_are_followed_and_everything_else_reads_the_whole_set() {
    let mut following = Following::start().await;
    following.step([all(1, &format!("1 + +inf x {A}"), &[(A, "inf")])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [true, false]);
    following.step([array(&[bulk("1")])]).await.unwrap();
    let (first, second) = (format!("1 + +inf x {A}"), format!("2 + +inf y {B}"));
    following.step([changes(2, &[&first, &second])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [true, true]);
    // A removal, and a change by hand that is not in the log.
    let removed = format!("3 - +inf z {A}");
    following.step([changes(3, &[&second, &removed]), all(3, &removed, &[(B, "inf")])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [false, true]);
    following.step([changes(4, &[&removed]), all(4, &removed, &[(A, "inf")])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [true, false]);
    assert!(following.script.lock().unwrap().is_empty(), "every answer was asked for");
}

#[tokio::test]
async fn an_end_is_that_of_the_entry_or_of_its_score() {
    let mut following = Following::start().await;
    let ended = r#"{"jti":"c","until":"2001-01-01T00:00:00Z"}"#;
    following.step([all(3, "", &[(A, "1000"), (B, "99999999999"), (ended, "inf")])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b", "c"]), [false, true, false]);
    assert_eq!(following.list.state.next_end().map(NumericDate::as_secs), Some(99_999_999_999));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_leaves_the_current_one_in_force() {
    let mut following = Following::start().await;
    following.step([all(1, "", &[(A, "inf")])]).await.unwrap();
    for (answer, why) in [
        (
            changes(2, &[r#"2 + +inf y {"jit":"b"}"#]),
            "an entry of the store is invalid: \"jit\": unknown key",
        ),
        ("-WRONGTYPE of a key\r\n".to_owned(), "WRONGTYPE"),
        (":5\r\n".to_owned(), "gave an answer that is not understood"),
    ] {
        let error = following.step([answer]).await.unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!(following.revokes(&["a", "b"]), [true, false]);
        following.reconnect().await;
        following.step([all(1, "", &[(A, "inf")])]).await.unwrap();
    }
    let too_many = array(&[bulk("9"), bulk(""), ":100001\r\n".to_owned(), ":-1\r\n".to_owned()]);
    let too_long = array(&[bulk("9"), bulk(""), ":9\r\n".to_owned(), ":16777217\r\n".to_owned()]);
    for (answer, why) in [(too_many, "the store has 100001 entries"), (too_long, "have 16777217 bytes")] {
        following.reader.forget();
        let error = following.step([answer]).await.unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!(following.revokes(&["a"]), [true]);
    }
    // The connection ends.
    following.reader.forget();
    following.step([]).await.unwrap_err();
    assert_eq!(following.revokes(&["a"]), [true]);
}

/// A server that lost its data must not make revoked tokens valid.
#[tokio::test]
async fn a_store_that_lost_changes_does_not_end_revocations() {
    let mut following = Following::start().await;
    following.step([all(7, "", &[(A, "inf")])]).await.unwrap();
    following.reconnect().await;
    following.step([all(0, "", &[])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [true, false]);
    following.step([changes(1, &[&format!("1 + +inf x {B}")])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [true, true]);
    following.reader.forget();
    following.step([all(2, "", &[])]).await.unwrap();
    assert_eq!(following.revokes(&["a", "b"]), [true, false], "b was removed, a was lost");
}

/// Also if the changes that it lost were read one by one.
#[tokio::test]
async fn changes_that_were_followed_are_missed_too() {
    let mut following = Following::start().await;
    following.step([all(0, "", &[])]).await.unwrap();
    following.step([changes(1, &[&format!("1 + +inf x {A}")])]).await.unwrap();
    following.reconnect().await;
    following.step([all(0, "", &[])]).await.unwrap();
    assert_eq!(following.revokes(&["a"]), [true]);
}
