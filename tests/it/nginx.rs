//! A real nginx from the distribution's package, on loopback: a second opinion on what servers do.
//!
//! These tests are ignored by default; `.ci/run` installs nginx and runs them. A missing nginx is a failure.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use wirescope::event::{EventKind, Events, Interest, Overflow, channel_with};
use wirescope::testkit::check::{Checked, check};
use wirescope::testkit::{Authority, ServerIdentity};
use wirescope::{Client, RedirectPolicy, Response, TlsConfig};

/// Sizes around buffers, records and pages, up to what fills every socket buffer.
const SIZES: [usize; 9] = [
    1,
    2,
    1_000,
    16_383,
    16_385,
    65_537,
    262_144,
    1_000_003,
    64 << 20,
];

/// More than any file here has.
const LIMIT: usize = 65 << 20;

/// How long nginx may take to listen.
const START: Duration = Duration::from_secs(20);

/// An nginx of this test, with a directory of its own. It is ended and its directory removed at the end.
struct Nginx {
    child: Child,
    dir: PathBuf,
    plain: SocketAddr,
    secure: SocketAddr,
    authority: Authority,
}

impl Nginx {
    fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("wirescope-nginx-{}-{number}", std::process::id()));
        for name in ["files", "put", "tmp"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        for size in SIZES {
            fs::write(dir.join("files").join(size.to_string()), content(size)).unwrap();
        }
        let authority = Authority::new().unwrap();
        let identity = authority.issue(&["localhost", "127.0.0.1"]).unwrap();
        fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        let (child, plain, secure) = spawn(&dir, &identity);
        Self {
            child,
            dir,
            plain,
            secure,
            authority,
        }
    }

    fn urls(&self) -> [String; 2] {
        [
            format!("http://{}", self.plain),
            format!("https://{}", self.secure),
        ]
    }

    fn client(&self) -> (Client, Events) {
        let (observer, events) = channel_with(0, Overflow::Unbounded, Interest::ALL);
        let tls = TlsConfig::new()
            .builtin_roots(false)
            .add_ca_pem(self.authority.pem())
            .unwrap();
        let client = Client::builder()
            .tls(tls)
            .observe(observer)
            .build()
            .unwrap();
        (client, events)
    }

    fn put(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.join("put").join(name)).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// Starts nginx on two free ports. A port may be gone again before nginx takes it: then with others.
fn spawn(dir: &Path, identity: &ServerIdentity) -> (Child, SocketAddr, SocketAddr) {
    fs::write(dir.join("cert.pem"), identity.certificate_pem()).unwrap();
    fs::write(dir.join("key.pem"), identity.key_pem()).unwrap();
    for _ in 0..5 {
        let (plain, secure) = (free_port(), free_port());
        fs::write(dir.join("nginx.conf"), config(dir, plain, secure)).unwrap();
        let mut child = Command::new("nginx")
            .arg("-p")
            .arg(dir)
            .arg("-c")
            .arg(dir.join("nginx.conf"))
            .arg("-e")
            .arg(dir.join("error.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is needed: see .ci/run");
        let begun = Instant::now();
        while begun.elapsed() < START && child.try_wait().unwrap().is_none() {
            if [plain, secure]
                .iter()
                .all(|addr| TcpStream::connect(addr).is_ok())
            {
                return (child, plain, secure);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().ok();
        child.wait().ok();
    }
    let log = fs::read_to_string(dir.join("error.log")).unwrap_or_default();
    panic!("nginx does not start:\n{log}");
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn config(dir: &Path, plain: SocketAddr, secure: SocketAddr) -> String {
    let dir = dir.display();
    // A filter that never finds its text takes the length away, and nginx answers chunked.
    format!(
        r#"
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {dir}/tmp/body;
    proxy_temp_path {dir}/tmp/proxy;
    fastcgi_temp_path {dir}/tmp/fastcgi;
    uwsgi_temp_path {dir}/tmp/uwsgi;
    scgi_temp_path {dir}/tmp/scgi;
    client_max_body_size 0;
    keepalive_requests 100000;
    server {{
        listen {plain};
        listen {secure} ssl;
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
        root {dir};
        location /files/ {{ }}
        location /chunked/ {{
            alias {dir}/files/;
            sub_filter_types *;
            sub_filter "a text that is nowhere" "";
        }}
        location /put/ {{ dav_methods PUT DELETE; }}
        location /length {{ return 200 "$content_length"; }}
        location /posted {{
            client_body_buffer_size 64k;
            proxy_pass http://{plain}/length;
        }}
        location /small {{
            client_max_body_size 1k;
            proxy_pass http://{plain}/length;
        }}
        location /three/ {{ keepalive_requests 3; alias {dir}/files/; }}
        location /brief/ {{ keepalive_timeout 1s; alias {dir}/files/; }}
        location /moved {{ return 301 /files/1; }}
    }}
}}
"#
    )
}

/// Bytes that hardly ever repeat; the same for the same size, and others for another.
pub(crate) fn content(size: usize) -> &'static [u8] {
    static POOL: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut pool = Vec::new();
        while pool.len() < LIMIT {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            pool.extend_from_slice(&state.to_le_bytes());
        }
        pool
    });
    &POOL[size % 1_021..][..size]
}

