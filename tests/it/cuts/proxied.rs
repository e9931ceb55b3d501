//! The same cuts behind proxies: whatever carries an answer, its cut has the same end.

use rustls::version::TLS13;

use super::answer::{End, named};
use super::wire::config;
use super::{Play, SIGNATURE_SLACK, errors, every, sweep_by, whole};
use crate::support::trusted;
use crate::ways::Way;

#[test]
fn q22_every_byte_of_an_answer_through_a_proxy_cut_in_each_way_ends_typed() {
    for way in [Way::Forward, Way::Socks] {
        let plays = every(&[End::Fin, End::Reset, End::Stall]);
        let typed = sweep_by(way, &format!("{way:?}, plain"), &plays, None);
        assert_eq!(typed, errors(&plays));
    }
}

#[test]
fn q22_every_byte_under_tls_through_a_proxy_cut_in_each_way_ends_typed() {
    let (identity, tls) = trusted();
    let config = config(&identity, &TLS13);
    for way in [Way::Forward, Way::Connect, Way::Socks] {
        // What is left out here is the same by another way.
        let ends = match way {
            Way::Connect => &[End::Fin, End::Bare, End::Reset, End::Stall][..],
            Way::Direct | Way::Forward | Way::Socks => &[End::Fin, End::Bare],
        };
        let plays = every(ends);
        let tls = Some((&config, &tls));
        let typed = sweep_by(way, &format!("{way:?}, tls, by plaintext"), &plays, tls);
        assert_eq!(typed, errors(&plays));
    }
}

#[test]
fn q22_every_byte_of_the_ciphertext_in_a_tunnel_cut_in_each_way_ends_typed() {
    let (identity, tls) = trusted();
    let config = config(&identity, &TLS13);
    let answer = named("length");
    let sealed = whole(answer, &config, &tls);
    let mut plays = Vec::new();
    for cut in 0..=sealed.len() + SIGNATURE_SLACK {
        let ends = [End::Bare, End::Reset, End::Stall];
        plays.extend(ends.map(|end| Play::cipher(answer, cut, end, &sealed)));
    }
    let tls = Some((&config, &tls));
    let typed = sweep_by(Way::Connect, "Connect, by ciphertext", &plays, tls);
    assert!(typed > plays.len() / 2, "{typed} of {}", plays.len());
}
