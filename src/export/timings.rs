//! Timings as text. What did not happen is absent from the table and `null` in JSON; it is never 0.

use std::fmt::Write;
use std::time::Duration;

use crate::event::Timings;
use crate::event::show::Show;
use crate::export::shown;

/// One line per phase that happened, then the total and what is outside the sum. Ends with a line feed.
#[must_use]
pub fn table(timings: &Timings) -> String {
    let mut text = String::new();
    let phases = timings.phases().named().into_iter();
    let summed = phases.chain([("total", Some(timings.total()))]);
    let beside = [
        ("ttfb", timings.ttfb()),
        ("ttfb_final", timings.ttfb_final()),
    ];
    for (name, duration) in summed.chain(beside) {
        if let Some(duration) = duration {
            let _ = writeln!(text, "{name:<10} {:>12}", shown(duration));
        }
    }
    text
}

/// One JSON object in nanoseconds, the `timings` of `call_done`.
#[must_use]
pub fn json(timings: &Timings) -> String {
    let mut text = String::new();
    timings.show(&mut text);
    text
}

/// One flat JSON object in milliseconds with three decimals: `dns_ms`, `tcp_ms`, `tls_ms`, `ttfb_ms`,
/// `wait_ms`, `body_ms`, `total_ms`, and `conn_reused`.
#[must_use]
pub fn flat(timings: &Timings) -> String {
    let phases = timings.phases();
    let columns = [
        ("dns_ms", phases.dns),
        ("tcp_ms", phases.tcp),
        ("tls_ms", phases.tls),
        ("ttfb_ms", timings.ttfb()),
        ("wait_ms", phases.wait),
        ("body_ms", phases.receive),
        ("total_ms", Some(phases.total)),
    ];
    let mut text = String::from("{");
    for (key, duration) in columns {
        let _ = write!(text, "\"{key}\":{},", milliseconds(duration));
    }
    let reused = match phases.send {
        Some(_) => timings.conn_reused().to_string(),
        None => "null".to_owned(),
    };
    let _ = write!(text, "\"conn_reused\":{reused}}}");
    text
}

fn milliseconds(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "null".to_owned(),
        |duration| format!("{:.3}", duration.as_secs_f64() * 1e3),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind as K, Marks};

    fn timings() -> Timings {
        let origin = crate::testing::origin();
        let mut marks = Marks::default();
        for (kind, ms) in [
            (K::CallStart, 0),
            (K::GetConn, 0),
            (K::GotConn, 1),
            (K::WroteRequest, 2),
            (K::GotFirstResponseByte, 12),
            (K::FinalResponseStart, 12),
            (K::ResponseBodyDone, 20),
            (K::CallDone, 20),
        ] {
            marks.note(kind, origin + Duration::from_millis(ms));
        }
        marks.reused(true);
        marks.first_write(origin + Duration::from_millis(1));
        marks.timings(origin)
    }

    #[test]
    fn flat_has_three_decimals_and_null_for_what_did_not_happen() {
        assert_eq!(
            flat(&timings()),
            r#"{"dns_ms":null,"tcp_ms":null,"tls_ms":null,"ttfb_ms":12.000,"wait_ms":10.000,"body_ms":8.000,"total_ms":20.000,"conn_reused":true}"#
        );
        let nothing = Marks::default().timings(crate::testing::origin());
        assert!(flat(&nothing).ends_with(r#""total_ms":0.000,"conn_reused":null}"#));
    }

    #[test]
    fn the_table_leaves_out_what_did_not_happen() {
        let table = table(&timings());
        assert!(table.contains("wait           10.00 ms\n"), "{table}");
        assert!(!table.contains("dns"), "{table}");
    }
}
