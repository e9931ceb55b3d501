//! `-r`, as curl has it.

use wirescope::testkit::{Peer, Script};

use crate::cli::run;

#[test]
fn a_range_is_asked_for_as_it_is_written_and_what_comes_is_shown() {
    let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello";
    let peer = Peer::start(Script::new().respond_with(|_| answer.into())).unwrap();
    for (args, expected) in [
        (&["-r", "0-4"][..], "bytes=0-4"),
        (&["-r5-"], "bytes=5-"),
        (&["-r", "-5"], "bytes=-5"),
        (&["--range", "0-0,-1"], "bytes=0-0,-1"),
        (&["--range=9-9, 0-4"], "bytes=9-9, 0-4"),
    ] {
        let url = peer.url("/");
        let args = [args, &["-o", "-", &url]].concat();
        let ran = run(&args);
        assert_eq!((ran.code, &ran.out[..]), (0, "hello"), "{}", ran.err);
        let asked = peer.requests().pop().unwrap();
        assert_eq!(asked.field("range"), Some(expected), "{args:?}");
    }
}

#[test]
fn what_is_no_range_is_a_mistake_of_the_command_line() {
    for range in [
        "",
        "5",
        "a-b",
        "-",
        "9-5",
        "-0",
        "0-4;",
        "0-99999999999999999999",
    ] {
        let ran = run(&["-r", range, "http://127.0.0.1:1/"]);
        assert_eq!(ran.code, 2, "{range:?} {}", ran.err);
        assert!(range.is_empty() || ran.err.contains(range), "{}", ran.err);
    }
}
