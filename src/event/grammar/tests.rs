//! Legal streams, their mutants, and one table of illegal streams per rule.

mod proxied;

use self::proxied::{PROXIED, THROUGH_PROXY, THROUGH_SOCKS};
use crate::event::grammar::{Grammar, Rule, check};
use crate::event::script::{events, events_of};
use crate::event::{Event, EventKind};

/// A first GET on a fresh connection, then one on the same connection, closed by time.
const KEEP_ALIVE_GET: &str = "
    client_start
    c1 call_start
    c1 a0 get_conn
    c1 a0 pool_lookup
    c1 a0 d1 dial_start
    c1 a0 d1 dns_start
    c1 a0 d1 dns_family_done family=v6
    c1 a0 d1 dns_family_done family=v4
    c1 a0 d1 dns_done
    c1 a0 d1 dial_plan
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 tls_handshake_start
    c1 a0 d1 tls_handshake_done
    c1 a0 d1 n1 conn_opened tls
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_header_field index=0
    c1 a0 n1 wrote_header_field index=1
    c1 a0 n1 wrote_headers count=2
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 got_1xx_response status=103 ordinal=0
    c1 a0 n1 final_response_start
    c1 a0 n1 got_header_field index=0
    c1 a0 n1 got_header_field index=1
    c1 a0 n1 got_response_head fields=2 framing=chunked
    c1 a0 n1 anomaly anomaly=bare_lf
    c1 a0 n1 response_body_start
    c1 a0 n1 response_body_chunk bytes=4 total=4
    c1 a0 n1 response_body_chunk bytes=4 total=8
    c1 a0 n1 got_trailer_field index=0
    c1 a0 n1 got_trailer_field index=1
    c1 a0 n1 response_body_done bytes=8
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200
    c2 call_start
    c2 a0 get_conn
    c2 a0 pool_lookup hit idle=1
    c2 a0 n1 got_conn reused was_idle requests=1
    c2 a0 n1 wrote_header_field index=0
    c2 a0 n1 wrote_headers
    c2 a0 n1 wrote_request
    c2 a0 n1 got_first_response_byte
    c2 a0 n1 final_response_start
    c2 a0 n1 got_response_head framing=5
    c2 a0 n1 response_body_start
    c2 a0 n1 response_body_done bytes=5
    c2 a0 n1 put_idle_conn
    c2 a0 attempt_done status=200
    c2 call_done status=200
    n1 conn_closed reason=idle_timeout";

/// How a call gets a fresh connection to a literal address.
const CONNECTED: &str = "
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 n1 conn_opened
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_header_field
    c1 a0 n1 wrote_headers";

const POST_WITH_EXPECT: &str = "
    c1 a0 n1 wait_100_continue
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 got_1xx_response status=100 ordinal=0
    c1 a0 n1 got_100_continue
    c1 a0 n1 expect_done outcome=continue
    c1 a0 n1 request_body_start framing=9
    c1 a0 n1 request_body_chunk bytes=4 total=4
    c1 a0 n1 request_body_chunk bytes=5 total=9
    c1 a0 n1 request_body_done bytes=9
    c1 a0 n1 wrote_trailer_field index=0
    c1 a0 n1 wrote_trailer_field index=1
    c1 a0 n1 wrote_request body=9
    c1 a0 n1 got_1xx_response status=100 ordinal=1
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200
    n1 conn_closed";

const EXPECT_TIMED_OUT: &str = "
    c1 a0 n1 wait_100_continue
    c1 a0 n1 timeout_fired timer=expect
    c1 a0 n1 expect_done outcome=timed_out
    c1 a0 n1 request_body_start framing=9
    c1 a0 n1 request_body_done bytes=9
    c1 a0 n1 wrote_request body=9
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200";

const EXPECT_REFUSED: &str = "
    c1 a0 n1 wait_100_continue
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start early
    c1 a0 n1 expect_done outcome=final_response
    c1 a0 n1 wrote_request error=body_skipped
    c1 a0 n1 got_response_head status=417
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn error=body_skipped
    c1 n1 conn_closed
    c1 a0 attempt_done status=417
    c1 call_done status=417";

