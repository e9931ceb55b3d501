//! A crawler: follows links to a depth, many pages at once, over a loop on a thread of its own. The program waits for
//! pages and for events in one `select!`.

#![expect(clippy::print_stdout, reason = "an example shows something")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use crossbeam_channel::select;
use wirescope::event::{EventKind, Events, channel};
use wirescope::testkit::{Peer, Script};
use wirescope::{Client, Completion, EventLoop, Inbox, Ticket};

/// Links are followed as far from the first page.
const DEPTH: usize = 4;

/// The links of each page of the site, which has no end.
const LINKS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let site = Peer::start(Script::new().respond_with(|request| page(request.target())))?;
    let (observer, events) = channel(64 * 1024);
    let client = Client::builder()
        .max_connections_per_origin(8)
        .observe(observer)
        .build()?;
    let handle = EventLoop::new(&client)?.spawn()?;

    let mut crawl = Crawl {
        base: site.url(""),
        inbox: handle.inbox(),
        client,
        seen: BTreeSet::new(),
        under_way: BTreeMap::new(),
        bytes: 0,
    };
    crawl.visit("/", 0)?;
    let connections = crawl.run(&events)?;
    println!(
        "{} pages, {} bytes of content, over {connections} connections",
        crawl.seen.len(),
        crawl.bytes,
    );
    handle.shutdown(Duration::from_secs(1))?;
    Ok(())
}

/// What is known of the site.
struct Crawl {
    base: String,
    client: Client,
    inbox: Inbox,
    seen: BTreeSet<String>,
    /// How far each page that is being fetched is from the first.
    under_way: BTreeMap<Ticket, usize>,
    bytes: usize,
}

impl Crawl {
    /// Asks for a page, unless that was done before.
    fn visit(&mut self, path: &str, depth: usize) -> Result<(), Box<dyn Error>> {
        if self.seen.insert(path.to_owned()) {
            let request = self.client.get(&format!("{}{path}", self.base))?;
            let ticket = self.inbox.submit(request)?;
            self.under_way.insert(ticket, depth);
        }
        Ok(())
    }

    /// Goes on until no page is left; says how many connections that took.
    fn run(&mut self, events: &Events) -> Result<usize, Box<dyn Error>> {
        let mut connections = 0;
        while !self.under_way.is_empty() {
            select! {
                recv(self.inbox.receiver()) -> done => self.read(&done?)?,
                recv(events) -> event => {
                    connections += usize::from(event?.kind() == EventKind::ConnOpened);
                }
            }
        }
        Ok(connections)
    }

    fn read(&mut self, done: &Completion) -> Result<(), Box<dyn Error>> {
        let depth = self.under_way.remove(&done.ticket()).unwrap_or(DEPTH);
        if let Some(error) = done.error() {
            println!("{}: {error}", done.url());
        }
        self.bytes += done.body().len();
        if depth < DEPTH {
            for link in links(&String::from_utf8_lossy(done.body())) {
                self.visit(link, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// What stands in the links of a page.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("<a href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}

/// A page that links to those below it, and to the first.
fn page(path: &str) -> Vec<u8> {
    let path = path.trim_end_matches('/');
    let below = (0..LINKS).map(|number| format!("<a href=\"{path}/{number}\">{number}</a>\n"));
    let body = below.collect::<String>() + "<a href=\"/\">home</a>\n";
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
