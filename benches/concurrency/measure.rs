//! The measurements: which clients run how often, in turns, and the tables of what they said.

use std::str::FromStr;

use crate::concurrency::Outcome;
use crate::concurrency::crowds;
use crate::concurrency::figures::{Bytes, Footprint, Sample};
use crate::concurrency::machine;
use crate::concurrency::options::Options;
use crate::concurrency::process::{Cores, Server, client};
use crate::concurrency::table::Table;

/// The client that all others are compared with.
const LIMIT: &str = "raw";

/// What a client said in each round; less than there were rounds if it failed.
struct Rounds<T> {
    client: String,
    said: Vec<T>,
}

/// Runs each client in each round once, with a server of its own.
struct Turns<'a> {
    clients: Vec<String>,
    rounds: usize,
    cores: Cores,
    tls: bool,
    /// Whether the server does without sleep.
    awake: bool,
    job: &'a str,
    arguments: Vec<(&'a str, String)>,
}

impl<'a> Turns<'a> {
    fn new(
        options: &Options,
        job: &'a str,
        rounds: usize,
        arguments: Vec<(&'a str, String)>,
    ) -> Outcome<Self> {
        let clients = options.list("clients", crowds::NAMES)?;
        Ok(Self {
            clients,
            rounds: options.or("rounds", rounds)?,
            cores: cores(options)?,
            tls: options.value("tls").is_some(),
            awake: false,
            job,
            arguments,
        })
    }

    fn run<T: FromStr<Err = Box<dyn std::error::Error>>>(&self) -> Outcome<Vec<Rounds<T>>> {
        let mut all: Vec<Rounds<T>> = Vec::new();
        all.extend(self.clients.iter().map(|client| Rounds {
            client: client.clone(),
            said: Vec::new(),
        }));
        for round in 0..self.rounds {
            for rounds in all.iter_mut().filter(|it| it.said.len() == round) {
                match self.once(&rounds.client, &[]) {
                    Ok(line) => rounds.said.push(line.parse()?),
                    Err(error) => eprintln!("{error}"),
                }
            }
        }
        Ok(all)
    }

    /// Gives the line that a client says.
    fn once(&self, name: &str, under: &[String]) -> Outcome<String> {
        let server = Server::start(self.cores.server, self.tls, self.awake)?;
        let core = self.cores.client;
        client(name, self.job, core, &server, &self.arguments, under)
    }

    fn conditions(&self) -> String {
        let Cores { server, client } = self.cores;
        format!(
            "{} rounds, server {}on core {server}, client on core {client}; {}",
            self.rounds,
            if self.awake { "awake " } else { "" },
            machine::conditions()
        )
    }
}

/// Two cores if there are, the server's first.
fn cores(options: &Options) -> Outcome<Cores> {
    let count = std::thread::available_parallelism()?.get();
    let both = options.list("cores", if count > 1 { "0,1" } else { "0,0" })?;
    let [server, client] = both[..] else {
        return Err("--cores wants two numbers: server, client".into());
    };
    Ok(Cores { server, client })
}

/// Requests in a second, with all connections in flight all the time. With `--sleeps` clients pay for waking the server.
pub(crate) fn rate(options: &Options) -> Outcome<()> {
    let seconds: f64 = options.or("seconds", 2.0)?;
    for connections in options.list::<usize>("connections", "64,1000,10000")? {
        let arguments = vec![
            ("connections", connections.to_string()),
            ("seconds", seconds.to_string()),
        ];
        let mut turns = Turns::new(options, "rate", 5, arguments)?;
        turns.awake = options.value("sleeps").is_none();
        let all = turns.run::<Sample>()?;
        println!("GET /tiny, {connections} connections in flight, {seconds} s a round");
        print_rates(&all);
        println!("{}\n", turns.conditions());
    }
    Ok(())
}

fn print_rates(all: &[Rounds<Sample>]) {
    let mut table = Table::new([
        "client", "median/s", "of raw", "best/s", "of raw", "us CPU", "least", "of raw", "busy",
    ]);
    let limit = all.iter().find(|rounds| rounds.client == LIMIT);
    for rounds in all {
        if rounds.said.is_empty() {
            table.row([rounds.client.clone(), "failed".to_owned()]);
            continue;
        }
        let median = |of: &Rounds<Sample>| median(&of.said, Sample::rate);
        let best = |of: &Rounds<Sample>| of.said.iter().map(Sample::rate).fold(0.0, f64::max);
        let least = |of: &Rounds<Sample>| least(&of.said, Sample::cpu_us);
        let cpu = self::median(&rounds.said, Sample::cpu_us);
        let busy = self::median(&rounds.said, Sample::busy);
        let of_limit = |value: f64, of: &dyn Fn(&Rounds<Sample>) -> f64| {
            let limit = limit.filter(|limit| !limit.said.is_empty());
            limit.map_or_else(String::new, |limit| format!("{:.2}", value / of(limit)))
        };
        table.row([
            rounds.client.clone(),
            format!("{:.0}", median(rounds)),
            of_limit(median(rounds), &median),
            format!("{:.0}", best(rounds)),
            of_limit(best(rounds), &best),
            format!("{cpu:.2}"),
            format!("{:.2}", least(rounds)),
            of_limit(least(rounds), &least),
            format!("{:.0} %", busy * 100.0),
        ]);
    }
    table.print();
}

/// Instructions of a request: a run is counted by valgrind, and one that is three times as long.
pub(crate) fn count(options: &Options) -> Outcome<()> {
    let requests: u64 = options.or("requests", 5000)?;
    let connections: u64 = options.or("connections", 64)?;
    println!(
        "instructions of a GET /tiny, {requests} against three times as many, {connections} connections"
    );
    let mut table = Table::new(["client", "instructions"]);
    for client in options.list::<String>("clients", crowds::NAMES)? {
        let mut of = [0, 0];
        for (instructions, factor) in of.iter_mut().zip([1, 3]) {
            let arguments = vec![
                ("connections", connections.to_string()),
                ("requests", (factor * requests).to_string()),
            ];
            let turns = Turns::new(options, "count", 1, arguments)?;
            *instructions = instructions_of(&turns, &client)?;
        }
        let each = (of[1].saturating_sub(of[0])) as f64 / (2 * requests) as f64;
        table.row([client, format!("{each:.0}")]);
    }
    table.print();
    Ok(())
}

/// Counts the user-mode instructions of a run.
fn instructions_of(turns: &Turns<'_>, client: &str) -> Outcome<u64> {
    let counts = std::env::temp_dir().join(format!("wirescope-count-{}", std::process::id()));
    let under = [
        "valgrind".to_owned(),
        "--quiet".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", counts.display()),
    ];
    turns.once(client, &under)?;
    let text = std::fs::read_to_string(&counts)?;
    std::fs::remove_file(&counts)?;
    let totals = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: "));
    Ok(totals.ok_or("callgrind wrote no totals")?.trim().parse()?)
}

/// A thousand large answers at once.
pub(crate) fn bulk(options: &Options) -> Outcome<()> {
    let connections: usize = options.or("connections", 1000)?;
    let arguments = vec![("connections", connections.to_string())];
    let turns = Turns::new(options, "bulk", 5, arguments)?;
    println!("{connections} GETs of /64k at once, over connections that are open; milliseconds");
    let mut table = Table::new(["client", "CPU", "least", "of raw", "wall", "least"]);
    let cpu = |sample: &Sample| sample.cpu.as_secs_f64() * 1e3;
    let wall = |sample: &Sample| sample.wall.as_secs_f64() * 1e3;
    let all = turns.run::<Sample>()?;
    let limit = all.iter().find(|rounds| rounds.client == LIMIT);
    let limit = limit.map(|limit| least(&limit.said, cpu));
    for Rounds { client, said } in &all {
        if said.is_empty() {
            table.row([client.clone(), "failed".to_owned()]);
            continue;
        }
        let least_cpu = least(said, cpu);
        table.row([
            client.clone(),
            format!("{:.1}", median(said, cpu)),
            format!("{least_cpu:.1}"),
            limit.map_or_else(String::new, |limit| format!("{:.2}", least_cpu / limit)),
            format!("{:.1}", median(said, wall)),
            format!("{:.1}", least(said, wall)),
        ]);
    }
    table.print();
    println!("{}", turns.conditions());
    Ok(())
}

/// CPU of very many connections that nothing happens on.
pub(crate) fn rest(options: &Options) -> Outcome<()> {
    let connections: usize = options.or("connections", 10_000)?;
    let seconds: f64 = options.or("seconds", 5.0)?;
    let arguments = vec![
        ("connections", connections.to_string()),
        ("seconds", seconds.to_string()),
    ];
    let turns = Turns::new(options, "rest", 1, arguments)?;
    println!(
        "{connections} idle connections, a turn of at most 1 s after the other for {seconds} s"
    );
    let mut table = Table::new(["client", "CPU %", "CPU ms"]);
    for Rounds { client, said } in turns.run::<Sample>()? {
        for sample in said {
            table.row([
                client.clone(),
                format!("{:.4}", sample.busy() * 100.0),
                format!("{:.3}", sample.cpu.as_secs_f64() * 1e3),
            ]);
        }
    }
    table.print();
    println!("{}", turns.conditions());
    Ok(())
}

/// Bytes of an idle connection of which few were active at once, of one that waits for its answer, and of one that is idle
/// after all were active: then the process still has the memory of that.
pub(crate) fn memory(options: &Options) -> Outcome<()> {
    let tls = options.value("tls").is_some();
    let default = if tls { 1000 } else { 10_000 };
    let connections: usize = options.or("connections", default)?;
    let arguments = vec![("connections", connections.to_string())];
    let mut turns = Turns::new(options, "memory", 1, arguments)?;
    if tls && options.value("clients").is_none() {
        turns.clients = vec!["wirescope".to_owned()];
    }
    let kind = if tls { "TLS" } else { "plain" };
    println!("bytes of a connection, {connections} {kind} ones; heap as Rust allocates it");
    let mut table = Table::new([
        "client",
        "opened RSS",
        "active RSS",
        "idle RSS",
        "opened heap",
        "active heap",
        "idle heap",
        "RSS before",
    ]);
    for Rounds { client, said } in turns.run::<Footprint>()? {
        for Footprint {
            before,
            opened,
            active,
            idle,
        } in said
        {
            let each = |bytes: Bytes, of: fn(Bytes) -> u64| {
                let more = of(bytes) as f64 - of(before) as f64;
                format!("{:.0}", more / connections as f64)
            };
            table.row([
                client.clone(),
                each(opened, |bytes| bytes.resident),
                each(active, |bytes| bytes.resident),
                each(idle, |bytes| bytes.resident),
                each(opened, |bytes| bytes.heap),
                each(active, |bytes| bytes.heap),
                each(idle, |bytes| bytes.heap),
                before.resident.to_string(),
            ]);
        }
    }
    table.print();
    println!("{}", turns.conditions());
    Ok(())
}

fn median<T>(of: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    let mut all: Vec<f64> = of.iter().map(figure).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn least<T>(of: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    of.iter().map(figure).fold(f64::INFINITY, f64::min)
}
