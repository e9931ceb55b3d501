#![expect(
    clippy::disallowed_methods,
    reason = "a test has threads, sockets and times of its own"
)]

use std::fs;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::*;

/// Long enough for any machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A door that jobs wait at, and a count of those inside.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    inside: usize,
    peak: usize,
    calls: usize,
}

impl Gate {
    /// Called by a job: counts it and keeps it until the gate is open.
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        state.inside += 1;
        state.peak = state.peak.max(state.inside);
        self.changed.notify_all();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.open)
            .unwrap();
        state.inside -= 1;
    }

    fn wait_for_inside(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (_state, timer) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.inside < count)
            .unwrap();
        assert!(!timer.timed_out(), "{count} jobs never ran at once");
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    fn peak(&self) -> usize {
        self.state.lock().unwrap().peak
    }
}

/// A resolver that stops at a gate and then knows every name as 192.0.2.1, under rules of the test's own.
fn gated(
    gate: &Arc<Gate>,
    rules: Rules,
) -> FnResolver<impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static> {
    let gate = Arc::clone(gate);
    let function = move |_: &str| {
        gate.pass();
        Ok(vec![IpAddr::from([192, 0, 2, 1])])
    };
    FnResolver::new(function, rules)
}

/// A sink, and where its answers arrive as text.
fn sink() -> (Sink, Receiver<String>) {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let sink = Sink::new(move |family, outcome| {
        let _ = sender.lock().unwrap().send(text(family, &outcome));
    });
    (sink, receiver)
}

fn text(family: Family, outcome: &Outcome) -> String {
    match outcome {
        Ok(answer) => {
            let addrs: Vec<_> = answer.addrs().iter().map(ToString::to_string).collect();
            format!("{family} [{}]", addrs.join(" "))
        }
        Err(failure) => match std::error::Error::source(failure) {
            Some(cause) => format!("{family} {failure}: {cause}"),
            None => format!("{family} {failure}"),
        },
    }
}

/// Both answers, IPv4's first.
fn both(receiver: &Receiver<String>) -> [String; 2] {
    let mut texts = [(); 2].map(|()| receiver.recv_timeout(PATIENCE).expect("no answer"));
    texts.sort();
    texts
}

fn ask(resolver: &impl Resolve, host: &str) -> [String; 2] {
    let (sink, receiver) = sink();
    let _ticket = resolver.resolve(&Query::new(host), sink);
    both(&receiver)
}

/// Waits until a condition holds that other threads bring about.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        thread::yield_now();
    }
}

/// Threads of this process with this name, as the kernel lists them. The list is no snapshot: while other tests
/// start and end threads it may miss some, so it is only ever waited for.
fn threads_named(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let is_named = |task: io::Result<fs::DirEntry>| {
        let comm = fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
        (comm.trim_end() == name).then_some(())
    };
    tasks.filter_map(is_named).count()
}

#[test]
fn a_sink_takes_one_answer_of_each_family() {
    let (sink, receiver) = sink();
    let second = sink.clone();
    sink.family(Family::V4, Ok(Answer::new([IpAddr::from([10, 0, 0, 1])])));
    second.family(Family::V4, Ok(Answer::new([IpAddr::from([10, 0, 0, 2])])));
    second.failed(Family::V4, io::Error::other("late"));
    second.failed(Family::V6, io::Error::other("the dog ate it"));
    assert_eq!(format!("{sink:?}"), "Sink { open: [] }");
    drop((sink, second));
    let all: Vec<_> = receiver.iter().collect();
    assert_eq!(
        all,
        [
            "v4 [10.0.0.1]",
            "v6 the custom resolver failed: the dog ate it"
        ]
    );
}

#[test]
fn fault_q10_a_dropped_sink_fails_what_is_open() {
    let (sink, receiver) = sink();
    sink.family(Family::V6, Err(LookupError::new(LookupFailure::NoSuchHost)));
    assert_eq!(format!("{sink:?}"), "Sink { open: [V4] }");
    let second = sink.clone();
    drop(sink);
    assert_eq!(receiver.try_iter().count(), 1);
    drop(second);
    let rest: Vec<_> = receiver.iter().collect();
    assert_eq!(rest, ["v4 the custom resolver failed"]);
}

