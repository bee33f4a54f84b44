//! Serves one client connection over HTTP/2.
//!
//! 1. [`StrictHttp2`] reads the client's frames in front of the h2 crate. Heads pass the same checks as over HTTP/1, and wait in
//!    [`Heads`]; h2 gets a placeholder for each.
//! 2. [`Serving`] drives h2: streams, windows, SETTINGS, PING and GOAWAY.
//! 3. For each stream that h2 opens, [`Requests`] takes its head and starts a task, which serves the request, or responds
//!    with the refusal (`stream`).
//! 4. [`Streams`] says when the client is idle or does not read, and `drive` ends the connection then.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::context::WorkerContext;
use super::linger::Linger;
use super::settings::ConnectionSettings;
use crate::gateway::Peer;

mod blocks;
mod budget;
mod frame;
mod frames;
mod heads;
mod keep_alive;
mod response;
mod serving;
mod settings;
mod stream;
mod streams;
mod strict;

use heads::Heads;
use serving::Serving;
use stream::Requests;
use streams::{GOAWAY_TIME, Liveness, Streams};
use strict::StrictHttp2;

/// Serves the connection until it ends, is drained, or was accepted under a connection policy that is no longer in
/// force. `read` has the bytes that were already read from it.
pub(super) async fn serve<S>(
    stream: S,
    read: BytesMut,
    peer: Peer,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::new(peer.account.clone()));
    let heads = Arc::new(Heads::default());
    let account = peer.account.clone();
    let mut stream = StrictHttp2::new(stream, &read, settings.read.head, heads.clone(), streams.clone());
    // The stream has copied what it passes on.
    drop(read);
    let handshake = settings.http2.builder(&account).handshake(&mut stream);
    let requests =
        Requests { worker_state: context.worker_state.clone(), peer, heads, streams: streams.clone() };
    if drive(Serving::new(handshake, requests), &streams, settings, context).await {
        // The client may still acknowledge what it was sent. If the socket were closed, that would reset it.
        let mut linger = Linger::new(settings.read.discard, &account);
        poll_fn(|cx| linger.poll(stream.get_mut(), true, cx)).await;
    }
}

/// Drives the connection until it ends. Returns whether it ended in order.
async fn drive<T>(
    mut serving: Serving<T>,
    streams: &Streams,
    settings: &ConnectionSettings,
    context: &WorkerContext,
) -> bool
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut has_goaway, mut ending) = (false, false);
    // Set once the connection has to end: when it is checked next, and closed if no response makes progress.
    let mut going_away: Option<Instant> = None;
    let mut needs_goaway = pin!(context.needs_goaway(settings.policy_number, streams.first_request()));
    loop {
        let next_check = going_away.unwrap_or_else(|| streams.next_check(&settings.times));
        tokio::select! {
            biased;
            ended = poll_fn(|cx| serving.poll(cx)) => {
                if let Err(error) = &ended {
                    tracing::debug!(%error, "a client connection ended");
                }
                return ended.is_ok();
            }
            () = needs_goaway.as_mut(), if !has_goaway => {
                has_goaway = true;
                serving.go_away();
            }
            () = context.is_ending(settings.policy_number), if !ending => {
                ending = true;
                // A client that does not react to GOAWAY must not delay the end.
                going_away = going_away.or(Some(Instant::now() + GOAWAY_TIME));
            }
            () = sleep_until(next_check) => match streams.check(&settings.times, going_away.is_some()) {
                Liveness::Keep if going_away.is_some_and(|check| check <= Instant::now()) => {
                    going_away = Some(Instant::now() + GOAWAY_TIME);
                }
                Liveness::Keep => {}
                Liveness::GoAway => {
                    serving.go_away();
                    going_away = Some(Instant::now() + streams.goaway_time());
                }
                Liveness::Close => {
                    tracing::debug!("closed a client connection: it is idle, or its client does not read");
                    return false;
                }
            }
        }
    }
}
