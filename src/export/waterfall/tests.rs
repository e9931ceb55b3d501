use super::*;
use crate::event::Marks;
use crate::event::script::events;

/// Draws the events of a script, one millisecond per line, with the timings that they fold into.
fn drawn(script: &str, style: Style) -> String {
    let events = events(script);
    let origin = crate::testing::origin();
    let mut marks = Marks::default();
    for event in &events {
        marks.note(event.kind(), origin + event.at());
        if event.kind() == EventKind::ConnectDone {
            marks.connected(origin + event.at(), origin + event.at());
        }
        if event.kind() == EventKind::GotConn {
            marks.first_write(origin + event.at());
        }
    }
    let call = Call {
        events: &events,
        timings: &marks.timings(origin),
        start: events[0].at(),
    };
    call.draw(style)
}

const GET: &str = "c1 call_start
    c1 a0 get_conn
    c1 a0 pool_lookup
    c1 a0 d1 dial_start
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 dial_done
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_headers
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head status=200
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn error=peer_close
    c1 a0 attempt_done
    c1 call_done";

#[test]
fn a_call_is_drawn_to_scale() {
    let text = drawn(GET, Style::new().columns(68));
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "  queue         1.00 ms     5.00 ms   ██████████",
            "  tcp           4.00 ms     1.00 ms         ██",
            "  send          7.00 ms     2.00 ms               ████",
            "  wait          9.00 ms     2.00 ms                   ████",
            "  receive      11.00 ms     2.00 ms                       ████",
            "  other                     4.00 ms ",
            "  total         0.00 ms    16.00 ms ████████████████████████████████",
            "  - new connection to 127.0.0.1:80",
            "  - the connection is not kept: the response said close",
        ],
        "{text}"
    );
}

#[test]
fn colours_come_only_when_asked_for() {
    assert!(!drawn(GET, Style::new()).contains('\x1b'));
    assert!(drawn(GET, Style::new().color(true)).contains("\x1b[32m"));
}

#[test]
fn no_line_is_wider_than_asked_and_bars_stay_inside() {
    for columns in [0, 46, 80, 200] {
        let text = drawn(GET, Style::new().columns(columns));
        for line in text.lines().filter(|line| line.contains('█')) {
            assert!(line.chars().count() <= columns.max(46), "{columns}: {line}");
        }
    }
}

#[test]
fn a_call_without_a_hop_has_no_rows() {
    let text = drawn("c1 call_start\n c1 call_done error=connect", Style::new());
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(waterfall(&[], Style::new()), "");
}
