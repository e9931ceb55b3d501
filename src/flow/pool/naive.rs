//! The pool as plain lists, searched from the oldest on: over random operations the pool decides as it does.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{Conn, FREE, key as key_named, url};
use super::*;
use crate::message::pool::PoolCounts;
use crate::message::via::Destination;

const KEYS: [&str; 4] = ["http://a/", "http://b/", "https://a/", "http://a:81/"];

/// What an operation came to: what the call is told, whom to close, whom to wake.
type Outcome = (String, Vec<u64>, Vec<u64>);

/// A call that wants a connection.
struct Calling {
    id: u64,
    key: usize,
    wish: Wish,
    stage: Stage,
    is_listening: bool,
    mail: Option<Mail<Conn>>,
}

impl Calling {
    fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued(_)) && self.mail.is_none()
    }

    fn takes_connections(&self) -> bool {
        let hears = self.is_queued() || self.is_listening;
        self.wish == Wish::Any && self.mail.is_none() && hears
    }
}

/// The lists, the oldest first.
struct Naive {
    bounds: Bounds,
    idle: Vec<(usize, Conn)>,
    active: [usize; KEYS.len()],
    dialing: [usize; KEYS.len()],
    calls: Vec<Calling>,
    freed: u64,
    generation: u64,
    closed: Vec<u64>,
    woken: Vec<u64>,
}

impl Naive {
    fn count(&self) -> usize {
        self.idle.len() + self.active.iter().sum::<usize>() + self.dialing.iter().sum::<usize>()
    }

    fn idle_of(&self, key: usize) -> usize {
        self.idle.iter().filter(|idle| idle.0 == key).count()
    }

    fn blocked(&self, key: usize) -> Option<QueueLimit> {
        let of_key = self.idle_of(key) + self.active[key] + self.dialing[key];
        if self.bounds.per_key.is_some_and(|max| of_key >= max) {
            return Some(QueueLimit::PerOrigin);
        }
        let is_full = self.bounds.total.is_some_and(|max| self.count() >= max);
        is_full.then_some(QueueLimit::Total)
    }

    /// Closes an idle connection.
    fn close(&mut self, place: Option<usize>) {
        if let Some(place) = place {
            self.closed.push(self.idle.remove(place).1.0);
            self.freed += 1;
        }
    }

    fn oldest_of(&self, key: usize) -> Option<usize> {
        self.idle.iter().position(|idle| idle.0 == key)
    }

    fn take(&mut self, key: usize, id: u64, wish: Wish, now: Instant) -> String {
        let timeout = self.bounds.idle_timeout;
        let is_over =
            |idle: &(usize, Conn)| idle.0 == key && idle.1.expired(timeout, now).is_some();
        while let Some(place) = self.idle.iter().position(is_over) {
            self.close(Some(place));
        }
        match self.newest(key, wish) {
            Some(conn) => format!("{:?}", Found::Idle(conn)),
            None => self.permit(key, id, wish),
        }
    }

    fn newest(&mut self, key: usize, wish: Wish) -> Option<Conn> {
        let place = self.idle.iter().rposition(|idle| idle.0 == key)?;
        (wish == Wish::Any).then(|| {
            self.active[key] += 1;
            self.idle.remove(place).1
        })
    }

    fn permit(&mut self, key: usize, id: u64, wish: Wish) -> String {
        let is_starving = |call: &Calling| {
            let is_scarce = matches!(call.stage, Stage::Queued(Cause::Descriptors { .. }));
            call.is_queued() && is_scarce && self.blocked(call.key).is_none()
        };
        match self.blocked(key) {
            Some(QueueLimit::PerOrigin) if self.idle_of(key) > 0 => self.close(self.oldest_of(key)),
            Some(QueueLimit::Total) if !self.idle.is_empty() => self.close(Some(0)),
            None if self.calls.iter().any(is_starving) => {
                return format!("{:?}", Found::<Conn>::MustWait(QueueLimit::Descriptors));
            }
            None => {}
            Some(limit) => return format!("{:?}", Found::<Conn>::MustWait(limit)),
        }
        self.dial(key, id, wish)
    }

    fn dial(&mut self, key: usize, id: u64, wish: Wish) -> String {
        self.dialing[key] += 1;
        self.push(key, id, wish, Stage::Dialing);
        format!("{:?}", Found::<Conn>::MayDial)
    }

    fn push(&mut self, key: usize, id: u64, wish: Wish, stage: Stage) {
        self.calls.push(Calling {
            id,
            key,
            wish,
            stage,
            is_listening: matches!(stage, Stage::Queued(_)),
            mail: None,
        });
    }