/// Two contestants; the first fails, the handshake of the second too.
const FAILED_CONNECT: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 dial_plan
    c1 a0 d1 connect_start contestant=0 addr=127.0.0.1:1
    c1 a0 d1 connect_done contestant=0 addr=127.0.0.1:1 outcome=failed
    c1 a0 d1 connect_start contestant=1 addr=127.0.0.2:1
    c1 a0 d1 connect_done contestant=1 addr=127.0.0.2:1
    c1 a0 d1 tls_handshake_start contestant=1
    c1 a0 d1 tls_handshake_done contestant=1 error=connect
    c1 a0 d1 dial_done error=connect
    c1 a0 get_conn_failed error=connect
    c1 a0 attempt_done error=connect
    c1 call_done error=connect";

/// The first of two overlapping contestants is too slow.
const TWO_CONTESTANTS: &str = "
    c1 call_start
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_start
    c1 a0 d1 dns_family_done family=v6
    c1 a0 d1 connect_start contestant=0 addr=[::1]:80
    c1 a0 d1 dns_family_done family=v4
    c1 a0 d1 anomaly anomaly=too_many_addresses
    c1 a0 d1 dns_done
    c1 a0 d1 connect_start contestant=1
    c1 a0 d1 connect_done contestant=1
    c1 a0 d1 connect_done contestant=0 addr=[::1]:80 outcome=lost
    c1 a0 d1 n1 conn_opened
    c1 a0 d1 n1 dial_done winner=1 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_request error=connection_lost head=0
    c1 a0 n1 put_idle_conn error=connection_lost
    n1 conn_closed
    c1 a0 attempt_done error=peer_closed
    c1 call_done error=peer_closed";

const CANCELED_UPLOAD: &str = "
    c1 a0 n1 request_body_start framing=chunked
    c1 a0 n1 request_body_chunk bytes=4 total=4
    c1 a0 n1 call_canceled
    c1 a0 n1 request_body_done bytes=4 aborted
    c1 a0 n1 wrote_request error=canceled
    c1 a0 n1 put_idle_conn error=canceled
    c1 a0 n1 conn_closed
    c1 a0 attempt_done error=canceled
    c1 call_done error=canceled";

const CANCELED_WAIT: &str = "
    c1 a0 n1 wait_100_continue
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 got_1xx_response status=100 ordinal=0
    c1 a0 n1 call_canceled
    c1 a0 n1 expect_done outcome=canceled
    c1 a0 n1 wrote_request error=canceled
    c1 a0 n1 put_idle_conn error=canceled
    c1 a0 n1 conn_closed
    c1 a0 attempt_done error=aborted
    c1 call_done error=aborted";

const TIMED_OUT_BODY: &str = "
    c1 a0 n1 request_body_start framing=chunked
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start early
    c1 a0 n1 got_response_head framing=9
    c1 a0 n1 response_body_start
    c1 a0 n1 timeout_fired timer=total
    c1 a0 n1 request_body_done aborted
    c1 a0 n1 wrote_request error=timeout
    c1 a0 n1 response_body_done bytes=4 how=error
    c1 a0 n1 put_idle_conn error=timeout
    c1 a0 n1 conn_closed
    c1 a0 attempt_done status=200 error=total
    c1 call_done status=200 error=total";

/// The response is complete before the upload is.
const EARLY_RESPONSE: &str = "
    c1 a0 n1 request_body_start framing=chunked
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start early
    c1 a0 n1 got_response_head status=413 framing=4
    c1 a0 n1 response_body_start
    c1 a0 n1 response_body_done bytes=4
    c1 a0 n1 request_body_done bytes=7 aborted
    c1 a0 n1 wrote_request error=response_ended
    c1 a0 n1 put_idle_conn error=upload_unfinished
    c1 a0 n1 conn_closed
    c1 a0 attempt_done status=413
    c1 call_done status=413";

/// The caller has the connection, and drops it later.
const UPGRADED: &str = "
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head status=101
    c1 a0 n1 upgraded
    c1 a0 n1 put_idle_conn error=upgraded
    c1 a0 attempt_done status=101
    c1 call_done status=101
    n1 conn_closed reason=upgraded";

/// The peer agrees before it has the whole request, which is sent to its end.
const UPGRADED_EARLY: &str = "
    c1 a0 n1 request_body_start framing=chunked
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start early
    c1 a0 n1 got_response_head status=101
    c1 a0 n1 upgraded
    c1 a0 n1 request_body_done bytes=7
    c1 a0 n1 wrote_request body=7
    c1 a0 n1 put_idle_conn error=upgraded
    c1 a0 attempt_done status=101
    c1 call_done status=101";

