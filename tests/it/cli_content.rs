//! Where the command's `-Z` puts content, and how much of it is in memory.

use std::fs;

use wirescope::testkit::{Gate, Peer, Script};

use crate::cli::{Ran, Scratch, answering, file, run};
use crate::harness::PATIENCE;

/// Paths in a folder of their own, of which none is there yet.
fn paths<const N: usize>(beside: &Scratch) -> [String; N] {
    let folder = beside.parent().unwrap();
    std::array::from_fn(|number| {
        let path = folder.join(number.to_string());
        drop(fs::remove_file(&path));
        path.to_str().unwrap().to_owned()
    })
}

/// A peer that has sent all but the last byte of every one of so many bodies before it sends that.
fn held_back(bodies: usize, bytes: u64) -> (Peer, std::thread::JoinHandle<()>) {
    let all = Gate::new();
    let sent: Vec<Gate> = std::iter::repeat_with(Gate::new).take(bodies).collect();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
    let scripts = sent.iter().map(|sent| {
        let script = Script::new().expect_request().send(&head);
        let script = script
            .send_repeated(b'x', bytes - 1)
            .open_gate(sent.clone());
        script.wait_for(all.clone()).send("x")
    });
    let peer = Peer::builder().scripts(scripts.collect::<Vec<_>>());
    let peer = peer.start().unwrap();
    let opener = std::thread::spawn(move || {
        for sent in sent {
            assert!(sent.wait(PATIENCE * 3));
        }
        all.open();
    });
    (peer, opener)
}

#[cfg(target_os = "linux")]
#[test]
fn bodies_that_are_not_for_standard_output_are_not_in_memory() {
    const BODIES: usize = 8;
    const BYTES: u64 = 32 << 20;
    let beside = file("large.txt", b"");
    let paths = paths::<BODIES>(&beside);
    let to: Vec<String> = paths.iter().map(|path| format!("-o {path}")).collect();
    for to in ["", &to.join(" ")] {
        let (peer, opener) = held_back(BODIES, BYTES);
        // Bytes of address space: a quarter of all the content.
        let most = BODIES as u64 * BYTES / 4 / 1024;
        let command = env!("CARGO_BIN_EXE_wirescope");
        let urls = vec![peer.url("/"); BODIES].join(" ");
        let line = format!("ulimit -v {most} && exec {command} -s -Z {BODIES} {to} {urls}");
        let mut limited = std::process::Command::new("sh");
        let ran = Ran::from(limited.args(["-c", &line]).output().unwrap());
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("content      268.4 MB"), "{}", ran.out);
        opener.join().unwrap();
    }
    for path in paths {
        assert_eq!(fs::metadata(&path).unwrap().len(), BYTES);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_is_made_for_a_response_that_is_wanted() {
    let well = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let missing = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy";
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let script = Script::new().expect_request().send(busy);
    let busy = Peer::start(script.expect_request().send(ok)).unwrap();
    let cut = Script::new()
        .expect_request()
        .send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel");
    let cut = Peer::start(cut.close()).unwrap();
    let beside = file("wanted.txt", b"");
    let urls = [well.url("/"), missing.url("/"), busy.url("/"), cut.url("/")];
    // As one after the other has it.
    for flags in [
        &["-s", "-f", "--retry", "1"][..],
        &["-s", "-f", "--retry", "1", "-Z", "4"],
    ] {
        let paths = paths::<4>(&beside);
        let to = paths.iter().flat_map(|path| ["-o", path]);
        let all = flags.iter().copied().chain(to);
        let all = all.chain(urls.iter().map(|url| &**url));
        let ran = run(&all.collect::<Vec<_>>());
        assert_eq!(ran.code, 56, "{flags:?} {}", ran.err);
        let read = paths.map(|path| fs::read_to_string(path).ok());
        let read = read.each_ref().map(Option::as_deref);
        assert_eq!(
            read,
            [Some("hi"), None, Some("ok"), Some("hel")],
            "{flags:?}"
        );
    }
}

#[test]
fn what_several_calls_write_to_has_one_body_as_a_whole() {
    let script = Script::new().respond_with(|request| {
        let line = format!("{}\n", request.target());
        let body = line.repeat(20_000);
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into()
    });
    let peer = Peer::start(script).unwrap();
    let urls: [String; 4] = std::array::from_fn(|number| peer.url(&format!("/{number}")));
    let beside = file("shared.txt", b"");
    let [path] = paths::<1>(&beside);
    let one_each = urls.iter().flat_map(|url| ["-o", &path, url]);
    let repeated = ["--repeat", "6", "-o", &path, &urls[0]];
    for all in [one_each.collect(), repeated.to_vec()] {
        let ran = run(&[&["-s", "-Z", "4"], &all[..]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap();
        assert_eq!(text, format!("{first}\n").repeat(20_000));
    }
}
