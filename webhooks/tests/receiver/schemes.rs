//! The same over a real connection, in the words of each partner's scheme: no cause of a 401 may be told from the others
//! of its scheme by its time, nor one partner from another or from nobody by the time of what has no proof.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use hmac::{Hmac, Mac};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Sha256, Sha512};
use waybill_webhooks::{Adapter, Doors, Key, MAX_BODY, PartnerKeys, Trust, router};

use crate::partner::{FakeInbox, NOW, Signed};
use crate::timing::{WARM, shuffle, tell};

const BODY: &str = r#"{"type":"delivery.delivered","timestamp":"2026-11-20T11:00:00Z","data":{"reference":"r"}}"#;
const ALTERED: &str = r#"{"type":"delivery.delivered","timestamp":"2026-11-20T11:00:00Z","data":{"reference":"s"}}"#;
/// The largest body, over which trying keys takes longest; without optimization a thousandth is as much work.
const MUCH: usize = if cfg!(debug_assertions) { 1024 } else { MAX_BODY };
/// What one connection takes turns with: one after the other they would take minutes, and most of that is waiting.
const PER_LINE: usize = 3;
/// A private key that nobody else has; the public half is the partner's.
const SEALED: [u8; 32] = [9; 32];

/// A partner: its name is that of its scheme.
struct Scheme {
    name: &'static str,
    adapter: Adapter,
    secret: &'static str,
    other: &'static str,
}

const SCHEMES: [Scheme; 11] = [
    scheme(
        "standard",
        Adapter::Standard,
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ),
    scheme("sealed", Adapter::Standard, "", ""),
    scheme(
        "uber",
        Adapter::Uber,
        "a secret of sixteen or more",
        "some secret that is another",
    ),
    scheme(
        "easypost",
        Adapter::EasyPost,
        "a secret of sixteen or more",
        "some secret that is another",
    ),
    scheme(
        "aftership",
        Adapter::AfterShip,
        "a secret of sixteen or more",
        "some secret that is another",
    ),
    scheme(
        "sendcloud",
        Adapter::Sendcloud,
        "a secret of sixteen or more",
        "some secret that is another",
    ),
    scheme(
        "lalamove",
        Adapter::Lalamove,
        "a secret of sixteen or more",
        "some secret that is another",
    ),
    scheme(
        "onfleet",
        Adapter::Onfleet,
        "00ff10aa00ff10aa00ff10aa00ff10aa",
        "00ff10aa00ff10aa00ff10aa00ff10ab",
    ),
    scheme(
        "shippo",
        Adapter::Shippo,
        "whtok_a-token-of-ours-in-the-address",
        "whtok_a-token-of-ours-in-an-address",
    ),
    scheme(
        "stuart",
        Adapter::Stuart,
        "whtok_a-token-of-ours-in-the-address",
        "whtok_a-token-of-ours-in-an-address",
    ),
    scheme(
        "doordash",
        Adapter::DoorDash,
        "waybill:a-long-password",
        "waybill:a-wrong-passwort",
    ),
];

const fn scheme(name: &'static str, adapter: Adapter, secret: &'static str, other: &'static str) -> Scheme {
    Scheme {
        name,
        adapter,
        secret,
        other,
    }
}

