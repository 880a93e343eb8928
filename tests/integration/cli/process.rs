//! Processes: how they start, stop, and are stopped by force.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use super::embedded;
use crate::support::Place;

#[test]
fn a_process_introduces_itself_and_ends_well_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let place = embedded();
        let process = place.start(&["all"]);

        let log = process.log();
        process.signal(signal);

        assert_eq!(process.end(), 0, "{log}");
        for line in [
            "waybill all ",
            "  database    sqlite://waybill.db",
            "  graphs      delivery-order 1 (new orders: 1)",
            "  made        waybill.db.data-key",
        ] {
            assert!(log.contains(line), "{line:?} in {log}");
        }
    }
}

#[test]
fn a_log_for_machines_is_json_from_the_first_line() {
    let place = embedded().set("WAYBILL_LOG_FORMAT", "json");
    let process = place.start(&["all"]);

    let log = process.log();
    process.stop();

    for line in log.lines() {
        assert!(
            serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object()),
            "{line}"
        );
    }
    assert!(log.contains("database: sqlite://waybill.db"), "{log}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();

    let line = Place::new()
        .set("WAYBILL_HTTP_ADDR", &addr)
        .run(&["all"])
        .refused_at_its_end();

    assert!(
        line.starts_with("waybill: ") && line.contains(&addr) && line.contains("WAYBILL_HTTP_ADDR"),
        "{line}"
    );
}

#[test]
fn a_second_signal_ends_a_process_that_still_has_something_in_hand() {
    let place = embedded();
    let process = place.start(&["all"]);
    let url = process.url();
    let mut client = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    // A request whose body does not come.
    client
        .write_all(b"POST /webhooks/standard HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        .unwrap();
    client.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));

    process.signal("TERM");
    process.wait_for("a second signal ends this process at once");
    process.signal("TERM");

    assert_eq!(process.end(), 70);
}

#[test]
fn a_simulated_partner_listens_until_it_is_told_to_stop() {
    let secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();

    let line = Place::new()
        .run(&["partner-sim", "--addr", &addr, "--callback-secret", secret])
        .refused(2);

    assert!(line.starts_with(&format!("cannot listen on {addr}: ")), "{line}");
    assert_eq!(
        Place::new()
            .run(&["partner-sim", "--fail", "2", "--callback-secret", secret])
            .code,
        2
    );
}