/// Compares without printing megabytes.
pub(crate) fn assert_same(got: &[u8], want: &[u8], what: &str) {
    assert_eq!(got.len(), want.len(), "length of {what}");
    if got != want {
        let first = got.iter().zip(want).position(|(got, want)| got != want);
        panic!("{what} differs from byte {first:?} on");
    }
}

fn body(mut response: Response) -> Vec<u8> {
    response.collect(LIMIT).unwrap()
}

/// Runs the command with the authority trusted and every event as NDJSON, and reads these.
fn command(nginx: &Nginx, args: &[&str]) -> Vec<Value> {
    let events = nginx.dir.join("events.ndjson");
    let output = Command::new(env!("CARGO_BIN_EXE_wirescope"))
        .args(["-s", "--events", "ndjson", "--events-file"])
        .arg(&events)
        .arg("--cacert")
        .arg(nginx.dir.join("ca.pem"))
        .args(args)
        .current_dir(&nginx.dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{args:?}: {}\n{said}",
        output.status
    );
    let lines = fs::read_to_string(&events).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> + 'a {
    events.iter().filter(move |event| event["event"] == kind)
}

/// The statuses of all calls, none of which failed.
fn statuses(events: &[Value]) -> Vec<u64> {
    of_kind(events, "call_done")
        .map(|done| {
            assert!(done["error"].is_null(), "{done}");
            done["status"].as_u64().unwrap()
        })
        .collect()
}