const TUNNELED: &str = "
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head status=204
    c1 a0 n1 upgraded tunnel
    c1 a0 n1 put_idle_conn error=upgraded
    c1 a0 attempt_done status=204
    c1 call_done status=204
    n1 conn_closed reason=upgraded";

/// Another protocol was agreed on, and the upload was canceled.
const UPGRADED_CANCELED: &str = "
    c1 a0 n1 request_body_start framing=9
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start early
    c1 a0 n1 got_response_head status=101
    c1 a0 n1 upgraded
    c1 a0 n1 call_canceled
    c1 a0 n1 request_body_done bytes=3 aborted
    c1 a0 n1 wrote_request error=canceled
    c1 a0 n1 put_idle_conn error=canceled
    c1 a0 n1 conn_closed
    c1 a0 attempt_done status=101 error=canceled
    c1 call_done status=101 error=canceled";

const HEAD_UNTIL_CLOSE: &str = "
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head close=peer_close
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn error=peer_close
    c1 a0 n1 conn_closed
    c1 a0 attempt_done status=200
    c1 call_done status=200";

/// The caller left while the loop went on dialing; the connection goes into the pool and is used later.
const DETACHED_DIAL: &str = "
    c1 call_start
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 call_canceled
    c1 a0 get_conn_failed error=canceled
    c1 a0 attempt_done error=canceled
    c1 call_done error=canceled
    d1 connect_done
    d1 n1 conn_opened
    d1 n1 dial_done winner=0 connection=1
    n1 put_idle_conn
    c2 call_start
    c2 a0 get_conn
    c2 a0 n1 got_conn was_idle
    c2 a0 n1 wrote_request error=connection_lost head=0
    c2 a0 n1 put_idle_conn error=connection_lost
    c2 a0 n1 conn_closed
    c2 a0 attempt_done error=peer_closed
    c2 call_done error=peer_closed";

/// What a first call on a connection and the death of that connection under the second come to.
const RETRIED: &str = "
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200
    c2 call_start
    c2 a0 get_conn
    c2 a0 n1 got_conn reused was_idle requests=1
    c2 a0 n1 wrote_header_field
    c2 a0 n1 wrote_headers
    c2 a0 n1 wrote_request
    c2 a0 n1 put_idle_conn error=connection_lost
    c2 a0 n1 conn_closed reason=connection_lost
    c2 a0 attempt_done error=peer_closed retry=idle_connection_died
    c2 retry error=peer_closed
    c2 a1 get_conn
    c2 a1 d2 dial_start
    c2 a1 d2 dns_skipped
    c2 a1 d2 connect_start
    c2 a1 d2 connect_done
    c2 a1 d2 n2 conn_opened
    c2 a1 d2 n2 dial_done winner=0 connection=2
    c2 a1 n2 got_conn
    c2 a1 n2 wrote_header_field
    c2 a1 n2 wrote_headers
    c2 a1 n2 wrote_request
    c2 a1 n2 got_first_response_byte
    c2 a1 n2 final_response_start
    c2 a1 n2 got_response_head close=peer_close
    c2 a1 n2 response_body_done
    c2 a1 n2 put_idle_conn error=peer_close
    c2 a1 n2 conn_closed
    c2 a1 attempt_done status=200
    c2 call_done status=200 attempts=2";

/// A call waits, is handed the connection of the first, and then another waits for too long. A third dials until a
/// connection comes back.
const QUEUED: &str = "
    c1 a0 n1 wrote_request
    c2 call_start
    c2 a0 get_conn
    c2 a0 pool_lookup
    c2 a0 queue_start
    c3 call_start
    c3 a0 get_conn
    c3 a0 queue_start limit=total depth=2
    c4 call_start
    c4 a0 get_conn
    c4 a0 d4 dial_start
    c4 a0 d4 dns_skipped
    c4 a0 d4 connect_start
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200
    c2 a0 queue_done outcome=handed
    c2 a0 n1 got_conn reused was_idle requests=1
    c2 a0 n1 wrote_header_field
    c2 a0 n1 wrote_headers
    c2 a0 n1 wrote_request
    c3 a0 timeout_fired timer=queue
    c3 a0 queue_done limit=total outcome=timed_out
    c3 a0 get_conn_failed error=queue
    c3 a0 attempt_done error=queue
    c3 call_done error=queue
    c2 a0 n1 got_first_response_byte
    c2 a0 n1 final_response_start
    c2 a0 n1 got_response_head
    c2 a0 n1 response_body_done
    c2 a0 n1 put_idle_conn
    c2 a0 attempt_done status=200
    c2 call_done status=200
    c4 a0 d4 connect_done outcome=lost
    c4 a0 d4 dial_done abandoned
    c4 a0 n1 got_conn reused was_idle requests=2
    c4 a0 n1 wrote_request error=connection_lost head=0
    c4 a0 n1 put_idle_conn error=connection_lost
    c4 a0 n1 conn_closed reason=connection_lost
    c4 a0 attempt_done error=peer_closed
    c4 call_done error=peer_closed";