    fn join(&mut self, key: usize, id: u64, cause: Cause, wish: Wish) -> String {
        if let Some(conn) = self.newest(key, wish) {
            return format!("{:?}", Found::Idle(conn));
        }
        let found = match cause {
            Cause::Limits => self.permit(key, id, wish),
            Cause::Descriptors { freed } => {
                let blocked = self.blocked(key);
                let gives_way = blocked != Some(QueueLimit::PerOrigin) && !self.idle.is_empty();
                let has_freed = blocked.is_none() && freed != self.freed;
                if gives_way || has_freed || self.count() == 0 {
                    self.close(gives_way.then_some(0));
                    self.dial(key, id, wish)
                } else {
                    format!("{:?}", Found::<Conn>::MustWait(QueueLimit::Descriptors))
                }
            }
        };
        if found.contains("MustWait") {
            let freed = self.freed;
            let cause = if found.contains("Descriptors") {
                Cause::Descriptors { freed }
            } else {
                Cause::Limits
            };
            self.push(key, id, wish, Stage::Queued(cause));
        }
        found
    }

    fn call(&mut self, id: u64) -> Option<&mut Calling> {
        self.calls.iter_mut().find(|call| call.id == id)
    }

    fn remove(&mut self, id: u64) -> Calling {
        let place = self.calls.iter().position(|call| call.id == id);
        self.calls.remove(place.unwrap())
    }

    fn read(&mut self, id: u64) -> Option<Mail<Conn>> {
        let call = self.call(id)?;
        call.is_listening = false;
        let mail = call.mail.take()?;
        if matches!(call.stage, Stage::Queued(_)) {
            self.remove(id);
        }
        Some(mail)
    }

    fn listen(&mut self, id: u64) -> Heard<Conn> {
        if let Some(mail) = self.read(id) {
            return Heard::Mail(mail);
        }
        let Some(call) = self.call(id) else {
            return Heard::Nobody;
        };
        let (key, wish) = (call.key, call.wish);
        if call.stage == Stage::Dialing {
            let of_key = self.idle_of(key) + self.active[key] + self.dialing[key];
            if wish == Wish::Fresh || of_key <= 1 {
                return Heard::Nobody;
            }
            if let Some(conn) = self.newest(key, wish) {
                return Heard::Mail(Mail::Handed(conn, self.generation));
            }
        }
        self.call(id).unwrap().is_listening = true;
        Heard::Nothing
    }

    fn leave(&mut self, id: u64) {
        let call = self.remove(id);
        if !matches!(call.stage, Stage::Queued(_)) {
            self.dialing[call.key] -= 1;
        }
        match call.mail {
            Some(Mail::Handed(conn, generation)) => self.put(call.key, conn, generation),
            mail => self.serve(usize::from(mail.is_some())),
        }
    }

    fn dialed(&mut self, id: u64, is_won: bool) {
        let call = self.remove(id);
        self.dialing[call.key] -= 1;
        self.active[call.key] += usize::from(is_won);
        if let Some(Mail::Handed(conn, generation)) = call.mail {
            self.put(call.key, conn, generation);
        }
        let freed = !is_won && call.stage != Stage::Starved;
        self.freed += u64::from(freed);
        self.serve(freed.into());
    }

    fn make_room(&mut self, id: u64) -> String {
        if let Some(&(_, oldest)) = self.idle.first() {
            self.close(Some(0));
            self.closed.pop();
            return format!("{:?}", Room::Made(oldest));
        }
        if self.count() <= 1 {
            return format!("{:?}", Room::<Conn>::Nothing);
        }
        self.call(id).unwrap().stage = Stage::Starved;
        format!("{:?}", Room::<Conn>::InUse { freed: self.freed })
    }

    fn closed(&mut self, key: usize) {
        self.active[key] -= 1;
        self.freed += 1;
        self.serve(1);
    }

    fn put(&mut self, key: usize, conn: Conn, generation: u64) {
        self.active[key] -= 1;
        if generation != self.generation {
            (self.freed, self.closed) = (self.freed + 1, vec![conn.0]);
            return self.serve(1);
        }
        let user = self.calls.iter().position(|call| {
            let is_same = call.key == key && call.takes_connections();
            is_same || call.is_queued() && self.blocked(call.key) != Some(QueueLimit::PerOrigin)
        });
        match user {
            Some(user) if self.calls[user].key == key && self.calls[user].takes_connections() => {
                self.active[key] += 1;
                self.leave_mail(user, Mail::Handed(conn, generation));
            }
            Some(user) => {
                (self.freed, self.closed) = (self.freed + 1, vec![conn.0]);
                self.grant(user);
                self.serve(0);
            }
            None => {
                self.idle.push((key, conn));
                if self.idle_of(key) > self.bounds.idle_per_key {
                    self.close(self.oldest_of(key));
                } else if self.idle.len() > self.bounds.idle_total {
                    self.close(Some(0));
                }
            }
        }
    }

