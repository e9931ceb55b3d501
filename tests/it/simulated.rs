//! The simulator.

use std::time::Duration;

use wirescope::Client;
use wirescope::testkit::Script;
use wirescope::testkit::sim::{Link, Name, Sim};

#[test]
fn a_call_is_simulated_end_to_end() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    let script = Script::new()
        .respond_with(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec());
    sim.listen("192.0.2.1:80".parse().unwrap(), script)
        .link(Link::new().latency(Duration::from_millis(20)));
    sim.name("example.com", Name::new(&["192.0.2.1".parse().unwrap()]));
    for _ in 0..2 {
        let response = sim.run(client.get("http://example.com/").unwrap()).unwrap();
        assert_eq!(response.text(), "hello");
    }
    println!("{}", sim.transcript());
    sim.finish();
}