const REFUSED_CALL: &str = "
    c1 call_start
    c1 call_canceled
    c1 call_done error=canceled attempts=0";

/// The legal streams, each with a name.
fn legal() -> Vec<(&'static str, String)> {
    let plain = |rest: &str| format!("c1 call_start{CONNECTED}{rest}");
    let expecting = |rest: &str| format!("c1 call_start expect{CONNECTED}{rest}");
    let proxied = PROXIED.map(|(name, script)| (name, script.to_owned()));
    let mut all = vec![
        ("keep-alive get", KEEP_ALIVE_GET.to_owned()),
        ("post with expect", expecting(POST_WITH_EXPECT)),
        ("expect timed out", expecting(EXPECT_TIMED_OUT)),
        ("expect refused", expecting(EXPECT_REFUSED)),
        ("failed connect", FAILED_CONNECT.to_owned()),
        ("two contestants", TWO_CONTESTANTS.to_owned()),
        ("canceled upload", plain(CANCELED_UPLOAD)),
        ("canceled wait", expecting(CANCELED_WAIT)),
        ("timed out body", plain(TIMED_OUT_BODY)),
        ("early response", plain(EARLY_RESPONSE)),
        ("head", plain(HEAD_UNTIL_CLOSE)),
        ("upgraded", plain(UPGRADED)),
        ("upgraded early", plain(UPGRADED_EARLY)),
        ("tunneled", plain(TUNNELED)),
        ("upgraded, canceled", plain(UPGRADED_CANCELED)),
        ("detached dial", DETACHED_DIAL.to_owned()),
        ("retried", plain(RETRIED)),
        ("queued", plain(QUEUED)),
        ("refused call", REFUSED_CALL.to_owned()),
    ];
    all.extend(proxied);
    all
}

/// Checks that every connection that a stream opened is closed in it, or only what `finish` asks.
fn judge(events: &[Event], all: bool) -> Result<(), super::Violation> {
    let mut grammar = Grammar::new();
    events.iter().try_for_each(|event| grammar.event(event))?;
    if all {
        grammar.finish_all()
    } else {
        grammar.finish()
    }
}

fn lines(script: &str) -> Vec<&str> {
    script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn legal_streams_are_accepted() {
    for (name, script) in legal() {
        let events = events(&script);
        check(&events).unwrap_or_else(|violation| panic!("{name}: {violation}"));
    }
}

/// What is done to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    Drop,
    Swap,
    Repeat,
}

impl Mutation {
    fn apply<'a>(self, lines: &[&'a str], place: usize) -> Option<Vec<&'a str>> {
        let mut mutant = lines.to_vec();
        match self {
            Self::Drop => {
                mutant.remove(place);
            }
            Self::Swap => {
                share_a_stream(lines[place], lines.get(place + 1)?).then_some(())?;
                mutant.swap(place, place + 1);
            }
            Self::Repeat => mutant.insert(place, lines[place]),
        }
        Some(mutant)
    }
}

/// Says whether the order of two events matters.
fn share_a_stream(one: &str, next: &str) -> bool {
    let events = events_of([one, next]);
    super::Stream::of(&events[0]).any(|stream| super::Stream::of(&events[1]).any(|s| s == stream))
}

/// The kind of a line.
fn kind(line: &str) -> EventKind {
    events_of([line])[0].kind()
}