/// Ends a client and checks all it told.
fn checked(client: Client, events: &Events) -> Checked {
    drop(client);
    check(events)
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn files_of_every_size_arrive_whole_over_one_connection() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        for (folder, framing) in [("files", "Length"), ("chunked", "Chunked")] {
            let (client, events) = nginx.client();
            for size in SIZES {
                let url = format!("{base}/{folder}/{size}");
                let response = client.get(&url).unwrap().send().unwrap();
                assert_eq!(response.status(), 200, "{url}");
                let found = format!("{:?}", response.framing());
                assert!(found.starts_with(framing), "{url}: {found}");
                assert_same(&body(response), content(size), &url);
            }
            let seen = checked(client, &events);
            assert_eq!(seen.only(EventKind::ConnOpened).len(), 1, "{base}/{folder}");
            assert_eq!(seen.only(EventKind::CallDone).len(), SIZES.len());
        }
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn head_conditions_and_ranges_leave_the_connection_in_step() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let (client, events) = nginx.client();
        let url = format!("{base}/files/1000003");
        let head = client.head(&url).unwrap().send().unwrap();
        assert_eq!(
            (head.status(), head.header("content-length")),
            (200, Some("1000003"))
        );
        let tag = head.header("etag").unwrap().to_owned();
        let date = head.header("last-modified").unwrap().to_owned();
        assert_same(&body(head), b"", "a HEAD");

        for (name, value) in [("If-None-Match", &tag), ("If-Modified-Since", &date)] {
            let request = client.get(&url).unwrap().header(name, value).unwrap();
            let fresh = request.send().unwrap();
            assert_eq!(fresh.status(), 304, "{name}");
            assert_same(&body(fresh), b"", "a 304");
        }

        let request = client.get(&url).unwrap();
        let part = request
            .header("Range", "bytes=500000-999999")
            .unwrap()
            .send()
            .unwrap();
        assert_eq!(
            (part.status(), part.header("content-range")),
            (206, Some("bytes 500000-999999/1000003"))
        );
        assert_same(
            &body(part),
            &content(1_000_003)[500_000..1_000_000],
            "a range",
        );

        let several = client
            .get(&url)
            .unwrap()
            .header("Range", "bytes=0-9,20-29")
            .unwrap();
        let several = several.send().unwrap();
        assert_eq!(several.status(), 206);
        assert!(
            several
                .header("content-type")
                .unwrap()
                .starts_with("multipart/byteranges")
        );
        assert!(!body(several).is_empty());

        let beyond = client
            .get(&url)
            .unwrap()
            .header("Range", "bytes=2000000-")
            .unwrap();
        let beyond = beyond.send().unwrap();
        assert_eq!(beyond.status(), 416);
        assert!(!body(beyond).is_empty());

        let moved = || client.get(&format!("{base}/moved")).unwrap();
        let redirect = moved().redirects(RedirectPolicy::none()).send().unwrap();
        assert_eq!(redirect.status(), 301);
        assert!(redirect.header("location").unwrap().ends_with("/files/1"));
        assert!(!body(redirect).is_empty());

        let followed = moved().send().unwrap();
        assert_eq!((followed.status(), followed.history().len()), (200, 1));
        assert_eq!(followed.url().path(), "/files/1");
        assert_same(&body(followed), content(1), "behind a redirect");

        let absent = client
            .get(&format!("{base}/files/absent"))
            .unwrap()
            .send()
            .unwrap();
        assert_eq!(absent.status(), 404);
        assert!(!body(absent).is_empty());

        let seen = checked(client, &events);
        assert_eq!(seen.only(EventKind::ConnOpened).len(), 1, "{base}");
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn uploads_of_every_size_arrive_whole() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let (client, events) = nginx.client();
        for size in SIZES {
            let bytes = content(size);
            for name in ["length", "sized", "chunked", "expect"] {
                let what = format!("{base}/put/{name}-{size}");
                let request = client.put(&what).unwrap();
                let source = std::io::Cursor::new(bytes);
                let request = match name {
                    "length" => request.body(bytes),
                    "sized" => request.body_sized_reader(source, size as u64),
                    "chunked" => request.body_reader(source),
                    _ => request.body(bytes).expect_continue(),
                };
                let response = request.send().unwrap();
                // Created, and without content; replaced when the other address has put it before.
                assert!([201, 204].contains(&response.status()), "{what}");
                body(response);
                let name = format!("{name}-{size}");
                assert_same(&nginx.put(&name), bytes, &what);
                fs::remove_file(nginx.dir.join("put").join(&name)).unwrap();
            }
            let posted = client.post(&format!("{base}/posted")).unwrap().body(bytes);
            let length = body(posted.send().unwrap());
            assert_eq!(String::from_utf8(length).unwrap(), size.to_string());
        }
        let seen = checked(client, &events);
        assert_eq!(seen.only(EventKind::ConnOpened).len(), 1, "{base}");
        assert_eq!(seen.only(EventKind::Got100Continue).len(), SIZES.len());
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn an_upload_that_is_refused_has_its_answer() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let (client, events) = nginx.client();
        for size in [2_000, 16 << 20] {
            let request = client.post(&format!("{base}/small")).unwrap();
            let response = request.body(content(size)).send().unwrap();
            assert_eq!(response.status(), 413, "{size}");
            assert!(!body(response).is_empty());
        }
        checked(client, &events);
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn a_server_that_ends_connections_costs_no_request() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let (client, events) = nginx.client();
        for _ in 0..7 {
            let response = client
                .get(&format!("{base}/three/1000"))
                .unwrap()
                .send()
                .unwrap();
            assert_same(&body(response), content(1_000), "one of three");
        }
        let seen = checked(client, &events);
        assert_eq!(seen.only(EventKind::ConnOpened).len(), 3, "{base}");

        let (client, events) = nginx.client();
        for _ in 0..2 {
            let response = client
                .get(&format!("{base}/brief/1000"))
                .unwrap()
                .send()
                .unwrap();
            assert_same(&body(response), content(1_000), "a brief one");
            std::thread::sleep(Duration::from_millis(1_500));
        }
        let seen = checked(client, &events);
        assert_eq!(seen.only(EventKind::ConnOpened).len(), 2, "{base}");
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn threads_share_a_client() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let (client, events) = nginx.client();
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let (client, base) = (&client, &base);
                scope.spawn(move || {
                    for round in 0..40 {
                        let size = SIZES[(thread + round) % 7];
                        let folder = ["files", "chunked"][round % 2];
                        let url = format!("{base}/{folder}/{size}");
                        let response = client.get(&url).unwrap().send().unwrap();
                        assert_same(&body(response), content(size), &url);
                    }
                });
            }
        });
        let seen = checked(client, &events);
        assert_eq!(seen.only(EventKind::CallDone).len(), 320, "{base}");
        // One for each thread, and one more for each that made room among the idle ones.
        let evicted = seen.matching("conn_closed reason=evicted").len();
        assert!(
            seen.only(EventKind::ConnOpened).len() <= 8 + evicted,
            "{base}"
        );
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn the_command_fetches_files_of_every_size_over_one_connection() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        for folder in ["files", "chunked"] {
            let names: Vec<_> = SIZES.iter().map(|size| format!("got-{size}")).collect();
            let urls: Vec<_> = SIZES
                .iter()
                .map(|size| format!("{base}/{folder}/{size}"))
                .collect();
            let mut args = Vec::new();
            for (name, url) in names.iter().zip(&urls) {
                args.extend(["-o", name, url]);
            }
            let events = command(&nginx, &args);
            assert_eq!(statuses(&events), [200; SIZES.len()]);
            assert_eq!(
                of_kind(&events, "conn_opened").count(),
                1,
                "{base}/{folder}"
            );
            for (name, size) in names.iter().zip(SIZES) {
                let got = fs::read(nginx.dir.join(name)).unwrap();
                assert_same(&got, content(size), name);
                fs::remove_file(nginx.dir.join(name)).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn the_command_asks_for_heads_parts_and_what_is_new() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let url = &format!("{base}/files/262144");
        let head = command(&nginx, &["-I", "-o", "head", url, "-o", "again", url]);
        assert_eq!(statuses(&head), [200, 200]);
        assert_eq!(of_kind(&head, "conn_opened").count(), 1);
        let text = fs::read_to_string(nginx.dir.join("head")).unwrap();
        assert!(text.contains("Content-Length: 262144"), "{text}");
        let tag = text
            .lines()
            .find_map(|line| line.strip_prefix("ETag: "))
            .unwrap();

        let fresh = command(&nginx, &["-H", &format!("If-None-Match: {tag}"), url]);
        assert_eq!(statuses(&fresh), [304]);

        let part = command(&nginx, &["-H", "Range: bytes=1000-1999", "-o", "part", url]);
        assert_eq!(statuses(&part), [206]);
        let part = fs::read(nginx.dir.join("part")).unwrap();
        assert_same(&part, &content(262_144)[1_000..2_000], "a range");
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn the_command_uploads_files() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        for size in SIZES {
            let file = format!("files/{size}");
            let put = command(&nginx, &["-T", &file, &format!("{base}/put/sent")]);
            assert!([201, 204].contains(&statuses(&put)[0]), "{size}");
            assert_same(&nginx.put("sent"), content(size), "an upload");
            fs::remove_file(nginx.dir.join("put/sent")).unwrap();

            let data = format!("@{file}");
            let url = format!("{base}/posted");
            let posted = command(&nginx, &["--data-binary", &data, "-o", "length", &url]);
            assert_eq!(statuses(&posted), [200]);
            let length = fs::read_to_string(nginx.dir.join("length")).unwrap();
            assert_eq!(length, size.to_string());
        }
    }
}

#[test]
#[ignore = "needs nginx: .ci/run"]
fn the_command_makes_many_calls_at_a_time() {
    let nginx = Nginx::start();
    for base in nginx.urls() {
        let urls: String = (0..2_000)
            .map(|number| format!("{base}/files/{}?{number}\n", SIZES[number % 5]))
            .collect();
        fs::write(nginx.dir.join("urls"), urls).unwrap();
        let events = command(&nginx, &["-Z", "50", "--url-file", "urls"]);
        assert_eq!(statuses(&events), [200; 2_000]);
        let opened = of_kind(&events, "conn_opened").count();
        assert!((1..=50).contains(&opened), "{opened}");
        // A connection whose call was served by another one before it was ready may never be used.
        let first_uses = of_kind(&events, "got_conn").filter(|got| got["reused"] == false);
        assert!((1..=opened).contains(&first_uses.count()));
        let retries = of_kind(&events, "retry").count();
        assert_eq!(of_kind(&events, "got_conn").count(), 2_000 + retries);
    }
}
