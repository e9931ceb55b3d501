//! Conditional requests: what is written, byte by byte.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wirescope::error::RequestRule;
use wirescope::message::etag::EntityTag;
use wirescope::message::weight::{Weight, preferences};
use wirescope::{Error, ErrorKind, Request};

use crate::harness::{Lab, ok, run, serve};

/// The lines of a request behind those that are always the same.
fn lines(lab: &Lab, change: impl FnOnce(Request) -> Result<Request, Error>) -> String {
    let request = change(lab.request("GET", "/")).unwrap();
    let before = lab.peer.received().first().map_or(0, Vec::len);
    run(request).unwrap();
    let sent = lab.peer.received().remove(0).split_off(before);
    let sent = String::from_utf8(sent).unwrap();
    let (_, lines) = sent.split_once(&lab.usual()).unwrap();
    lines.trim_end().to_owned()
}

fn tag(text: &str) -> EntityTag {
    EntityTag::parse(text.as_bytes()).unwrap()
}

#[test]
fn rfc_a28_conditions_are_written_as_they_have_to_be() {
    let lab = Lab::new([serve(ok(""))]);
    let moment = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
    let check = |change: fn(Request, SystemTime) -> Result<Request, Error>, expected: &str| {
        assert_eq!(lines(&lab, |request| change(request, moment)), expected);
    };
    check(
        |request, _| request.if_none_match(&[tag("\"a\""), tag("W/\"b\"")]),
        "If-None-Match: \"a\", W/\"b\"",
    );
    check(
        |request, _| {
            request
                .if_none_match(&[tag("\"a\"")])?
                .if_none_match(&[tag("\"b\"")])
        },
        "If-None-Match: \"b\"",
    );
    check(|request, _| request.if_none_match(&[]), "");
    check(|request, _| request.if_none_match_any(), "If-None-Match: *");
    check(
        |request, _| request.if_match(&[tag("\"a\"")]),
        "If-Match: \"a\"",
    );
    check(|request, _| request.if_match_any(), "If-Match: *");
    check(
        |request, moment| request.if_modified_since(moment),
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    );
    check(
        |request, moment| request.if_unmodified_since(moment),
        "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    );
    check(
        |request, _| request.if_modified_since(UNIX_EPOCH - Duration::from_secs(1)),
        "If-Modified-Since: Wed, 31 Dec 1969 23:59:59 GMT",
    );
    lab.finish();
}

#[test]
fn what_can_never_be_met_is_refused_at_once() {
    let lab = Lab::new([serve(ok(""))]);
    let check = |result: Result<Request, Error>, rule: RequestRule| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::LocalRequest(rule));
    };
    let weak = [tag("\"a\""), tag("W/\"a\"")];
    check(
        lab.request("PUT", "/").if_match(&weak),
        RequestRule::WeakTag,
    );
    let late = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    check(
        lab.request("GET", "/").if_modified_since(late),
        RequestRule::Date,
    );
    let empty = 5..5;
    check(lab.request("GET", "/").range(empty), RequestRule::Ranges);
    lab.finish();
}

#[test]
fn rfc_a36_preferences_are_sent_with_three_decimals_at_most() {
    let lab = Lab::new([serve(ok(""))]);
    let weight = |thousandths| Weight::of_thousandths(thousandths).unwrap();
    let list = preferences([
        ("text/html", Weight::ONE),
        ("text/*", weight(875)),
        ("*/*", weight(100)),
    ]);
    let request = lab.request("GET", "/").header("Accept", &list).unwrap();
    run(request).unwrap();
    let request = lab.peer.requests().remove(0);
    assert_eq!(
        request.field("accept"),
        Some("text/html, text/*;q=0.875, */*;q=0.1")
    );
    lab.finish();
}

#[test]
fn rfc_a25_a_condition_with_one_value_is_not_given_twice() {
    let lab = Lab::new([serve(ok(""))]);
    for (name, value) in [
        ("Range", "bytes=0-9"),
        ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let request = lab.request("GET", "/").header(name, value).unwrap();
        let error = request.header(name, value).unwrap().send().unwrap_err();
        let kind = ErrorKind::LocalField(wirescope::error::FieldError::Repeated);
        assert_eq!(error.kind(), kind, "{name}");
    }
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}