/// A request in one piece, as it goes over the connection.
#[derive(Clone)]
struct Wire {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Wire {
    fn to(path: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(&self, method: &str) -> Vec<u8> {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let (path, body) = (&self.path, &self.body);
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nhost: w\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
            .into_bytes()
    }
}

fn hmac<M: Mac + hmac::KeyInit>(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

impl Scheme {
    fn path(&self) -> String {
        format!("/webhooks/{}", self.name)
    }

    fn key(&self) -> Key {
        let secret = match self.name {
            "sealed" => format!("whpk_{}", STANDARD.encode(sealed().public_key())),
            _ => self.secret.to_owned(),
        };
        Key::read(self.adapter, "k", &secret.into()).unwrap()
    }

    /// A request with a proof, made with this secret over that body at that time; sent with the other body.
    fn proven(&self, secret: &str, signed: &str, at: i64, sent: &str) -> Wire {
        let wire = Wire::to(self.path(), sent);
        let mac = |signed: &str| hmac::<Hmac<Sha256>>(secret.as_bytes(), signed);
        match self.adapter {
            Adapter::Standard => {
                let signature = match self.name {
                    "sealed" => {
                        let signature = sealed().sign(format!("msg_1.{at}.{signed}{secret}").as_bytes());
                        format!("v1a,{}", STANDARD.encode(signature))
                    }
                    _ => Signed::new("msg_1", signed.as_bytes())
                        .at(at)
                        .secret(secret)
                        .signature(),
                };
                wire.with("webhook-id", "msg_1")
                    .with("webhook-timestamp", at.to_string())
                    .with("webhook-signature", signature)
            }
            Adapter::Uber => wire.with("x-uber-signature", hex::encode(mac(signed))),
            Adapter::EasyPost => wire.with(
                "x-hmac-signature",
                format!("hmac-sha256-hex={}", hex::encode(mac(signed))),
            ),
            Adapter::AfterShip => wire.with("aftership-hmac-sha256", STANDARD.encode(mac(signed))),
            Adapter::Sendcloud => wire.with("sendcloud-signature", hex::encode(mac(signed))),
            Adapter::Onfleet => {
                let mac = hmac::<Hmac<Sha512>>(&hex::decode(secret).unwrap(), signed);
                wire.with("x-onfleet-signature", hex::encode(mac))
            }
            Adapter::Lalamove => {
                let signature = hex::encode(mac(&format!("{at}\r\nPOST\r\n/webhooks/lalamove\r\n\r\n{signed}")));
                Wire::to(
                    self.path(),
                    format!(r#"{{"timestamp":{at},"signature":"{signature}","data":{sent}}}"#),
                )
            }
            Adapter::DoorDash => wire.with("authorization", format!("Basic {}", STANDARD.encode(secret))),
            Adapter::Shippo | Adapter::Stuart => {
                let token = secret.trim_start_matches("whtok_");
                Wire::to(format!("{}?token={token}", self.path()), sent)
            }
        }
    }

    /// What stands for a proof, and cannot be read.
    fn malformed(&self) -> Wire {
        let wire = self.proven(self.secret, BODY, NOW, BODY);
        match self.adapter {
            Adapter::Lalamove => Wire {
                body: wire.body.replace(r#""signature":""#, r#""signature":"zz"#),
                ..wire
            },
            Adapter::Shippo | Adapter::Stuart => Wire {
                path: wire.path.replace("?token=", "?token=&token="),
                ..wire
            },
            _ => {
                let mut wire = wire;
                let proof = &mut wire.headers.last_mut().unwrap().1;
                *proof = proof.replace(['a', 'b', 'A', 'e', '0'], "%");
                wire
            }
        }
    }

    /// Everything that is answered 401, by its cause.
    fn causes(&self) -> Vec<(&'static str, Wire)> {
        let right = |at| self.proven(self.secret, BODY, at, BODY);
        let wrong = self.proven(self.other_secret(), BODY, NOW, BODY);
        let nobody = Wire {
            path: wrong.path.replace(self.name, &"n".repeat(self.name.len())),
            ..wrong.clone()
        };
        let mut causes = vec![
            ("wrong secret", wrong),
            ("no proof", Wire::to(self.path(), BODY)),
            ("malformed proof", self.malformed()),
            ("unknown partner", nobody),
        ];
        if !matches!(self.adapter, Adapter::Shippo | Adapter::Stuart | Adapter::DoorDash) {
            causes.push(("altered body", self.proven(self.secret, BODY, NOW, ALTERED)));
        }
        if matches!(self.adapter, Adapter::Standard | Adapter::Lalamove) {
            causes.extend([("stale", right(NOW - 301)), ("future", right(NOW + 301))]);
        }
        causes
    }

    fn other_secret(&self) -> &'static str {
        // Signed over something else, as if by another key.
        if self.name == "sealed" { "other" } else { self.other }
    }
}

fn sealed() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&SEALED).unwrap()
}

/// The receiver of all of them, on a port of its own, until the test ends.
fn serve() -> (tokio::runtime::Runtime, SocketAddr) {
    let trust = |scheme: &Scheme| {
        let trust = Trust {
            adapter: scheme.adapter,
            ..Trust::standard(vec![scheme.key()])
        };
        (scheme.name.to_owned(), trust)
    };
    let partners = PartnerKeys::new(SCHEMES.iter().map(trust)).unwrap();
    let clock = Arc::new(|| DateTime::from_timestamp(NOW, 0).unwrap());
    let inbox = FakeInbox::forgetful();
    let routes = router(Arc::new(partners), inbox, clock, Doors::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(axum::serve(listener, routes).into_future());
    (runtime, address)
}

/// Sends it and waits for the whole answer; the status, and how long that took.
fn ask(stream: &mut TcpStream, request: &[u8]) -> (u16, Duration) {
    let mut answer = [0; 2048];
    let (mut read, began) = (0, Instant::now());
    stream.write_all(request).unwrap();
    loop {
        let more = stream.read(&mut answer[read..]).unwrap();
        assert_ne!(more, 0, "the connection ends in the middle of an answer");
        read += more;
        let text = std::str::from_utf8(&answer[..read]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if length.is_some_and(|length: usize| body.len() >= length) {
            return (head[9..12].parse().unwrap(), began.elapsed());
        }
    }
}

/// Requests that are refused, by what they differ in; the last is refused before it is taken.
struct Group {
    title: &'static str,
    names: Vec<&'static str>,
    requests: Vec<(Vec<u8>, u16)>,
}

impl Group {
    fn of(title: &'static str, wires: Vec<(&'static str, Wire)>) -> Self {
        // A body that nobody reads would end the connection.
        let early = (Wire::to(&wires[0].1.path, BODY).bytes("PUT"), 405);
        let refused = wires.iter().map(|(_, wire)| (wire.bytes("POST"), 401));
        Self {
            title,
            requests: refused.chain([early]).collect(),
            names: wires.iter().map(|(name, _)| *name).collect(),
        }
    }

    /// Who is there, and how it signs, is nobody's business either.
    fn of_partners(title: &'static str, body: &str) -> Self {
        let partners = SCHEMES
            .iter()
            .map(|scheme| (scheme.name, Wire::to(scheme.path(), body)));
        let nobody = ("nobody", Wire::to("/webhooks/nobody", body));
        Self::of(title, partners.chain([nobody]).collect())
    }

    /// How long each took, so often each.
    fn measure(&self, address: SocketAddr, rounds: usize) -> Vec<Vec<Duration>> {
        let lines = self.requests.len() / PER_LINE;
        std::thread::scope(|scope| {
            let measure = |line| scope.spawn(move || self.measure_over(address, line * rounds, rounds / lines));
            let lines: Vec<_> = (0..lines).map(measure).collect();
            let mut times = vec![Vec::with_capacity(rounds); self.requests.len()];
            for line in lines {
                for (all, some) in times.iter_mut().zip(line.join().unwrap()) {
                    all.extend(some);
                }
            }
            times
        })
    }

    /// The same over one connection, mixed in an order of its own each time.
    fn measure_over(&self, address: SocketAddr, seed: usize, rounds: usize) -> Vec<Vec<Duration>> {
        let mut stream = connect(address);
        let mut times = vec![Vec::with_capacity(rounds); self.requests.len()];
        let mut order: Vec<usize> = (0..self.requests.len()).collect();
        for round in 0..rounds + WARM {
            shuffle(&mut order, seed + round);
            for place in &order {
                let (request, expected) = &self.requests[*place];
                let (status, took) = ask(&mut stream, request);
                assert_eq!(status, *expected, "{}: {:?}", self.title, self.names.get(*place));
                if round >= WARM {
                    times[*place].push(took);
                }
            }
        }
        times
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn rounds() -> usize {
    match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => 2500,
        None => 300,
    }
}

/// Measures them beside each other; answers what tells more than chance.
fn telling(address: SocketAddr, groups: &[Group]) -> Vec<(&'static str, (&'static str, f64))> {
    let measured: Vec<_> = std::thread::scope(|scope| {
        let measure = |group| scope.spawn(move || Group::measure(group, address, rounds()));
        let running: Vec<_> = groups.iter().map(measure).collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let told = |(group, times): (&Group, Vec<_>)| {
        let told = tell(group.title, &group.names, &times).into_iter();
        told.map(|it| (group.title, it)).collect::<Vec<_>>()
    };
    groups.iter().zip(measured).flat_map(told).collect()
}

#[test]
fn over_a_connection_no_scheme_tells_by_time_why_it_refused() {
    let (_runtime, address) = serve();
    for scheme in &SCHEMES {
        // Right but for what is wrong with it: else every cause would be the same.
        let right = scheme.proven(scheme.secret, BODY, NOW, BODY).bytes("POST");
        assert_eq!(ask(&mut connect(address), &right).0, 200, "{}", scheme.name);
    }

    let schemes = SCHEMES.iter().map(|scheme| Group::of(scheme.name, scheme.causes()));
    let telling = telling(address, &schemes.collect::<Vec<_>>());

    assert!(telling.is_empty(), "the time tells: {telling:.3?}");
}

#[test]
fn over_a_connection_no_partner_tells_by_time_that_it_is_there() {
    let (_runtime, address) = serve();

    for (title, body) in [("little", BODY), ("much", &" ".repeat(MUCH))] {
        let telling = telling(address, &[Group::of_partners(title, body)]);

        assert!(telling.is_empty(), "the time tells: {telling:.3?}");
    }
}