#[test]
fn fault_q13_a_panic_in_resolve_unwinds_and_leaves_nobody_waiting() {
    struct Panics;
    impl Resolve for Panics {
        fn resolve(&self, _: &Query, _sink: Sink) -> Ticket {
            resume_unwind(Box::new("boom"))
        }
    }
    let (sink, receiver) = sink();
    let call = AssertUnwindSafe(|| drop(Panics.resolve(&Query::new("h"), sink)));
    let caught = catch_unwind(call);
    assert!(caught.is_err());
    assert_eq!(
        both(&receiver),
        [
            "v4 the custom resolver failed",
            "v6 the custom resolver failed"
        ]
    );
}

#[test]
fn a_function_answers_for_both_families() {
    let resolver = from_fn(|host| match host {
        "both" => Ok(vec![
            Ipv4Addr::LOCALHOST.into(),
            "2001:db8::2".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
        ]),
        "empty" => Ok(Vec::new()),
        _ => Err(io::Error::from_raw_os_error(2)),
    });
    assert_eq!(
        ask(&resolver, "both"),
        ["v4 [127.0.0.1]", "v6 [2001:db8::2 2001:db8::1]"]
    );
    assert_eq!(ask(&resolver, "empty"), ["v4 []", "v6 []"]);
    let [four, six] = ask(&resolver, "other");
    let expected = "v4 the custom resolver failed (code 2): No such file or directory (os error 2)";
    assert_eq!(four, expected);
    assert_eq!(six, expected.replace("v4", "v6"));
}

#[test]
fn fault_q10_forty_slow_lookups_use_sixteen_threads() {
    let gate = Arc::new(Gate::default());
    let resolver = gated(&gate, RULES);
    let (tickets, receivers): (Vec<_>, Vec<_>) = (0..40)
        .map(|n| {
            let (sink, receiver) = sink();
            (
                resolver.resolve(&Query::new(&format!("h{n}")), sink),
                receiver,
            )
        })
        .unzip();
    gate.wait_for_inside(THREADS_MAX);
    assert_eq!(resolver.workers.threads(), THREADS_MAX);
    assert_eq!(gate.calls(), THREADS_MAX);
    gate.open();
    for receiver in &receivers {
        assert_eq!(both(receiver), ["v4 [192.0.2.1]", "v6 []"]);
    }
    assert_eq!((gate.calls(), gate.peak()), (40, THREADS_MAX));
    drop(tickets);
}

#[test]
fn an_idle_thread_is_used_again() {
    let gate = Arc::new(Gate::default());
    gate.open();
    let resolver = gated(&gate, RULES);
    for _ in 0..5 {
        ask(&resolver, "h");
        // The answer comes a moment before the thread is idle.
        eventually("idle", || resolver.workers.idle() == 1);
    }
    assert_eq!(resolver.workers.threads(), 1);
}

#[test]
fn fault_q13_a_panic_in_a_function_is_a_failure_and_the_thread_lives_on() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("second"));
        }
    }
    let rules = Rules {
        threads: 1,
        ..RULES
    };
    let resolver = FnResolver::new(
        |host: &str| match host {
            "text" => resume_unwind(Box::new("boom")),
            "string" => resume_unwind(Box::new("boom".to_owned())),
            "bomb" => resume_unwind(Box::new(Bomb)),
            _ => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
        },
        rules,
    );
    for (host, cause) in [("text", "boom"), ("string", "boom"), ("bomb", "(no text)")] {
        let expected = ["v4", "v6"]
            .map(|family| format!("{family} the custom resolver failed: panicked: {cause}"));
        assert_eq!(ask(&resolver, host), expected);
        assert_eq!(ask(&resolver, "fine"), ["v4 [127.0.0.1]", "v6 []"]);
    }
    assert_eq!(resolver.workers.threads(), 1);
}

#[test]
fn fault_q10_dropping_the_resolver_ends_idle_and_busy_threads() {
    let name = "ws-test-drop";
    let rules = Rules { name, ..RULES };
    let (shut, open) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    open.open();
    let gates = [Arc::clone(&shut), Arc::clone(&open)];
    let resolver = FnResolver::new(
        move |host: &str| {
            gates[usize::from(host == "fast")].pass();
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        },
        rules,
    );
    let (sink, slow) = sink();
    let ticket = resolver.resolve(&Query::new("slow"), sink);
    shut.wait_for_inside(1);
    ask(&resolver, "fast");
    eventually("two threads are seen", || threads_named(name) == 2);

    let census = resolver.workers.census();
    drop(resolver);
    eventually("one is counted", || census() == 1);
    eventually("the idle thread ends", || threads_named(name) == 1);
    shut.open();
    assert_eq!(both(&slow), ["v4 [192.0.2.1]", "v6 []"]);
    eventually("none is counted", || census() == 0);
    eventually("the busy thread ends", || threads_named(name) == 0);
    drop(ticket);
}

