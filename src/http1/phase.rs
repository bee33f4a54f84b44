//! The phases of a connection to the backend; the table is in [`super`].

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits in the pool.
    Idle,
    /// A request is being written, and the head of its response was not read.
    Sending,
    /// The request was written whole, and the head of its response was not read.
    Waiting,
    /// The head of the response was read before the request was written whole.
    Early,
    /// The request was written whole, and the body of its response is being read.
    Receiving,
    /// It carries another protocol.
    Tunnel,
    /// It serves no further request.
    Closed,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is taken out of the pool for a request.
    Begin,
    /// The last byte of the request was written.
    RequestWritten,
    /// The head of the final response was read.
    HeadRead,
    /// The response was 101 (Switching Protocols).
    Switched,
    /// The last byte of the response was read. The connection is reusable if both ends keep it alive and no byte follows
    /// the response.
    ResponseEnded {
        /// Whether it is.
        reusable: bool,
    },
    /// The connection closed or failed, or something ambiguous or unsolicited arrived on it.
    Failed,
}

impl Phase {
    /// The phase after an event.
    pub const fn next(self, event: Event) -> Self {
        match (self, event) {
            (Self::Idle, Event::Begin) => Self::Sending,
            (Self::Sending, Event::RequestWritten) => Self::Waiting,
            (Self::Sending, Event::HeadRead) => Self::Early,
            (Self::Waiting, Event::HeadRead) | (Self::Early, Event::RequestWritten) => Self::Receiving,
            (Self::Waiting, Event::Switched) => Self::Tunnel,
            (Self::Receiving, Event::ResponseEnded { reusable: true }) => Self::Idle,
            (
                Self::Idle
                | Self::Sending
                | Self::Waiting
                | Self::Early
                | Self::Receiving
                | Self::Tunnel
                | Self::Closed,
                Event::Begin
                | Event::RequestWritten
                | Event::HeadRead
                | Event::Switched
                | Event::ResponseEnded { .. }
                | Event::Failed,
            ) => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 7] = [
        Phase::Idle,
        Phase::Sending,
        Phase::Waiting,
        Phase::Early,
        Phase::Receiving,
        Phase::Tunnel,
        Phase::Closed,
    ];
    const EVENTS: [Event; 7] = [
        Event::Begin,
        Event::RequestWritten,
        Event::HeadRead,
        Event::Switched,
        Event::ResponseEnded { reusable: true },
        Event::ResponseEnded { reusable: false },
        Event::Failed,
    ];

    /// The table of the module's documentation, as phase, event and next phase.
    fn documented() -> Vec<(String, String, String)> {
        let rows: Vec<Vec<&str>> = include_str!("../http1.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | "))
            .map(|line| {
                line.trim_end_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
            })
            .collect();
        let (head, rows) = rows.split_first().expect("a table");
        let mut cells = Vec::new();
        for row in &rows[1..] {
            for (event, next) in head.iter().zip(row).skip(1).filter(|(_, next)| !next.is_empty()) {
                cells.push((row[0].to_owned(), (*event).to_owned(), (*next).to_owned()));
            }
        }
        cells
    }

    #[test]
    fn every_event_in_every_phase_does_what_the_documentation_says() {
        let documented = documented();
        let expected = |phase: Phase, event: Event| {
            let (name, ends) = match event {
                Event::ResponseEnded { reusable } => ("ResponseEnded".to_owned(), !reusable),
                other => (format!("{other:?}"), false),
            };
            let cell = documented
                .iter()
                .find(|(row, column, _)| *row == format!("{phase:?}") && *column == name && !ends);
            cell.map_or("Closed", |(.., next)| next.split('`').next().expect("a phase")).to_owned()
        };
        for phase in PHASES {
            for event in EVENTS {
                assert_eq!(
                    format!("{:?}", phase.next(event)),
                    expected(phase, event),
                    "{phase:?}, {event:?}"
                );
            }
        }
        let written = documented.iter().filter(|(_, event, _)| event != "any other event").count();
        assert_eq!(written, 7, "{documented:?}");
    }

    /// Whatever happens, a connection is idle again only after a whole request and a whole response.
    #[test]
    fn a_connection_is_idle_again_only_after_a_whole_exchange() {
        let mut ways = vec![(Phase::Idle.next(Event::Begin), vec![])];
        for _ in 0..5 {
            for (phase, events) in std::mem::take(&mut ways) {
                for event in EVENTS {
                    let events = [&events[..], &[event]].concat();
                    match phase.next(event) {
                        Phase::Closed => {}
                        Phase::Idle => {
                            for needed in [Event::RequestWritten, Event::HeadRead] {
                                assert_eq!(events.iter().filter(|one| **one == needed).count(), 1);
                            }
                            assert_eq!(event, Event::ResponseEnded { reusable: true });
                        }
                        next => ways.push((next, events)),
                    }
                }
            }
        }
        assert!(ways.is_empty(), "every path ends: {ways:?}");
    }
}