/// The mutants that are legal streams themselves, each with its reason.
fn is_legal(mutation: Mutation, line: &str, next: Option<&str>) -> bool {
    use EventKind as K;
    let is_write = |kind| super::Group::of(kind) == super::Group::Write;
    let is_read = |kind| super::Group::of(kind) == super::Group::Read;
    let (this, next_kind) = (kind(line), next.map(kind));
    match (mutation, this, next_kind) {
        // The client may have been made before the observer.
        (Mutation::Drop, K::ClientStart, _) => true,
        // Where nothing decides, nothing is told.
        (Mutation::Drop, K::ProxySelected, _) => true,
        // A peer may deviate or not, and may do so anywhere in its message; a lookup anywhere in its dial.
        (Mutation::Drop, K::Anomaly, _) => true,
        (Mutation::Swap, K::Anomaly, Some(other)) | (Mutation::Swap, other, Some(K::Anomaly)) => {
            is_read(other) || is_write(other) || super::Group::of(other) == super::Group::Dial
        }
        // Optional wherever it stands: the pool may be looked at any number of times while waiting.
        (Mutation::Drop | Mutation::Repeat, K::PoolLookup | K::DialPlan, _) => true,
        (Mutation::Swap, K::PoolLookup, Some(K::DialStart)) => true,
        // One family need not be in, unless a contestant takes its address from it.
        (Mutation::Drop, K::DnsFamilyDone, _) => next_kind != Some(K::ConnectStart),
        (Mutation::Swap, K::DnsFamilyDone, Some(K::DnsFamilyDone)) => true,
        // Names, plan and contestants go side by side.
        (Mutation::Swap, K::DnsDone, Some(K::DialPlan | K::ConnectStart))
        | (Mutation::Swap, K::DialPlan, Some(K::ConnectStart))
        | (Mutation::Swap, K::ConnectStart, Some(K::DnsFamilyDone))
        | (Mutation::Swap, K::ConnectDone, Some(K::ConnectStart))
        | (Mutation::Swap, K::ConnectDone, Some(K::ConnectDone)) => true,
        // A loser of the race may end after the winner is opened.
        (Mutation::Swap, K::ConnectDone, Some(K::ConnOpened)) => line.contains("outcome=lost"),
        // A peer may send any number of interim responses.
        (Mutation::Drop, K::Got1xxResponse, _) => next_kind != Some(K::Got100Continue),
        // Pieces are coalesced, so the last of them need not be there.
        (Mutation::Drop, K::RequestBodyChunk | K::ResponseBodyChunk, _) => next_kind != Some(this),
        // The last trailer field: nothing else tells their number.
        (Mutation::Drop, K::WroteTrailerField | K::GotTrailerField, _) => next_kind != Some(this),
        // The request and the response go side by side, but for what rules 5 and 8 say.
        (Mutation::Swap, _, Some(other)) if is_write(this) && is_read(other) => {
            other != K::FinalResponseStart && !next.is_some_and(|next| next.contains("how=error"))
        }
        (Mutation::Swap, K::GotResponseHead, Some(_)) if is_write(next_kind.unwrap_or(this)) => {
            true
        }
        // Another protocol is agreed on at any time before the request is sent; it is spoken after it (rule 9).
        (Mutation::Swap, K::Upgraded, Some(other)) if is_write(other) => true,
        // The end of the response does not wait for the request (rule 5).
        (Mutation::Swap, K::ResponseBodyDone, Some(K::RequestBodyDone)) => true,
        (Mutation::Swap, K::ResponseBodyStart, Some(K::RequestBodyDone)) => true,
        // The cause may come at any time before the ends.
        (Mutation::Swap, _, Some(K::CallCanceled | K::TimeoutFired)) => !matches!(
            this,
            K::CallStart
                | K::ConnectStart
                | K::ProxyConnectStart
                | K::Upgraded
                | K::ResponseBodyStart
                | K::RequestBodyChunk
                | K::Got1xxResponse
                | K::Wait100Continue
        ),
        _ => false,
    }
}