#[test]
fn dropping_the_resolver_fails_what_waits() {
    let gate = Arc::new(Gate::default());
    let rules = Rules {
        threads: 1,
        ..RULES
    };
    let resolver = gated(&gate, rules);
    let (first, _running) = sink();
    let _first = resolver.resolve(&Query::new("first"), first);
    gate.wait_for_inside(1);
    let (second, waiting) = sink();
    let _second = resolver.resolve(&Query::new("second"), second);
    drop(resolver);
    assert_eq!(both(&waiting)[0], "v4 the custom resolver failed");
    assert_eq!(gate.calls(), 1);
    gate.open();
}

#[test]
fn fault_q10_threads_without_work_end() {
    let name = "ws-test-idle";
    let rules = Rules {
        idle: Duration::ZERO,
        name,
        ..RULES
    };
    let gate = Arc::new(Gate::default());
    gate.open();
    let resolver = gated(&gate, rules);
    for _ in 0..3 {
        ask(&resolver, "h");
        eventually("the count falls", || resolver.workers.threads() == 0);
        eventually("the threads end", || threads_named(name) == 0);
    }
}

#[test]
fn fault_q10_an_abandoned_query_is_taken_back_or_answers_late() {
    let gate = Arc::new(Gate::default());
    let rules = Rules {
        threads: 1,
        ..RULES
    };
    let resolver = gated(&gate, rules);
    let (first, running) = sink();
    let first = resolver.resolve(&Query::new("first"), first);
    gate.wait_for_inside(1);
    let (second, waiting) = sink();
    let second = resolver.resolve(&Query::new("second"), second);
    let (third, kept) = sink();
    let third = resolver.resolve(&Query::new("third"), third);

    drop(second);
    assert_eq!(both(&waiting)[0], "v4 the custom resolver failed");
    drop(first);
    assert_eq!(running.try_iter().count(), 0);
    gate.open();
    assert_eq!(both(&running), ["v4 [192.0.2.1]", "v6 []"]);
    assert_eq!(both(&kept), ["v4 [192.0.2.1]", "v6 []"]);
    assert_eq!(gate.calls(), 2);
    drop(third);
}

#[test]
fn the_queue_is_bounded() {
    let gate = Arc::new(Gate::default());
    let rules = Rules {
        threads: 1,
        queue: 1,
        ..RULES
    };
    let resolver = gated(&gate, rules);
    let (first, running) = sink();
    let _first = resolver.resolve(&Query::new("first"), first);
    gate.wait_for_inside(1);
    let (second, waiting) = sink();
    let _second = resolver.resolve(&Query::new("second"), second);
    assert_eq!(
        ask(&resolver, "third")[1],
        "v6 the custom resolver failed: too many lookups wait for a thread"
    );
    gate.open();
    both(&running);
    both(&waiting);
}

#[test]
fn a_system_without_threads_is_a_failure() {
    let gate = Arc::new(Gate::default());
    let rules = Rules {
        stack: 1 << 50,
        ..RULES
    };
    let resolver = gated(&gate, rules);
    let [four, _six] = ask(&resolver, "h");
    assert!(four.starts_with("v4 the custom resolver failed"), "{four}");
    assert_eq!((resolver.workers.threads(), gate.calls()), (0, 0));
}

#[test]
fn a_query_folds_case_and_keeps_the_dot() {
    assert_eq!(Query::new("Example.COM.").host(), "example.com.");
}

