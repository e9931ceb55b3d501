//! The tour: an embedded server on loopback, each scene drawn with its events. It needs no network.

use std::io;
use std::time::Duration;

use wirescope::event::{Event, Events, Interest, Overflow, Timings, channel_with};
use wirescope::export::{Style, waterfall};
use wirescope::{Client, ErrorKind, TlsConfig};

use crate::args::Args;
use crate::exit::{self, Failure};
use crate::scenes::{Expected, Peers, Place, SCENES, Scene};
use crate::show::{Screen, timings_of};

/// The exit code of a tour on which a scene failed.
const SCENE_FAILED: u8 = 1;

/// Plays all scenes and gives the exit code.
pub(crate) fn play(args: &Args) -> u8 {
    let screen = Screen::of(args);
    match Tour::prepare(screen).and_then(|tour| tour.play()) {
        Ok(code) => code,
        Err(failure) => {
            screen.fail(&failure);
            failure.code()
        }
    }
}

struct Tour {
    screen: Screen,
    peers: Peers,
    client: Client,
    events: Events,
}

impl Tour {
    fn prepare(screen: Screen) -> Result<Self, Failure> {
        let peers = Peers::start()
            .map_err(|error| Failure::Read(format!("cannot start the embedded server: {error}")))?;
        let (all, events) = channel_with(0, Overflow::Unbounded, Interest::DEFAULT);
        let tls = TlsConfig::new()
            .builtin_roots(false)
            .add_ca_pem(peers.authority_pem())?;
        let client = Client::builder()
            .overrides(peers.overrides())
            .tls(tls)
            .observe(all)
            .build()?;
        Ok(Self {
            screen,
            peers,
            client,
            events,
        })
    }

    fn play(self) -> Result<u8, Failure> {
        self.screen.say(
            "A tour of an embedded server on loopback. Each scene: the status line, where the time went,\n\
             notes, and the events as they happened.\n",
        )?;
        let mut summary = String::new();
        let (mut failed, mut took) = (0, Duration::ZERO);
        for (index, scene) in SCENES.iter().enumerate() {
            let verdict = self.scene(index + 1, scene, &mut took)?;
            failed += usize::from(verdict.is_err());
            summary.push_str(&line_of(index + 1, scene, &verdict));
        }
        let well = SCENES.len() - failed;
        self.screen.say(&format!(
            "\n\x1b[1mSummary\x1b[0m: {well} of {} scenes as expected, {:.2} s of calls\n{summary}",
            SCENES.len(),
            took.as_secs_f64()
        ))?;
        Ok(if failed == 0 { exit::OK } else { SCENE_FAILED })
    }

    /// Plays one scene, draws it, and says whether it went as it should.
    fn scene(
        &self,
        number: usize,
        scene: &Scene,
        took: &mut Duration,
    ) -> Result<Result<String, String>, Failure> {
        self.screen.say(&format!(
            "\n\x1b[1m{number}. {}\x1b[0m: {}\n\n",
            scene.name, scene.shows
        ))?;
        let verdict = self.fetch(scene);
        let events: Vec<Event> = self.events.try_iter().collect();
        let of_call: Vec<Event> = (events.into_iter())
            .filter(|event| event.call().is_some())
            .collect();
        *took += timings_of(&of_call).map_or(Duration::ZERO, Timings::total);
        self.screen
            .say(&waterfall(&of_call, Style::new().color(true)))?;
        if let Err(text) = &verdict {
            self.screen
                .say(&format!("  \x1b[1;31mthis scene failed\x1b[0m: {text}\n"))?;
        }
        self.screen.say(&listed(&of_call))?;
        Ok(verdict)
    }

    /// The call of a scene: what came of it, or what should have.
    fn fetch(&self, scene: &Scene) -> Result<String, String> {
        if matches!(scene.at, Place::Closing) && !self.peers.wait_until_closed() {
            return Err("the peer did not close its connection".to_owned());
        }
        let url = self.peers.url(scene.at);
        let outcome = self.client.get(&url).and_then(wirescope::Request::send);
        match (outcome, scene.expected) {
            (Ok(mut response), Expected::Response(is_expected)) => {
                let body = response
                    .copy_to(&mut io::sink())
                    .map_err(|error| error.to_string())?;
                let text = format!("{} and {body} B", response.status());
                match is_expected(&response, body) {
                    true => Ok(text),
                    false => Err(format!("got {text}, which is not what the scene is about")),
                }
            }
            (Err(error), Expected::Refusal) if error.kind() == ErrorKind::Connect => {
                let _ = self.screen.say(&format!("  wirescope: {error}\n"));
                Ok("refused, as it should be".to_owned())
            }
            (Ok(response), Expected::Refusal) => {
                Err(format!("got {} instead of a refusal", response.status()))
            }
            (Err(error), _) => Err(error.to_string()),
        }
    }
}

fn line_of(number: usize, scene: &Scene, verdict: &Result<String, String>) -> String {
    match verdict {
        Ok(text) => format!("  {number}. {:<14} ok      {text}\n", scene.name),
        Err(text) => format!("  {number}. {:<14} FAILED  {text}\n", scene.name),
    }
}

/// The events, one a line: the time since the first, the connection, the kind, and what it says.
fn listed(events: &[Event]) -> String {
    let start = events.first().map_or(Duration::ZERO, Event::at);
    let line = |event: &Event| {
        let at = event.at().saturating_sub(start).as_secs_f64() * 1000.0;
        let payload = event.payload_json();
        format!("    {at:8.3} ms  {} {payload}\n", event.kind())
    };
    events.iter().map(line).collect()
}
