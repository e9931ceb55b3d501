//! The tag law: what a peer sends behind an answer is never the answer to the next request.

mod proxied;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use wirescope::Client;
use wirescope::testkit::check::check;

use crate::support::{Server, read_head, target, watched};

const ROUNDS: usize = 20_000;

const VARIANTS: [&str; 7] = ["get", "head", "204", "304", "empty", "chunked", "trailer"];

/// What stands behind the answer: a whole response, the beginning of one, an empty line, a byte.
const POISON: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nX-Tag: poison\r\nContent-Length: 6\r\n\r\npoison",
    "HTTP/1.1 200 OK\r\nX-Tag: poi",
    "\r\n",
    "H",
];

/// The answer to a request; it tells the tag in a field and, where it has one, in its body.
fn answer(variant: &str, tag: &str) -> String {
    let (length, size) = (tag.len(), format!("{:x}", tag.len()));
    match variant {
        "get" => {
            format!("HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nContent-Length: {length}\r\n\r\n{tag}")
        }
        "head" => format!("HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nContent-Length: {length}\r\n\r\n"),
        "204" => format!("HTTP/1.1 204 No Content\r\nX-Tag: {tag}\r\n\r\n"),
        "304" => format!("HTTP/1.1 304 Not Modified\r\nX-Tag: {tag}\r\nContent-Length: 99\r\n\r\n"),
        "empty" => format!("HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nContent-Length: 0\r\n\r\n"),
        "chunked" => format!(
            "HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{tag}\r\n0\r\n\r\n"
        ),
        "trailer" => format!(
            "HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nTransfer-Encoding: chunked\r\n\r\n{size};x=y\r\n{tag}\r\n0\r\nX-End: 1\r\n\r\n"
        ),
        other => panic!("{other}"),
    }
}

/// Says when the connection is idle, and hears when something was said on it.
struct Sync {
    idle: Sender<()>,
    said: Receiver<()>,
}

fn serve(mut stream: TcpStream, idle: &Receiver<()>, said: &Sender<()>) {
    while let Some(head) = read_head(&stream) {
        let words: Vec<&str> = target(&head).split('/').collect();
        let [_, variant, when, poison, tag] = words[..] else {
            panic!("{head}");
        };
        let poison = POISON[poison.parse::<usize>().unwrap()];
        let mut bytes = answer(variant, tag);
        match when {
            "glued" => {
                bytes.push_str(poison);
                let _ = stream.write_all(bytes.as_bytes());
            }
            _ => {
                stream.write_all(bytes.as_bytes()).unwrap();
                if idle.recv().is_err() {
                    return;
                }
                let _ = stream.write_all(poison.as_bytes());
                said.send(()).unwrap();
            }
        }
    }
}

fn server() -> (Server, Sync) {
    let (idle, is_idle) = channel();
    let (has_said, said) = channel();
    let server = Server::start(move |stream| serve(stream, &is_idle, &has_said));
    (server, Sync { idle, said })
}

fn rounds(client: &Client, server: &Server, sync: &Sync, count: usize, thread: &str) {
    for round in 0..count {
        let variant = VARIANTS[round % VARIANTS.len()];
        let when = if round % 3 == 2 { "idle" } else { "glued" };
        let poison = (round / 7) % POISON.len();
        let tag = format!("{thread}{round}");
        let url = server.url(&format!("/{variant}/{when}/{poison}/{tag}"));
        let request = match variant {
            "head" => client.head(&url),
            _ => client.get(&url),
        };
        let mut response = request.unwrap().send().unwrap();
        assert_eq!(response.header("x-tag"), Some(tag.as_str()), "{url}");
        let mut body = String::new();
        response.read_to_string(&mut body).unwrap();
        let has_body = matches!(variant, "get" | "chunked" | "trailer");
        assert_eq!(body, if has_body { &tag } else { "" }, "{url}");
        if when == "idle" {
            sync.idle.send(()).unwrap();
            sync.said.recv().unwrap();
        }
    }
}

#[test]
fn cve_desync_what_stands_behind_an_answer_is_never_delivered() {
    let client = Client::builder().build().unwrap();
    let (server, sync) = server();
    rounds(&client, &server, &sync, ROUNDS, "a");
    assert_eq!(client.connections().1, 0);
}

#[test]
fn cve_desync_holds_for_two_threads_with_one_client() {
    let client = Client::builder().build().unwrap();
    std::thread::scope(|scope| {
        for thread in ["a", "b"] {
            let client = &client;
            scope.spawn(move || {
                let (server, sync) = server();
                rounds(client, &server, &sync, ROUNDS / 2, thread);
            });
        }
    });
}

#[test]
fn cve_desync_is_told_as_leftover_or_unsolicited_bytes() {
    let (client, events) = watched(|builder| builder);
    let (server, sync) = server();
    rounds(&client, &server, &sync, 210, "a");
    drop(client);
    let seen = check(&events);
    assert!(
        !seen
            .matching("put_idle_conn error=leftover_bytes")
            .is_empty()
    );
    assert!(
        !seen
            .matching("conn_closed reason=unsolicited_bytes")
            .is_empty()
    );
    assert!(seen.matching("got_conn reused=true").is_empty());
}