#[test]
fn a_ticket_runs_what_it_was_given_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = Arc::clone(&count);
    let ticket = Ticket::new(move || {
        inner.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(count.load(Ordering::Relaxed), 0);
    drop(ticket);
    drop(Ticket::done());
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn the_system_knows_localhost() {
    let resolver = SystemResolver::new();
    let [four, six] = ask(&resolver, "localhost");
    assert!(four.starts_with("v4 [127.0.0.1"), "{four}");
    assert!(six.starts_with("v6 "), "{six}");
    assert!((1..=2).contains(&resolver.threads()));
}

#[test]
fn fault_q10_an_unknown_name_is_an_error() {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let sink = Sink::new(move |_, outcome| {
        let _ = sender.lock().unwrap().send(outcome);
    });
    let resolver = SystemResolver::new();
    let _ticket = resolver.resolve(&Query::new("no-such-name.invalid"), sink);
    for _ in Family::BOTH {
        let outcome = receiver.recv_timeout(PATIENCE).expect("no answer");
        let failure = outcome.expect_err("nobody has this name");
        assert!(
            matches!(
                failure.rule(),
                LookupFailure::NoSuchHost | LookupFailure::Temporary
            ),
            "{failure}"
        );
        assert!(failure.error().code().is_some());
        assert!(std::error::Error::source(&failure).is_some());
    }
}

#[test]
fn a_name_that_the_system_cannot_take_is_an_error() {
    for answer in ask(&SystemResolver::new(), "a\0b") {
        assert!(answer.contains("the system could not"), "{answer}");
    }
}

#[test]
fn codes_of_getaddrinfo() {
    use LookupFailure as F;
    // glibc and musl, then macOS and the BSDs. -5 and -9 are glibc's only.
    let table = [
        (F::System, [-1, 3]),
        (F::NoSuchHost, [-2, 8]),
        (F::Temporary, [-3, 2]),
        (F::ServerFailure, [-4, 4]),
        (F::NoAddress, [-5, 7]),
        (F::System, [-6, 5]),
        (F::System, [-7, 10]),
        (F::System, [-8, 9]),
        (F::NoAddress, [-9, 1]),
        (F::System, [-10, 6]),
        (F::System, [-11, 11]),
        (F::System, [-12, 14]),
        (F::System, [-100, 99]),
    ];
    for (rule, codes) in table {
        for code in codes {
            assert_eq!(eai_rule(code), rule, "{code}");
            if matches!(code, -11 | 11) {
                continue;
            }
            let failure = system_failure(dns_lookup::LookupError::new(code));
            assert_eq!((failure.rule(), failure.error().code()), (rule, Some(code)));
        }
    }
}

#[test]
fn an_io_error_keeps_its_errno() {
    let failure = system_failure(io::Error::from_raw_os_error(24).into());
    assert_eq!(failure.rule(), LookupFailure::System);
    assert_eq!(failure.error().code(), Some(24));
}

#[test]
fn zones_are_filled_in_from_the_second_answer() {
    let zoned = |text: &str, zone| Address::in_zone(text.parse().unwrap(), zone);
    let global = zoned("2001:db8::1", 0);
    let bare = zoned("fe80::1", 0);
    let table: [(&[Address], &[Address], &[Address]); 6] = [
        (&[], &[], &[]),
        (&[global], &[zoned("2001:db8::1", 4)], &[global]),
        (&[bare], &[], &[bare]),
        (&[bare], &[bare], &[bare]),
        (
            &[bare, global],
            &[global, zoned("fe80::2", 9), zoned("fe80::1", 2)],
            &[zoned("fe80::1", 2), global],
        ),
        (
            &[bare],
            &[zoned("fe80::1", 2), zoned("fe80::1", 3)],
            &[zoned("fe80::1", 2), zoned("fe80::1", 3)],
        ),
    ];
    for (addrs, again, expected) in table {
        assert_eq!(fill_zones(addrs, again), expected, "{addrs:?} {again:?}");
    }
    assert!(lacks_zone(&bare));
    assert!(!lacks_zone(&global) && !lacks_zone(&zoned("fe80::1", 1)));
}

#[test]
fn literal_zones_come_through() {
    // A numeric address needs no name server; it shows that the zone is carried.
    let addrs = call_system("fe80::1%1", Some(Family::V6)).unwrap();
    assert_eq!(addrs, [Address::in_zone("fe80::1".parse().unwrap(), 1)]);
}

#[test]
fn a_question_is_told_when_a_thread_takes_it_and_only_if_it_is_wanted() {
    for only in [None, Some(Family::V4)] {
        let (told, heard) = channel();
        let began = told.clone();
        let sink = Sink::telling(
            move |family| began.send((family, false)).unwrap(),
            move |family, _| told.send((family, true)).unwrap(),
        );
        let resolver = SystemResolver::new();
        let _ticket = resolver.resolve(&Query::new("localhost").only(only), sink);
        let wanted: Vec<_> = Family::BOTH
            .into_iter()
            .filter(|family| only.is_none_or(|only| only == *family))
            .collect();
        let all: Vec<_> = (0..2 * wanted.len())
            .map(|_| heard.recv_timeout(PATIENCE).unwrap())
            .collect();
        for family in wanted {
            let of_family: Vec<_> = all.iter().filter(|(of, _)| *of == family).collect();
            assert_eq!(of_family, [&(family, false), &(family, true)]);
        }
    }
}