/// Every event dropped, swapped with its neighbour, repeated: refused, or legal for a stated reason.
#[test]
fn grammar_mutations_are_caught() {
    let mut surprises = Vec::new();
    let mut refused = 0;
    for (name, script) in legal() {
        let lines = lines(&script);
        let closes = judge(&events_of(lines.iter().copied()), true).is_ok();
        for place in 0..lines.len() {
            for mutation in [Mutation::Drop, Mutation::Swap, Mutation::Repeat] {
                let Some(mutant) = mutation.apply(&lines, place) else {
                    continue;
                };
                let survived = judge(&events_of(mutant), closes).is_ok();
                let excused = is_legal(mutation, lines[place], lines.get(place + 1).copied());
                refused += usize::from(!survived);
                if survived != excused {
                    let what = if survived { "survived" } else { "excused" };
                    surprises.push(format!(
                        "{name}: {mutation:?} {place} {what}: {}",
                        lines[place]
                    ));
                }
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(refused > 500, "{refused}");
}

/// Streams that break one rule each, most of them in values and not in order.
#[test]
fn each_rule_refuses_what_breaks_it() {
    let check = |rule: Rule, script: String| match check(&events(&script)) {
        Ok(()) => panic!("{rule} accepts {script}"),
        Err(violation) => assert_eq!(violation.rule(), rule, "{violation}\n{script}"),
    };
    let plain = |rest: &str| format!("c1 call_start{CONNECTED}{rest}");
    let expecting = |rest: &str| format!("c1 call_start expect{CONNECTED}{rest}");
    let changed = |script: &str, from: &str, to: &str| {
        assert!(script.contains(from), "{from}");
        script.replacen(from, to, 1)
    };
    let get = |from: &str, to: &str| changed(KEEP_ALIVE_GET, from, to);
    let early = |from: &str, to: &str| plain(&changed(EARLY_RESPONSE, from, to));

    check(Rule::Client, "c1 call_start\nclient_start".into());
    check(Rule::Call, "c1 call_done status=200".into());
    check(Rule::Ids, "c1 call_start\nc1 get_conn".into());
    check(Rule::Ids, get("n1 wrote_request", "n2 wrote_request"));
    check(Rule::Attempt, get("c1 a0 get_conn", "c1 a1 get_conn"));
    let queued =
        |from: &str, to: &str| format!("c1 call_start{CONNECTED}{QUEUED}").replacen(from, to, 1);
    check(Rule::Attempt, queued("c2 a0 queue_done outcome=handed", ""));
    check(
        Rule::Order,
        queued("queue_done outcome=handed", "queue_done outcome=timed_out"),
    );
    check(
        Rule::Order,
        queued("queue_done outcome=handed", "queue_done outcome=canceled"),
    );
    check(Rule::Call, get("c1 a0 d1 dial_start", "c1 proxy_selected"));
    let proxied = |from: &str, to: &str| changed(THROUGH_PROXY, from, to);
    // What is open is whom it is for.
    check(
        Rule::Contestant,
        proxied("connect_done\n", "connect_done outcome=failed\n"),
    );
    check(
        Rule::Contestant,
        proxied("done to=proxy", "done to=proxy error=connect"),
    );
    check(
        Rule::Contestant,
        proxied("done status=200", "done status=200 error=proxy"),
    );
    check(Rule::Contestant, THROUGH_PROXY.replace(" to=proxy", ""));
    check(
        Rule::Contestant,
        proxied(
            "start\n    c1 a0 d1 tls_handshake_done\n",
            "start to=proxy\n    c1 a0 d1 tls_handshake_done to=proxy\n",
        ),
    );
    // An end says how it ended.
    check(Rule::OneEnd, proxied("done status=200", "done status=302"));
    check(Rule::OneEnd, proxied("done to=proxy", "done"));
    let socks = |from: &str, to: &str| changed(THROUGH_SOCKS, from, to);
    check(
        Rule::Order,
        socks(
            "connect_done\n    c1 a0 d1 n1 ",
            "connect_done error=proxy\n    c1 a0 d1 n1 ",
        ),
    );
    check(Rule::Order, socks("conn_opened", "conn_opened tls"));
    check(Rule::Ids, "c1 call_start\nc1 a0 proxy_selected".into());
    check(Rule::Lost, "events_lost".into());
    // 1
    check(Rule::OneEnd, "c1 call_start".into());
    check(Rule::OneEnd, get("winner=0", "winner=1"));
    check(
        Rule::OneEnd,
        get("call_done status=200", "call_done status=500"),
    );
    check(
        Rule::OneEnd,
        get("call_done status=200", "call_done status=200 attempts=2"),
    );
    check(
        Rule::OneEnd,
        get("d1 connect_done", "d1 connect_done addr=127.0.0.9:80"),
    );
    check(
        Rule::Contestant,
        get("d1 connect_done", "d1 connect_done outcome=failed"),
    );
    // 2
    check(
        Rule::OneConnection,
        plain(&changed(CANCELED_UPLOAD, "c1 a0 n1 conn_closed", "")),
    );
    check(
        Rule::OneConnection,
        get("n1 put_idle_conn", "n1 put_idle_conn error=pool_full"),
    );
    // 3
    check(
        Rule::NothingAfterEnd,
        format!("{KEEP_ALIVE_GET}\nc1 call_canceled"),
    );
    check(
        Rule::NothingAfterEnd,
        format!("{KEEP_ALIVE_GET}\nn1 conn_closed"),
    );
    check(
        Rule::NothingAfterEnd,
        format!("{KEEP_ALIVE_GET}\nd1 dial_plan"),
    );
    // 4
    check(
        Rule::Accepted,
        get("wrote_header_field index=1", "wrote_header_field index=2"),
    );
    check(
        Rule::Accepted,
        get("wrote_headers count=2", "wrote_headers count=3"),
    );
    check(
        Rule::Accepted,
        get("wrote_request", "wrote_request head=49"),
    );
    check(
        Rule::Accepted,
        expecting(&changed(
            POST_WITH_EXPECT,
            "wrote_request body=9",
            "wrote_request body=8",
        )),
    );
    check(
        Rule::Accepted,
        expecting(&changed(
            POST_WITH_EXPECT,
            "body_done bytes=9",
            "body_done bytes=8",
        )),
    );
    // 5
    check(
        Rule::Early,
        get("final_response_start", "final_response_start early"),
    );
    check(
        Rule::Early,
        early("wrote_request error=response_ended", "wrote_request body=7"),
    );
    // 6
    check(
        Rule::PutBack,
        early("put_idle_conn error=upload_unfinished", "put_idle_conn"),
    );
    check(
        Rule::PutBack,
        plain(&changed(
            HEAD_UNTIL_CLOSE,
            "put_idle_conn error=peer_close",
            "put_idle_conn",
        )),
    );
    // 7
    check(
        Rule::Reused,
        get("got_conn reused was_idle", "got_conn was_idle"),
    );
    check(Rule::Reused, get("n1 got_conn", "n1 got_conn reused"));
    check(
        Rule::Conn,
        get("got_conn reused was_idle", "got_conn reused"),
    );
    // 8
    check(Rule::Expect, plain(POST_WITH_EXPECT));
    check(
        Rule::Expect,
        expecting(&changed(
            POST_WITH_EXPECT,
            "outcome=continue",
            "outcome=timed_out",
        )),
    );
    check(
        Rule::Expect,
        expecting(&changed(
            EXPECT_REFUSED,
            "error=body_skipped",
            "error=response_ended",
        )),
    );
    check(
        Rule::Expect,
        expecting(&changed(
            EXPECT_TIMED_OUT,
            "outcome=timed_out",
            "outcome=continue",
        )),
    );
    // 9
    let upgraded = |from: &str, to: &str| plain(&changed(UPGRADED, from, to));
    let early_upgrade = |from: &str, to: &str| plain(&changed(UPGRADED_EARLY, from, to));
    let statuses = |script: &str, status: &str| plain(&script.replace("status=101", status));
    check(Rule::Upgrade, statuses(UPGRADED, "status=200"));
    check(Rule::Upgrade, upgraded("n1 upgraded", "n1 upgraded tunnel"));
    check(
        Rule::Upgrade,
        upgraded("n1 upgraded", "n1 response_body_done"),
    );
    check(
        Rule::Upgrade,
        plain(&changed(TUNNELED, "upgraded tunnel", "upgraded")),
    );
    check(
        Rule::Upgrade,
        plain(&TUNNELED.replace("status=204", "status=407")),
    );
    check(
        Rule::Upgrade,
        upgraded("put_idle_conn error=upgraded", "put_idle_conn"),
    );
    check(
        Rule::Upgrade,
        early_upgrade(
            "wrote_request body=7",
            "wrote_request error=connection_lost",
        ),
    );
    check(
        Rule::Upgrade,
        plain(&changed(
            HEAD_UNTIL_CLOSE,
            "error=peer_close",
            "error=upgraded",
        )),
    );
    check(
        Rule::Read,
        upgraded(
            "c1 a0 n1 put_idle",
            "c1 a0 n1 response_body_done\nc1 a0 n1 put_idle",
        ),
    );
    check(
        Rule::OneConnection,
        format!(
            "{}\nc2 call_start\nc2 a0 get_conn\nc2 a0 n1 got_conn reused was_idle",
            upgraded("n1 conn_closed reason=upgraded", "",)
        ),
    );
    // 10
    check(
        Rule::Order,
        plain(&changed(CANCELED_UPLOAD, "c1 a0 n1 call_canceled", "")),
    );
    check(Rule::Order, get("n1 conn_opened tls", "n1 conn_opened"));
    check(Rule::Order, get("connection=1", "connection=2"));
    // 14
    check(
        Rule::Bounded,
        get(
            "anomaly=bare_lf",
            "anomaly=bare_lf\nc1 a0 n1 anomaly anomaly=bare_lf",
        ),
    );
    let lookups = "\nc1 a0 pool_lookup".repeat(70);
    check(
        Rule::Bounded,
        get("c1 a0 get_conn", &format!("c1 a0 get_conn{lookups}")),
    );
    let plans = "\nc1 a0 d1 dial_plan".repeat(16);
    check(
        Rule::Bounded,
        get("c1 a0 d1 dial_plan", &format!("c1 a0 d1 dial_plan{plans}")),
    );
}

#[test]
fn rule_11_time_never_goes_back_within_a_stream() {
    let mut events = events(KEEP_ALIVE_GET);
    let early = events[8].at;
    events[20].at = early;
    let violation = check(&events).unwrap_err();
    assert_eq!((violation.rule(), violation.index()), (Rule::Time, 20));
    assert_eq!(violation.stream().to_string(), "call 1");
    assert!(
        violation
            .to_string()
            .starts_with("event 20 of call 1 breaks rule 11 (Time): at goes back: wrote_request {"),
        "{violation}"
    );
}

#[test]
fn seq_rises_and_has_no_gap_for_a_full_observer() {
    let run = |grammar: &Grammar, events: &[Event]| {
        let mut grammar = grammar.clone();
        events.iter().try_for_each(|event| grammar.event(event))
    };
    let mut events = events(KEEP_ALIVE_GET);
    assert_eq!(run(&Grammar::new().strict_seq(), &events), Ok(()));
    events.iter_mut().skip(20).for_each(|event| event.seq += 7);
    assert_eq!(run(&Grammar::new(), &events), Ok(()));
    let violation = run(&Grammar::new().strict_seq(), &events).unwrap_err();
    assert_eq!((violation.rule(), violation.index()), (Rule::Seq, 20));
    events[20].seq = events[19].seq;
    assert_eq!(run(&Grammar::new(), &events).unwrap_err().rule(), Rule::Seq);
}

#[test]
fn after_a_loss_nothing_but_time_and_numbers_is_checked() {
    let script = "c1 call_start\nevents_lost\nc1 a0 n1 wrote_request\nc1 call_done status=200";
    let mut grammar = Grammar::new().allow_loss();
    for event in &events(script) {
        grammar.event(event).unwrap();
    }
    assert!(grammar.has_lost());
    assert_eq!(grammar.finish_all(), Ok(()));
}

#[test]
fn a_partial_observer_may_meet_older_connections() {
    let second: String = lines(KEEP_ALIVE_GET)
        .into_iter()
        .filter(|line| line.starts_with("c2"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut grammar = Grammar::new().partial();
    for event in &events(&second) {
        grammar.event(event).unwrap();
    }
    assert_eq!(grammar.finish_all(), Ok(()));
    assert_eq!(check(&events(&second)).unwrap_err().rule(), Rule::Conn);
}

#[test]
fn finish_wants_ends_and_finish_all_closed_connections() {
    let judged = |script: &str, all| judge(&events(script), all).map_err(|v| v.to_string());
    let open = KEEP_ALIVE_GET.replace("n1 conn_closed reason=idle_timeout", "");
    assert_eq!(judged(&open, false), Ok(()));
    assert_eq!(
        judged(&open, true).unwrap_err(),
        "the end of connection 1 breaks rule 1 (OneEnd): the conn is idle and has not ended"
    );
    let cut = lines(&open)[..25].join("\n");
    assert_eq!(
        judged(&cut, false).unwrap_err(),
        "the end of call 1 breaks rule 1 (OneEnd): the call is attempt and has not ended"
    );
}
