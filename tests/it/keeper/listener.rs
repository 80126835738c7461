//! The probes over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use super::{STUBBORN, go, until_printed};
use crate::support::pod::Pod;
use crate::support::scene::{PATIENCE, Scene};

/// Where a keeper says that it answers.
pub fn address(pod: &Pod) -> String {
    pod.says("/readyz and /metrics");
    let output = pod.output();
    let (_, rest) = output.split_once("http://").unwrap();
    rest.split_once('/').unwrap().0.to_owned()
}

/// Status and text of an answer.
fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.trim().to_owned())
}

#[test]
fn it_is_live_and_ready_until_the_pod_ends() {
    let scene = Scene::new().script("stubborn", STUBBORN);
    let mut pod = Pod::new(&scene, &["--grace", "60s", "--listen", "127.0.0.1:0"]).ready();
    let address = address(&pod);
    assert_eq!(ask(&address, "GET /livez"), (200, "the keeper lives".to_owned()));
    assert_eq!(ask(&address, "GET /readyz").0, 200);
    assert_eq!(ask(&address, "HEAD /readyz"), (200, String::new()));
    assert_eq!(ask(&address, "POST /livez").0, 405);
    assert_eq!(ask(&address, "GET /").0, 404);
    let run = pod.launch(&["stubborn"]);
    until_printed(&scene, &run, "on");
    pod.signal(Signal::TERM);
    pod.says("this pod is being shut down");
    assert_eq!(ask(&address, "GET /readyz"), (503, "the pod is being shut down".to_owned()));
    assert_eq!(ask(&address, "GET /livez").0, 200);
    go(&scene);
    assert!(pod.ends().success());
    assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
}

#[test]
fn clients_that_say_nothing_or_too_much_keep_nobody_from_being_answered() {
    let scene = Scene::new();
    let pod = Pod::new(&scene, &["--listen", "127.0.0.1:0"]).ready();
    let address = address(&pod);
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert_eq!(ask(&address, "GET /livez").0, 200);
    let mut endless = TcpStream::connect(&address).unwrap();
    endless.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    endless.write_all(b"GET /").unwrap();
    // It is cut off at some point, or not read any more.
    for _ in 0..2_000 {
        if endless.write_all(&[b'x'; 1024]).is_err() {
            break;
        }
    }
    assert_eq!(ask(&address, "GET /livez").0, 200);
    drop(silent);
}

#[test]
fn an_address_that_cannot_be_used_is_told_with_the_remedy() {
    let scene = Scene::new();
    for (arguments, variable) in [(vec!["keep", "--listen", "8080"], ""), (vec!["keep"], "localhost")] {
        let mut command = scene.command(&arguments);
        let output = command.env("STOPOVER_LISTEN", variable).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("is not an address with a port") && said.contains("0.0.0.0:8080"), "{said}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = scene.stopover(&["keep", "--listen", &address]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("STOPOVER_LISTEN"), "{ended:?}");
    assert!(!scene.state().join("keeper.pid").exists(), "it left nothing behind");
    let ended = scene.stopover(&["keep", "--grace", "soon"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    let scene = Scene::new().variable("STOPOVER_TERMINATION_GRACE", "soon");
    let ended = scene.stopover(&["keep"]);
    assert!(ended.status == 2 && ended.stderr.contains("STOPOVER_TERMINATION_GRACE"), "{ended:?}");
}