    fn leave_mail(&mut self, place: usize, mail: Mail<Conn>) {
        let call = &mut self.calls[place];
        call.mail = Some(mail);
        if std::mem::take(&mut call.is_listening) {
            self.woken.push(call.id);
        }
    }

    fn grant(&mut self, place: usize) {
        self.calls[place].stage = Stage::Dialing;
        self.dialing[self.calls[place].key] += 1;
        self.leave_mail(place, Mail::MayDial);
    }

    fn serve(&mut self, mut freed: usize) {
        loop {
            let has_descriptor = freed > 0 || !self.idle.is_empty() || self.count() == 0;
            let next = self.calls.iter().position(|call| {
                let has_all = call.stage == Stage::Queued(Cause::Limits) || has_descriptor;
                call.is_queued() && has_all && self.blocked(call.key).is_none()
            });
            let Some(next) = next else { return };
            if self.calls[next].stage != Stage::Queued(Cause::Limits) {
                match freed.checked_sub(1) {
                    Some(rest) => freed = rest,
                    None if self.idle.is_empty() => {}
                    None => self.close(Some(0)),
                }
            }
            self.grant(next);
        }
    }
}

/// Both, and the connections that are on loan from both.
struct Both {
    pool: Pool<Conn, u64>,
    naive: Naive,
    loans: Vec<(usize, Conn, u64)>,
    now: Instant,
    opened: u64,
}

impl Both {
    fn new(bounds: Bounds) -> Self {
        Self {
            pool: Pool::new(bounds),
            naive: Naive {
                bounds,
                idle: Vec::new(),
                active: [0; KEYS.len()],
                dialing: [0; KEYS.len()],
                calls: Vec::new(),
                freed: 0,
                generation: 0,
                closed: Vec::new(),
                woken: Vec::new(),
            },
            loans: Vec::new(),
            now: crate::testing::origin(),
            opened: 0,
        }
    }

    /// Lets a call want something; if it has a cause, it joins the queue.
    fn want(&mut self, key: usize, id: u64, wish: Wish, cause: Option<Cause>) -> Outcome {
        let (target, mut closed) = (url(KEYS[key]), Vec::new());
        let found = if let Some(cause) = cause {
            let joined = self
                .pool
                .join(Destination::straight(&target), id, (cause, wish), id);
            closed.extend(joined.evicted);
            joined.found
        } else {
            let taken = self
                .pool
                .take(Destination::straight(&target), id, wish, self.now);
            closed.extend(taken.expired.iter().map(|(conn, _)| *conn));
            closed.extend(taken.evicted);
            taken.found
        };
        let text = match cause {
            Some(cause) => self.naive.join(key, id, cause, wish),
            None => self.naive.take(key, id, wish, self.now),
        };
        let told = format!("{found:?}");
        if let Found::Idle(conn) = found {
            self.loans.push((key, conn, self.pool.generation()));
        }
        assert_eq!(told, text);
        (told, closed.iter().map(|conn| conn.0).collect(), Vec::new())
    }

    /// An operation of a call that wants a connection.
    fn go_on(&mut self, place: usize, way: u8) -> Outcome {
        let call = &self.naive.calls[place];
        let (id, key, wish) = (call.id, call.key, call.wish);
        let is_queued = matches!(call.stage, Stage::Queued(_));
        match way % 6 {
            0 | 1 => {
                let (heard, expected) = if way % 6 == 0 {
                    (self.pool.listen(id, id), self.naive.listen(id))
                } else {
                    let of = |mail: Option<_>| mail.map_or(Heard::Nothing, Heard::Mail);
                    (of(self.pool.read(id)), of(self.naive.read(id)))
                };
                assert_eq!(format!("{heard:?}"), format!("{expected:?}"));
                let Heard::Mail(Mail::Handed(conn, generation)) = heard else {
                    return Outcome::default();
                };
                if way < 128 || generation != self.naive.generation {
                    self.loans.push((key, conn, generation));
                    return Outcome::default();
                }
                // It is dead.
                let served = (self.pool).died(&key_of(key), id, CloseReason::PeerClose);
                if self.naive.call(id).is_some() {
                    self.naive.closed(key);
                } else {
                    (self.naive.active[key], self.naive.freed) =
                        (self.naive.active[key] - 1, self.naive.freed + 1);
                    self.naive.dial(key, id, Wish::Any);
                }
                outcome(served)
            }
            2 => {
                self.naive.leave(id);
                outcome(self.pool.leave(id))
            }
            _ if is_queued => Outcome::default(),
            3 | 4 => {
                let is_won = way % 6 == 3;
                if is_won {
                    self.opened += 1;
                    let conn = Conn(self.opened, self.now);
                    self.loans.push((key, conn, self.pool.generation()));
                }
                self.naive.dialed(id, is_won);
                outcome(self.pool.dialed(id, is_won))
            }
            _ => {
                let room = self.pool.make_room(id, Scarce::GivesUp);
                assert_eq!(format!("{room:?}"), self.naive.make_room(id));
                let Room::InUse { freed } = room else {
                    return Outcome::default();
                };
                if way < 128 {
                    return Outcome::default();
                }
                self.naive.dialed(id, false);
                let before = outcome(self.pool.dialed(id, false));
                assert_eq!(before.1, std::mem::take(&mut self.naive.closed));
                assert_eq!(before.2, std::mem::take(&mut self.naive.woken));
                self.want(key, id, wish, Some(Cause::Descriptors { freed }))
            }
        }
    }

