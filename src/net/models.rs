//! Models of what threads share: every order in which they can run is tried, at most three times against their will.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --no-default-features --lib --target-dir target/loom model_`

#![cfg(loom)]

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicUsize;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::net::inlet::{Inlet, Ring, Stage};
use crate::net::poll::Owner;
use crate::net::poll::wakeups::{Wake, Wakeups};

pub(crate) fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// The wake-up of the system as mio has it: it stays until a wait has seen it.
#[derive(Default)]
struct System {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for System {
    fn wake(&self) {
        *self.is_woken.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl System {
    fn wait(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = self.changed.wait(is_woken).unwrap();
        }
        *is_woken = false;
    }

    fn look(&self) {
        *self.is_woken.lock().unwrap() = false;
    }
}

struct Bell(Arc<Wakeups<System>>);

impl Ring for Bell {
    fn ring(&self) {
        self.0.ring(Owner::Loop);
    }
}

/// As a loop does: it waits only if nobody is rung for.
fn turn(wakeups: &Wakeups<System>, woken: &mut Vec<Owner>) {
    if wakeups.is_rung() {
        wakeups.waker().look();
    } else {
        wakeups.waker().wait();
    }
    wakeups.take(woken);
}

#[test]
fn model_no_wake_up_is_lost() {
    model(|| {
        let wakeups = Arc::new(Wakeups::new(System::default()));
        let ringers = [1, 2].map(|number| {
            let wakeups = wakeups.clone();
            thread::spawn(move || {
                wakeups.ring(Owner::One(number));
                wakeups.ring(Owner::One(number + 10));
            })
        });
        let mut woken = Vec::new();
        while woken.len() < 4 {
            turn(&wakeups, &mut woken);
        }
        for ringer in ringers {
            ringer.join().unwrap();
        }
        for number in [1, 2, 11, 12] {
            assert!(woken.contains(&Owner::One(number)));
        }
        assert!(!wakeups.is_rung());
    });
}

/// Counts how often its call completes; dropped, it completes as lost.
struct Promise(Option<Arc<AtomicUsize>>);

impl Promise {
    fn withdraw(mut self) {
        self.0 = None;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(completions) = self.0.take() {
            completions.fetch_add(1, Relaxed);
        }
    }
}

type Shared = Arc<Inlet<Promise, Bell>>;

/// What the last of those who submit drops.
struct Lifeline(Shared);

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

fn inlet() -> (Shared, Arc<Wakeups<System>>) {
    let wakeups = Arc::new(Wakeups::new(System::default()));
    (Arc::new(Inlet::new(Bell(wakeups.clone()))), wakeups)
}

/// Submits a call; says how often it has to complete, and where that is counted.
fn submit(inlet: &Shared) -> (usize, Arc<AtomicUsize>) {
    let completions = Arc::new(AtomicUsize::new(0));
    match inlet.put(Promise(Some(completions.clone()))) {
        Ok(()) => (1, completions),
        Err(promise) => {
            promise.withdraw();
            (0, completions)
        }
    }
}

fn kept((wanted, completions): (usize, Arc<AtomicUsize>)) {
    assert_eq!(completions.load(Relaxed), wanted);
}

/// As the thread of a loop does, with calls that complete at once.
fn run(inlet: &Shared, wakeups: &Wakeups<System>) {
    let mut orders = VecDeque::new();
    loop {
        let stage = inlet.take(&mut orders);
        let was_idle = orders.is_empty();
        orders.clear();
        match stage {
            _ if !was_idle => {}
            Stage::Open => turn(wakeups, &mut Vec::new()),
            Stage::Ending(_) | Stage::Gone => break,
        }
    }
    assert!(inlet.close().is_empty(), "nothing new while it ends");
}

#[test]
fn model_calls_race_with_the_last_handle() {
    model(|| {
        let (inlet, wakeups) = inlet();
        let lifeline = Arc::new(Lifeline(inlet.clone()));
        let submitters = [lifeline.clone(), lifeline].map(|lifeline| {
            thread::spawn(move || {
                let call = submit(&lifeline.0);
                drop(lifeline);
                call
            })
        });
        run(&inlet, &wakeups);
        for submitter in submitters {
            let call = submitter.join().unwrap();
            assert_eq!(call.0, 1, "there was a handle");
            kept(call);
        }
    });
}

#[test]
fn model_calls_race_with_a_shutdown() {
    model(|| {
        let (inlet, wakeups) = inlet();
        let other = inlet.clone();
        let submitter = thread::spawn(move || [submit(&other), submit(&other)]);
        let other = inlet.clone();
        let shutdown = thread::spawn(move || other.end(None));
        run(&inlet, &wakeups);
        shutdown.join().unwrap();
        submitter.join().unwrap().into_iter().for_each(kept);
    });
}

#[test]
fn model_a_loop_that_fails_completes_what_it_took() {
    model(|| {
        let (inlet, _) = inlet();
        let other = inlet.clone();
        let submitter = thread::spawn(move || [submit(&other), submit(&other)]);
        let mut orders = VecDeque::new();
        inlet.take(&mut orders);
        drop(inlet.close());
        drop(orders);
        submitter.join().unwrap().into_iter().for_each(kept);
    });
}
