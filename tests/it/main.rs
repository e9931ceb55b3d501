//! Integration tests: one binary, one file per subject.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test has threads, sockets and times of its own, and may say what it measured"
)]

mod architecture;
mod bad_certificates;
mod basic;
mod bodies;
mod cancels;
mod cli;
mod cli_content;
mod cli_many;
mod cli_proxies;
mod cli_range;
mod cli_tls;
mod conditions;
mod conformance;
mod costs;
mod credentials;
mod cuts;
mod cuts_simulated;
mod deadlines;
mod descriptors;
mod desync;
mod detached;
mod dialing;
mod early;
mod event_loop;
mod expect;
mod fairness;
mod faults;
mod faults_over_tcp;
mod framing;
mod grammar;
mod guard;
mod handle;
mod handover;
mod harness;
mod head;
mod https_only;
mod keys;
mod loop_ends;
mod moments;
mod nginx;
mod peers;
mod pool;
mod proxies;
mod proxy_errors;
mod races;
mod random_faults;
mod ranges;
mod redirects;
mod regressions;
mod retry;
mod reuse;
mod segments;
mod sending;
mod sharing;
mod simulated;
mod sockets;
mod strace;
mod support;
mod three_runners;
mod tls;
mod tls_sessions;
mod trailers;
mod unheard;
mod unix;
mod upgrade;
mod urls;
mod ways;