    /// A connection on loan comes back, or is closed.
    fn give_back(&mut self, place: usize, way: u8) -> Outcome {
        let (key, conn, generation) = self.loans.remove(place);
        let name = key_of(key);
        if way % 4 == 0 {
            self.naive.closed(key);
            return outcome(self.pool.closed(&name, CloseReason::PeerClose));
        }
        let conn = Conn(conn.0, self.now);
        self.naive.put(key, conn, generation);
        outcome(self.pool.put(&name, conn, generation))
    }

    fn clear(&mut self) -> Outcome {
        self.naive.generation += 1;
        while !self.naive.idle.is_empty() {
            self.naive.close(Some(0));
        }
        let all = self.pool.take_all(CloseReason::CloseIdleCalled);
        (
            String::new(),
            all.iter().map(|(conn, _)| conn.0).collect(),
            Vec::new(),
        )
    }

    fn step(&mut self, (what, way, place): (u8, u8, prop::sample::Index)) {
        self.now += Duration::from_millis(u64::from(way) * 8);
        let (_, closed, woken) = match what {
            0..=4 => {
                let id = u64::from(way) % 40;
                let is_new = self.naive.call(id).is_none();
                let wish = if way > 224 { Wish::Fresh } else { Wish::Any };
                let key = place.index(KEYS.len());
                let told = if is_new {
                    self.want(key, id, wish, None)
                } else {
                    Outcome::default()
                };
                if told.0.contains("MustWait") {
                    self.want(key, id, wish, Some(Cause::Limits))
                } else {
                    told
                }
            }
            5..=7 if !self.naive.calls.is_empty() => {
                self.go_on(place.index(self.naive.calls.len()), way)
            }
            8..=9 if !self.loans.is_empty() => self.give_back(place.index(self.loans.len()), way),
            10 if way < 24 => self.clear(),
            _ => Outcome::default(),
        };
        assert_eq!(closed, std::mem::take(&mut self.naive.closed));
        assert_eq!(woken, std::mem::take(&mut self.naive.woken));
        let (naive, stats) = (&self.naive, self.pool.stats());
        let waiting = naive.calls.iter().filter(|call| call.is_queued());
        let expected = PoolCounts {
            idle: naive.idle.len(),
            active: naive.active.iter().sum(),
            dialing: naive.dialing.iter().sum(),
            waiting: waiting.clone().count(),
        };
        assert_eq!(stats.total(), expected);
        for (key, name) in KEYS.iter().enumerate() {
            let expected = PoolCounts {
                idle: naive.idle_of(key),
                active: naive.active[key],
                dialing: naive.dialing[key],
                waiting: waiting.clone().filter(|call| call.key == key).count(),
            };
            let name = key_named(name);
            let counts = stats
                .keys()
                .iter()
                .find(|one| one.key() == name.to_string());
            assert_eq!(counts.is_some(), expected.connections() > 0);
            assert!(counts.is_none_or(|counts| counts.counts() == expected));
            let is_kept = expected != PoolCounts::default();
            assert_eq!(self.pool.slots.find(&name).is_some(), is_kept, "{name}");
        }
    }
}

fn key_of(place: usize) -> Arc<Key> {
    key_named(KEYS[place])
}

fn outcome(served: Served<Conn, u64>) -> Outcome {
    let closed = served.closed.iter().map(|(conn, _)| conn.0).collect();
    (String::new(), closed, served.wake)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_pool_decides_as_plain_lists_do(
        per_key in prop::option::of(1usize..4),
        total in prop::option::of(1usize..7),
        idle_per_key in 0usize..4,
        idle_total in 1usize..6,
        operations in prop::collection::vec((0u8..11, any::<u8>(), any::<prop::sample::Index>()), 1..200),
    ) {
        let mut both = Both::new(Bounds { per_key, total, idle_per_key, idle_total, ..FREE });
        for operation in operations {
            both.step(operation);
        }
    }
}
